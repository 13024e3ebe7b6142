/* fuzz_text.c: tokenizer.h and corpus.h over texts of any bytes.
 *
 * The first byte of the input holds switches (see the enum), the second says how much of the rest
 * is a text to learn the vocabulary from; what remains is a text that is encoded with it.
 */
#include "../../corpus.h"
#include "../../formats/kind.h"
#include "../../tokenizer.h"
#include "fuzz.h"

enum { BYTES = 1, SEPARATOR = 2, FROM_VALUES = 4, FROM_FILE = 8, WINDOWS = 16, NUMBERS = 32 };
enum { SIZE_LIMIT = 1 << 16 };

typedef struct {
    const char *text;
    size_t size;
    bool bytes;
} Piece;

static size_t well_formed(const Piece *p)
{
    return p->bytes ? p->size : fuzz_utf8(p->text, p->size);
}

/* Characters of a well-formed piece. */
static size_t characters(const Piece *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->size; i++)
        n += p->bytes || ((unsigned char)p->text[i] & 0xc0) != 0x80;
    return n;
}

/* The sentence names the place of the first ill-formed character. */
static void require_offset(const Piece *p, const Err *err)
{
    char words[60];
    snprintf(words, sizeof words, "at byte offset %zu ", well_formed(p));
    REQUIRE(strstr(err->msg, words) != NULL);
}

/* Every id has a value of its own, in order, and a name that can be shown. */
static void require_sound(const Tokenizer *t)
{
    int first = t->separator ? 1 : 0;
    REQUIRE(t->count > first);
    for (int id = 0; id < t->count; id++) {
        char name[40], bytes[TOKEN_ROOM];
        int length = tokenizer_decode(t, id, bytes);
        tokenizer_name(t, id, name, sizeof name);
        REQUIRE(name[0] != '\0' && strspn(name, "\t\r\n\x1b\x7f") == 0);
        if (id < first) {
            REQUIRE(length == 0);
            continue;
        }
        REQUIRE(t->ids[t->values[id]] == id && (id == first || t->values[id] > t->values[id - 1]));
        REQUIRE(length >= 1
                && (t->bytes ? length == 1 : fuzz_utf8(bytes, (size_t)length) == (size_t)length));
    }
}

/* A text of numbers is learnt and encoded, or refused; what is encoded can be printed. */
static void try_numbers(const char *text, size_t size)
{
    static const char *const name = "text";
    Numbers n = { .deviation = 0 };
    Err err = { 0 };
    size_t skipped;
    if (numbers_learn(&n, &text, &size, &name, 1, &err)) {
        REQUIRE(fuzz_refusal(&err, EXIT_TEXT));
        return;
    }
    int32_t *ids = malloc((size + 1) * sizeof *ids);
    if (ids == NULL) abort();
    size_t count = numbers_encode(&n, text, size, ids, &skipped);
    REQUIRE(count > 0 && count <= size && skipped == 0 && n.scale > 0 && isfinite(n.center));
    for (size_t i = 0; i < count; i++) {
        char out[NUMBER_ROOM];
        REQUIRE(ids[i] > 0 && isfinite(number_standard(ids[i])));
        REQUIRE(number_print(&n, ids[i], out) < NUMBER_ROOM);
        REQUIRE(fabs(strtod(out, NULL) - number_value(&n, ids[i])) <= n.scale * 1e-6);
    }
    free(ids);
}

