/* test_text.c: tokenizer.h, corpus.h and the permutations of base.h; test_documents.c has
 * documents.h and windows.h.
 *
 * UTF-8 is compared with a decoder made from the table of well-formed sequences in the Unicode
 * standard (table 3-7), splits with integer arithmetic, digests with published values. The argument
 * is the folder of shakespeare.txt (data if there is none):
 *
 *     test_text data
 */
#include "../../base.h"
#include "check.h"
#include "../../corpus.h"
#include "../../formats/accents.h"
#include "../../formats/digest.h"
#include "../../formats/kind.h"
#include "../../tokenizer.h"

enum { SURROGATES = 0xe000 - 0xd800, CHARACTERS = CODE_POINTS - SURROGATES };

static bool contains(const Err *err, const char *part) { return strstr(err->msg, part) != NULL; }

static int build(Tokenizer *t, bool bytes, bool separator, const char *text, size_t size, Err *err)
{
    *t = (Tokenizer){ 0 };
    return tokenizer_start(t, bytes, separator, err) || tokenizer_add(t, text, size, "text", err)
        || tokenizer_finish(t, err);
}

/* Encodes with UNKNOWN_FAILS and decodes again; true if the bytes are the same. */
static bool same_again(const Tokenizer *t, const char *text, size_t size)
{
    Err err = { 0 };
    Encoding e = { .ids = malloc((size + 1) * sizeof *e.ids) };
    char *back = malloc(size + TOKEN_ROOM);
    size_t n = 0;
    bool same = e.ids != NULL && back != NULL
             && tokenizer_encode(t, text, size, "text", UNKNOWN_FAILS, EXIT_TEXT, &e, &err) == 0;
    for (size_t i = 0; same && i < e.count && n <= size; i++)
        n += (size_t)tokenizer_decode(t, e.ids[i], back + n);
    same = same && n == size && memcmp(back, text, size) == 0;
    free(e.ids);
    free(back);
    return same;
}

/* ---------------------------------------------------------------- UTF-8 */

/* Length of the sequence at s by table 3-7, 0 if it is ill-formed. */
static int table_length(const unsigned char *s, size_t size)
{
    static const struct { unsigned char first, last, low, high; int length; } rows[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 }
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        if (s[0] < rows[r].first || s[0] > rows[r].last) continue;
        if (size < (size_t)rows[r].length) return 0;
        if (rows[r].length > 1 && (s[1] < rows[r].low || s[1] > rows[r].high)) return 0;
        for (int i = 2; i < rows[r].length; i++)
            if (s[i] < 0x80 || s[i] > 0xbf) return 0;
        return rows[r].length;
    }
    return 0;
}

/* Every four bytes whose third and fourth are at an edge of their ranges, whole and cut short. */
static void test_decode_every_sequence(void)
{
    static const unsigned char edges[] = { 0x00, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };
    const unsigned n = sizeof edges;
    long wrong = 0;
    for (unsigned k = 0; k < 65536 * n * n; k++) {
        unsigned third = edges[k / 65536 % n], fourth = edges[k / 65536 / n];
        const unsigned char s[UTF8_MAX] = { k >> 8 & 0xff, k & 0xff, third, fourth };
        uint32_t value = 0;
        for (size_t size = 1; size <= UTF8_MAX; size++)
            wrong += utf8_decode((const char *)s, size, &value) != table_length(s, size);
    }
    CHECK(wrong == 0, "%ld sequences", wrong);
}

static void test_encode_examples(void)
{
    static const struct { uint32_t value; const char *bytes; } examples[] = {
        { 0x24, "\x24" }, { 0x7f, "\x7f" }, { 0x80, "\xc2\x80" }, { 0xe9, "\xc3\xa9" },
        { 0x7ff, "\xdf\xbf" }, { 0x800, "\xe0\xa0\x80" }, { 0x20ac, "\xe2\x82\xac" },
        { 0xd7ff, "\xed\x9f\xbf" }, { 0xe000, "\xee\x80\x80" }, { 0xffff, "\xef\xbf\xbf" },
        { 0x10000, "\xf0\x90\x80\x80" }, { 0x1f600, "\xf0\x9f\x98\x80" },
        { 0x10ffff, "\xf4\x8f\xbf\xbf" }
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        size_t length = strlen(examples[i].bytes);
        char out[UTF8_MAX];
        uint32_t value = 0;
        int written = utf8_encode(examples[i].value, out);
        int read = utf8_decode(examples[i].bytes, length, &value);
        CHECK(written == (int)length && memcmp(out, examples[i].bytes, length) == 0,
              "encode U+%04X", (unsigned)examples[i].value);
        CHECK(read == (int)length && value == examples[i].value, "decode to U+%04X",
              (unsigned)value);
    }
}

/* An ill-formed text is refused by both passes with the offset of the first byte of the
 * bad sequence. */
static void test_ill_formed(void)
{
    static const struct { const char *what, *text; size_t offset; } bad[] = {
        { "lone continuation", "ab\x80" "cd", 2 },
        { "lone continuation first", "\xbf", 0 },
        { "continuation too many", "\xc3\xa9\xa9", 2 },
        { "overlong 2", "a\xc0\x80", 1 },
        { "overlong 2, highest", "\xc1\xbf", 0 },
        { "overlong 3", "abc\xe0\x80\xaf", 3 },
        { "overlong 3, highest", "\xe0\x9f\xbf", 0 },
        { "overlong 4", "\xf0\x8f\xbf\xbf", 0 },
        { "surrogate, lowest", "\xc3\xa9\xed\xa0\x80", 2 },
        { "surrogate, highest", "x\xed\xbf\xbf", 1 },
        { "above 10FFFF", "\xf4\x90\x80\x80", 0 },
        { "F5", "z\xf5\x80\x80\x80", 1 },
        { "five bytes", "\xf8\x88\x80\x80\x80", 0 },
        { "FE", "abcdefghi\xfe", 9 },
        { "FF", "\xff\xff", 0 },
        { "cut short 2", "\xc3", 0 },
        { "cut short 3", "a\xe2\x82", 1 },
        { "cut short 4", "ab\xf0\x9f\x98", 2 },
        { "broken off 2", "\xc3" "a", 0 },
        { "broken off 3", "\xe2\x82" "a", 0 },
        { "broken off 4", "\xf0\x9f\x98" "a", 0 },
        { "second of two", "\xe2\x82\xac\xe2\x82", 3 }
    };
    Tokenizer all = { 0 }, t;
    Err err = { 0 };
    if (build(&all, false, false, "abcdefghixz", 11, &err)) return;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char place[40];
        snprintf(place, sizeof place, "byte offset %zu ", bad[i].offset);
        size_t size = strlen(bad[i].text);
        int rc = build(&t, false, true, bad[i].text, size, &err);
        CHECK(rc != 0, "%s: a vocabulary is built from it", bad[i].what);
        CHECK(err.status == EXIT_TEXT && contains(&err, place) && contains(&err, "--bytes")
              && contains(&err, "text:"), "%s: %s", bad[i].what, err.msg);
        CHECK(t.ids == NULL && t.values == NULL && t.count == 0, "%s: not left empty", bad[i].what);

        int32_t ids[16];
        Encoding e = { .ids = ids };
        rc = tokenizer_encode(&all, bad[i].text, size, "--prompt", UNKNOWN_SKIPPED, EXIT_USAGE, &e,
                              &err);
        CHECK(rc == -1 && err.status == EXIT_USAGE && contains(&err, place)
                  && contains(&err, "--prompt:"),
              "%s: %s", bad[i].what, err.msg);
        CHECK(build(&t, true, false, bad[i].text, size, &err) == 0, "%s: as bytes: %s", bad[i].what,
              err.msg);
        CHECK(same_again(&t, bad[i].text, size), "%s: as bytes", bad[i].what);
        tokenizer_close(&t);
    }
    tokenizer_close(&all);
}

