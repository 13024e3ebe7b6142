/* test_checkpoint.c: what is saved comes back; what is damaged, hostile or something else is
 * refused; a save that fails or is killed at any point leaves the old file or the new one.
 *
 * Built with -DFAULTS and linked with faults.c (built without), checkpoint.c, tokenizer.c and the
 * kernels. It compares with a reader, a writer and checksums of its own, which share nothing with
 * checkpoint.c. */
#include "../../base.h"
#include "check.h"
#include "../../formats/checkpoint.h"
#include "../../formats/digest.h"
#include "../../system/files.h"
#include "gpt.h"
#include "saved.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifndef FAULTS
#error "build this test, checkpoint.c and tokenizer.c with -DFAULTS, and tests/faults.c without it"
#endif

static const char some_sha[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* ---------------------------------------------------------------- things to save */

typedef struct {
    Config config;
    Tokenizer tokenizer;
    Tensor tensors[64];
    size_t size;
    real *params, *moment1, *moment2, *raw;
    TrainState train;
    History history;
    uint64_t steps[3];
    double losses[6];
    Setting settings[4];
    int32_t ids[7];
    SavedMemory memory;
    Snapshot snapshot;
} World;

/* Multiples of 1/64, so that F32 holds them exactly in the double build too. */
static real *some_reals(size_t size, uint64_t key)
{
    real *x = malloc(size * sizeof *x);
    for (size_t i = 0; x != NULL && i < size; i++)
        x[i] = (real)((double)rng_below(key, i, 100000) / 64 - 700);
    return x;
}

static void set_setting(Setting *s, const char *name, const char *value, bool is_number)
{
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->value, sizeof s->value, "%s", value);
    s->is_number = is_number;
}

static void world_open(World *w, Config config, bool bytes, bool separator, bool train,
                       uint64_t key)
{
    const char *text = bytes ? "ab\xff" : "a\nb\xc3\xa9\xf0\x9f\x98\x80";
    Err err = { 0 };
    memset(w, 0, sizeof *w);
    int status = tokenizer_start(&w->tokenizer, bytes, separator, &err)
        || tokenizer_add(&w->tokenizer, text, strlen(text), "text", &err)
            || tokenizer_finish(&w->tokenizer, &err);
    CHECK(status == 0, "%s", err.msg);
    w->config = config;
    w->config.vocab = w->tokenizer.count;
    gpt_complete(&w->config);
    CHECK(family_tensors(gpt_family(&w->config), &w->config, NULL, NULL) <= 64,
          "too many tensors for this test");
    int count = family_tensors(gpt_family(&w->config), &w->config, w->tensors, &w->size);
    w->params = some_reals(w->size, key);
    w->moment1 = some_reals(w->size, key + 1);
    w->moment2 = some_reals(w->size, key + 2);
    w->raw = some_reals(w->size, key + 3);
    w->train = (TrainState){ .attempt = 3, .skipped = 2, .best_step = 987654321098,
                             .best_loss = 1.0 / 3, .train_loss = 0.1, .grad_norm = 0.7 };
    for (int i = 0; i < 3; i++) {
        w->steps[i] = (uint64_t)i * 490071992547;
        w->losses[i] = 10.0 / 3 - i;
        w->losses[3 + i] = 11.0 / 3 - i;
    }
    w->history = (History){ 3, w->steps, w->losses, w->losses + 3 };
    set_setting(&w->settings[0], "lr", "0.00029999999999999997", true);
    set_setting(&w->settings[1], "schedule", "co\"s\\ine", false);
    set_setting(&w->settings[2], "layers", "77", true);     /* the configuration's own field wins */
    set_setting(&w->settings[3], "memory", separator ? "3" : "0", true);
    for (int i = 0; i < 7; i++)
        w->ids[i] = (int32_t)rng_below(key + 4, (uint64_t)i, (uint64_t)w->tokenizer.count);
    w->memory = (SavedMemory){ 3, 7, w->ids, { { { 0.5, -1.0 / 3, 0, 1e3 }, { -1e3, 2, 3, 4 } } } };
    w->snapshot = (Snapshot){
        .family = gpt_family(&w->config), .config = &w->config, .tokenizer = &w->tokenizer,
        .settings = w->settings, .setting_count = 4,
        .memory = separator ? &w->memory : NULL, .step = 987654321098,
        .sha256 = some_sha, .tensors = w->tensors, .tensor_count = count, .params = w->params,
        .moment1 = train ? w->moment1 : NULL, .moment2 = train ? w->moment2 : NULL,
        .train = train ? &w->train : NULL, .history = &w->history,
    };
}

static void world_close(World *w)
{
    tokenizer_close(&w->tokenizer);
    free(w->params);
    free(w->moment1);
    free(w->moment2);
    free(w->raw);
}

static Saver *saver_of(const World *w)
{
    Saver *saver;
    Err err = { 0 };
    CHECK(saver_open(&saver, &w->snapshot, &err) == 0, "%s", err.msg);
    if (saver == NULL) abort();
    return saver;
}

/* What is saved, read back. */
static char *world_bytes(const World *w, size_t *size)
{
    Err err = { 0 };
    char *bytes = saved_bytes(&w->snapshot, size, &err);
    CHECK(bytes != NULL, "%s", err.msg);
    return bytes;
}

static const Config tiny = { .family = FAMILY_GPT2, .layers = 1, .heads = 1, .channels = 2,
                             .context = 2 };
static const Config tiny_qwen3 = { .family = FAMILY_QWEN3, .layers = 1, .heads = 1, .channels = 2,
                                   .hidden = 3,
                                   .context = 2 };

/* The file that a test damages: bytes a, b, ff and a separator, with its training state. */
static char *file_of(Config config, size_t *size)
{
    World w;
    world_open(&w, config, true, true, true, 1);
    char *bytes = world_bytes(&w, size);
    world_close(&w);
    return bytes;
}

static char *tiny_file(size_t *size) { return file_of(tiny, size); }

/* ---------------------------------------------------------------- another reader and writer */

static uint32_t slow_crc(const char *bytes, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        uint32_t input = (uint32_t)((unsigned char)bytes[bit / 8] >> bit % 8 & 1);
        crc = (crc & 1) != input ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void put_bytes(const char *path, const char *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    size_t written = f ? fwrite(bytes, 1, size, f) : 0;
    CHECK(f != NULL && fclose(f) == 0 && written == size, "%s cannot be written", path);
}

static uint64_t number_at(const char *bytes, int width)
{
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) value = value << 8 | (unsigned char)bytes[i];
    return value;
}

static size_t header_size(const char *file) { return (size_t)number_at(file, 8); }

/* The header's text, with a NUL. */
static char *header_text(const char *file)
{
    size_t size = header_size(file);
    char *text = malloc(size + 1);
    if (text == NULL) abort();
    memcpy(text, file + 8, size);
    text[size] = '\0';
    return text;
}

/* Finds `"name":{"dtype":"D","shape":S,"data_offsets":[B,E]}` by its text. entry gets what
 * is between. */
static const char *find_entry(const char *file, const char *name, char *entry, size_t room,
                              size_t *begin, size_t *end)
{
    char key[200], *text = header_text(file);
    snprintf(key, sizeof key, "\"%s\":{", name);
    const char *at = strstr(text, key), *data = NULL;
    if (at != NULL) {
        const char *offsets = strstr(at, "\"data_offsets\":[");
        snprintf(entry, room, "%.*s", (int)(offsets - at - (long)strlen(key)), at + strlen(key));
        char *comma;
        *begin = strtoul(offsets + 16, &comma, 10);
        *end = strtoul(comma + 1, NULL, 10);
        data = file + 8 + header_size(file) + *begin;
    }
    free(text);
    return data;
}

/* Pads a header, computes its checksum if it has a place for it, and puts the data after it. */
static char *seal(const char *header, size_t length, const char *data, size_t data_size,
                  size_t *size)
{
    size_t padded = (8 + length + 63) / 64 * 64 - 8;
    char *file = malloc(8 + padded + data_size + 1);
    if (file == NULL) abort();
    for (int i = 0; i < 8; i++) file[i] = (char)(unsigned char)((uint64_t)padded >> 8 * i & 255);
    memset(file + 8, ' ', padded);
    memcpy(file + 8, header, length);
    memcpy(file + 8 + padded, data, data_size);
    const char *key = "\"folio.header_crc32c\":\"";
    for (char *at = file + 8; at + strlen(key) + 8 <= file + 8 + padded; at++) {
        if (memcmp(at, key, strlen(key)) != 0) continue;
        char digits[9];
        memcpy(at + strlen(key), "00000000", 8);
        snprintf(digits, sizeof digits, "%08lx", (unsigned long)slow_crc(file + 8, padded));
        memcpy(at + strlen(key), digits, 8);
        break;
    }
    *size = 8 + padded + data_size;
    return file;
}

/* A copy of text with the first `find` replaced; with every one if there is no quote in it. */
static char *replaced(const char *text, const char *find, const char *put)
{
    bool all = strchr(find, '"') == NULL;
    size_t hits = 0;
    for (const char *p = text; (p = strstr(p, find)) != NULL; p += strlen(find)) hits++;
    CHECK(hits > 0, "the header has no %s", find);
    char *out = malloc(strlen(text) + hits * strlen(put) + 1), *to = out;
    if (out == NULL) abort();
    for (const char *p = text; ; ) {
        const char *hit = hits > 0 ? strstr(p, find) : NULL;
        size_t before = hit ? (size_t)(hit - p) : strlen(p);
        memcpy(to, p, before);
        to += before;
        if (hit == NULL) break;
        memcpy(to, put, strlen(put));
        to += strlen(put);
        p = hit + strlen(find);
        hits = all ? hits - 1 : 0;
    }
    *to = '\0';
    return out;
}

/* The file with an edited header, resealed, and `more` after its data. */
static char *edited(const char *file, size_t size, const char *find, const char *put,
                    const char *more, size_t *new_size)
{
    char *text = header_text(file);
    size_t length = strlen(text), data_size = size - 8 - header_size(file);
    while (length > 0 && text[length - 1] == ' ') text[--length] = '\0';
    char *header = replaced(text, find, put), *data = malloc(data_size + strlen(more) + 1);
    if (data == NULL) abort();
    memcpy(data, file + size - data_size, data_size);
    memcpy(data + data_size, more, strlen(more));
    char *out = seal(header, strlen(header), data, data_size + strlen(more), new_size);
    free(text);
    free(header);
    free(data);
    return out;
}

/* Parses a copy; returns the status (0: fine) and the message. A failure must leave no memory. */
static int status_of(const char *bytes, size_t size, Err *err)
{
    Checkpoint c;
    long blocks = faults_live_blocks();
    char *copy = malloc(size + 1);
    if (copy == NULL) abort();
    memcpy(copy, bytes, size);
    *err = (Err){ 0 };
    int status = checkpoint_parse(&c, copy, size, "x.bin", err);
    if (status == 0) checkpoint_close(&c);
    if ((status != 0) != (err->status != 0) || faults_live_blocks() != blocks) return -1;
    return err->status;
}

static void expect_refused(const char *bytes, size_t size, const char *word, const char *what)
{
    Err err;
    int status = status_of(bytes, size, &err);
    CHECK(status == EXIT_CHECKPOINT, "%s: status %d: %s", what, status, err.msg);
    CHECK(strncmp(err.msg, "x.bin: ", 7) == 0 && strstr(err.msg, word) != NULL,
          "%s: `%s` lacks `%s`", what, err.msg, word);
}

/* ---------------------------------------------------------------- what is saved comes back */

static void test_crc(void)
{
    char bytes[1200];
    memset(bytes, 0, sizeof bytes);
    CHECK(crc32c(0, "123456789", 9) == 0xe3069283u, "check value");
    CHECK(crc32c(0, bytes, 32) == 0x8a9136aau, "32 zeros (RFC 3720)");
    CHECK(crc32c(0, bytes, 0) == 0, "nothing");
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)rng_bits(5, i);
    for (size_t size = 500; size < 1190; size++) {
        size_t at = size % 9;
        CHECK(crc32c(0, bytes + at, size) == slow_crc(bytes + at, size), "size %zu", size);
        CHECK(crc32c(crc32c(0, bytes, at + 1), bytes + at + 1, size)
                  == slow_crc(bytes, size + at + 1),
              "in two");
    }
}