/* encode, and decode(encode(x)): x itself, but for what was skipped. */
static void try_encode(const Tokenizer *t, const Piece *p, bool known)
{
    Err err = { 0 };
    Encoding e = { .ids = malloc((p->size + 1) * sizeof *e.ids) };
    char *back = malloc(p->size + TOKEN_ROOM);
    size_t used = 0;
    if (e.ids == NULL || back == NULL) abort();
    int failed = tokenizer_encode(t, p->text, p->size, "text", UNKNOWN_SKIPPED, EXIT_USAGE, &e,
                                  &err);
    REQUIRE((failed == 0) == (well_formed(p) == p->size));
    if (failed) {
        REQUIRE(fuzz_refusal(&err, EXIT_USAGE));
        require_offset(p, &err);
    } else {
        REQUIRE(e.count + e.skipped == characters(p) && (!known || e.skipped == 0));
        for (size_t i = 0; i < e.count; i++) {
            REQUIRE(e.ids[i] >= (t->separator ? 1 : 0) && e.ids[i] < t->count);
            used += (size_t)tokenizer_decode(t, e.ids[i], back + used);
            REQUIRE(used <= p->size);
        }
        REQUIRE(e.skipped > 0 ? used < p->size
                              : used == p->size && memcmp(back, p->text, used) == 0);
        Encoding strict = { .ids = e.ids };
        failed = tokenizer_encode(t, p->text, p->size, "text", UNKNOWN_FAILS, EXIT_TEXT, &strict,
                                  &err);
        REQUIRE((failed != 0) == (e.skipped > 0));
        REQUIRE(failed ? fuzz_refusal(&err, EXIT_TEXT) : strict.count == e.count);
    }
    free(e.ids);
    free(back);
}

/* The same vocabulary from its values, as a checkpoint holds them. */
static void try_values(const Tokenizer *t)
{
    Tokenizer again;
    Err err = { 0 };
    REQUIRE(tokenizer_from_values(&again, t->values, t->count, t->bytes, t->separator, &err) == 0);
    REQUIRE(again.count == t->count);
    for (int id = t->separator ? 1 : 0; id < t->count; id++)
        REQUIRE(again.values[id] == t->values[id]);
    tokenizer_close(&again);
}

/* Values of any kind: accepted only if they make a vocabulary. */
static void try_any_values(const Piece *p, bool separator)
{
    Tokenizer t;
    Err err = { 0 };
    int count = (int)(p->size / 4);
    uint32_t *values = malloc((size_t)count * sizeof *values + 1);
    if (values == NULL) abort();
    memcpy(values, p->text, (size_t)count * sizeof *values);
    if (tokenizer_from_values(&t, values, count, p->bytes, separator, &err) == 0) {
        require_sound(&t);
        REQUIRE(t.count == count);
    } else {
        REQUIRE(fuzz_refusal(&err, EXIT_CHECKPOINT) && t.count == 0 && t.ids == NULL
                && t.values == NULL);
    }
    tokenizer_close(&t);
    free(values);
}

/* Standard input becomes a file with these bytes. */
static void give_input(const char *text, size_t size)
{
    static FILE *file;
    if (file == NULL) file = tmpfile();
    if (file == NULL) abort();
    int fd = fileno(file);
    REQUIRE(ftruncate(fd, 0) == 0 && pwrite(fd, text, size, 0) == (ssize_t)size);
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
}

/* What a file of these bytes looks like; its refusal is a sentence. */
static const Kind *try_kind(const Piece *p)
{
    Err err = { 0 };
    const Kind *kind = kind_of(p->text, p->size);
    REQUIRE(kind == NULL || (kind->command == NULL) == (kind->rest == NULL));
    if (!kind_is_no_text(kind)) return NULL;
    REQUIRE(kind_refuse(kind, "text", "./train -", &err) == -1 && fuzz_refusal(&err, EXIT_TEXT));
    return kind;
}