/* ---------------------------------------------------------------- round trips */

static bool is_surrogate(uint32_t v) { return v >= 0xd800 && v < 0xe000; }

/* A text of all characters: ids are the ranks, and every character is decoded again. */
static void test_every_code_point(bool separator)
{
    char *text = malloc((size_t)CHARACTERS * UTF8_MAX);
    size_t size = 0;
    Err err = { 0 };
    Tokenizer t;
    if (text == NULL) return;
    for (uint32_t v = CODE_POINTS; v-- > 0; )
        if (!is_surrogate(v)) size += (size_t)utf8_encode(v, text + size);
    int rc = build(&t, false, separator, text, size, &err);
    CHECK(rc == 0 && t.count == CHARACTERS + separator, "%d ids: %s", t.count, err.msg);
    if (rc == 0) {
        long wrong = 0;
        int32_t id = separator;
        for (uint32_t v = 0; v < CODE_POINTS; v++)
            if (!is_surrogate(v)) wrong += t.values[id] != v || t.ids[v] != id, id++;
        CHECK(wrong == 0, "%ld ids are not the rank of their code point", wrong);
        CHECK(same_again(&t, text, size), "separator %d", separator);
    }
    tokenizer_close(&t);
    free(text);
}

static void test_random_texts(void)
{
    static const uint32_t limits[] = { 0x80, 0x800, 0x10000, CODE_POINTS };
    char text[4 * 400];
    Err err = { 0 };
    for (uint64_t seed = 0; seed < 300; seed++) {
        size_t size = 0, characters = 1 + rng_below(seed, 0, 400);
        for (size_t i = 0; i < characters; i++) {
            uint32_t limit = limits[rng_below(seed, 2 * i + 1, 4)];
            uint32_t v = (uint32_t)rng_below(seed, 2 * i + 2, limit);
            size += (size_t)utf8_encode(is_surrogate(v) ? 'x' : v, text + size);
        }
        for (int mode = 0; mode < 4; mode++) {
            Tokenizer t;
            int rc = build(&t, mode & 1, mode >> 1, text, size, &err);
            CHECK(rc == 0 && same_again(&t, text, size), "seed %d, mode %d: %s", (int)seed, mode,
                  err.msg);
            bool ascending = true;
            for (int id = 1 + (mode >> 1); id < t.count; id++)
                ascending = ascending && t.values[id] > t.values[id - 1];
            CHECK(ascending, "seed %d, mode %d", (int)seed, mode);
            tokenizer_close(&t);
        }
    }
}

/* A byte order mark, CR and NUL are ordinary characters: nothing is dropped or ends the text. */
static void test_ordinary_characters(void)
{
    static const char text[] = "\xef\xbb\xbf" "a\r\nb\0c\0";
    const size_t size = sizeof text - 1;
    static const uint32_t want[] = { 0, '\n', '\r', 'a', 'b', 'c', 0xfeff };
    Tokenizer t;
    Err err = { 0 };
    CHECK(build(&t, false, false, text, size, &err) == 0, "%s", err.msg);
    CHECK(t.count == 7 && memcmp(t.values, want, sizeof want) == 0, "%d values", t.count);
    CHECK(same_again(&t, text, size), "BOM, CR, NUL");
    tokenizer_close(&t);
}

static void test_bytes(void)
{
    char text[512];
    Err err = { 0 };
    Tokenizer t;
    for (int i = 0; i < 512; i++) text[i] = (char)(unsigned char)(255 - i % 256);
    CHECK(build(&t, true, true, text, sizeof text, &err) == 0 && t.count == 257, "%d ids", t.count);
    CHECK(same_again(&t, text, sizeof text), "256 values");
    for (int b = 0; b < 256; b++)
        CHECK(t.ids[b] == b + 1 && t.values[b + 1] == (uint32_t)b, "byte %d", b);
    tokenizer_close(&t);

    CHECK(build(&t, true, false, "b\xff" "b", 3, &err) == 0 && t.count == 2,
          "only the bytes that occur");
    CHECK(t.values[0] == 'b' && t.values[1] == 0xff, "ascending");
    tokenizer_close(&t);
}

static void test_sizes(void)
{
    enum { MANY = 20000 };
    static char text[2 * MANY * UTF8_MAX];
    size_t size = 0;
    Err err = { 0 };
    Tokenizer t;
    for (uint32_t i = 0; i < 2 * MANY; i++)
        size += (size_t)utf8_encode(0x4e00 + i * 7919 % MANY, text + size);
    CHECK(build(&t, false, true, text, size, &err) == 0 && t.count == MANY + 1, "%d ids", t.count);
    CHECK(same_again(&t, text, size), "20,000 symbols");
    tokenizer_close(&t);

    CHECK(build(&t, false, false, "zzzz", 4, &err) == 0 && t.count == 1 && t.ids['z'] == 0,
          "one character");
    CHECK(same_again(&t, "zzzz", 4) && same_again(&t, "", 0), "one character, none");
    tokenizer_close(&t);

    CHECK(build(&t, false, true, "", 0, &err) != 0 && err.status == EXIT_TEXT && t.ids == NULL,
          "empty text");
}

/* ---------------------------------------------------------------- vocabularies and names */

static void test_from_values(void)
{
    static const struct {
        const char *what;
        int count;
        bool bytes, separator, good;
        uint32_t values[3];
    } cases[] = {
        { "letters", 3, false, false, true, { 'a', 'b', 0x10ffff } },
        { "separator", 3, false, true, true, { 0xffffffff, 0, 'b' } },
        { "bytes", 2, true, false, true, { 0, 255 } },
        { "nothing", 0, false, false, false, { 0 } },
        { "negative", -1, false, false, false, { 0 } },
        { "only a separator", 1, false, true, false, { 0 } },
        { "twice", 3, false, false, false, { 'a', 'b', 'b' } },
        { "descending", 2, false, true, true, { 'z', 'b' } },
        { "out of order", 3, false, true, false, { 0, 'c', 'b' } },
        { "surrogate", 2, false, false, false, { 'a', 0xd800 } },
        { "surrogate, last", 1, false, false, false, { 0xdfff } },
        { "too large", 1, false, false, false, { CODE_POINTS } },
        { "not a byte", 2, true, false, false, { 'a', 256 } },
        { "far too large", 1, true, false, false, { 0xffffffff } }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Tokenizer t = { 0 };
        Err err = { 0 };
        int rc = tokenizer_from_values(&t, cases[i].values, cases[i].count, cases[i].bytes,
                                       cases[i].separator, &err);
        CHECK(rc == (cases[i].good ? 0 : -1), "%s: %d", cases[i].what, rc);
        CHECK(cases[i].good || (err.status == EXIT_CHECKPOINT && t.count == 0), "%s",
              cases[i].what);
        CHECK(!cases[i].good || t.count == cases[i].count, "%s: %d ids", cases[i].what, t.count);
        for (int id = cases[i].separator; cases[i].good && id < cases[i].count; id++)
            CHECK(t.values[id] == cases[i].values[id] && t.ids[t.values[id]] == id, "%s",
                  cases[i].what);
        tokenizer_close(&t);
    }
}