static void check_reals_back(const World *w, const Checkpoint *c, const char *prefix,
                             const real *want)
{
    Err err = { 0 };
    real *got = malloc(w->size * sizeof *got);
    if (got == NULL) abort();
    int status = checkpoint_copy(c, prefix, w->tensors, w->snapshot.tensor_count, got, &err);
    CHECK(status == 0, "copy %s: %s", prefix, err.msg);
    for (int i = 0; status == 0 && i < w->snapshot.tensor_count; i++) {
        const Tensor *t = w->tensors + i;
        CHECK(memcmp(got + t->offset, want + t->offset, tensor_size(t) * sizeof *got) == 0, "%s%s",
              prefix, t->name);
    }
    free(got);
}

static void check_config_back(const Checkpoint *got, const Config *want)
{
    CHECK(got->family == gpt_family(want) && got->context == want->context, "family and context");
    for (int i = 0; i < got->family->field_count; i++) {
        const Field *f = &got->family->fields[i];
        char is[SETTING_TEXT], should[SETTING_TEXT];
        field_get(&got->config, f, is, sizeof is);
        field_get(want, f, should, sizeof should);
        CHECK(strcmp(is, should) == 0, "%s is %s instead of %s", f->name, is, should);
    }
}

static void check_back(const World *w, const Checkpoint *c, bool train)
{
    const History *h = &c->history;
    check_config_back(c, &w->config);
    CHECK(c->tokenizer.count == w->tokenizer.count && c->tokenizer.bytes == w->tokenizer.bytes
          && c->tokenizer.separator == w->tokenizer.separator, "tokenizer");
    for (int i = w->tokenizer.separator; i < w->tokenizer.count; i++)
        CHECK(c->tokenizer.values[i] == w->tokenizer.values[i], "value %d", i);
    CHECK(c->step == w->snapshot.step && strcmp(c->sha256, some_sha) == 0 && c->extra == 0,
          "step, sha256, extra");
    CHECK(strcmp(checkpoint_setting(c, "lr"), w->settings[0].value) == 0, "lr");
    CHECK(strcmp(checkpoint_setting(c, "schedule"), w->settings[1].value) == 0, "schedule");
    CHECK(strcmp(checkpoint_setting(c, "layers"), "77") != 0, "layers of the model");
    CHECK(checkpoint_setting(c, "nonsense") == NULL, "a setting that is not there");
    CHECK(c->has_train == train, "has_train");
    if (train) CHECK(memcmp(&c->train, &w->train, sizeof c->train) == 0, "train");
    if (train)
        CHECK(c->train.attempt == 3 && c->train.skipped == 2 && c->train.grad_norm == 0.7,
              "train, by name");
    CHECK(h->count == 3 && memcmp(h->step, w->steps, sizeof w->steps) == 0
              && memcmp(h->train_loss, w->losses, 24) == 0
              && memcmp(h->val_loss, w->losses + 3, 24) == 0,
          "history");
    const SavedMemory *m = &c->memory;
    if (w->snapshot.memory == NULL) CHECK(m->count == 0 && m->order == 0, "no memory");
    else
        CHECK(m->count == 7 && m->order == 3 && memcmp(m->ids, w->ids, sizeof w->ids) == 0
              && memcmp(&m->exponents, &w->memory.exponents, sizeof m->exponents) == 0, "memory");
    check_reals_back(w, c, "", w->params);
    if (train) check_reals_back(w, c, "optim.m.", w->moment1);
    if (train) check_reals_back(w, c, "optim.v.", w->moment2);
}

static void test_round_trip(void)
{
    for (int variant = 0; variant < 32; variant++) {
        bool bytes = variant & 1, separator = variant & 2, train = variant & 4, large = variant & 8;
        Config config = { .family = FAMILY_GPT2, .layers = 2, .heads = 2,
                          .channels = large ? 70 : 6, .context = 5, .bias = variant % 3 != 0,
                          .gelu_tanh = variant % 5 == 0, .dropout = 0.1 };
        if (variant & 16)
            config = (Config){ .family = FAMILY_QWEN3, .layers = 2, .heads = 3,
                               .channels = large ? 70 : 6, .hidden = large ? 0 : 7, .head_size = 4,
                               .context = 5, .untied = variant % 3 != 0, .rope_base = 1e6 / 3,
                               .dropout = 0.1 };
        World w;
        size_t size, size2;
        Checkpoint c;
        Err err = { 0 };
        world_open(&w, config, bytes, separator, train, (uint64_t)variant);
        char *first = world_bytes(&w, &size), *second = world_bytes(&w, &size2);
        CHECK(size == size2 && memcmp(first, second, size) == 0, "same snapshot, same bytes");
        free(first);
        int status = checkpoint_parse(&c, second, size2, "x.bin", &err);
        CHECK(status == 0, "variant %d: %s", variant, err.msg);
        if (status == 0) {
            check_back(&w, &c, train);
            Tensor other = w.tensors[0];
            other.rows++;
            real unused;
            CHECK(checkpoint_copy(&c, "", &other, 1, &unused, &err) != 0
                      && err.status == EXIT_CHECKPOINT,
                  "a tensor of another shape is not copied");
            checkpoint_close(&c);
        }
        world_close(&w);
    }
}

/* With an average in the weights: the weights themselves come back too, all of them or none. */
static void test_raw(void)
{
    for (int variant = 0; variant < 4; variant++) {
        Config config = { .family = FAMILY_GPT2, .layers = 2, .heads = 2, .channels = 6,
                          .context = 5, .bias = 1 };
        if (variant & 1)
            config = (Config){ .family = FAMILY_QWEN3, .layers = 2, .heads = 3, .channels = 6,
                               .hidden = 7, .head_size = 4, .context = 5, .untied = 1 };
        bool train = variant & 2;
        World w;
        Checkpoint c;
        Err err = { 0 };
        size_t size, without;
        world_open(&w, config, true, true, train, 8);
        char *less = world_bytes(&w, &without);
        w.snapshot.raw = w.raw;
        char *file = world_bytes(&w, &size);
        CHECK(train ? size > without + 4 * w.size / 2
                    : size == without && memcmp(file, less, size) == 0,
              "variant %d: %zu bytes, %zu without", variant, size, without);
        free(less);
        int status = checkpoint_parse(&c, file, size, "x.bin", &err);
        CHECK(status == 0 && c.has_raw == train, "variant %d: %s", variant, err.msg);
        if (status == 0) {
            check_back(&w, &c, train);
            if (train) check_reals_back(&w, &c, "train.raw.", w.raw);
            real unused;
            CHECK(train || checkpoint_copy(&c, "train.raw.", w.tensors, 1, &unused, &err) != 0,
                  "raw weights from nowhere");
            checkpoint_close(&c);
        }
        world_close(&w);
    }
}

/* Each train.raw.* in turn is renamed, so that it is missing; likewise each of the moments. */
static void test_raw_missing(void)
{
    static const char *const prefixes[] = { "train.raw.", "optim.m.", "optim.v." };
    World w;
    size_t size, new_size;
    world_open(&w, tiny, true, true, true, 8);
    w.snapshot.raw = w.raw;
    char *file = world_bytes(&w, &size);
    for (int i = 0; i < 3 * w.snapshot.tensor_count; i++) {
        char name[120], other[140], word[160];
        snprintf(name, sizeof name, "%s%s", prefixes[i % 3], w.tensors[i / 3].name);
        snprintf(other, sizeof other, "other.%s", name);
        snprintf(word, sizeof word, "tensor %s is missing", name);
        char *bad = edited(file, size, name, other, "", &new_size);
        expect_refused(bad, new_size, word, name);
        free(bad);
    }
    Checkpoint c;
    Err err = { 0 };        /* all of them are missing: no average, and tensors nobody knows */
    char *none = edited(file, size, "train.raw.", "other.raw.", "", &new_size);
    int status = checkpoint_parse(&c, none, new_size, "x.bin", &err);
    CHECK(status == 0 && !c.has_raw && c.extra == w.snapshot.tensor_count, "without any: %s",
          err.msg);
    if (status == 0) checkpoint_close(&c);
    free(file);

    w.raw[w.tensors[2].offset] = (real)INFINITY;
    file = world_bytes(&w, &size);
    char word[160];
    snprintf(word, sizeof word, "tensor train.raw.%s: a value of it is not finite",
             w.tensors[2].name);
    expect_refused(file, size, word, "raw weights that are not finite");
    free(file);
    world_close(&w);
}

/* The values of one tensor, read by hand: stored[j][i] = memory[i][j] where it is transposed. */
static void check_values(const World *w, const char *file, const char *prefix, const Tensor *t,
                         const real *flat)
{
    char name[120], entry[120], want[120];
    size_t begin = 0, end = 0, rows = (size_t)t->rows, cols = (size_t)t->cols, wrong = 0;
    snprintf(name, sizeof name, "%s%s", prefix, t->name);
    const char *data = find_entry(file, name, entry, sizeof entry, &begin, &end);
    bool matrix = strstr(name, "c_attn.weight") || strstr(name, "c_proj.weight")
        || strstr(name, "c_fc.weight");
    if (t->rank == 1) snprintf(want, sizeof want, "\"dtype\":\"F32\",\"shape\":[%zu],", cols);
    else snprintf(want, sizeof want, "\"dtype\":\"F32\",\"shape\":[%zu,%zu],", matrix ? cols : rows,
                  matrix ? rows : cols);
    CHECK(data != NULL && strcmp(entry, want) == 0, "%s: %s", name, entry);
    if (data == NULL) return;
    CHECK(end - begin == 4 * rows * cols && (w->config.channels % 16 || begin % 64 == 0),
          "place of %s", name);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            uint32_t bits = (uint32_t)number_at(data + 4 * (matrix ? j * rows + i : i * cols + j),
                                                4);
            float value;
            memcpy(&value, &bits, sizeof value);
            if ((real)value != flat[t->offset + i * cols + j]) wrong++;
        }
    CHECK(wrong == 0, "%s: %zu values are wrong", name, wrong);
}

/* The memory, read by hand. */
static void check_memory(const World *w, const char *file, size_t size)
{
    size_t begin, end;
    uint64_t bits;
    char entry[120];
    const char *data = find_entry(file, "memory.ids", entry, sizeof entry, &begin, &end);
    CHECK(data != NULL && end == size - 8 - header_size(file), "memory.ids is the last");
    CHECK(strcmp(entry, "\"dtype\":\"U8\",\"shape\":[7],") == 0, "memory.ids: %s", entry);
    for (int i = 0; i < 7; i++) CHECK(data[i] == w->ids[i], "id %d", i);
    data = find_entry(file, "memory.exponents", entry, sizeof entry, &begin, &end);
    memcpy(&bits, &w->memory.exponents.of[0][1], sizeof bits);
    CHECK(data != NULL && number_at(data + 8, 8) == bits
          && strcmp(entry, "\"dtype\":\"F64\",\"shape\":[8],") == 0, "memory.exponents: %s",
          entry);
}

