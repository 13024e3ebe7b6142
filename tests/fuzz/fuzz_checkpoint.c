/* fuzz_checkpoint.c: the parser of checkpoint.h over files of any bytes, and what the programs do
 * with a file it accepts.
 *
 * The first byte of the input holds switches, the rest is the file. Checksums stop a change at the
 * door, so the switches can have them, the header's length and the size of the data repaired first:
 * then the checks after them are reached.
 */
#include "fuzz.h"
#include "../../formats/digest.h"
#include "../unit/saved.h"

#define main inspect_main_program
int main(int argc, char **argv);
#include "../../inspect.c"
#undef main
#include "../../inference/sampling.h"
#include "../../networks/memory.h"

enum {
    CHECKSUMS = 1,              /* repair the checksums */
    LENGTH = 2,                 /* the header is as long as its braces say */
    DATA = 4,                   /* the data end with the last tensor: cut, or followed by zeros */
    ON_DISK = 8,                /* also by way of a file, with all that `inspect` prints of it */
    SPOIL = 16,                 /* first the state and history get values that are hard to hold */
    EXTREMES = 32,              /* such values are printed even though a file cannot have them */
    DATA_LIMIT = 1 << 20,       /* bytes of data that a repair may give */
    SIZE_LIMIT = 1 << 18,       /* of an input */
    MODEL_LIMIT = 1 << 23       /* bytes of a model that is run */
};

/* ---------------------------------------------------------------- repairs */

typedef struct {
    char *bytes;
    size_t size, header;        /* the header's length, once it fits */
} File;

/* Where `word` stands for the first time at or behind `from` in the header, or NULL. */
static char *seek(const File *f, const char *from, const char *word)
{
    size_t length = strlen(word);
    const char *end = f->bytes + 8 + f->header;
    for (const char *p = from; end - p >= (ptrdiff_t)length; p++) {
        p = memchr(p, word[0], (size_t)(end - p));
        if (p == NULL || end - p < (ptrdiff_t)length) return NULL;
        if (memcmp(p, word, length) == 0) return f->bytes + (p - f->bytes);
    }
    return NULL;
}

/* The length up to the brace that closes the first one, and the padding after it; all of the file
 * if there is none. */
static size_t braced(const File *f)
{
    int depth = 0;
    bool string = false;
    for (size_t i = 8; i < f->size; i++) {
        char c = f->bytes[i];
        if (string && c == '\\') i++;
        else if (c == '"') string = !string;
        else if (!string && c == '{') depth++;
        else if (!string && c == '}' && --depth == 0) {
            do i++;
            while (i < f->size && f->bytes[i] == ' ');
            return i - 8;
        }
    }
    return f->size - 8;
}

static void repair_length(File *f)
{
    f->header = braced(f);
    for (int i = 0; i < 8; i++)
        f->bytes[i] = (char)(unsigned char)((uint64_t)f->header >> 8 * i & 255);
}

/* Reads `a,b` of data_offsets; false if they are not two numbers. */
static bool offsets(const File *f, const char *at, uint64_t range[2])
{
    const char *end = f->bytes + 8 + f->header;
    for (int i = 0; i < 2; i++) {
        const char *behind = fuzz_digits(at, end);
        if (behind == NULL || behind - at > 18 || behind == end) return false;
        for (range[i] = 0; at < behind; at++) range[i] = 10 * range[i] + (uint64_t)(*at - '0');
        at++;
    }
    return true;
}

static const char offsets_key[] = "\"data_offsets\":[";

static void repair_data(File *f)
{
    uint64_t last = 0, range[2];
    for (char *at = f->bytes + 8; (at = seek(f, at, offsets_key)) != NULL; ) {
        at += strlen(offsets_key);
        if (offsets(f, at, range) && range[1] > last && range[1] <= DATA_LIMIT) last = range[1];
    }
    size_t size = 8 + f->header + (size_t)last;
    char *bytes = realloc(f->bytes, size);
    if (bytes == NULL) abort();
    if (size > f->size) memset(bytes + f->size, 0, size - f->size);
    f->bytes = bytes;
    f->size = size;
}

static void put_digits(char *at, uint32_t crc)
{
    char digits[9];
    snprintf(digits, sizeof digits, "%08lx", (unsigned long)crc);
    memcpy(at, digits, 8);
}

/* The name of the tensor whose entry holds `at`, as folio.crc32c writes it: \"name\":\". False:
 * there is none. */