/* All of a corpus, from standard input. */
static void try_file(const Piece *p, bool separator, unsigned fraction)
{
    static const char *const paths[] = { "-" };
    Corpus c;
    Tokenizer t = { 0 };
    Err err = { 0 };
    CorpusOptions o = { .bytes = p->bytes, .separator = separator,
                        .val_fraction = fraction / 256.0 };
    const Kind *kind = try_kind(p);
    bool other = kind != NULL && (!p->bytes || kind->group == KIND_FOLIO);
    give_input(p->text, p->size);
    if (corpus_open(&c, &t, &o, paths, 1, &err)) {
        REQUIRE(fuzz_refusal(&err, EXIT_TEXT) && t.count == 0 && c.ids == NULL);
        REQUIRE(p->size == 0 || other || well_formed(p) < p->size);
        return;
    }
    size_t held_out = (c.characters * fraction + 255) / 256;        /* N - floor((1 - f) N) */
    REQUIRE(p->size > 0 && !other && well_formed(p) == p->size);
    REQUIRE(c.characters == characters(p) && c.count == c.characters && c.skipped == 0);
    REQUIRE(corpus_part(&c, PART_TRAIN).count == c.count - held_out
            && corpus_part(&c, PART_VAL).count == held_out);
    REQUIRE(corpus_part(&c, PART_ALL).count == c.count && c.val_only <= (size_t)t.count);
    corpus_close(&c);
    tokenizer_close(&t);
}

/* Windows of a part whose ids are their places; those of an epoch go round. */
static void try_windows(const uint8_t *data, size_t size)
{
    enum { COUNT = 300, BATCH = 5 };
    int32_t ids[COUNT], x[2][BATCH * COUNT], y[2][BATCH * COUNT];
    uint64_t key = 0, first = 0;
    if (size < 20) return;
    memcpy(&key, data, sizeof key);
    memcpy(&first, data + 8, sizeof first);
    int count = 2 + (data[16] | data[17] << 8) % (COUNT - 1);
    int context = 1 + (data[18] | data[19] << 8) % (count - 1);
    for (int i = 0; i < count; i++) ids[i] = i;
    Part part = { .ids = ids, .count = (size_t)count };
    windows_random(part, key, BATCH, context, x[0], y[0]);
    windows_epoch(part, key, first, BATCH, context, x[1], y[1]);
    for (int epoch = 0; epoch < 2; epoch++)
        for (int i = 0; i < BATCH * context; i++) {
            int start = x[epoch][i - i % context], place = start + i % context;
            REQUIRE(start >= 0 && start < count && (epoch || start + context < count));
            REQUIRE(x[epoch][i] == place % count && y[epoch][i] == (place + 1) % count);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Tokenizer t = { 0 };
    Err err = { 0 };
    if (size < 2 || size > SIZE_LIMIT) return 0;
    bool bytes = data[0] & BYTES, separator = data[0] & SEPARATOR;
    size_t rest = size - 2, cut = rest * data[1] / 255;
    char *first = malloc(cut + 1), *second = malloc(rest - cut + 1);
    if (first == NULL || second == NULL) abort();
    memcpy(first, data + 2, cut);
    memcpy(second, data + 2 + cut, rest - cut);
    Piece learnt = { first, cut, bytes }, other = { second, rest - cut, bytes };

    int failed = tokenizer_start(&t, bytes, separator, &err)
                 || tokenizer_add(&t, first, cut, "text", &err) || tokenizer_finish(&t, &err);
    REQUIRE((failed == 0) == (cut > 0 && well_formed(&learnt) == cut));
    if (failed) {
        REQUIRE(fuzz_refusal(&err, EXIT_TEXT) && t.count == 0 && t.ids == NULL);
        if (cut > 0) require_offset(&learnt, &err);
    } else {
        require_sound(&t);
        try_encode(&t, &learnt, true);
        try_encode(&t, &other, false);
        if (data[0] & FROM_VALUES) try_values(&t);
    }
    tokenizer_close(&t);
    if (data[0] & FROM_VALUES) try_any_values(&other, separator);
    if (data[0] & FROM_FILE) try_file(&other, separator, data[1]);
    if (data[0] & WINDOWS) try_windows(data + 2, rest);
    if (data[0] & NUMBERS) try_numbers(second, rest - cut);
    free(first);
    free(second);
    return 0;
}