static void test_layout(void)
{
    Config config = { .family = FAMILY_GPT2, .layers = 2, .heads = 2, .channels = 16, .context = 5,
                      .bias = 1, .dropout = 0.2 };
    World w;
    size_t size, begin, end;
    char entry[120];
    world_open(&w, config, false, true, true, 9);
    w.snapshot.raw = w.raw;
    char *file = world_bytes(&w, &size), *text = header_text(file);
    CHECK((8 + header_size(file)) % 64 == 0
          && file[8] == '{', "the data are aligned, the header begins with {");
    const char *begins =
        "{\"__metadata__\":{\"format\":\"pt\",\"folio.version\":\"1\",\"folio.config\":\"{"
        "\\\"family\\\":\\\"gpt2\\\",\\\"layers\\\":2,";
    CHECK(strncmp(text, begins, strlen(begins)) == 0, "%.100s", text);
    CHECK(strstr(text, "\\\"dropout\\\":0.20000000000000001,\\\"lr\\\":0.00029999999999999997,")
              != NULL,
          "17 digits");
    CHECK(strstr(text, "\"folio.tokenizer\":\"codepoints\",\"folio.vocab\":\"- a 61 62 e9 1f600\"")
              != NULL,
          "vocab");
    CHECK(strstr(text, "\"step\":\"987654321098\"") != NULL, "step");
    for (int i = 0; i < w.snapshot.tensor_count; i++) {
        check_values(&w, file, "", w.tensors + i, w.params);
        check_values(&w, file, "optim.m.", w.tensors + i, w.moment1);
        check_values(&w, file, "optim.v.", w.tensors + i, w.moment2);
        check_values(&w, file, "train.raw.", w.tensors + i, w.raw);
    }
    const char *data = find_entry(file, "history.step", entry, sizeof entry, &begin, &end);
    CHECK(data && number_at(data + 16, 8) == w.steps[2]
          && strcmp(entry, "\"dtype\":\"U64\",\"shape\":[3],") == 0,
          "history.step: %s", entry);
    data = find_entry(file, "train.best_loss", entry, sizeof entry, &begin, &end);
    uint64_t bits;
    memcpy(&bits, &w.train.best_loss, sizeof bits);
    CHECK(data && number_at(data, 8) == bits
              && strcmp(entry, "\"dtype\":\"F64\",\"shape\":[1],") == 0,
          "train.best_loss: %s", entry);
    static const struct { const char *name; uint64_t value; } counts[] = {
        { "train.attempt", 3 }, { "train.skipped", 2 }
    };
    for (int i = 0; i < 2; i++) {
        data = find_entry(file, counts[i].name, entry, sizeof entry, &begin, &end);
        CHECK(data && number_at(data, 8) == counts[i].value
                  && strcmp(entry, "\"dtype\":\"U64\",\"shape\":[1],") == 0,
              "%s: %s", counts[i].name, entry);
    }
    check_memory(&w, file, size);
    free(text);
    free(file);
    world_close(&w);

    world_open(&w, tiny, true, false, false, 9);
    text = header_text(file = world_bytes(&w, &size));
    CHECK(strstr(text, ".bias") == NULL && strstr(text, "optim.") == NULL
          && strstr(text, "train.attempt") == NULL,
          "absent biases and training state are absent");
    CHECK(strstr(text, "\"folio.tokenizer\":\"bytes\",\"folio.vocab\":\"61 62 ff\"") != NULL,
          "bytes");
    free(text);
    free(file);
    world_close(&w);
}

/* Matrices that take several buffers, whole or transposed; and the same saver for a longer history
 * and a later step. */
static void test_pieces(void)
{
    static const int hidden[] = { 700, 5000 };
    for (int i = 0; i < 2; i++) {
        Config config = { .family = FAMILY_GPT2, .layers = 1, .heads = 1, .channels = 44,
                          .context = 3000, .bias = 1 };
        config.hidden = hidden[i];
        World w;
        Err err = { 0 };
        size_t size = 0;
        char *file = NULL;
        world_open(&w, config, false, true, true, 7);
        w.snapshot.raw = w.raw;
        w.snapshot.step = w.history.count = 0;
        Saver *saver = saver_of(&w);
        w.snapshot.step = (uint64_t)STEPS_MAX;
        w.history.count = 3;
        faults_arm("malloc:1:persist");
        CHECK(checkpoint_save(saver, &w.snapshot, "world.bin", "world.tmp", &err) == 0,
              "no memory is taken: %s", err.msg);
        faults_arm(NULL);
        CHECK(read_file("world.bin", &file, &size, &err) == 0, "%s", err.msg);
        if (file == NULL) abort();
        for (int t = 0; t < w.snapshot.tensor_count; t++) {
            check_values(&w, file, "", w.tensors + t, w.params);
            check_values(&w, file, "optim.m.", w.tensors + t, w.moment1);
            check_values(&w, file, "optim.v.", w.tensors + t, w.moment2);
            check_values(&w, file, "train.raw.", w.tensors + t, w.raw);
        }
        CHECK(status_of(file, size, &err) == 0, "hidden %d: %s", hidden[i], err.msg);
        unlink("world.bin");
        saver_close(saver);
        free(file);
        world_close(&w);
    }
}

/* A qwen3 model under Hugging Face's names in its layout: (outputs, inputs), queries apart from
 * keys. */
static void test_qwen3_layout(void)
{
    static const char *const entries[] = {              /* A = 48, C = 16, F = 32, D = 16, V = 6 */
        "\"model.embed_tokens.weight\":{\"dtype\":\"F32\",\"shape\":[6,16],",
        "\"model.layers.1.input_layernorm.weight\":{\"dtype\":\"F32\",\"shape\":[16],",
        "\"model.layers.1.self_attn.q_proj.weight\":{\"dtype\":\"F32\",\"shape\":[48,16],",
        "\"model.layers.1.self_attn.k_proj.weight\":{\"dtype\":\"F32\",\"shape\":[48,16],",
        "\"model.layers.1.self_attn.v_proj.weight\":{\"dtype\":\"F32\",\"shape\":[48,16],",
        "\"model.layers.1.self_attn.q_norm.weight\":{\"dtype\":\"F32\",\"shape\":[16],",
        "\"model.layers.1.self_attn.k_norm.weight\":{\"dtype\":\"F32\",\"shape\":[16],",
        "\"model.layers.1.self_attn.o_proj.weight\":{\"dtype\":\"F32\",\"shape\":[16,48],",
        "\"model.layers.1.post_attention_layernorm.weight\":{\"dtype\":\"F32\",\"shape\":[16],",
        "\"model.layers.1.mlp.gate_proj.weight\":{\"dtype\":\"F32\",\"shape\":[32,16],",
        "\"model.layers.1.mlp.up_proj.weight\":{\"dtype\":\"F32\",\"shape\":[32,16],",
        "\"model.layers.1.mlp.down_proj.weight\":{\"dtype\":\"F32\",\"shape\":[16,32],",
        "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[16],",
    };
    Config config = { .family = FAMILY_QWEN3, .layers = 2, .heads = 3, .channels = 16, .hidden = 32,
                      .head_size = 16, .context = 5 };
    for (int untied = 0; untied < 2; untied++) {
        World w;
        size_t size;
        config.untied = untied;
        world_open(&w, config, false, true, true, 9);
        char *file = world_bytes(&w, &size), *text = header_text(file);
        for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
            CHECK(strstr(text, entries[i]) != NULL, "the header lacks %s", entries[i]);
        CHECK((strstr(text, "\"lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[6,16],") != NULL)
                  == untied,
              "lm_head.weight is there only if it is the model's");
        CHECK(strstr(text, ".bias") == NULL && strstr(text, "transformer.") == NULL,
              "names of the other family");
        CHECK(strstr(text, "\\\"head-size\\\":16,") && strstr(text, "\\\"rope-base\\\":10000,"),
              "settings");
        for (int i = 0; i < w.snapshot.tensor_count; i++) {
            check_values(&w, file, "", w.tensors + i, w.params);
            check_values(&w, file, "optim.m.", w.tensors + i, w.moment1);
            check_values(&w, file, "optim.v.", w.tensors + i, w.moment2);
        }
        free(text);
        free(file);
        world_close(&w);
    }
}

/* ---------------------------------------------------------------- damage */

static void test_truncation(void)
{
    size_t size, refused = 0;
    char *file = tiny_file(&size);
    Err err;
    CHECK(status_of(file, size, &err) == 0, "%s", err.msg);
    for (size_t length = 0; length < size; length++)
        refused += status_of(file, length, &err) == EXIT_CHECKPOINT;
    CHECK(refused == size, "%zu of %zu truncated files are refused", refused, size);
    char *longer = malloc(size + 1);
    if (longer == NULL) abort();
    memcpy(longer, file, size);
    longer[size] = 0;
    expect_refused(longer, size + 1, "1 bytes follow its last tensor", "one byte more");
    free(longer);
    free(file);
}

/* The name of the tensor that owns byte `at` of the data. */
static void owner_of(const char *file, size_t at, char *name, size_t room)
{
    char *text = header_text(file);
    for (const char *p = text; (p = strstr(p, "\":{\"dtype\"")) != NULL; p++) {
        const char *start = p, *offsets = strstr(p, "\"data_offsets\":[");
        while (start[-1] != '"') start--;
        char *comma;
        size_t begin = strtoul(offsets + 16, &comma, 10), end = strtoul(comma + 1, NULL, 10);
        if (at >= begin && at < end)
            snprintf(name, room, "tensor %.*s: its checksum", (int)(p - start), start);
    }
    free(text);
}

static void test_flips(void)
{
    size_t size, refused = 0, named = 0;
    char *file = tiny_file(&size), name[120] = "";
    size_t start = 8 + header_size(file);
    Err err;
    for (size_t at = 0; at < size; at++) {
        if (at >= start) owner_of(file, at - start, name, sizeof name);
        for (int bit = 0; bit < 8; bit++) {
            file[at] = (char)(file[at] ^ 1 << bit);
            int status = status_of(file, size, &err);
            refused += status == EXIT_CHECKPOINT;
            if (at >= start) named += strstr(err.msg, name) != NULL;
            if (status != EXIT_CHECKPOINT)
                CHECK(false, "bit %d of byte %zu: status %d: %s", bit, at, status, err.msg);
            file[at] = (char)(file[at] ^ 1 << bit);
        }
    }
    CHECK(refused == 8 * size, "%zu of %zu flipped bits are found", refused, 8 * size);
    CHECK(named == 8 * (size - start), "%zu of %zu name their tensor", named, 8 * (size - start));
    free(file);
}

typedef struct {
    const char *find, *put;     /* without a quote in `find`, every occurrence is replaced */
    const char *word;           /* what the message must say; NULL: the file loads */
} Edit;

static void run_edits(Config config, const Edit *edits, size_t count)
{
    size_t size, new_size;
    char *file = file_of(config, &size);
    for (size_t i = 0; i < count; i++) {
        const Edit *e = edits + i;
        char what[200];
        Err err;
        snprintf(what, sizeof what, "%.80s -> %.80s", e->find, e->put);
        char *bad = edited(file, size, e->find, e->put, "", &new_size);
        if (e->word) expect_refused(bad, new_size, e->word, what);
        else CHECK(status_of(bad, new_size, &err) == 0, "%s: %s", what, err.msg);
        free(bad);
    }
    free(file);
}
#define RUN(edits) run_edits(tiny, edits, sizeof edits / sizeof edits[0])

#define WTE "\"transformer.wte.weight\":{\"dtype\":\"F32\",\"shape\":[4,2],\"data_offsets\":[0,32]}"
#define EMPTY "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
#define WTE_AS(dtype, shape, offsets) \
    "\"transformer.wte.weight\":{\"dtype\":" dtype ",\"shape\":" shape \
    ",\"data_offsets\":" offsets "}"