static bool checksum_key(const File *f, const char *at, char *key, size_t room)
{
    const char *brace = at, *start;
    while (brace > f->bytes + 8 && *brace != '{') brace--;
    if (brace - (f->bytes + 8) < 3 || brace[-1] != ':' || brace[-2] != '"') return false;
    for (start = brace - 3; start > f->bytes + 8 && *start != '"'; start--) continue;
    int length = (int)(brace - 2 - (start + 1));
    return length >= 0 && snprintf(key, room, "\\\"%.*s\\\":\\\"", length, start + 1) < (int)room;
}

static void repair_checksums(File *f)
{
    static const char header_key[] = "\"folio.header_crc32c\":\"";
    const char *data = f->bytes + 8 + f->header, *end = data;
    char key[400];
    uint64_t range[2];
    for (const char *at = f->bytes + 8; (at = seek(f, at, offsets_key)) != NULL; ) {
        at += strlen(offsets_key);
        bool sound = offsets(f, at, range) && range[0] <= range[1]
                     && range[1] <= f->size - 8 - f->header;
        char *digits = sound && checksum_key(f, at, key, sizeof key) ? seek(f, f->bytes + 8, key)
                                                                     : NULL;
        if (digits == NULL || end - digits < (ptrdiff_t)strlen(key) + 8) continue;
        put_digits(digits + strlen(key), crc32c(0, data + range[0], (size_t)(range[1] - range[0])));
    }
    char *digits = seek(f, f->bytes + 8, header_key);
    if (digits == NULL || end - digits < (ptrdiff_t)sizeof header_key - 1 + 8) return;
    digits += sizeof header_key - 1;
    memcpy(digits, "00000000", 8);
    put_digits(digits, crc32c(0, f->bytes + 8, f->header));
}

/* Doubles that are hard to print or to compute with, and some that are easy. */
static double extreme_real(uint64_t draw)
{
    static const double values[] = { 0.5, 1e308, -1e308, 1.7e308, 4e-320, -1e-5, 1e5, -1,
                                     HUGE_VAL, -HUGE_VAL, (double)NAN };
    return values[draw % (sizeof values / sizeof values[0])];
}

/* Such whole numbers, or the bits of such doubles. */
static uint64_t extreme(uint64_t draw)
{
    static const uint64_t values[] = { 0, 1, 2, 5, 6, 300, 1u << 31, INT64_MAX, UINT64_MAX,
                                       1000000000000, 1000000000001 };
    double x = extreme_real(draw / 2);
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return draw % 2 ? bits : values[draw / 2 % (sizeof values / sizeof values[0])];
}

/* Every word of the tensors of one prefix: which value it gets follows from what it is. */
static void spoil_words(File *f, const char *prefix)
{
    uint64_t range[2];
    char *data = f->bytes + 8 + f->header;
    for (const char *at = f->bytes + 8; (at = seek(f, at, prefix)) != NULL; ) {
        at = seek(f, at, offsets_key);
        if (at == NULL) return;
        at += strlen(offsets_key);
        if (!offsets(f, at, range) || range[0] > range[1]
            || range[1] > f->size - 8 - f->header) continue;
        for (uint64_t k = range[0]; k + 8 <= range[1]; k += 8) {
            uint64_t word;
            memcpy(&word, data + k, sizeof word);
            word = extreme(mix64(word + k));
            memcpy(data + k, &word, sizeof word);
        }
    }
}

/* A file that the header's length fits is repaired as the switches say. */
static void repair(File *f, int switches)
{
    if (f->size <= 8) return;
    if (switches & LENGTH) repair_length(f);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | (unsigned char)f->bytes[i];
    if (length > f->size - 8) return;
    f->header = (size_t)length;
    if (switches & DATA) repair_data(f);
    if (switches & SPOIL) {
        spoil_words(f, "\"history.");
        spoil_words(f, "\"train.");
        spoil_words(f, "\"memory.exp");
    }
    if (switches & CHECKSUMS) repair_checksums(f);
}

/* ---------------------------------------------------------------- what an accepted file must be */

/* Bytes of an element, as the format has them. */
static uint64_t width_of(const char *dtype)
{
    if (strcmp(dtype, "BOOL") == 0 || strncmp(dtype, "F8_", 3) == 0) return 1;
    return (uint64_t)strtol(dtype + strcspn(dtype, "123468"), NULL, 10) / 8;
}

/* The tensors fill the data after the header without a gap, each as large as its shape says; no
 * name is there twice. */