static void test_names(void)
{
    static const char text[] = "a\n\t\r'\\ \xc3\xa9\xf0\x9f\x98\x80\x7f";
    static const char *const want[] = { "<|endoftext|>", "'\\t'", "'\\n'", "'\\r'", "' '", "'\\''",
                                        "'a'", "'\\\\'", "U+007F", "U+00E9", "U+1F600" };
    static const int32_t order[] = { 0, 1, 2, 3, 4, 5, 7, 6, 8, 9, 10 };
    Tokenizer t;
    Err err = { 0 };
    char name[16];
    CHECK(build(&t, false, true, text, sizeof text - 1, &err) == 0 && t.count == 11, "%d ids",
          t.count);
    for (int i = 0; i < 11; i++) {
        tokenizer_name(&t, order[i], name, sizeof name);
        CHECK(strcmp(name, want[i]) == 0, "id %d is %s, not %s", order[i], name, want[i]);
    }
    char out[TOKEN_ROOM];
    CHECK(tokenizer_decode(&t, SEPARATOR_ID, out) == 0, "the separator is never printed");
    tokenizer_name(&t, 0, name, 5);
    CHECK(strcmp(name, "<|en") == 0, "cut to its room: %s", name);
    tokenizer_close(&t);

    CHECK(build(&t, true, false, "\xe9" "a", 2, &err) == 0, "%s", err.msg);
    tokenizer_name(&t, 1, name, sizeof name);
    CHECK(strcmp(name, "0xE9") == 0, "%s", name);
    tokenizer_close(&t);
}

static void test_unknown_characters(void)
{
    Tokenizer t;
    Err err = { 0 };
    int32_t ids[32];
    Encoding e = { .ids = ids };
    if (build(&t, false, false, "abc", 3, &err)) return;

    int rc = tokenizer_encode(&t, "aXb\xc3\xa9" "cXa", 8, "p", UNKNOWN_SKIPPED, EXIT_USAGE, &e,
                              &err);
    CHECK(rc == 0, "skipped: %s", err.msg);
    CHECK(e.count == 4 && e.skipped == 3 && ids[0] == 0 && ids[1] == 1 && ids[2] == 2
              && ids[3] == 0,
          "%zu ids, %zu skipped", e.count, e.skipped);

    rc = tokenizer_encode(&t, "aXb\xc3\xa9" "cXa\n", 9, "--prompt", UNKNOWN_FAILS, EXIT_USAGE, &e,
                          &err);
    CHECK(rc == -1 && err.status == EXIT_USAGE && contains(&err, "--prompt: "), "%s", err.msg);
    CHECK(contains(&err, ": 'X', U+00E9, '\\n' (3 different, in 4 places)"), "%s", err.msg);
    CHECK(contains(&err, "--unknown skip"), "%s", err.msg);

    rc = tokenizer_encode(&t, "1122334455667a", 14, "f.txt", UNKNOWN_FAILS, EXIT_TEXT, &e, &err);
    CHECK(rc == -1 && err.status == EXIT_TEXT && contains(&err, "f.txt: "), "%s", err.msg);
    CHECK(contains(&err, ": '1', '2', '3', '4', '5', ... (7 different, in 13 places)"), "%s",
          err.msg);
    CHECK(!contains(&err, "'6'"), "%s", err.msg);

    char long_name[1000];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    tokenizer_encode(&t, "X", 1, long_name, UNKNOWN_FAILS, EXIT_TEXT, &e, &err);
    CHECK(contains(&err, "--unknown skip"), "a long name hides the advice: %s", err.msg);
    tokenizer_close(&t);
}

/* ---------------------------------------------------------------- files */

static const char *write_file(const char *path, const char *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    size_t written = f != NULL ? fwrite(bytes, 1, size, f) : 0;
    bool good = f != NULL && fclose(f) == 0 && written == size;
    CHECK(good, "%s cannot be written", path);
    return path;
}

static int open_files(Corpus *c, Tokenizer *t, const CorpusOptions *o, Err *err, const char *a,
                      const char *b, const char *d)
{
    const char *paths[3] = { a, b, d };
    int n = a == NULL ? 0 : b == NULL ? 1 : d == NULL ? 2 : 3;
    return corpus_open(c, t, o, paths, n, err);
}

static size_t separators_in(Part p)
{
    size_t n = 0;
    for (size_t i = 0; i < p.count; i++) n += p.ids[i] == SEPARATOR_ID;
    return n;
}

static void test_separators(void)
{
    static const int32_t joined[] = { 0, 2, 1, 0, 3, 0, 2, 1 }, plain[] = { 1, 0, 2, 1, 0 };
    Corpus c;
    Tokenizer t = { 0 };
    Err err = { 0 };
    CorpusOptions o = { .separator = true };
    write_file("one", "ba", 2);
    write_file("two", "c", 1);
    CHECK(open_files(&c, &t, &o, &err, "one", "two", "one") == 0, "%s", err.msg);
    CHECK(c.count == 8 && memcmp(c.ids, joined, sizeof joined) == 0, "%zu ids", c.count);
    CHECK(c.characters == 5 && c.train_count == 8 && c.train_separators == 3, "%zu characters",
          c.characters);
    CHECK(corpus_part(&c, PART_VAL).count == 0 && corpus_part(&c, PART_ALL).count == 8, "parts");
    CHECK(c.pieces == 3 && c.held_out == 0, "%zu pieces, %zu held out", c.pieces, c.held_out);
    CHECK(strcmp(c.read, "one and 2 more") == 0, "%s", c.read);
    corpus_close(&c);

    o = (CorpusOptions){ .separator = false, .bytes = true };
    CHECK(open_files(&c, &t, &o, &err, "one", NULL, NULL) == 0, "%s", err.msg);
    CHECK(t.separator && !t.bytes && c.count == 2 && c.ids[0] == 2, "a given tokenizer decides");
    corpus_close(&c);
    tokenizer_close(&t);

    CHECK(open_files(&c, &t, &o, &err, "one", "two", "one") == 0, "%s", err.msg);
    CHECK(c.count == 5 && memcmp(c.ids, plain, sizeof plain) == 0 && t.bytes, "%zu ids", c.count);
    corpus_close(&c);
    tokenizer_close(&t);
}

/* The text of the ids with | for a separator, in `out`; the ids are for single bytes. */
static const char *shown(const Corpus *c, const Tokenizer *t, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (t->separator && c->ids[i] == SEPARATOR_ID) out[n++] = '|';
        else n += (size_t)tokenizer_decode(t, c->ids[i], out + n);
    }
    out[n] = '\0';
    return out;
}

/* The training part comes first, a separator before each piece; a vocabulary without one has
 * none. */