static void test_tensor_entries(void)
{
    static const Edit edits[] = {
        { WTE, WTE_AS("\"f32\"", "[4,2]", "[0,32]"), "unknown type" },
        { WTE, WTE_AS("\"F16\"", "[4,2]", "[0,32]"), "not that of its shape" },
        { WTE, WTE_AS("\"F16\"", "[8,2]", "[0,32]"), "transformer.wte.weight has not the type" },
        { WTE, WTE_AS("\"I32\"", "[4,2]", "[0,32]"), "transformer.wte.weight has not the type" },
        { WTE, WTE_AS("32", "[4,2]", "[0,32]"), "string is missing" },
        { WTE, WTE_AS("\"F32\"", "[2,4]", "[0,32]"), "transformer.wte.weight has not the type" },
        { WTE, WTE_AS("\"F32\"", "[8]", "[0,32]"), "transformer.wte.weight has not the type" },
        { WTE, WTE_AS("\"F32\"", "[4,2,1]", "[0,32]"), "transformer.wte.weight has not the type" },
        { WTE, WTE_AS("\"F32\"", "[4,2,1,1,1]", "[0,32]"), "too long" },
        { WTE, WTE_AS("\"F32\"", "[]", "[0,32]"), "not that of its shape" },
        { WTE, WTE_AS("\"F32\"", "[0,2]", "[0,32]"), "not that of its shape" },
        { WTE, WTE_AS("\"F32\"", "[4,2", "[0,32]"), "header" },
        { WTE, WTE_AS("\"F32\"", "[4,,2]", "[0,32]"), "number" },
        { WTE, WTE_AS("\"F32\"", "[4,2,]", "[0,32]"), "number" },
        { WTE, WTE_AS("\"F32\"", "4", "[0,32]"), "list of numbers is missing" },
        { WTE, WTE_AS("\"F32\"", "[[4,2]]", "[0,32]"), "number" },
        { WTE, WTE_AS("\"F32\"", "[\"4\",2]", "[0,32]"), "number" },
        { WTE, WTE_AS("\"F32\"", "[-4,-2]", "[0,32]"), "not whole" },
        { WTE, WTE_AS("\"F32\"", "[4.0,2]", "[0,32]"), "not whole" },
        { WTE, WTE_AS("\"F32\"", "[4e0,2]", "[0,32]"), "not whole" },
        { WTE, WTE_AS("\"F32\"", "[1e999,2]", "[0,32]"), "not whole" },
        { WTE, WTE_AS("\"F32\"", "[04,2]", "[0,32]"), "begins with 0" },
        { WTE, WTE_AS("\"F32\"", "[18446744073709551616,2]", "[0,32]"), "too large" },
        { WTE, WTE_AS("\"F32\"", "[18446744073709551615,2]", "[0,32]"), "impossibly large" },
        { WTE, WTE_AS("\"F32\"", "[99999999999999999999999999,2]", "[0,32]"), "too long" },
        { WTE, WTE_AS("\"F32\"", "[4611686018427387904,4]", "[0,0]"), "impossibly large" },
        { WTE, WTE_AS("\"F32\"", "[4294967296,4294967296]", "[0,0]"), "impossibly large" },
        { WTE, WTE_AS("\"F32\"", "[4611686018427387912,2]", "[0,32]"), "impossibly large" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[0]"), "not a pair" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[0,32,64]"), "too long" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[32,0]"), "ends before" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[4,36]"), "leaves a hole" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[0,18446744073709551615]"), "after the end" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[18446744073709551584,32]"), "ends before" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[999968,1000000]"), "after the end" },
        { WTE, WTE_AS("\"F32\"", "[4,2]", "[0,28]"), "not that of its shape" },
        { "\"data_offsets\":[32,48]", "\"data_offsets\":[28,44]", "overlaps" },
        { "\"data_offsets\":[32,48]", "\"data_offsets\":[0,16]", "overlaps" },
        { WTE, WTE "," WTE, "overlaps" },
        { "{\"__metadata__\"", "{" EMPTY "," EMPTY ",\"__metadata__\"", "lists tensor e twice" },
        { WTE, "\"transformer.wte.weight\":[]", "not an object" },
        { WTE, "\"transformer.wte.weight\":{}", "lacks" },
        { WTE, "\"transformer.wte.weight\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}", "repeated" },
        { WTE, "\"transformer.wte.weight\":{\"dtype\":\"F32\",\"shape\":[4,2]}", "lacks" },
        { WTE, "\"transformer.wte.weight\":{\"strides\":[1,2]}", "unknown" },
        { "transformer.ln_f.weight", "transformer.ln_g.weight",
          "tensor transformer.ln_f.weight is missing" },
        { "optim.m.transformer.wte", "optim.x.transformer.wte",
         "tensor optim.m.transformer.wte.weight is missing" },
        { "train.best_loss", "train.best_lost", "tensor train.best_loss is missing" },
        { "train.skipped", "train.skippet", "tensor train.skipped is missing" },
        { "history.val_loss", "history.val_lost", "tensor history.val_loss is missing" },
        { "\"dtype\":\"U64\",\"shape\":[3]", "\"dtype\":\"F64\",\"shape\":[3]",
          "history.step has not" },
        { "\"dtype\":\"U64\",\"shape\":[3]", "\"dtype\":\"U64\",\"shape\":[1,3]", "history." },
    };
    RUN(edits);
}

#define FIELD(name, value) "\\\"" name "\\\":" value

static void test_config(void)
{
    static const Edit edits[] = {
        { FIELD("layers", "1"), FIELD("layers", "1000"), "more parameters" },
        { FIELD("layers", "1"), FIELD("layers", "1000000000"), "`layers`" },
        { FIELD("layers", "1"), FIELD("layers", "2147483648"), "`layers`" },
        { FIELD("layers", "1"), FIELD("layers", "-1"), "`layers`" },
        { FIELD("layers", "1"), FIELD("layers", "1.5"), "`layers`" },
        { FIELD("layers", "1"), FIELD("layers", "1e999"), "`layers`" },
        { FIELD("layers", "1"), FIELD("layers", "\\\"1\\\""), "`layers`" },
        { FIELD("layers", "1"), FIELD("layers", "true"), "folio.config" },
        { FIELD("layers", "1"), FIELD("layers", "[1]"), "folio.config" },
        { FIELD("layers", "1"), FIELD("layers", ""), "folio.config" },
        { FIELD("layers", "1"), FIELD("layers", "1") "," FIELD("layers", "1"), "twice" },
        { FIELD("layers", "1"), FIELD("layerz", "1"), "`layers` of its configuration is missing" },
        { FIELD("layers", "1"), FIELD("layers", "2"), "is missing" },
        { FIELD("layers", "1"), FIELD("layers", "0"), NULL },       /* its tensors are then extra */
        { FIELD("heads", "1"), FIELD("heads", "0"), "`heads`" },
        { FIELD("heads", "1"), FIELD("heads", "3"), "does not fit together" },
        { FIELD("channels", "2"), FIELD("channels", "65536"), "does not fit together" },
        { FIELD("channels", "2"), FIELD("channels", "3"), "does not fit together" },
        { FIELD("channels", "2"), FIELD("channels", "0"), "`channels`" },
        { FIELD("context", "2"), FIELD("context", "65537"), "`context`" },
        { FIELD("context", "2"), FIELD("context", "65536"), "more parameters" },
        { FIELD("vocab", "4"), FIELD("vocab", "5"), "its vocabulary 4" },
        { FIELD("vocab", "4"), FIELD("vocab", "2000000"), "its vocabulary 4" },
        { FIELD("family", "\\\"gpt2\\\""), FIELD("family", "\\\"gpt9\\\""), "`family`" },
        { FIELD("family", "\\\"gpt2\\\""), FIELD("family", "0"), "`family`" },
        { FIELD("lr", "0"), FIELD("lr\\u001b[2J", "0"), "control character" },
        { FIELD("lr", "0"), FIELD("lr\xc2\x9b", "0"), "control character" },
        { FIELD("heads", "1"), FIELD("headz", "1"), "`heads` of its configuration is missing" },
        { FIELD("dropout", "0"), FIELD("dropoud", "0"),
          "`dropout` of its configuration is missing" },
        { FIELD("hidden", "8"), FIELD("hidden", "0"), NULL },        /* as if it were not there */
        { FIELD("hidden", "8"), FIELD("hidden", "4"), "has not the type" },
        { FIELD("hidden", "8"), FIELD("hidden", "262144"), "more parameters" },
        { FIELD("hidden", "8"), FIELD("hidden", "262145"), "`hidden`" },
        { FIELD("head-size", "2"), FIELD("head-size", "1"), "does not fit together" },
        { FIELD("head", "\\\"tied\\\""), FIELD("head", "\\\"untied\\\""), "does not fit together" },
        { FIELD("head", "\\\"tied\\\""), FIELD("head", "0"), "`head`" },
        { FIELD("family", "\\\"gpt2\\\""), FIELD("family", "\\\"qwen3\\\""),
         "model.embed_tokens.weight is missing" },
    };
    static const Edit qwen3_edits[] = {
        { FIELD("hidden", "3"), FIELD("hidden", "4"), "mlp.gate_proj.weight has not the type" },
        { FIELD("hidden", "3") ",", "", "`hidden` of its configuration is missing" },
        { FIELD("hidden", "3"), FIELD("hidden", "262144"), "more parameters" },
        { FIELD("channels", "2"), FIELD("channels", "65536"), "more parameters" },
        { FIELD("channels", "2"), FIELD("channels", "4"), "embed_tokens.weight has not the type" },
        { FIELD("head-size", "2"), FIELD("head-size", "4"), "q_proj.weight has not the type" },
        { FIELD("head-size", "2"), FIELD("head-size", "1"), "must be even" },
        { FIELD("head-size", "2"), FIELD("head-size", "65536"), "more parameters" },
        { FIELD("head-size", "2") ",", "", "`head-size` of its configuration is missing" },
        { FIELD("head", "\\\"tied\\\"") ",", "", "`head` of its configuration is missing" },
        { FIELD("head", "\\\"tied\\\""), FIELD("head", "\\\"untied\\\""),
          "lm_head.weight is missing" },
        { FIELD("bias", "\\\"off\\\""), FIELD("bias", "\\\"on\\\""), "does not fit together" },
        { FIELD("rope-base", "10000"), FIELD("rope-base", "0.5"), "`rope-base`" },
        { FIELD("rope-base", "10000"), FIELD("rope-base", "1e999"), "`rope-base`" },
        { FIELD("rope-base", "10000"), FIELD("rope-base", "1000000"), NULL },
        { FIELD("context", "2"), FIELD("context", "65536"), NULL },  /* no tensor has its size */
        { FIELD("layers", "1"), FIELD("layers", "2"), "is missing" },
        { FIELD("family", "\\\"qwen3\\\""), FIELD("family", "\\\"gpt2\\\""),
         "transformer.wte.weight is missing" },
        { "k_proj", "x_proj", "model.layers.0.self_attn.k_proj.weight is missing" },
    };
    RUN(edits);
    run_edits(tiny_qwen3, qwen3_edits, sizeof qwen3_edits / sizeof qwen3_edits[0]);
}

static void test_metadata(void)
{
    static const Edit edits[] = {
        { "\"folio.config\":\"{", "\"folio.config\":\"[", "folio.config" },
        { "\"folio.config\":\"{", "\"folio.config\":\"{}{", "folio.config" },
        { "\"folio.config\"", "\"folio.konfig\"", "folio.config it is missing" },
        { "\"folio.version\":\"1\"", "\"folio.version\":\"2\"", "written by a newer version" },
        { "\"folio.version\":\"1\"", "\"folio.version\":\"4000000000\"",
         "newer version of Folio (format 4000000000" },
        { "\"folio.version\":\"1\"", "\"folio.version\":\"0\"", "no version" },
        { "\"folio.version\":\"1\"", "\"folio.version\":\"1 beta\"", "no version" },
        { "\"folio.version\":\"1\"", "\"folio.version\":1", "string is missing" },
        { "\"folio.version\":\"1\",", "", "no version" },
        { "folio.", "other.", "not one that Folio wrote" },
        { "\"folio.header_crc32c\"", "\"folio.header_crc\"", "does not state its own checksum" },
        { "\"format\":\"pt\",", "", NULL },
        { "\"format\":\"pt\"", "\"format\":\"pt\",\"note\":\"\\ud83d\\ude00\\n\\\"\"", NULL },
        { "\"format\":\"pt\"", "\"format\":\"pt\",\"format\":\"pt\"", "repeated" },
        { "\"format\":\"pt\"", "\"format\":\"pt\",\"step\":\"1\"", "repeated" },
        { "\"format\":\"pt\"", "\"format\":{\"a\":\"pt\"}", "string is missing" },
        { "\"format\":\"pt\"", "\"format\":null", "string is missing" },
        { "{\"__metadata__\":", "{\"__metadata__\":{\"a\":\"b\"},\"__metadata__\":", "twice" },
        { "{\"__metadata__\":", "{\"__metadata__\":7,\"x\":", "not an object" },
        { "\"step\":\"987654321098\"", "\"step\":\"-1\"", "step" },
        { "\"step\":\"987654321098\"", "\"step\":\"18446744073709551616\"", "step" },
        { "\"step\":\"987654321098\"", "\"step\":\"\"", "step" },
        { "\"step\":\"987654321098\"", "\"s\":\"\"", "step" },
        { "\"sha256\":\"0123456789abcdef", "\"sha256\":\"0123456789ABCDEF", "sha256" },
        { "\"sha256\":\"0123456789abcdef", "\"sha256\":\"", "sha256" },
        { "\"sha256\"", "\"sha\"", "sha256" },
        { "\"folio.tokenizer\":\"bytes\"", "\"folio.tokenizer\":\"words\"", "vocabulary" },
        { "\"folio.tokenizer\":\"bytes\"", "\"folio.tokenizer\":\"codepoints\"", NULL },
        { "\"folio.vocab\"", "\"folio.voc\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"-\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 61 62 100\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 61 62 FF\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 61 61 ff\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 62 61 ff\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"61 62 - ff\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 61  62 ff\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\" 60 61 62 ff\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 61 62 ff \"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 61 62 0000000ff\"", "vocabulary" },
        { "\"- 61 62 ff\"", "\"- 61 62\"", "its vocabulary 3" },
    };
    RUN(edits);
}