static void require_places(const Checkpoint *c)
{
    uint64_t length = 0, sum = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | (unsigned char)c->bytes[i];
    REQUIRE(length < c->size - 8);
    const char *data = c->bytes + 8 + length, *end = c->bytes + c->size;
    for (int i = 0; i < c->stored_count; i++) {
        const StoredTensor *t = c->stored + i;
        uint64_t wanted = width_of(t->dtype);
        for (int k = 0; k < t->rank; k++) {
            REQUIRE(t->shape[k] == 0 || wanted <= UINT64_MAX / t->shape[k]);
            wanted *= t->shape[k];
        }
        REQUIRE(t->rank >= 0 && t->rank <= 4 && t->size == wanted);
        REQUIRE(t->data >= data && t->data <= end && t->size <= (size_t)(end - t->data));
        for (int k = 0; k < i; k++) {
            const StoredTensor *u = c->stored + k;
            REQUIRE(strcmp(t->name, u->name) != 0);
            REQUIRE(t->size == 0 || u->size == 0 || t->data + t->size <= u->data
                    || u->data + u->size <= t->data);
        }
        sum += t->size;
    }
    REQUIRE(sum == (uint64_t)(end - data));
}

/* A tensor of the model is there, with its elements, which are numbers. */
static void require_reals(const Checkpoint *c, const char *prefix, const Tensor *tensor)
{
    char name[300];
    int i = 0;
    snprintf(name, sizeof name, "%s%s", prefix, tensor->name);
    while (i < c->stored_count && strcmp(c->stored[i].name, name) != 0) i++;
    REQUIRE(i < c->stored_count);
    const StoredTensor *t = c->stored + i;
    uint64_t rows = (uint64_t)tensor->rows, cols = (uint64_t)tensor->cols;
    uint64_t *shape = c->stored[i].shape;
    REQUIRE(strcmp(t->dtype, "F32") == 0 && t->rank == tensor->rank && t->size == 4 * rows * cols);
    REQUIRE(tensor->rank == 1
            || (tensor->stored_transposed ? shape[0] == cols && shape[1] == rows
                                          : shape[0] == rows && shape[1] == cols));
    for (size_t k = 0; k < t->size; k += 4) {
        float x;
        memcpy(&x, t->data + k, sizeof x);
        REQUIRE(isfinite(x));
    }
}

/* ---------------------------------------------------------------- what the programs do with it */

typedef struct {
    Tensor *tensors;
    int count;
    size_t size;
    real *weights, *moment1, *moment2, *raw;
} Loaded;

static real *copied(const Checkpoint *c, const char *prefix, const Loaded *l)
{
    Err err = { 0 };
    real *out = calloc(l->size, sizeof *out);
    REQUIRE(out != NULL && checkpoint_copy(c, prefix, l->tensors, l->count, out, &err) == 0);
    return out;
}

static Loaded loaded(const Checkpoint *c)
{
    Loaded l = { .count = family_tensors(c->family, &c->config, NULL, NULL) };
    bool moments = c->has_train && c->family->fit == NULL;
    l.tensors = malloc((size_t)l.count * sizeof *l.tensors);
    REQUIRE(l.tensors != NULL);
    family_tensors(c->family, &c->config, l.tensors, &l.size);
    for (int i = 0; i < l.count; i++) {
        require_reals(c, "", l.tensors + i);
        if (moments) require_reals(c, "optim.m.", l.tensors + i);
        if (moments) require_reals(c, "optim.v.", l.tensors + i);
        if (c->has_raw) require_reals(c, "train.raw.", l.tensors + i);
    }
    l.weights = copied(c, "", &l);
    if (moments) l.moment1 = copied(c, "optim.m.", &l);
    if (moments) l.moment2 = copied(c, "optim.v.", &l);
    if (c->has_raw) l.raw = copied(c, "train.raw.", &l);
    return l;
}

static void unload(Loaded *l)
{
    free(l->tensors);
    free(l->weights);
    free(l->moment1);
    free(l->moment2);
    free(l->raw);
}

static char *saved(const Checkpoint *c, size_t *size)
{
    Err err = { 0 };
    Loaded l = loaded(c);
    Snapshot s = {
        .family = c->family, .config = &c->config, .tokenizer = &c->tokenizer,
        .settings = c->settings, .setting_count = c->setting_count, .step = c->step,
        .sha256 = c->sha256, .tensors = l.tensors, .tensor_count = l.count, .params = l.weights,
        .moment1 = l.moment1, .moment2 = l.moment2, .raw = l.raw,
        .train = c->has_train ? &c->train : NULL, .history = &c->history,
        .memory = c->memory.count > 0 ? &c->memory : NULL,
    };
    char *bytes = saved_bytes(&s, size, &err);
    REQUIRE(bytes != NULL);
    unload(&l);
    return bytes;
}