static void test_layout(void)
{
    static const struct {
        const char *split;
        HoldOut hold_out;
        const char *a, *b, *want;
        size_t train;
    } cases[] = {
        { NULL, HOLD_OUT_END, "abcdefgh", NULL, "abcdefgh", 6 },
        { NULL, HOLD_OUT_END, "abcd", "efgh", "|abcd|ef|gh", 8 },
        { NULL, HOLD_OUT_SPREAD, "abcd", "efgh", "|abc|efg|d|h", 8 },
        { SPLIT_LINE, HOLD_OUT_END, "a\nb\nc\n", "d\n", "|a\n|b\n|c\n|d\n", 9 },
        { SPLIT_BLANK, HOLD_OUT_END, "a\nb\n\nc\n", "d\n", "|a\nb\n|c\n|d\n", 8 },
        { "--", HOLD_OUT_END, "--\na\n--\nb\n--\nc", "d", "|a\n|b\n|c|d", 6 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Corpus c;
        Tokenizer t = { 0 };
        Err err = { 0 };
        char text[100];
        const char *b = cases[i].b != NULL ? "two" : NULL;
        CorpusOptions o = { .separator = true, .split = cases[i].split,
                            .hold_out = cases[i].hold_out, .val_fraction = 0.25 };
        write_file("one", cases[i].a, strlen(cases[i].a));
        if (b != NULL) write_file("two", cases[i].b, strlen(cases[i].b));
        CHECK(open_files(&c, &t, &o, &err, "one", b, NULL) == 0, "%s", err.msg);
        CHECK(strcmp(shown(&c, &t, text), cases[i].want) == 0, "case %zu: %s", i, text);
        CHECK(c.train_count == cases[i].train, "case %zu: %zu ids", i, c.train_count);
        Part train = corpus_part(&c, PART_TRAIN), val = corpus_part(&c, PART_VAL);
        CHECK((train.documents != NULL) == (cases[i].split != NULL) && val.documents == NULL
                  && val.ids == train.ids + train.count,
              "case %zu: the parts", i);
        for (size_t d = 0; train.documents != NULL && d < train.documents->count; d++)
            CHECK(train.ids[train.documents->begins[d]] == SEPARATOR_ID, "case %zu, document %zu",
                  i, d);
        corpus_close(&c);
        tokenizer_close(&t);

        o.separator = false;
        o.val_fraction = 0;
        CHECK(open_files(&c, &t, &o, &err, "one", NULL, NULL) == 0, "%s", err.msg);
        CHECK(strcmp(shown(&c, &t, text), cases[i].a) == 0, "case %zu, no separator: %s", i, text);
        corpus_close(&c);
        tokenizer_close(&t);
    }
}

/* Skipped characters leave no separator; offsets in errors count from the start of the file. */
static void test_documents_of_a_vocabulary(void)
{
    static const char lines[] = "ab\nXY\ncab\n";
    Corpus c;
    Tokenizer t;
    Err err = { 0 };
    char text[100];
    CorpusOptions o = { .unknown = UNKNOWN_FAILS, .split = SPLIT_LINE };
    if (build(&t, false, true, "abc", 3, &err)) return;
    write_file("one", lines, sizeof lines - 1);
    write_file("two", "XX\nab\xff\n", 7);
    CHECK(open_files(&c, &t, &o, &err, "one", NULL, NULL) == -1
              && contains(&err, "(3 different, in 5 places)"),
          "%s", err.msg);
    CHECK(open_files(&c, &t, &o, &err, "two", NULL, NULL) == -1 && contains(&err, "byte offset 5 "),
          "%s", err.msg);
    o.unknown = UNKNOWN_SKIPPED;
    CHECK(open_files(&c, &t, &o, &err, "one", NULL, NULL) == 0, "%s", err.msg);
    CHECK(strcmp(shown(&c, &t, text), "|ab|cab") == 0 && c.characters == 5 && c.skipped == 5, "%s",
          text);
    corpus_close(&c);
    tokenizer_close(&t);
}

/* The digest of several files is that of their digests, as `sha256sum` gives them, joined. */
static void test_digests_of_files(void)
{
    static const char two[] = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    static const char one_and_two[] =
        "298315b0a8b450097e70dd056648c5ab87b6aaa2bf31f75465906c243cb36145";
    Corpus c;
    Tokenizer t = { 0 };
    Err err = { 0 };
    CorpusOptions o = { .separator = true };
    write_file("one", "one", 3);
    write_file("two", "two", 3);
    CHECK(open_files(&c, &t, &o, &err, "one", "two", NULL) == 0, "%s", err.msg);
    CHECK(strcmp(c.sha256, one_and_two) == 0, "%s", c.sha256);
    corpus_close(&c);
    CHECK(open_files(&c, &t, &o, &err, "two", NULL, NULL) == 0, "%s", err.msg);
    CHECK(strcmp(c.sha256, two) == 0 && strcmp(c.read, "two") == 0, "%s", c.sha256);
    corpus_close(&c);
    tokenizer_close(&t);
}

static void test_bad_files(void)
{
    static const struct { const char *a, *b; int status; const char *named; } cases[] = {
        { "good", "missing", EXIT_RUNTIME, "missing:" },
        { "missing", NULL, EXIT_RUNTIME, "missing:" },
        { "empty", "empty", EXIT_TEXT, "empty:" },
        { "empty", NULL, EXIT_TEXT, "empty:" },
        { "good", "latin1", EXIT_TEXT, "latin1:" },
        { "latin1", NULL, EXIT_TEXT, "byte offset 3 " },
        { "data", NULL, EXIT_RUNTIME, "data:" },
        { "good", "no/such", EXIT_RUNTIME, "no/such:" },
        { "", NULL, EXIT_RUNTIME, ":" },
        { NULL, NULL, EXIT_USAGE, "no text" }
    };
    write_file("good", "fine", 4);
    write_file("empty", "", 0);
    write_file("latin1", "caf\xe9s", 5);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Corpus c;
        Tokenizer t = { 0 };
        Err err = { 0 };
        CorpusOptions o = { .separator = true, .val_fraction = 0.1 };
        int rc = open_files(&c, &t, &o, &err, cases[i].a, cases[i].b, NULL);
        CHECK(rc == -1 && err.status == cases[i].status && contains(&err, cases[i].named),
              "case %zu: %d, status %d: %s", i, rc, err.status, err.msg);
        CHECK(c.ids == NULL && t.count == 0 && t.ids == NULL, "case %zu: something is left", i);
    }
}

/* Without the empty ones, as if they had not been given, and a note. */
static void test_empty_files(void)
{
    Corpus c, plain;
    Tokenizer t = { 0 };
    Err err = { 0 };
    CorpusOptions o = { .separator = true };
    write_file("good", "fine", 4);
    write_file("empty", "", 0);
    CHECK(open_files(&plain, &t, &o, &err, "good", NULL, NULL) == 0, "%s", err.msg);
    CHECK(open_files(&c, &t, &o, &err, "empty", "good", "empty") == 0, "%s", err.msg);
    CHECK(c.count == plain.count && strcmp(c.sha256, plain.sha256) == 0
              && strcmp(c.read, "good") == 0, "%zu ids of %s", c.count, c.read);
    CHECK(strcmp(c.note.text, "2 empty texts are left out, empty first") == 0, "%s", c.note.text);
    CHECK(plain.note.text[0] == '\0', "%s", plain.note.text);
    corpus_close(&c);
    corpus_close(&plain);
    tokenizer_close(&t);
}