static void test_checksum_list(void)
{
    static const Edit edits[] = {
        { "\"folio.crc32c\"", "\"folio.crc32\"", "folio.crc32c it is missing" },
        { "\"folio.crc32c\":\"{", "\"folio.crc32c\":\"[", "folio.crc32c" },
        { "{\\\"transformer.wte.weight\\\":", "{\\\"transformer.wxe.weight\\\":",
         "wrong entry for transformer.wxe" },
        { "{\\\"transformer.wte.weight\\\":", "{\\\"transformer.wte.weight\\\":0,\\\"a\\\":",
          "crc32c" },
        { "{\\\"transformer.wte.weight\\\":\\\"", "{\\\"transformer.wte.weight\\\":\\\"0",
          "wrong entry" },
        { "{\\\"transformer.wte.weight\\\":\\\"",
          "{\\\"transformer.wpe.weight\\\":\\\"00000000\\\",\\\"transformer.wte.weight\\\":\\\"",
          "wrong entry for transformer.wpe" },
        { ",\\\"history.val_loss\\\"", ",\\\"history.step\\\"", "wrong entry for history.step" },
    };
    RUN(edits);
}

static void test_strings(void)
{
    static const Edit edits[] = {
        { "\"transformer.wte.weight\":{", "\"transformer.wte\\u002eweight\":{", NULL },
        { "\"transformer.wte.weight\":{", "\"transformer.wte\\u002Eweigh\\u0074\" :\n\t{\r", NULL },
        { "\"format\"", "\"\\\"\\\\\\/\"", NULL },
        { "\"format\"", "\"f\\ud800\"", "surrogate" },
        { "\"format\"", "\"f\\udc00\"", "surrogate" },
        { "\"format\"", "\"f\\udc00\\udc00\"", "surrogate" },
        { "\"format\"", "\"f\\ud83d\\u0041\"", "surrogate" },
        { "\"format\"", "\"f\\ud83d\\ud83d\"", "surrogate" },
        { "\"format\"", "\"f\\u0000\"", "NUL" },
        { "\"format\"", "\"f\\u12\"", "hexadecimal" },
        { "\"format\"", "\"f\\u12g4\"", "hexadecimal" },
        { "\"format\"", "\"f\\x41\"", "escape" },
        { "\"format\"", "\"f\\\"", "header" },
        { "\"format\"", "\"f\n\"", "control character" },
        { "\"format\"", "\"f\\n\"", "control character" },
        { "\"format\"", "\"f\x7f\"", "control character" },
        { "\"format\"", "\"f\xff\"", "UTF-8" },
        { "\"format\"", "\"f\xc0\x80\"", "UTF-8" },
        { "\"format\"", "\"f\xed\xa0\x80\"", "UTF-8" },
        { "\"format\"", "\"f\xf4\x90\x80\x80\"", "UTF-8" },
        { "\"format\"", "\"f\xe2\x82\"", "UTF-8" },
        { "\"format\"", "format", "string is missing" },
        { "\"format\"", "'format'", "string is missing" },
        { "\"format\"", "/**/\"format\"", "string is missing" },
        { "\"format\":", "\"format\"", "colon" },
        { "\"format\":\"pt\",", "\"format\":\"pt\"", "comma" },
        { "\"format\":\"pt\",", "\"format\":\"pt\",,", "string is missing" },
        { "\"format\":\"pt\",", ",\"format\":\"pt\",", "string is missing" },
        { "{\"__metadata__\"", "{{\"__metadata__\"", "string is missing" },
    };
    RUN(edits);

    size_t size, new_size;
    char *file = tiny_file(&size), *text = header_text(file), name[400];
    memset(name, 'n', sizeof name - 1);
    name[0] = '"';
    snprintf(name + 300, sizeof name - 300, "\"");
    char *bad = edited(file, size, "\"format\"", name, "", &new_size);
    expect_refused(bad, new_size, "too long", "a key of 299 characters");
    free(bad);
    size_t length = strlen(text);
    text[20] = '\0';
    bad = seal(text, length, file + 8 + length, size - 8 - length, &new_size);
    expect_refused(bad, new_size, "at byte 20", "a NUL in the header");
    free(bad);
    free(text);
    free(file);
}

/* Tensors that Folio does not know: one without bytes, one with three. */
static void test_extra(void)
{
    size_t size, size1, size2;
    char *file = tiny_file(&size), entry[200], crcs[200];
    size_t data = size - 8 - header_size(file);
    snprintf(entry, sizeof entry,
             "{\"empty\":{\"dtype\":\"BF16\",\"shape\":[7,0],\"data_offsets\":[0,0]},"
             "\"more\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[%zu,%zu]},"
             "\"__metadata__\"", data, data + 3);
    snprintf(crcs, sizeof crcs, "{\\\"empty\\\":\\\"00000000\\\",\\\"more\\\":\\\"%08lx\\\","
             "\\\"transformer.wte.weight\\\"", (unsigned long)slow_crc("xyz", 3));
    char *half = edited(file, size, "{\"__metadata__\"", entry, "xyz", &size1);
    char *both = edited(half, size1, "{\\\"transformer.wte.weight\\\"", crcs, "", &size2);
    expect_refused(half, size1, "folio.crc32c lacks tensor empty",
                   "an extra tensor without a checksum");
    Checkpoint c;
    Err err = { 0 };
    int status = checkpoint_parse(&c, both, size2, "x.bin", &err);
    CHECK(status == 0 && c.extra == 2, "two extra tensors: %s", err.msg);
    if (status == 0) checkpoint_close(&c);
    free(half);
    free(file);
}

/* ---------------------------------------------------------------- a state that no run reaches */

static void save_refused(const World *w, const char *word)
{
    size_t size;
    char *bytes = world_bytes(w, &size);
    expect_refused(bytes, size, word, word);
    free(bytes);
}

/* The checksums are right: only the values are beyond what a run can reach, each by itself. */
static void test_reach(void)
{
    static const double lost[] = { -1, -1e308, HUGE_VAL, -HUGE_VAL, (double)NAN };
    static const struct { size_t field; uint64_t value; const char *name; } wholes[] = {
        { offsetof(TrainState, attempt), RETURNS_MAX + 1, "train.attempt" },
        { offsetof(TrainState, attempt), (uint64_t)1 << 31, "train.attempt" },
        { offsetof(TrainState, attempt), UINT64_MAX, "train.attempt" },
        { offsetof(TrainState, skipped), SKIPS_MAX, "train.skipped" },
        { offsetof(TrainState, skipped), UINT64_MAX, "train.skipped" },
        { offsetof(TrainState, best_step), 987654321099, "train.best_step" },
        { offsetof(TrainState, best_step), UINT64_MAX, "train.best_step" },
    };
    static const struct { size_t field; const char *name; } reals[] = {
        { offsetof(TrainState, best_loss), "train.best_loss" },
        { offsetof(TrainState, train_loss), "train.train_loss" },
        { offsetof(TrainState, grad_norm), "train.grad_norm" },
    };
    static const uint64_t steps[] = { (uint64_t)STEPS_MAX + 1, INT64_MAX, UINT64_MAX };
    World w;
    world_open(&w, tiny, true, true, true, 1);
    const TrainState sound = w.train;
    for (size_t i = 0; i < sizeof wholes / sizeof wholes[0]; i++, w.train = sound) {
        memcpy((char *)&w.train + wholes[i].field, &wholes[i].value, 8);
        save_refused(&w, wholes[i].name);
    }
    for (size_t i = 0; i < 3 * 5; i++, w.train = sound) {
        memcpy((char *)&w.train + reals[i / 5].field, &lost[i % 5], 8);
        save_refused(&w, reals[i / 5].name);
    }
    for (size_t i = 0; i < 6 * 5; i++) {
        double was = w.losses[i / 5];
        w.losses[i / 5] = lost[i % 5];
        save_refused(&w, i / 5 < 3 ? "history.train_loss" : "history.val_loss");
        w.losses[i / 5] = was;
    }
    w.steps[1] = w.steps[2];                            /* twice the same, then backwards */
    save_refused(&w, "history.step");
    w.steps[1] = w.steps[2] + 1;
    save_refused(&w, "history.step");
    w.steps[1] = 0;
    save_refused(&w, "history.step");
    w.steps[1] = 1;
    w.steps[2] = w.snapshot.step + 1;
    save_refused(&w, "history.step");
    w.steps[2] = 2;
    w.train.best_step = 2;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        w.snapshot.step = steps[i];
        save_refused(&w, "step");
        w.snapshot.train = NULL;                        /* weights only: the same */
        w.snapshot.moment1 = w.snapshot.moment2 = NULL;
        save_refused(&w, "step");
        w.snapshot.train = &w.train;
        w.snapshot.moment1 = w.moment1;
        w.snapshot.moment2 = w.moment2;
    }
    world_close(&w);
}

/* Ids that are none, exponents that no text asks for, and an order that is none; two and four bytes
 * an id. */
static void test_memory_reach(void)
{
    static const double lost[] = { 1001, -1001, HUGE_VAL, -HUGE_VAL, (double)NAN };
    static const char *const orders[] = { "0", "65", "1.5", "-1", "1e300" };
    static const int32_t ids[] = { 4, 255 };
    World w;
    world_open(&w, tiny, true, true, true, 1);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        int32_t was = w.ids[i];
        w.ids[i] = ids[i];
        save_refused(&w, "memory.ids");
        w.ids[i] = was;
    }
    for (int i = 0; i < 5 * 8; i++) {
        double *x = &w.memory.exponents.of[i / 20][i / 5 % 4], was = *x;
        *x = lost[i % 5];
        save_refused(&w, "memory.exponents");
        *x = was;
    }
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        set_setting(&w.settings[3], "memory", orders[i], true);
        save_refused(&w, "`memory` of its settings is not the order");
    }
    set_setting(&w.settings[3], "memory", "3", false);
    save_refused(&w, "`memory` of its settings is not the order");
    set_setting(&w.settings[3], "memory", "3", true);
    w.memory.count = 0;
    save_refused(&w, "its memory has 0 characters");
    w.snapshot.memory = NULL;
    save_refused(&w, "its memory has 0 characters");
    world_close(&w);
}

/* A vocabulary of so many code points; ids at its ends come back, in as many bytes as they need. */
static void check_wide(int symbols, const char *dtype)
{
    enum { FIRST = 0x10000 };
    World w;
    Checkpoint c;
    Err err = { 0 };
    size_t size, begin, end;
    char entry[120];
    uint32_t *values = calloc((size_t)symbols, sizeof *values);
    Config config = tiny;
    if (values == NULL) abort();
    for (int i = 0; i < symbols; i++) values[i] = (uint32_t)(FIRST + i);
    world_open(&w, tiny, true, true, false, 1);
    world_close(&w);
    config.vocab = 0;
    CHECK(tokenizer_from_values(&w.tokenizer, values, symbols, false, false, &err) == 0, "%s",
          err.msg);
    w.config = config;
    w.config.vocab = symbols;
    gpt_complete(&w.config);
    w.snapshot.tensor_count = family_tensors(gpt_family(&w.config), &w.config, w.tensors, &w.size);
    w.params = some_reals(w.size, 1);
    w.moment1 = w.moment2 = w.raw = NULL;
    w.snapshot.params = w.params;
    w.ids[0] = symbols - 1;
    w.ids[1] = 0;
    w.ids[6] = symbols - 2;
    char *file = world_bytes(&w, &size);
    find_entry(file, "memory.ids", entry, sizeof entry, &begin, &end);
    CHECK(strstr(entry, dtype) != NULL, "%d symbols: %s", symbols, entry);
    int status = checkpoint_parse(&c, file, size, "x.bin", &err);
    CHECK(status == 0, "%d symbols: %s", symbols, err.msg);
    if (status == 0) {
        CHECK(memcmp(c.memory.ids, w.ids, sizeof w.ids) == 0, "%d symbols", symbols);
        checkpoint_close(&c);
    }
    free(values);
    world_close(&w);
}

static void test_wide(void)
{
    check_wide(256, "\"U8\"");
    check_wide(257, "\"U16\"");
    check_wide(65536, "\"U16\"");
    check_wide(65537, "\"U32\"");
}