/* What was read is saved, read and saved again: nothing is lost the second time. */
static void try_saving(const Checkpoint *c)
{
    Err err = { 0 };
    Checkpoint again;
    size_t first_size, second_size;
    char *first = saved(c, &first_size), *copy = malloc(first_size);
    REQUIRE(copy != NULL);
    memcpy(copy, first, first_size);
    REQUIRE(checkpoint_parse(&again, copy, first_size, "again", &err) == 0);
    REQUIRE(again.step == c->step && again.has_train == c->has_train
            && again.has_raw == c->has_raw);
    REQUIRE(again.history.count == c->history.count && again.tokenizer.count == c->tokenizer.count);
    char *second = saved(&again, &second_size);
    REQUIRE(first_size == second_size && memcmp(first, second, first_size) == 0);
    checkpoint_close(&again);
    free(first);
    free(second);
}

static void write_some(const Checkpoint *c, Model *m)
{
    Err err = { 0 };
    Decoder d;
    Chooser chooser;
    REQUIRE(decoder_open(&d, m, 1, &err) == 0 && chooser_open(&chooser, &c->tokenizer, &err) == 0);
    chooser.top_k = 3;
    chooser.top_p = 0.9;
    int32_t id = c->tokenizer.count - 1;
    for (uint64_t i = 0; i < 5 && id >= 0; i++) {
        id = chooser_pick(&chooser, decoder_step(&d, &id), 1, i);
        int32_t end = chooser.numbers != NULL ? INT32_MAX : c->tokenizer.count - 1;
        REQUIRE(id == -1 || (id >= chooser.first && id <= end));
    }
    chooser_close(&chooser);
    decoder_close(&d);
}

/* A few characters are written by a model that is small enough, and by it and its memory. */
static void try_writing(const Checkpoint *c)
{
    Err err = { 0 };
    const Kernels *K = kernels_pick(NULL, &err);
    MemorySize size = { .order = c->memory.order, .ids = c->memory.count };
    Model m;
    Memory memory;
    REQUIRE(K != NULL);
    if (model_bytes(network_of(c->family), &c->config, K, MODEL_EVAL, 1) > MODEL_LIMIT) return;
    REQUIRE(model_open(&m, network_of(c->family), &c->config, K, MODEL_EVAL, 1, &err) == 0);
    REQUIRE(checkpoint_copy(c, "", m.tensors, m.tensor_count, m.params, &err) == 0);
    m.numbers = c->tokenizer.numbers;
    model_use(&m, m.params);
    if (decoder_bytes(network_of(c->family), &c->config, 1) <= MODEL_LIMIT) {
        write_some(c, &m);
        if (size.ids > 0 && memory_bytes(m.vocab, m.context, K, &size) <= MODEL_LIMIT) {
            REQUIRE(memory_open(&memory, &m, &size, &err) == 0);
            memory_learn(&memory, c->memory.ids, size.ids);
            memory.exponents = c->memory.exponents;
            write_some(c, &memory.mixture);
            memory_close(&memory);
        }
    }
    model_close(&m);
}

/* Lines of text that a terminal may be shown, or one value of JSON. */
static void require_printed(Output *out, char **text, const size_t *size, bool json)
{
    Err err = { 0 };
    REQUIRE(output_close(out, &err) == 0 && *size > 0 && (*text)[*size - 1] == '\n');
    REQUIRE(fuzz_utf8(*text, *size) == *size);
    for (size_t i = 0; i < *size; i++)
        REQUIRE((unsigned char)(*text)[i] >= 0x20 || (*text)[i] == '\n');
    REQUIRE(memchr(*text, 0x7f, *size) == NULL);
    REQUIRE(!json || fuzz_is_json(*text, *size));
    free(*text);
}

static void try_printing(const Checkpoint *c)
{
    char *text = NULL;
    size_t size = 0;
    Output out = { open_memstream(&text, &size), 0 };
    REQUIRE(out.file != NULL);
    print_summary(c, "a.bin", &out);
    print_vocab(c, &out);
    print_history(&c->history, &out);
    print_tensors(c, &out);
    require_printed(&out, &text, &size, false);
    Output json = { open_memstream(&text, &size), 0 };
    REQUIRE(json.file != NULL);
    print_json(c, "a.bin", false, &json);
    require_printed(&json, &text, &size, true);
}