/* A mark that a given vocabulary lacks is left out where that is asked for, and only there. */
static void test_byte_order_marks(void)
{
    static const struct {
        const char *vocabulary, *text;
        bool bytes, drop;
        size_t count;
    } cases[] = {
        { "abc", "\xef\xbb\xbf" "ab", false, true, 2 },
        { "abc", "\xef\xbb\xbf\xef\xbb\xbf" "ab", false, true, 0 },
        { "abc", "a\xef\xbb\xbf" "b", false, true, 0 },
        { "abc", "\xef\xbb\xbf" "ab", false, false, 0 },
        { "abc\xef\xbb\xbf", "\xef\xbb\xbf" "ab", false, true, 3 },
        { "abc", "\xef\xbb\xbf" "ab", true, true, 2 },
        { "abc\xef\xbb", "\xef\xbb\xbf" "ab", true, true, 2 },
        { "abc\xef\xbb\xbf", "\xef\xbb\xbf" "ab", true, true, 5 },
        { "abc", "\xef\xbb", true, true, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Corpus c;
        Tokenizer t;
        Err err = { 0 };
        CorpusOptions o = { .unknown = UNKNOWN_FAILS, .drop_mark = cases[i].drop };
        write_file("marked", cases[i].text, strlen(cases[i].text));
        if (build(&t, cases[i].bytes, false, cases[i].vocabulary, strlen(cases[i].vocabulary),
                  &err)) continue;
        int rc = open_files(&c, &t, &o, &err, "marked", NULL, NULL);
        CHECK(rc == (cases[i].count > 0 ? 0 : -1) && c.count == cases[i].count,
              "case %zu: %zu characters: %s", i, c.count, err.msg);
        bool dropped = rc == 0 && c.count == 2;
        CHECK(dropped == (strstr(c.note.text, "byte order mark") != NULL) || rc, "case %zu: %s", i,
              c.note.text);
        corpus_close(&c);
        tokenizer_close(&t);
    }
}

/* ---------------------------------------------------------------- kinds of files */

#define KIND(bytes) bytes, sizeof bytes - 1

static void test_kinds(void)
{
    static const struct { const char *bytes; size_t size; const char *what; } files[] = {
        { KIND("\x1f\x8b\x08\0"), "a gzip archive" },
        { KIND("\xfd" "7zXZ\0\0\4"), "an xz archive" },
        { KIND("\x28\xb5\x2f\xfd\4\0"), "a zstd archive" },
        { KIND("BZh91AY&SY\xa4\x1e"), "a bzip2 archive" },
        { KIND("PK\3\4\x14\0\0\0name.txt"), "a zip archive" },
        { KIND("PK\5\6\0\0\0\0\0\0"), "a zip archive" },
        { KIND("PK\3\4\x14\0\0\0word/document.xml"), "a Word document (docx)" },
        { KIND("PK\3\4[Content_Types].xml\0\1"), "an office file" },
        { KIND("PK\3\4\x14\0mimetypeapplication/vnd.oasis.opendocument.textPK"),
          "an OpenDocument file (odt)" },
        { KIND("PK\3\4\0\0archive/data.pklFB"), "a file of PyTorch (.pt)" },
        { KIND("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an old office file (.doc, .xls)" },
        { KIND("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "a PDF file" },
        { KIND("\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "a PNG image" },
        { KIND("\xff\xd8\xff\xe0\0\x10JFIF"), "a JPEG image" },
        { KIND("GIF89a\1\0\1\0\x80\0\0"), "a GIF image" },
        { KIND("\xff\xfe" "a\0b\0"), "UTF-16" },
        { KIND("\xfe\xff\0a\0b"), "UTF-16" },
        { KIND("\xff\xfe\0\0a\0\0\0"), "UTF-32" },
        { KIND("\0\0\xfe\xff\0\0\0a"), "UTF-32" },
        { KIND("T\0h\0e\0 \0e\0n\0d\0\n\0"), "UTF-16 without a mark" },
        { KIND("\0T\0h\0e\0 \0e\0n\0d\0\n"), "UTF-16 without a mark" },
        { KIND("T\0\0\0h\0\0\0e\0\0\0 \0\0\0"), "UTF-32 without a mark" },
        { KIND("\0\0\0T\0\0\0h\0\0\0e\0\0\4\x10"), "UTF-32 without a mark" },
        { KIND("\x1f\4>\4;\4=\4>\4 \0:\4>\4@\4"), "UTF-16 without a mark" },
        { KIND("\4\x1f\4>\4;\4=\4>\0 \4:\4>\4@"), "UTF-16 without a mark" },
        { KIND("\x3a\0\xfc\x7f\x0a\0\x01\x90\x0a\0\x20\0\xe5\x4e"),
          "UTF-16 without a mark" },
        { KIND("GGUF\3\0\0\0\x21\1"), "a GGUF file" },
        { KIND("\x80\4\x95\x10\0\0\0"), "a Python pickle" },
        { KIND("\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\""), "a safetensors file" },
        { KIND("\x40\0\0\0\0\0\0\0{\"__metadata__\":{\"folio.version\":\"1\""),
          "a Folio checkpoint" },
        { KIND("SQLite format 3\0\x10\0"), "a SQLite database" },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const Kind *kind = kind_of(files[i].bytes, files[i].size);
        Err err = { 0 };
        CHECK(kind_is_no_text(kind) && strcmp(kind->what, files[i].what) == 0, "%s: %s",
              files[i].what, kind != NULL ? kind->what : "nothing");
        if (!kind_is_no_text(kind)) continue;
        kind_refuse(kind, "a/b.x", "./train -", &err);
        CHECK(err.status == EXIT_TEXT && contains(&err, "a/b.x: looks like ")
              && contains(&err, files[i].what), "%s", err.msg);
        CHECK(kind->advice != NULL || contains(&err, "| ./train -` reads it"), "%s", err.msg);
        CHECK(kind->command == NULL || contains(&err, " a/b.x "), "%s", err.msg);
    }
}

/* What may be learnt, however odd: nothing here is taken for another kind. */
static void test_texts_are_texts(void)
{
    static const struct { const char *bytes; size_t size; } texts[] = {
        { KIND("") }, { KIND("a") }, { KIND("P") }, { KIND("BZh91AY&SY is how bzip2 begins") },
        { KIND("GIF89a is a format") }, { KIND("GGUF\nis another") }, { KIND("RIFF raff") },
        { KIND("%PDF-1.4 begins a file") }, { KIND("PKzip") }, { KIND("7z, Rar! PAR1 ustar") },
        { KIND("<html><body>") }, { KIND("{\\rtf1 }") }, { KIND("\xef\xbb\xbf" "a mark") },
        { KIND("\xef\xbb\xbf" "a\r\nb\0c\r\n") }, { KIND("one\0two\0three\0") },
        { KIND("a\0bc\0d\0ef\0ghi\0j\0kl\0m\0") }, { KIND("abc\0def\0ghi\0jkl\0") },
        { KIND("0\t1\t1\t0\t0\n1\t0\t0\t1\t0\n") }, { KIND("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
        { KIND("text and then\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
        { KIND("\xd0\xa2\xd0\xb5\xd0\xba\xd1\x81\xd1\x82 \xd0\xb8\xd0\xbb\xd0\xb8") },
        { KIND("\xde\x12\4\x95\0\0\0\0{\0\0\0") },
        { KIND("\x1b[1mbold\x1b[0m \f\v") }, { KIND("caf\xe9 is Latin 1") },
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const Kind *kind = kind_of(texts[i].bytes, texts[i].size);
        CHECK(!kind_is_no_text(kind), "text %zu: looks like %s", i, kind->what);
    }
}

/* The command in the advice can be pasted into a shell. */
static void test_names_in_advice(void)
{
    static const struct { const char *name, *shown; } cases[] = {
        { "x.gz", "`zcat x.gz |" }, { "a b.gz", "`zcat 'a b.gz' |" }, { "a'b", "`zcat FILE |" },
        { "$x`y`", "`zcat '$x`y`' |" }, { "-x", "`zcat FILE |" }, { "a\nb", "`zcat FILE |" },
        { "standard input", "`zcat FILE |" }, { "", "`zcat FILE |" }
    };
    char long_name[5000];
    Err err = { 0 };
    const Kind *kind = kind_of("\x1f\x8b", 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(kind_refuse(kind, cases[i].name, "./train -", &err) == -1
              && contains(&err, cases[i].shown), "%s", err.msg);
    }
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    kind_refuse(kind, long_name, "./train -", &err);
    CHECK(contains(&err, "a gzip archive") && contains(&err, "`zcat FILE | ./train -`"), "%s",
          err.msg);
}

/* Of many bad files the first three, each with its end, and how many there are. */
static void test_many_bad_files(void)
{
    enum { FILES = 6 };
    const char *paths[FILES] = { "latin1", "good", "packed", "no/such", "missing", "packed" };
    char long_name[300];
    Corpus c;
    Tokenizer t = { 0 };
    Err err = { 0 };
    CorpusOptions o = { .separator = true };
    write_file("good", "fine", 4);
    write_file("latin1", "caf\xe9s", 5);
    write_file("packed", "\x1f\x8b\x08", 3);
    CHECK(corpus_open(&c, &t, &o, paths, FILES, &err) == -1 && err.status == EXIT_TEXT,
          "%s", err.msg);
    CHECK(contains(&err, "5 of 6 texts cannot be used: (1) latin1: ill-formed UTF-8 at byte ")
              && contains(&err, "; (2) packed: looks like a gzip archive")
              && contains(&err, "; (3) no/such: cannot be opened: ")
              && contains(&err, "; and 2 more"), "%s", err.msg);
    CHECK(t.count == 0 && c.ids == NULL, "something is left");

    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    for (int i = 0; i < FILES; i++) paths[i] = long_name;
    corpus_open(&c, &t, &o, paths, FILES, &err);
    CHECK(err.status == EXIT_RUNTIME && contains(&err, "; and 3 more") && contains(&err, "(3) nnn")
              && contains(&err, "too long"), "%s", err.msg);
}

/* ---------------------------------------------------------------- accents */

static void test_accents(void)
{
    static const uint32_t pairs[][3] = {
        { 0xe9, 'e', 0x301 }, { 0x159, 'r', 0x30c }, { 0x119, 'e', 0x328 }, { 0xe7, 'c', 0x327 },
        { 0x1ebf, 0xea, 0x301 }, { 0x439, 0x438, 0x306 }, { 0x451, 0x435, 0x308 },
        { 0x1e69, 0x1e63, 0x307 }, { 0xc5, 'A', 0x30a }, { 0x171, 'u', 0x30b }
    };
    uint32_t letter = 0, accent = 0;
    int splits = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        bool is = accents_split(pairs[i][0], &letter, &accent);
        CHECK(is && letter == pairs[i][1] && accent == pairs[i][2], "U+%04X is U+%04X, U+%04X",
              (unsigned)pairs[i][0], (unsigned)letter, (unsigned)accent);
    }
    for (uint32_t value = 0; value < 0x2000; value++) {
        if (!accents_split(value, &letter, &accent)) continue;
        splits++;
        CHECK(accents_join(letter, accent) == value && accent >= 0x300
              && accent < 0x329, "U+%04X", (unsigned)value);
    }
    CHECK(splits == 464, "%d letters", splits);
    CHECK(!accents_split('e', &letter, &accent) && !accents_split(0x301, &letter, &accent)
          && accents_join('q', 0x301) == 0 && accents_join(0, 0) == 0, "none");
}

/* Missing characters that the vocabulary has in the other form. */
static void test_other_forms(void)
{
    static const struct { const char *vocabulary, *text, *named; } cases[] = {
        { "re\xcc\x8c\xcc\x81", "\xc5\x99\xc3\xa9", "accents apart (NFD" },
        { "re\xcc\x81", "\xc3\xaa\xc3\xa9", "accents apart (NFD" },
        { "e\xcc\x82\xcc\x81", "\xe1\xba\xbf", "accents apart (NFD" },
        { "re\xc3\xa9", "e\xcc\x81", "accents together (NFC" },
        { "e\xe1\xba\xbf", "e\xcc\x82\xcc\x81", "accents together (NFC" },
        { "re\xcc\x8c", "\xc3\xa9", "places); --unknown" },
        { "r\xcc\x81", "\xc3\xa9", "places); --unknown" },
        { "re\xc3\xa9", "r\xcc\x81", "places); --unknown" },
        { "re\xc3\xa9", "e \xcc\x81", "places); --unknown" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Tokenizer t;
        Err err = { 0 };
        int32_t ids[16];
        Encoding e = { .ids = ids };
        const char *vocabulary = cases[i].vocabulary;
        if (build(&t, false, true, vocabulary, strlen(vocabulary), &err)) continue;
        int rc = tokenizer_encode(&t, cases[i].text, strlen(cases[i].text), "the prompt",
                                  UNKNOWN_FAILS, EXIT_USAGE, &e, &err);
        CHECK(rc == -1 && contains(&err, cases[i].named), "case %zu: %s", i, err.msg);
        tokenizer_close(&t);
    }
}

/* Characters that a given vocabulary lacks: an error, or skipped and counted; never an
 * empty text. */
static void test_given_vocabulary(void)
{
    Corpus c;
    Tokenizer t;
    Err err = { 0 };
    CorpusOptions o = { .unknown = UNKNOWN_FAILS };
    if (build(&t, false, true, "abc", 3, &err)) return;
    write_file("mixed", "abXcYX", 6);
    write_file("none", "XYZ", 3);
    CHECK(open_files(&c, &t, &o, &err, "mixed", NULL, NULL) == -1 && err.status == EXIT_TEXT
          && contains(&err, "mixed: ") && contains(&err, "'X', 'Y' (2 different"), "%s", err.msg);
    CHECK(t.count == 4, "a given tokenizer stays");
    o.unknown = UNKNOWN_SKIPPED;
    CHECK(open_files(&c, &t, &o, &err, "mixed", "none", NULL) == 0, "%s", err.msg);
    CHECK(c.characters == 3 && c.skipped == 6 && c.train_count == c.count, "%zu kept, %zu skipped",
          c.characters, c.skipped);
    corpus_close(&c);
    CHECK(open_files(&c, &t, &o, &err, "none", NULL, NULL) == -1 && err.status == EXIT_TEXT
          && contains(&err, "none: "), "%s", err.msg);
    tokenizer_close(&t);
}

static void test_where_files_are_found(void)
{
    Corpus c;
    Tokenizer t = { 0 };
    Err err = { 0 };
    CorpusOptions o = { 0 };
    CHECK(mkdir("data", 0700) == 0, "data/");
    write_file("data/verse", "in data", 7);
    write_file("data/both", "in data", 7);
    write_file("both", "here", 4);
    CHECK(open_files(&c, &t, &o, &err, "verse", NULL, NULL) == 0
              && strcmp(c.read, "data/verse") == 0,
          "%s", err.msg);
    corpus_close(&c);
    tokenizer_close(&t);
    CHECK(open_files(&c, &t, &o, &err, "both", NULL, NULL) == 0 && strcmp(c.read, "both") == 0
          && c.characters == 4, "%s", err.msg);
    corpus_close(&c);
    tokenizer_close(&t);
    CHECK(open_files(&c, &t, &o, &err, "./verse", NULL, NULL) == -1,
          "only a bare name is looked up");

    int ends[2], saved = dup(STDIN_FILENO);
    CHECK(saved >= 0 && pipe(ends) == 0 && write(ends[1], "piped", 5) == 5 && close(ends[1]) == 0
          && dup2(ends[0], STDIN_FILENO) >= 0 && close(ends[0]) == 0, "pipe");
    CHECK(open_files(&c, &t, &o, &err, "-", NULL, NULL) == 0 && c.characters == 5
          && strcmp(c.read, "standard input") == 0, "%s", err.msg);
    corpus_close(&c);
    tokenizer_close(&t);
    CHECK(open_files(&c, &t, &o, &err, "-", NULL, NULL) == -1 && err.status == EXIT_TEXT
          && contains(&err, "standard input: "), "%s", err.msg);
    CHECK(dup2(saved, STDIN_FILENO) >= 0 && close(saved) == 0, "standard input");
}

/* ---------------------------------------------------------------- the split */

/* f = k / 100: of N characters floor((100 - k) N / 100) are trained on, whatever separators are
 * between them; in a spread those of each file. */
static void test_split(void)
{
    char text[100];
    Err err = { 0 };
    for (int i = 0; i < 100; i++) text[i] = (char)('a' + i % 3);
    for (size_t n = 1; n <= 100; n += n < 40 ? 1 : 6) {
        write_file("part", text, n);
        Tokenizer t = { 0 };
        for (size_t k = 0; k <= 200; k++) {
            Corpus c;
            size_t percent = k / 2;
            CorpusOptions o = { .separator = true, .val_fraction = (double)percent / 100,
                                .hold_out = k % 2 ? HOLD_OUT_SPREAD : HOLD_OUT_END };
            int rc = open_files(&c, &t, &o, &err, "part", "part", "part");
            CHECK(rc == 0 && c.characters == 3 * n, "n %zu: %s", n, err.msg);
            if (rc) continue;
            Part train = corpus_part(&c, PART_TRAIN), val = corpus_part(&c, PART_VAL);
            size_t want = k % 2 ? (100 - percent) * n / 100 * 3 : (100 - percent) * 3 * n / 100;
            CHECK(train.count - separators_in(train) == want, "N %zu, f %zu%%: %zu, not %zu", 3 * n,
                  percent, train.count - separators_in(train), want);
            CHECK(c.train_separators == separators_in(train) && c.train_count == train.count,
                  "N %zu", 3 * n);
            CHECK(train.count + val.count == c.count && val.ids == train.ids + train.count, "N %zu",
                  3 * n);
            CHECK(val.count == 0 || val.ids[0] == SEPARATOR_ID, "N %zu, f %zu%%", 3 * n, percent);
            corpus_close(&c);
        }
        tokenizer_close(&t);
    }
}

static void test_val_only(void)
{
    static const struct { const char *text; double fraction; size_t want; } cases[] = {
        { "abababababxyxyxyxyab", 0.5, 2 },
        { "abababababxyxyxyxyab", 0.0, 0 },
        { "aaaaaaaaab", 0.1, 1 },
        { "aaaaaaaaaa", 0.1, 0 },
        { "abc", 1.0, 3 }
    };
    write_file("tail", "a", 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Corpus c;
        Tokenizer t = { 0 };
        Err err = { 0 };
        CorpusOptions o = { .separator = true, .val_fraction = cases[i].fraction };
        write_file("text", cases[i].text, strlen(cases[i].text));
        CHECK(open_files(&c, &t, &o, &err, "text", "tail", NULL) == 0, "%s", err.msg);
        CHECK(c.val_only == cases[i].want, "case %zu: %zu", i, c.val_only);
        corpus_close(&c);
        tokenizer_close(&t);
    }
}

/* ---------------------------------------------------------------- permutations */

/* Whether rng_permute maps 0 .. n-1 to each of them once. */
static bool is_permutation(uint64_t key, uint64_t n)
{
    unsigned char *met = calloc((size_t)n, 1);
    bool sound = met != NULL;
    for (uint64_t i = 0; sound && i < n; i++) {
        uint64_t to = rng_permute(key, i, n);
        sound = to < n && met[to]++ == 0;
    }
    free(met);
    return sound;
}

static void test_permutations(void)
{
    static const uint64_t large[] = { 1023, 1024, 1025, 4095, 4097, 65536, 65537, 100003, 1000000 };
    static const uint64_t huge[] = { (uint64_t)1 << 40, ((uint64_t)1 << 61) + 1,
                                     (uint64_t)1 << 62 };
    for (uint64_t n = 1; n <= 300; n++)
        for (uint64_t key = 0; key < 5; key++)
            CHECK(is_permutation(mix64(key), n), "n %d, key %d", (int)n, (int)key);
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        CHECK(is_permutation(9, large[i]), "n %d", (int)large[i]);
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        bool below = true, fixed = true;
        for (uint64_t k = 0; k < 50; k++) {
            uint64_t to = rng_permute(9, huge[i] - 1 - k, huge[i]);
            below = below && to < huge[i];
            fixed = fixed && to == huge[i] - 1 - k;
        }
        CHECK(below && !fixed, "n %g", (double)huge[i]);
    }
}

/* Where an element goes, over many keys: to every place about as often (within 5 deviations),
 * and not next to its neighbour. */
static void test_permutations_are_random(void)
{
    enum { KEYS = 20000, MOST = 101 };
    static const int sizes[] = { 2, 3, 4, 5, 7, 16, 17, 64, MOST };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int element = 0; element < 2; element++) {
            int n = sizes[s], met[MOST] = { 0 }, worst = 0, follows = 0;
            for (uint64_t key = 0; key < KEYS; key++) {
                int to = (int)rng_permute(rng_bits(31, key), element ? (uint64_t)n - 1 : 0,
                                          (uint64_t)n);
                if (to >= 0 && to < n) met[to]++;
                follows += (int)rng_permute(rng_bits(31, key), (uint64_t)n / 2, (uint64_t)n)
                           == (to + 1) % n;
            }
            double mean = (double)KEYS / n, spread = 5 * sqrt(mean);
            for (int i = 0; i < n; i++)
                if (fabs(met[i] - mean) > fabs(met[worst] - mean)) worst = i;
            CHECK(fabs(met[worst] - mean) < spread, "n %d: element %d goes to %d %d times of %d", n,
                  element ? n - 1 : 0, worst, met[worst], KEYS);
            CHECK(n < 16 || fabs(follows - mean) < spread,
                  "n %d: two elements stay together %d times", n, follows);
        }
}

/* ---------------------------------------------------------------- digests and the data file */

/* The published examples of SHA-256: nothing, 24 bits, 448 bits, a million a. `lengths`
 * covers every length around a block's end: the digest of the joined digests of 0 to 299
 * letters a, from Python's hashlib. */
static void test_sha256(void)
{
    static const struct { const char *message, *digest; } vectors[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" }
    };
    static const char million[] =
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    static const char lengths[] =
        "dd21bb91165542678c760dec417a174580c2006e5105a25e373c77dd466cdf00";
    static char many[1000000], joined[300 * 64 + 1];
    char digest[65];
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        sha256_hex(vectors[i].message, strlen(vectors[i].message), digest);
        CHECK(strcmp(digest, vectors[i].digest) == 0, "%s", digest);
    }
    memset(many, 'a', sizeof many);
    sha256_hex(many, sizeof many, digest);
    CHECK(strcmp(digest, million) == 0, "%s", digest);
    for (size_t n = 0; n < 300; n++) sha256_hex(many, n, joined + 64 * n);
    sha256_hex(joined, 300 * 64, digest);
    CHECK(strcmp(digest, lengths) == 0, "%s", digest);
}

static void test_shakespeare(const char *folder)
{
    char path[4096];
    Corpus c;
    Err err = { 0 };
    snprintf(path, sizeof path, "%s/shakespeare.txt", folder);
    for (int separator = 0; separator < 2; separator++) {
        Tokenizer t = { 0 };
        CorpusOptions o = { .separator = separator, .val_fraction = 0.1 };
        int rc = open_files(&c, &t, &o, &err, path, NULL, NULL);
        CHECK(rc == 0, "%s", err.msg);
        if (rc) continue;
        CHECK(c.characters == 1115394 && c.count == 1115394, "%zu characters", c.characters);
        CHECK(t.count == 65 + separator, "%d symbols", t.count);
        CHECK(c.train_count == 1003854 && corpus_part(&c, PART_VAL).count == 111540, "%zu",
              c.train_count);
        CHECK(strcmp(c.sha256, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed")
                  == 0,
              "%s", c.sha256);
        CHECK(c.val_only == 0 && c.skipped == 0 && c.train_separators == 0, "%zu", c.val_only);
        corpus_close(&c);
        tokenizer_close(&t);
    }
}

/* ---------------------------------------------------------------- */

static void test_files(void)
{
    test_where_files_are_found();
    test_separators();
    test_layout();
    test_documents_of_a_vocabulary();
    test_digests_of_files();
    test_bad_files();
    test_empty_files();
    test_byte_order_marks();
    test_kinds();
    test_texts_are_texts();
    test_names_in_advice();
    test_many_bad_files();
    test_accents();
    test_other_forms();
    test_given_vocabulary();
    test_split();
    test_val_only();
}

/* Runs test_files in a temporary folder and removes it. */
static void in_new_folder(void)
{
    static const char *const files[] = { "data/verse", "data/both", "both", "one", "two", "good",
                                         "empty", "latin1", "marked", "mixed", "none", "packed",
                                         "part", "tail", "text" };
    const char *base = getenv("TMPDIR");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/test-text-XXXXXX",
             base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
        CHECK(false, "%s cannot be made: %s", folder, strerror(errno));
        return;
    }
    test_files();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) unlink(files[i]);
    CHECK(rmdir("data") == 0 && chdir("/") == 0 && rmdir(folder) == 0, "%s was not removed",
          folder);
}

/* Numbers to ids and back, whatever their scale; the mean and the deviation are those of all. */
static void test_numbers(void)
{
    static const char *const texts[] = { "1 2\t3,\r\n-4,5e0\n", "\n 1.5" };
    const size_t sizes[] = { strlen(texts[0]), strlen(texts[1]) };
    static const char *const names[] = { "a", "b" };
    static const double want[] = { 1, 2, 3, -4, 5 };
    enum { COUNT = sizeof want / sizeof want[0] };
    Numbers n = { .deviation = 0 };
    Err err = { 0 };
    int32_t ids[COUNT];
    size_t skipped;
    char out[TOKEN_ROOM];
    CHECK(numbers_learn(&n, texts, sizes, names, 2, &err) == 0, "%s", err.msg);
    CHECK_NEAR(n.center, 8.5 / 6, 1e-12, 0, "mean");
    CHECK_NEAR(n.scale, sqrt((1 + 4 + 9 + 16 + 25 + 2.25) / 6 - n.center * n.center), 1e-12, 0,
               "deviation");
    CHECK(numbers_encode(&n, texts[0], sizes[0], ids, &skipped) == COUNT && skipped == 0, "all");
    for (int i = 0; i < COUNT; i++) {
        CHECK_NEAR(number_value(&n, ids[i]), want[i], 0, n.scale * 1e-6, "number %d", i);
        CHECK_NEAR(n.center + n.scale * number_standard(ids[i]), want[i], 0, n.scale * 1e-6, "z");
        int length = number_print(&n, ids[i], out);
        CHECK(length == (int)strlen(out) && strtod(out, NULL) == want[i], "%s is %g", out, want[i]);
    }
    number_print(&n, number_id(&n, 2.71828), out);
    CHECK_NEAR(strtod(out, NULL), 2.71828, 0, 2e-6 * n.scale, "%s", out);
    CHECK(number_id(&n, n.center) == NUMBER_ZERO && number_standard(0) == 0, "the middle");
    CHECK(number_id(&n, 1e30) == INT32_MAX && number_id(&n, -1e30) == 1, "the ends");

    static const struct { const char *text, *says; } wrong[] = {
        { "1\n2 three", "x: line 2: three is not a number" }, { "1 0x10", "x: 0x10 is not" },
        { "nan", "x: nan is not" }, { "1e31", "x: 1e31 is not" }, { "1e999", "x: 1e999 is not" },
        { "--1", "x: --1 is not" }, { "1.2.3", "x: 1.2.3 is not" }, { "\x1b[2J", "x: ?[2J is not" },
        { "1\n\n20000", "x: line 3: 20000 is more than a thousand standard deviations" },
        { "12345678901234567890123456789012345678901234567890123456789012345", "234... is not" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int failed = numbers_check(&n, wrong[i].text, strlen(wrong[i].text), "x", EXIT_TEXT, &err);
        CHECK(failed && err.status == EXIT_TEXT && strstr(err.msg, wrong[i].says) != NULL, "%s",
              err.msg);
    }
    CHECK(numbers_encode(&n, wrong[0].text, 9, ids, &skipped) == 2 && skipped == 1, "skipped");

    static const char *const same = "7 7 7", *const none = " \n";
    const size_t five = 5, two = 2;
    CHECK(numbers_learn(&n, &same, &five, names, 1, &err) == 0 && n.center == 7 && n.scale == 1,
          "one value has no deviation");
    CHECK(numbers_learn(&n, &none, &two, names, 1, &err) && err.status == EXIT_TEXT, "no number");
}

int main(int argc, char **argv)
{
    test_decode_every_sequence();
    test_encode_examples();
    test_ill_formed();
    test_every_code_point(false);
    test_every_code_point(true);
    test_random_texts();
    test_ordinary_characters();
    test_bytes();
    test_sizes();
    test_from_values();
    test_names();
    test_unknown_characters();
    test_numbers();
    test_permutations();
    test_permutations_are_random();
    test_sha256();
    test_shakespeare(argc > 1 ? argv[1] : "data");
    in_new_folder();
    return check_report("text");
}