/* The borders themselves load; so does a mean of zeros that was rounded below zero. */
static void test_reached(void)
{
    World w;
    size_t size;
    Err err;
    world_open(&w, tiny, true, true, true, 1);
    w.snapshot.step = (uint64_t)STEPS_MAX;
    w.train = (TrainState){ .attempt = RETURNS_MAX, .skipped = SKIPS_MAX - 1,
                            .best_step = (uint64_t)STEPS_MAX, .best_loss = -1e-7,
                            .train_loss = 1e300, .grad_norm = 0 };
    w.steps[2] = (uint64_t)STEPS_MAX;
    w.losses[4] = -1e-7;
    w.losses[5] = 1.7e308;
    char *bytes = world_bytes(&w, &size);
    CHECK(status_of(bytes, size, &err) == 0, "the borders: %s", err.msg);
    free(bytes);
    world_close(&w);
}

static void test_not_finite(void)
{
    const float values[] = { NAN, INFINITY, -INFINITY };
    for (int i = 0; i < 9; i++) {
        World w;
        size_t size;
        world_open(&w, tiny, true, true, true, 4);
        real *flat = i / 3 == 0 ? w.params : i / 3 == 1 ? w.moment1 : w.moment2;
        flat[w.tensors[3].offset + 5] = (real)values[i % 3];
        char *file = world_bytes(&w, &size), word[120];
        static const char *const prefixes[] = { "", "optim.m.", "optim.v." };
        snprintf(word, sizeof word, "tensor %s%s: a value of it is not finite", prefixes[i / 3],
                 w.tensors[3].name);
        expect_refused(file, size, word, "a value that is not finite");
        free(file);
        world_close(&w);
    }
}

/* ---------------------------------------------------------------- other files, and hostile ones */

static void expect_raw(const char *bytes, size_t size, const char *word)
{
    expect_refused(bytes, size, word, word);
}