static void fill_extremes(Checkpoint *c, uint64_t key)
{
    History *h = &c->history;
    for (size_t i = 0; i < h->count; i++) {
        h->step[i] = extreme(rng_bits(key, 3 * i));
        h->train_loss[i] = extreme_real(rng_bits(key, 3 * i + 1));
        h->val_loss[i] = extreme_real(rng_bits(key, 3 * i + 2));
    }
    c->step = extreme(key);
    c->train = (TrainState){ .attempt = extreme(key + 1), .best_step = extreme(key + 2),
                             .best_loss = extreme_real(key + 3),
                             .train_loss = extreme_real(key + 4) };
}

/* Values that loading refuses are printed, too: a picture and a table hold whatever comes. */
static void try_extremes(Checkpoint *c, uint64_t key)
{
    enum { ROUNDS = 8, COLUMNS = 160 };
    for (int round = 0; round < ROUNDS; round++) {
        char *text = NULL;
        size_t size = 0, column = 0;
        fill_extremes(c, rng_bits(key, (uint64_t)round));
        Output out = { open_memstream(&text, &size), 0 };
        REQUIRE(out.file != NULL);
        print_training(c, &out);
        print_losses(c, &out);
        print_history(&c->history, &out);
        output_flush(&out);
        for (size_t i = 0; i < size; i++) {
            column = text[i] == '\n' ? 0 : column + (((unsigned char)text[i] & 0xc0) != 0x80);
            REQUIRE(column <= COLUMNS);
        }
        require_printed(&out, &text, &size, false);
    }
    try_printing(c);
}

/* What `inspect` with these options says of a file agrees with loading it. */
static void try_inspecting(const char *path, bool accepted, Options *o)
{
    Err err = { 0 };
    char *text = NULL;
    size_t size = 0;
    Operands operands = { .items = &path, .count = 1 };
    Call call = { .cli = &cli, .options = o, .operands = &operands };
    Output out = { open_memstream(&text, &size), 0 };
    REQUIRE(out.file != NULL);
    REQUIRE((inspect(&call, &out, &err) == 0) == accepted);
    REQUIRE(accepted || fuzz_refusal(&err, EXIT_CHECKPOINT));
    output_flush(&out);
    if (size == 0) {
        REQUIRE(!accepted && output_close(&out, &err) == 0);
        free(text);
    } else {
        require_printed(&out, &text, &size, o->common.json);
    }
}

/* Loading from a file, and every output of `inspect`, agree with `accepted`. */
static void try_disk(const File *f, bool accepted)
{
    const char *place = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/fuzz-XXXXXX",
             place != NULL && *place != '\0' ? place : P_tmpdir);
    Err err = { 0 };
    Checkpoint c;
    int fd = mkstemp(path);
    REQUIRE(fd >= 0 && write(fd, f->bytes, f->size) == (ssize_t)f->size && close(fd) == 0);
    REQUIRE((checkpoint_load(&c, path, &err) == 0) == accepted);
    if (accepted) checkpoint_close(&c);
    REQUIRE(!accepted || checkpoint_begins(path));
    for (int json = 0; json < 2; json++)
        for (int verified = 0; verified < 2; verified++) {
            bool lists = !verified || !json;
            Options o = { .common = { .json = json }, .verify = verified, .tensors = lists,
                          .vocab = lists, .history = lists };
            try_inspecting(path, accepted, &o);
        }
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Checkpoint c;
    Err err = { 0 };
    if (size < 1 || size > SIZE_LIMIT) return 0;
    File f = { .bytes = malloc(size), .size = size - 1 };
    char *bytes;
    REQUIRE(f.bytes != NULL);
    memcpy(f.bytes, data + 1, size - 1);
    repair(&f, data[0]);
    /* A copy of exactly this size, which the parser takes over. */
    bytes = malloc(f.size > 0 ? f.size : 1);
    REQUIRE(bytes != NULL);
    memcpy(bytes, f.bytes, f.size);
    bool accepted = checkpoint_parse(&c, bytes, f.size, "a.bin", &err) == 0;
    if (accepted) {
        require_places(&c);
        REQUIRE(family_vocab(c.family, &c.config) == c.tokenizer.count);
        try_saving(&c);
        try_writing(&c);
        try_printing(&c);
        if (data[0] & EXTREMES) try_extremes(&c, crc32c(0, f.bytes, f.size));
        checkpoint_close(&c);
    } else {
        REQUIRE(fuzz_refusal(&err, EXIT_CHECKPOINT) && c.bytes == NULL && c.stored == NULL
                && c.tokenizer.ids == NULL);
    }
    if (data[0] & ON_DISK) try_disk(&f, accepted);
    free(f.bytes);
    return 0;
}