static void test_looks_like(void)
{
    static const struct { const char *bytes; size_t size; const char *word; } files[] = {
        { "", 0, "is empty" },
        { "\0", 1, "cut short" },
        { "\x08\0\0\0\0\0\0\0", 8, "cut short" },
        { "PK\3\4\x14\0\x08\x08\0\0\0\0", 12, "zip archive" },
        { "PK\3\4\0\0\0\0\0\0\0\0", 12, "zip archive" },
        { "\x80\2\x8a\x0al\xfc\x9c\x46\xf9\x20", 10, "pickle" },
        { "GGUF\3\0\0\0\x21\x01\0\0", 12, "GGUF" },
        { "<!DOCTYPE html><html>", 21, "HTML" },
        { "\r\n <HTML lang=en>", 17, "HTML" },
        { "version https://git-lfs.github.com/spec/v1\noid", 46, "Git LFS pointer" },
        { "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10, "gzip" },
        { "First Citizen:\nBefore we proceed", 32, "a text" },
        { "\2\0\0\0\0\0\0\0{}", 10, "not one that Folio wrote" },
        { "\2\0\0\0\0\0\0\0[]", 10, "does not begin with a brace" },
        { "\3\0\0\0\0\0\0\0{} ", 11, "not one that Folio wrote" },
        { "\3\0\0\0\0\0\0\0{}x", 11, "something follows" },
        { "\1\0\0\0\0\0\0\0{", 9, "header" },
        { "\0\0\0\0\0\0\0\0{}", 10, "header of 0 bytes" },
        { "\0\0\0\x80\0\0\0\0{}", 10, "header of 2147483648 bytes" },
        { "\0\0\0\0\0\0\0\x80{}", 10, "header of 9223372036854775808 bytes" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "header of 18446744073709551615 bytes" },
        { "\xff\xe0\xf5\x05\0\0\0\0{}", 10, "only 2 follow" },
        { "\1\xe1\xf5\x05\0\0\0\0{}", 10, "header of 100000001 bytes" },
        { "\3\0\0\0\0\0\0\0{}", 10, "only 2 follow" },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        expect_raw(files[i].bytes, files[i].size, files[i].word);
        put_bytes("other.bin", files[i].bytes, files[i].size);
        Checkpoint c;
        Err err = { 0 };
        CHECK(checkpoint_load(&c, "other.bin", &err) != 0 && err.status == EXIT_CHECKPOINT
              && strncmp(err.msg, "other.bin: ", 11) == 0 && strstr(err.msg, files[i].word) != NULL,
              "%s: %s", files[i].word, err.msg);
    }
    Checkpoint c;
    Err err = { 0 };
    CHECK(checkpoint_load(&c, "not there", &err) != 0 && err.status == EXIT_RUNTIME, "%s", err.msg);
    CHECK(checkpoint_load(&c, ".", &err) != 0 && err.status == EXIT_RUNTIME, "%s", err.msg);
    CHECK(checkpoint_load(&c, "/dev/zero", &err) != 0 && err.status == EXIT_CHECKPOINT, "%s",
          err.msg);

    size_t size;
    const char *plain = "{\"w\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]},"
                        "\"__metadata__\":{\"format\":\"pt\"}}";
    char *file = seal(plain, strlen(plain), "abcd", 4, &size);
    expect_raw(file, size, "is a safetensors file, but not one that Folio wrote");
    free(file);
}

/* A sparse file of 64 GB whose start says what it is must not be read. */
static void test_large_file(void)
{
    FILE *f = fopen("large.bin", "wb");
    CHECK(f != NULL && fwrite("GGUF\3\0\0\0", 1, 8, f) == 8 && fclose(f) == 0,
          "large.bin cannot be written");
    if (truncate("large.bin", (off_t)1 << 36) == 0) {
        Checkpoint c;
        Err err = { 0 };
        faults_arm(NULL);
        CHECK(checkpoint_load(&c, "large.bin", &err) != 0 && err.status == EXIT_CHECKPOINT, "%s",
              err.msg);
        CHECK(faults_calls("read") <= 1 && faults_calls("malloc") == 0, "it was read");
    }
    unlink("large.bin");
}

/* A header of `count` copies of `piece` between `before` and `after`. */
static void expect_many(const char *before, const char *piece, size_t count, const char *after,
                        const char *word)
{
    size_t length = strlen(piece), size, at = strlen(before);
    char *header = malloc(at + count * length + strlen(after) + 1);
    if (header == NULL) abort();
    memcpy(header, before, at);
    for (size_t i = 0; i < count; i++, at += length) memcpy(header + at, piece, length);
    memcpy(header + at, after, strlen(after) + 1);
    char *file = seal(header, at + strlen(after), "", 0, &size);
    double start = clock_seconds();
    expect_refused(file, size, word, word);
    CHECK(clock_seconds() - start < 2, "%s: took %.1f s", word, clock_seconds() - start);
    free(file);
    free(header);
}

static void test_many(void)
{
    expect_many("{\"a\":", "[", 1000000, "", "not an object");
    expect_many("{\"a\":{\"shape\":", "[", 1000000, "", "number is missing");
    expect_many("{\"__metadata__\":", "{\"a\":", 1000000, "", "string is missing");
    expect_many("{\"__metadata__\":{", "\"a\":\"b\",", 1000000, "", "repeated");
    expect_many("{", "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,0]},", 1000000, "}",
                "not that of its shape");
    expect_many("{", "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", 1000000, "",
                "too many tensors");
    expect_many("{", "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", 100000,
                "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                "not one that Folio wrote");
    expect_many("{\"__metadata__\":{\"a\":\"", "\\ud83d\\ude00", 1000000, "\"}}",
                "not one that Folio wrote");
    expect_many("{\"", "x", 1000000, "\"}", "too long");
    expect_many("{", " ", 1000000, "", "string is missing");

    char many[4096] = "\"format\":\"pt\"";
    size_t size, new_size;
    char *file = tiny_file(&size);
    for (int i = 0; i < 64; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ",\"k%d\":\"\"", i);
    char *bad = edited(file, size, "\"format\":\"pt\"", many, "", &new_size);
    expect_refused(bad, new_size, "too many entries", "many keys");
    free(bad);
    many[0] = '\0';
    for (int i = 0; i < 64; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "\\\"k%d\\\":0,", i);
    strcat(many, "\\\"lr\\\"");
    bad = edited(file, size, "\\\"lr\\\"", many, "", &new_size);
    expect_refused(bad, new_size, "too many settings", "many settings");
    free(bad);
    free(file);
}

/* Random edits under a right header checksum: any answer, no crash, balanced memory. */
static void test_mutations(void)
{
    size_t size, new_size, loaded = 0, odd = 0;
    char *file = tiny_file(&size), *text = header_text(file);
    static const char alphabet[] = "{}[]\",:\\0123456789-+.eEu F32U64transformer\0\x80\xff";
    size_t length = strlen(text);
    char *header = malloc(length);
    if (header == NULL) abort();
    for (uint64_t round = 0; round < 6000; round++) {
        uint64_t key = rng_key(11, 0, round, RNG_SAMPLE);
        size_t used = length, edits = 1 + (size_t)rng_below(key, 0, 3);
        memcpy(header, text, length);
        for (size_t e = 0; e < edits; e++) {
            size_t at = (size_t)rng_below(key, 10 * e + 1, used);
            uint64_t kind = rng_below(key, 10 * e + 2, 3);
            size_t run = 1 + (size_t)rng_below(key, 10 * e + 3, 20);
            char letter = alphabet[rng_below(key, 10 * e + 4, sizeof alphabet)];
            if (kind == 0) header[at] = letter;
            else if (run >= used - at) continue;
            else if (kind == 1) memset(header + at, letter, run);
            else memmove(header + at, header + at + run, (used -= run) - at);
        }
        char *bad = seal(header, used, file + 8 + length, size - 8 - length, &new_size);
        Err err;
        int status = status_of(bad, new_size, &err);
        loaded += status == 0;
        odd += status != 0 && status != EXIT_CHECKPOINT;
        free(bad);
    }
    CHECK(odd == 0, "%zu mutated files had another status", odd);
    CHECK(loaded < 3000, "%zu mutated files load", loaded);
    free(header);
    free(text);
    free(file);
}

/* ---------------------------------------------------------------- saving */

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* 0: the file holds a, 1: b, -1: neither. */
static int holds(const char *path, const char *a, size_t a_size, const char *b, size_t b_size)
{
    char *bytes = NULL;
    size_t size = 0;
    Err err;
    if (read_file(path, &bytes, &size, &err)) return -1;
    int which = size == a_size && memcmp(bytes, a, size) == 0 ? 0
              : size == b_size && memcmp(bytes, b, size) == 0 ? 1 : -1;
    free(bytes);
    return which;
}

typedef struct {
    RunPaths paths;
    World old, new;
    Saver *old_saver, *new_saver;
    char *a, *b;                /* the old file and the new one */
    size_t a_size, b_size;
} Saving;

static void saving_open(Saving *s)
{
    Config several_writes = { .family = FAMILY_GPT2, .layers = 2, .heads = 1, .channels = 4,
                              .context = 9000, .bias = 1 };
    Err err = { 0 };
    CHECK(run_paths(&s->paths, "ckpt.bin", &err) == 0, "%s", err.msg);
    world_open(&s->old, tiny, true, true, true, 1);
    world_open(&s->new, several_writes, false, true, true, 6);
    s->a = world_bytes(&s->old, &s->a_size);
    s->b = world_bytes(&s->new, &s->b_size);
    s->old_saver = saver_of(&s->old);
    s->new_saver = saver_of(&s->new);
}

static void saving_close(Saving *s)
{
    saver_close(s->old_saver);
    saver_close(s->new_saver);
    world_close(&s->old);
    world_close(&s->new);
    free(s->a);
    free(s->b);
    unlink("ckpt.bin");
}

static int put_old_at(const Saving *s, const char *path, const char *temp, Err *err)
{
    *err = (Err){ 0 };
    return checkpoint_save(s->old_saver, &s->old.snapshot, path, temp, err);
}

static void put_old(const Saving *s)
{
    Err err;
    faults_arm(NULL);
    CHECK(put_old_at(s, s->paths.best, s->paths.temp, &err) == 0, "%s", err.msg);
}

static int put_new(const Saving *s, Err *err)
{
    *err = (Err){ 0 };
    return checkpoint_save(s->new_saver, &s->new.snapshot, s->paths.best, s->paths.temp, err);
}

static void test_save_order(void)
{
    Saving s;
    Err err = { 0 };
    saving_open(&s);
    faults_arm(NULL);
    CHECK(put_new(&s, &err) == 0, "%s", err.msg);
    const char *trace = faults_trace(), *wrote = strchr(trace, 'w'), *flushed = strchr(trace, 'f');
    const char *renamed = strchr(trace, 'm'), *folder = strchr(trace, 'd');
    CHECK(wrote && flushed && renamed && folder && wrote < flushed && flushed < renamed
              && renamed < folder && strrchr(trace, 'w') < flushed
              && memchr(flushed, 'c', (size_t)(renamed - flushed)) != NULL,
          "write, fsync, close, rename, fsync of the folder: %s", trace);

    struct stat info;
    mode_t mask = umask(022);
    CHECK(stat("ckpt.bin", &info) == 0 && (info.st_mode & 0777) == (0666 & ~mask),
          "mode of a new file: %o", (unsigned)info.st_mode);
    CHECK(chmod("ckpt.bin", 0640) == 0 && put_new(&s, &err) == 0, "%s", err.msg);
    CHECK(stat("ckpt.bin", &info) == 0 && (info.st_mode & 0777) == 0640, "mode of the old file");
    CHECK(chmod("ckpt.bin", 0666) == 0 && put_new(&s, &err) == 0, "%s", err.msg);
    CHECK(stat("ckpt.bin", &info) == 0 && (info.st_mode & 0777) == 0666,
          "umask does not narrow the old mode");
    umask(mask);

    CHECK(symlink("ckpt.bin", "link.bin") == 0, "symlink");
    CHECK(put_old_at(&s, "link.bin", "link.tmp", &err) == 0, "%s", err.msg);
    CHECK(holds("link.bin", s.a, s.a_size, s.b, s.b_size) == 0
          && holds("ckpt.bin", s.a, s.a_size, s.b, s.b_size) == 1,
          "a link is replaced");
    CHECK(symlink("link.bin", "ckpt.tmp") == 0 && put_new(&s, &err) != 0, "%s", err.msg);
    CHECK(holds("link.bin", s.a, s.a_size, s.b, s.b_size) == 0 && exists("ckpt.tmp"),
          "a link at the temporary name is neither followed nor removed");
    unlink("link.bin");
    unlink("ckpt.tmp");
    put_bytes("ckpt.tmp", "notes", 5);
    CHECK(put_new(&s, &err) != 0 && strstr(err.msg, "ckpt.tmp: cannot be created") != NULL
              && holds("ckpt.tmp", "notes", 5, "", 0) == 0,
          "nor is a file: %s", err.msg);
    unlink("ckpt.tmp");
    CHECK(mkdir("folder", 0777) == 0 && put_old_at(&s, "folder/x", "folder/x.tmp", &err) == 0
          && unlink("folder/x") == 0 && rmdir("folder") == 0, "in another folder: %s", err.msg);
    CHECK(put_old_at(&s, "nowhere/x", "nowhere/x.tmp", &err) != 0
          && err.status == EXIT_RUNTIME,
          "in no folder");
    saving_close(&s);
}

static void check_failed_save(const Saving *s, const char *fault)
{
    Err err;
    put_old(s);
    long blocks = faults_live_blocks(), files = faults_live_files();
    faults_arm(fault);
    int status = put_new(s, &err);
    long flushes = faults_calls("fsync"), writes = faults_calls("write");
    faults_arm(NULL);
    int which = holds(s->paths.best, s->a, s->a_size, s->b, s->b_size);
    CHECK(which >= 0 && (status != 0 || which == 1), "%s: status %d, the file is %d", fault, status,
          which);
    CHECK((status == 0) == (err.status == 0) && (status == 0 || err.status == EXIT_RUNTIME),
          "%s: %s", fault, err.msg);
    CHECK(status == 0
              || strstr(err.msg, strstr(fault, "write") ? strerror(ENOSPC) : strerror(EIO)) != NULL
              || strstr(fault, "any"),
          "%s: why? %s", fault, err.msg);
    CHECK(!exists(s->paths.temp), "%s: the temporary file is still there", fault);
    CHECK(faults_live_blocks() == blocks && faults_live_files() == files, "%s: leaks", fault);
    if (strcmp(fault, "fsync:1") == 0)
        CHECK(flushes == 1 && status != 0 && which == 0, "fsync is not tried again");
    if (strcmp(fault, "fsync:2") == 0)
        CHECK(flushes == 2 && status != 0 && which == 1, "the folder's fsync");
    if (strcmp(fault, "write:1") == 0)
        CHECK(writes == 1 && status != 0 && which == 0, "a full disk");
    if (strcmp(fault, "write:1:short") == 0)
        CHECK(writes >= 2 && status == 0, "short writes go on");
    if (strcmp(fault, "close:1") == 0) CHECK(status != 0 && which == 0, "close");
    if (strcmp(fault, "rename:1") == 0) CHECK(status != 0 && which == 0, "rename");
    CHECK(put_new(s, &err) == 0, "%s: the next save works: %s", fault, err.msg);
}

static void test_failed_saves(void)
{
    static const char *const ops[] = { "open", "write", "fsync", "close", "rename", "any" };
    static const char *const modes[] = { "", ":persist", ":short" };
    Saving s;
    Err err;
    saving_open(&s);
    put_old(&s);
    for (int op = 0; op < 6; op++) {
        faults_arm(NULL);
        CHECK(put_new(&s, &err) == 0, "%s", err.msg);
        long calls = faults_calls(ops[op]);
        CHECK(calls > 0, "%s is never called", ops[op]);
        for (long n = 1; n <= calls; n++)
            for (int mode = 0; mode < 3; mode++) {
                char fault[64];
                snprintf(fault, sizeof fault, "%s:%ld%s", ops[op], n, modes[mode]);
                check_failed_save(&s, fault);
            }
    }
    saving_close(&s);
}

/* A real limit: the system writes a part and then refuses. */
static void test_file_limit(void)
{
    Saving s;
    saving_open(&s);
    put_old(&s);
    pid_t child = fork();
    if (child == 0) {
        Err err;
        struct rlimit limit = { (rlim_t)s.b_size / 2, (rlim_t)s.b_size / 2 };
        signal(SIGXFSZ, SIG_IGN);
        bool sound = setrlimit(RLIMIT_FSIZE, &limit) == 0 && put_new(&s, &err) != 0
            && strstr(err.msg, strerror(EFBIG));
        _exit(sound ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the save fails with EFBIG");
    CHECK(holds("ckpt.bin", s.a, s.a_size, s.b, s.b_size) == 0 && !exists("ckpt.tmp"),
          "the old file is there");
    saving_close(&s);
}

static long file_size(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (long)info.st_size : -1;
}

/* Takes the lock and writes into it. */
static int start_run(const RunPaths *p, RunLock *lock, Err *err)
{
    *err = (Err){ 0 };
    if (run_lock(p, lock, err)) return -1;
    if (run_begin(p, lock, err) == 0) return 0;
    run_unlock(p, lock);
    return -1;
}

/* Dies before file operation n of a save; which file is there then? `mode`: kill, or cut for a loss
 * of power. */
static int dies_while_saving(const Saving *s, const char *mode, long n)
{
    char fault[64];
    int status = 0;
    Err err = { 0 };
    snprintf(fault, sizeof fault, "any:%ld:%s", n, mode);
    put_old(s);
    pid_t child = fork();
    if (child == 0) {
        faults_arm(fault);
        put_new(s, &err);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
          "%s", fault);
    Checkpoint c;
    int loads = checkpoint_load(&c, "ckpt.bin", &err) == 0;
    int which = holds("ckpt.bin", s->a, s->a_size, s->b, s->b_size);
    CHECK(loads && which >= 0, "%s: the file is %d", fault, which);
    if (loads) checkpoint_close(&c);
    CHECK(!exists("ckpt.tmp") || file_size("ckpt.tmp") == 0 || checkpoint_begins("ckpt.tmp"),
          "%s: what is left is known as a run's", fault);
    RunLock lock;
    CHECK(start_run(&s->paths, &lock, &err) == 0 && !exists("ckpt.tmp"),
          "%s: the next run removes what is left", fault);
    run_unlock(&s->paths, &lock);
    return which;
}

static void test_killed_saves(void)
{
    static const char *const modes[] = { "kill", "cut" };
    Saving s;
    Err err;
    saving_open(&s);
    for (int mode = 0; mode < 2; mode++) {
        put_old(&s);
        faults_arm(NULL);
        CHECK(put_new(&s, &err) == 0, "%s", err.msg);
        long calls = faults_calls("any");
        int outcomes[2] = { 0 };
        for (long n = 1; n <= calls; n++) {
            int which = dies_while_saving(&s, modes[mode], n);
            if (which >= 0) outcomes[which]++;
        }
        CHECK(outcomes[0] > 0 && outcomes[1] > 0, "%s: the old file %d times, the new one %d times",
              modes[mode], outcomes[0], outcomes[1]);
    }
    saving_close(&s);
}

/* ---------------------------------------------------------------- memory */

/* Saves as or loads ckpt.bin; returns the status. */
static int use_memory(const World *w, bool load, Err *err)
{
    *err = (Err){ 0 };
    if (load) {
        Checkpoint c;
        int status = checkpoint_load(&c, "ckpt.bin", err);
        if (status == 0) checkpoint_close(&c);
        return status;
    }
    Saver *saver;
    if (saver_open(&saver, &w->snapshot, err)) return saver == NULL ? -1 : 0;
    int status = checkpoint_save(saver, &w->snapshot, "ckpt.bin", "ckpt.tmp", err);
    saver_close(saver);
    return status;
}

static void test_memory(void)
{
    World w;
    Err err = { 0 };
    world_open(&w, tiny, false, true, true, 8);
    for (int variant = 0; variant < 4; variant++) {
        bool load = variant & 1, persist = variant & 2;
        int status = -1;
        long n = 0, blocks = faults_live_blocks(), files = faults_live_files();
        while (status != 0 && n < 1000) {
            char fault[64];
            snprintf(fault, sizeof fault, "malloc:%ld%s", ++n, persist ? ":persist" : "");
            faults_arm(fault);
            status = use_memory(&w, load, &err);
            faults_arm(NULL);
            CHECK(status == 0 || (err.status == EXIT_RUNTIME && strstr(err.msg, "memory")),
                  "%s: %s", fault, err.msg);
            CHECK(faults_live_blocks() == blocks && faults_live_files() == files, "%s: leaks",
                  fault);
        }
        CHECK(status == 0 && n > 3, "variant %d: %ld allocations", variant, n);
    }
    for (long n = 1; n <= 8; n++) {                 /* reading: open, read and close in turn */
        char fault[64];
        long blocks = faults_live_blocks(), files = faults_live_files();
        snprintf(fault, sizeof fault, "any:%ld", n);
        faults_arm(fault);
        int status = use_memory(&w, true, &err);
        faults_arm(NULL);
        CHECK(status == 0 || err.status == EXIT_RUNTIME, "%s: %s", fault, err.msg);
        CHECK(faults_live_blocks() == blocks && faults_live_files() == files, "%s: leaks", fault);
    }
    faults_arm("read:1:short");
    CHECK(use_memory(&w, true, &err) == 0, "short reads go on: %s", err.msg);
    faults_arm(NULL);
    unlink("ckpt.bin");
    world_close(&w);
}

/* ---------------------------------------------------------------- verify */

typedef struct {
    int count;
    char names[2][120];
} Damages;

static void note_damage(void *ctx, const char *tensor, const char *what)
{
    Damages *d = ctx;
    if (d->count < 2) snprintf(d->names[d->count], sizeof d->names[0], "%s: %s", tensor, what);
    d->count++;
}

static void test_verify(void)
{
    size_t size;
    char *file = tiny_file(&size);
    Err err = { 0 };
    Damages d = { 0 };
    put_bytes("ckpt.bin", file, size);
    CHECK(checkpoint_verify("ckpt.bin", note_damage, &d, &err) == 0 && d.count == 0,
          "a sound file: %s", err.msg);
    file[size - 1] ^= 1;
    file[8 + header_size(file)] ^= 1;
    put_bytes("ckpt.bin", file, size);
    CHECK(checkpoint_verify("ckpt.bin", note_damage, &d, &err) == 2 && d.count == 2,
          "two damages: %s", err.msg);
    CHECK(strcmp(d.names[0], "memory.ids: its checksum is wrong") == 0
          && strcmp(d.names[1], "transformer.wte.weight: its checksum is wrong") == 0,
          "%s, %s", d.names[0], d.names[1]);
    file[20] ^= 1;
    put_bytes("ckpt.bin", file, size);
    CHECK(checkpoint_verify("ckpt.bin", note_damage, &d, &err) == -1
              && err.status == EXIT_CHECKPOINT && d.count == 2,
          "a damaged header: %s", err.msg);
    unlink("ckpt.bin");
    free(file);
}

/* ---------------------------------------------------------------- the files of a run */

static void test_paths(void)
{
    static const struct { const char *out, *last, *temp, *lock; } names[] = {
        { "ckpt.bin", "ckpt.last.bin", "ckpt.tmp", "ckpt.lock" },
        { "x.safetensors", "x.last.safetensors", "x.tmp", "x.lock" },
        { "x", "x.last", "x.tmp", "x.lock" },
        { "a.b/x", "a.b/x.last", "a.b/x.tmp", "a.b/x.lock" },
        { "/t/.hidden", "/t/.hidden.last", "/t/.hidden.tmp", "/t/.hidden.lock" },
        { "a.b.c", "a.b.last.c", "a.b.tmp", "a.b.lock" },
        { "-odd name\n.bin", "-odd name\n.last.bin", "-odd name\n.tmp", "-odd name\n.lock" },
    };
    static const char *const bad[] = { "", ".", "..", "a/", "a/..", "/", "x.tmp", "a/x.lock",
                                       "x.last.bin", "x.last", "a/x.last.safetensors", ".last",
                                       "a/.last.bin" };
    static const char *const good[] = { "last.bin", "x.last.y.bin", "x.lasting", "a.last/x.bin" };
    RunPaths p;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        Err err = { 0 };
        CHECK(run_paths(&p, good[i], &err) == 0, "%s: %s", good[i], err.msg);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        Err err = { 0 };
        CHECK(run_paths(&p, names[i].out, &err) == 0 && strcmp(p.best, names[i].out) == 0
              && strcmp(p.last, names[i].last) == 0 && strcmp(p.temp, names[i].temp) == 0
              && strcmp(p.lock, names[i].lock) == 0, "%s: %s", names[i].out, err.msg);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Err err = { 0 };
        CHECK(run_paths(&p, bad[i], &err) != 0 && err.status == EXIT_USAGE, "`%s` is refused",
              bad[i]);
    }
    char long_name[5001];
    for (int length = 4100; length <= 5000; length++) {
        Err err = { 0 };
        memset(long_name, 'x', (size_t)length);
        long_name[length] = '\0';
        bool ok = run_paths(&p, long_name, &err) == 0;
        bool whole = ok && strlen(p.last) == (size_t)length + 5
                     && strlen(p.lock) == (size_t)length + 5;
        CHECK(whole != (err.status == EXIT_USAGE), "length %d", length);
    }
}

static void expect_no_place(const char *out, const char *word)
{
    RunPaths p;
    Err err = { 0 };
    CHECK(run_paths(&p, out, &err) == 0, "%s", err.msg);
    RunLock lock;
    long files = faults_live_files();
    CHECK(start_run(&p, &lock, &err) != 0 && err.status == EXIT_RUNTIME
          && strstr(err.msg, word) != NULL, "%s: %s", out, err.msg);
    CHECK(faults_live_files() == files, "%s: a descriptor is left open", out);
    run_unlock(&p, &lock);
}

static void test_places(void)
{
    int ready = mkdir("folder", 0777) | symlink("nothing", "dangling")
                | symlink("looping", "looping") | mkfifo("pipe.bin", 0666)
                | mkdir("x.last.bin", 0777) | mkdir("y.tmp", 0777) | mkdir("z.lock", 0777)
                | mkfifo("w.lock", 0666) | symlink("elsewhere", "v.lock");
    CHECK(ready == 0, "the places cannot be made");
    expect_no_place("folder", "is a folder");
    expect_no_place("dangling", "leads nowhere");
    expect_no_place("looping", "leads nowhere");
    expect_no_place("pipe.bin", "is a pipe");
    expect_no_place("x.bin", "x.last.bin: is a folder");
    expect_no_place("y.bin", "y.tmp: cannot be removed");
    expect_no_place("z.bin", "z.lock: cannot be created");
    expect_no_place("w.bin", "w.lock: cannot be locked");
    expect_no_place("v.bin", "v.lock: cannot be created");
    expect_no_place("nowhere/x.bin", "nowhere/x.lock: cannot be created");
    char name[300];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    expect_no_place(name, "File name too long");
    CHECK(!exists("folder.lock") && !exists("x.lock") && !exists("y.lock") && !exists("elsewhere"),
          "no lock is left");
    if (geteuid() != 0 && chmod("folder", 0555) == 0) {
        expect_no_place("folder/x.bin", "folder/x.lock: cannot be created");
        CHECK(chmod("folder", 0777) == 0, "chmod");
    }
    for (long n = 1; n <= 5; n++) {
        char fault[64];
        /* Lock, the holder's name, probe, its close. */
        snprintf(fault, sizeof fault, "any:%ld", n);
        faults_arm(fault);
        RunPaths p;
        Err err = { 0 };
        CHECK(run_paths(&p, "q.bin", &err) == 0, "%s", err.msg);
        RunLock lock;
        bool began = start_run(&p, &lock, &err) == 0;
        faults_arm(NULL);
        CHECK(began == (n > 4) && (began || err.status == EXIT_RUNTIME), "%s: %s", fault, err.msg);
        run_unlock(&p, &lock);
        CHECK(!exists("q.lock") && !exists("q.tmp"), "%s: files are left", fault);
    }
    unlink("dangling");
    unlink("looping");
    unlink("pipe.bin");
    unlink("w.lock");
    unlink("v.lock");
    rmdir("folder");
    rmdir("x.last.bin");
    rmdir("y.tmp");
    rmdir("z.lock");
}

static void test_lock(void)
{
    RunPaths p;
    RunLock lock;
    Err err = { 0 };
    int ready[2], status = 0;
    char byte = 0, pid[64];
    CHECK(run_paths(&p, "ckpt.bin", &err) == 0 && pipe(ready) == 0, "%s", err.msg);
    pid_t child = fork();
    if (child == 0) {
        bool held = start_run(&p, &lock, &err) == 0;
        while (write(ready[1], held ? "y" : "n", 1) != 1) continue;
        pause();
        _exit(0);
    }
    CHECK(read(ready[0], &byte, 1) == 1 && byte == 'y', "the child has the lock");
    snprintf(pid, sizeof pid, "process %ld", (long)child);
    CHECK(run_lock(&p, &lock, &err) != 0 && err.status == EXIT_RUNTIME
          && strstr(err.msg, pid) != NULL && strstr(err.msg, "ckpt.bin") != NULL, "%s", err.msg);
    run_unlock(&p, &lock);
    kill(child, SIGKILL);
    CHECK(waitpid(child, &status, 0) == child && exists("ckpt.lock"),
          "a killed run leaves its lock file");
    snprintf(pid, sizeof pid, "%ld\n", (long)child);
    CHECK(run_lock(&p, &lock, &err) == 0, "which is taken over: %s", err.msg);
    run_unlock(&p, &lock);
    CHECK(holds("ckpt.lock", pid, strlen(pid), "", 0) == 0, "a refused run leaves it as it was");
    CHECK(start_run(&p, &lock, &err) == 0, "%s", err.msg);
    snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    CHECK(holds("ckpt.lock", pid, strlen(pid), "", 0) == 0,
          "it holds the pid");                  /* closing it has released the lock */
    run_unlock(&p, &lock);
    CHECK(!exists("ckpt.lock"), "and is removed at the end");
    CHECK(run_lock(&p, &lock, &err) == 0 && exists("ckpt.lock"), "%s", err.msg);
    run_unlock(&p, &lock);
    CHECK(!exists("ckpt.lock"), "a refused run removes the lock that it made");
    close(ready[0]);
    close(ready[1]);
}

/* What no run has written is no lock, and stays. */
static void test_foreign_lock(void)
{
    static const char *const contents[] = { "[[package]]\n", "12", "12\n13\n", " 12\n", "-1\n",
                                            "\n", "12 \n", "1234567890123456789012\n" };
    RunPaths p;
    RunLock lock;
    Err err = { 0 };
    CHECK(run_paths(&p, "ckpt.bin", &err) == 0, "%s", err.msg);
    for (size_t i = 0; i <= sizeof contents / sizeof contents[0]; i++) {
        bool linked = i == sizeof contents / sizeof contents[0];
        const char *text = linked ? "12\n" : contents[i];
        put_bytes("ckpt.lock", text, strlen(text));
        CHECK(!linked || link("ckpt.lock", "other.lock") == 0, "link");
        CHECK(run_lock(&p, &lock, &err) != 0 && err.status == EXIT_USAGE
              && strstr(err.msg, "ckpt.lock") != NULL, "`%s` is no lock: %s", text, err.msg);
        run_unlock(&p, &lock);
        CHECK(holds("ckpt.lock", text, strlen(text), "", 0) == 0, "`%s` stays", text);
        unlink("ckpt.lock");
    }
    unlink("other.lock");
    put_bytes("ckpt.lock", "", 0);
    CHECK(start_run(&p, &lock, &err) == 0, "an empty one is taken over: %s", err.msg);
    run_unlock(&p, &lock);
}

/* A lock that somebody deletes or replaces while it is held. */
static void test_lost_lock(void)
{
    RunPaths p;
    RunLock lock;
    Err err = { 0 };
    bool again = true;
    CHECK(run_paths(&p, "ckpt.bin", &err) == 0 && start_run(&p, &lock, &err) == 0, "%s", err.msg);
    CHECK(run_keep_lock(&p, &lock, &again, &err) == 0 && !again, "it is there: %s", err.msg);
    unlink("ckpt.lock");
    CHECK(run_keep_lock(&p, &lock, &again, &err) == 0 && again && file_size("ckpt.lock") > 1,
          "it is taken again: %s", err.msg);
    unlink("ckpt.lock");
    put_bytes("ckpt.lock", "notes", 5);
    CHECK(run_keep_lock(&p, &lock, &again, &err) != 0 && !again
          && strstr(err.msg, "ckpt.lock: is not a lock") != NULL, "%s", err.msg);
    run_unlock(&p, &lock);
    CHECK(holds("ckpt.lock", "notes", 5, "", 0) == 0, "a file of somebody else stays");
    unlink("ckpt.lock");
}

/* Four processes take and leave the lock again and again; only one at a time may be inside. */
static void test_lock_race(void)
{
    enum { CHILDREN = 4, ENTRIES = 50, ROUNDS = 1000000 };
    RunPaths p;
    Err err = { 0 };
    CHECK(run_paths(&p, "ckpt.bin", &err) == 0, "%s", err.msg);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() != 0) continue;
        int entered = 0, clashes = 0;
        for (int round = 0; round < ROUNDS && entered < ENTRIES; round++) {
            RunLock lock;
            if (start_run(&p, &lock, &err)) continue;
            int inside = open("inside", O_CREAT | O_EXCL | O_WRONLY, 0666);
            if (inside < 0) clashes++;
            else close(inside);
            entered++;
            unlink("inside");
            run_unlock(&p, &lock);
        }
        _exit(clashes > 0 ? 1 : entered < ENTRIES ? 2 : 0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        CHECK(wait(&status) > 0 && status == 0, "%s",
              WEXITSTATUS(status) == 1 ? "two held the lock at once" : "one never got it");
    }
}

int main(void)
{
    char folder[4096];
    const char *place = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/checkpoint-XXXXXX", place && *place ? place : P_tmpdir);
    if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
        printf("%s: %s\n", folder, strerror(errno));
        return 1;
    }
    test_crc();
    test_round_trip();
    test_raw();
    test_raw_missing();
    test_layout();
    test_pieces();
    test_qwen3_layout();
    test_truncation();
    test_flips();
    test_tensor_entries();
    test_config();
    test_metadata();
    test_checksum_list();
    test_strings();
    test_extra();
    test_not_finite();
    test_reach();
    test_reached();
    test_memory_reach();
    test_wide();
    test_looks_like();
    test_large_file();
    test_many();
    test_mutations();
    test_save_order();
    test_failed_saves();
    test_file_limit();
    test_killed_saves();
    test_memory();
    test_verify();
    test_paths();
    test_places();
    test_lock();
    test_foreign_lock();
    test_lost_lock();
    test_lock_race();
    unlink("other.bin");
    CHECK(chdir("..") == 0 && rmdir(folder) == 0, "%s is not empty", folder);
    return check_report("checkpoint");
}
