/* test_documents.c: documents.h and windows.h.
 *
 * Documents are compared with a splitter that works character by character, what is held out with
 * integer arithmetic and with the same documents in another order, windows with ids that are their
 * own places: every target is counted over many epochs.
 */
#include "../../base.h"
#include "check.h"
#include "../../corpus.h"
#include "../../text/documents.h"
#include "../../tokenizer.h"
#include "../../text/windows.h"

static Text text_of(const char *text)
{
    return (Text){ .path = (char *)(uintptr_t)"text", .bytes = (char *)(uintptr_t)text,
                   .size = strlen(text) };
}

/* The pieces, each after a |; those held out after a !. */
static const char *shown(const Pieces *p, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++) {
        out[n++] = p->items[i].held_out ? '!' : '|';
        memcpy(out + n, p->items[i].bytes, p->items[i].size);
        n += p->items[i].size;
    }
    out[n] = '\0';
    return out;
}

/* ---------------------------------------------------------------- where a document ends */

static void test_documents(void)
{
    static const struct { const char *split, *a, *b, *want; } cases[] = {
        { SPLIT_LINE, "ann\nbo\n", NULL, "|ann\n|bo\n" },
        { SPLIT_LINE, "ann\nbo", NULL, "|ann\n|bo" },
        { SPLIT_LINE, "ann\r\nbo\r\n", NULL, "|ann\r\n|bo\r\n" },
        { SPLIT_LINE, "ann\rbo", NULL, "|ann\r|bo" },
        { SPLIT_LINE, "\n \t\nann\n\n", NULL, "|ann\n" },
        { SPLIT_LINE, "ann\n", "bo\n", "|ann\n|bo\n" },
        { SPLIT_LINE, "ann", "bo", "|ann|bo" },
        { SPLIT_BLANK, "a\nb\n\nc\n", NULL, "|a\nb\n|c\n" },
        { SPLIT_BLANK, "a\n\n\n \n\nc", NULL, "|a\n|c" },
        { SPLIT_BLANK, "a\r\n\r\nc\r\n", NULL, "|a\r\n|c\r\n" },
        { SPLIT_BLANK, "a\r\rc\r", NULL, "|a\r|c\r" },
        { SPLIT_BLANK, "a\n \t\nc\n ", NULL, "|a\n|c\n" },
        { SPLIT_BLANK, "\n\na\n\n", "\nc\n", "|a\n|c\n" },
        { "---", "a\n---\nb\n\nc\n---\n", NULL, "|a\n|b\n\nc\n" },
        { "---", "---\n---\na\r\n---\r\nb", NULL, "|a\r\n|b" },
        { "---", "a\n----\n --- \n--\n", NULL, "|a\n----\n --- \n--\n" },
        { "---", "a\n---\n \n---\nb\n", NULL, "|a\n|b\n" },
        { "<|endoftext|>", "a\n<|endoftext|>\rb\n", NULL, "|a\n|b\n" }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Pieces p;
        Err err = { 0 };
        char text[100];
        Text texts[2] = { text_of(cases[i].a), text_of(cases[i].b != NULL ? cases[i].b : "") };
        CorpusOptions o = { .split = cases[i].split };
        CHECK(pieces_open(&p, &o, texts, cases[i].b != NULL ? 2 : 1, &err) == 0, "%s", err.msg);
        CHECK(strcmp(shown(&p, text), cases[i].want) == 0, "case %zu: %s", i, text);
        CHECK(p.separate, "case %zu: separators", i);
        pieces_close(&p);
    }
}

static void test_no_documents(void)
{
    static const char *const texts[] = { "\n\r\n", " \t", "---\n---" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        Pieces p;
        Err err = { 0 };
        Text t = text_of(texts[i]);
        CorpusOptions o = { .split = i == 2 ? "---" : SPLIT_LINE, .val_fraction = 0.1,
                            .hold_out = HOLD_OUT_SPREAD };
        CHECK(pieces_open(&p, &o, &t, 1, &err) == -1 && err.status == EXIT_TEXT, "case %zu", i);
        pieces_close(&p);
    }
}

/* Appends the documents of a text, each after a |, character by character. */
static size_t documents_of(const char *split, const char *text, char *out, size_t n)
{
    char line[100], open[100];
    size_t length = 0, held = 0, ink = 0;           /* of the line, and of the open document */
    for (const char *c = text;; c++) {
        if (*c != '\0') line[length++] = *c;
        bool end = *c == '\n' || (*c == '\r' && c[1] != '\n');
        if (!end && *c != '\0') continue;
        size_t bare = length;
        while (bare > 0 && strchr("\r\n", line[bare - 1]) != NULL) bare--;
        size_t spaces = 0;
        while (spaces < length && strchr(" \t\r\n", line[spaces]) != NULL) spaces++;
        bool blank = spaces == length, letters = strcmp(split, SPLIT_LINE) == 0;
        bool word = !letters && strcmp(split, SPLIT_BLANK) != 0;
        bool parts = word ? bare == strlen(split) && memcmp(line, split, bare) == 0 : blank;
        if (!parts) {
            memcpy(open + held, line, length);
            held += length;
            ink += !blank;
        }
        if ((parts || letters || *c == '\0') && ink > 0) {
            out[n++] = '|';
            memcpy(out + n, open, held);
            n += held;
        }
        if (parts || letters) held = ink = 0;
        length = 0;
        if (*c == '\0') break;
    }
    out[n] = '\0';
    return n;
}

static void test_random_documents(void)
{
    enum { MOST = 30 };
    static const char letters[] = "ab \r\n\n-", *const splits[] = { SPLIT_LINE, SPLIT_BLANK, "-" };
    for (uint64_t seed = 0; seed < 3000; seed++) {
        char want[6 * MOST + 4], text[3][MOST + 1], got[sizeof want];
        Text texts[3];
        size_t n = 0;
        for (uint64_t f = 0; f < 3; f++) {
            size_t size = 1 + (size_t)rng_below(seed, f, MOST);
            for (size_t i = 0; i < size; i++)
                text[f][i] = letters[rng_below(seed, 3 + MOST * f + i, sizeof letters - 1)];
            text[f][size] = '\0';
            texts[f] = text_of(text[f]);
            n = documents_of(splits[seed % 3], text[f], want, n);
        }
        Pieces p;
        Err err = { 0 };
        CorpusOptions o = { .split = splits[seed % 3] };
        CHECK((pieces_open(&p, &o, texts, 3, &err) == 0) == (n > 0), "%s", err.msg);
        CHECK(strcmp(shown(&p, got), want) == 0, "seed %d: %s, not %s", (int)seed, got, want);
        pieces_close(&p);
    }
}

static void test_delimiters(void)
{
    static const char *const good[] = { "---", "LINE", "BLANK", "off", "<|endoftext|>",
                                        "\xc3\xa9" };
    static const char *const bad[] = { "", "a\n", "\x1b[0m", "a\xff", "\xc2\x85",
                                       "this delimiter is longer than a setting can be" };
    Err err = { 0 };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(corpus_check_split(good[i], &err) == 0, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(corpus_check_split(bad[i], &err) == -1 && err.status == EXIT_USAGE, "case %zu", i);
    CHECK(corpus_split("off") == NULL && strcmp(corpus_split("---"), "---") == 0, "words");
}

/* ---------------------------------------------------------------- what is held out */

enum { LINES = 3000, WIDTH = 12 };

/* Line i of a list is number order(i); every tenth one is the same. */
static void write_list(char *text, size_t count, uint64_t key)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        size_t line = key == 0 ? i : (size_t)rng_permute(key, i, count);
        n += (size_t)snprintf(text + n, WIDTH, "%zu\n", line % 10 == 3 ? 3 : line);
    }
}

/* How often line `number` is held out. */
static void count_held_out(const Pieces *p, int *times)
{
    memset(times, 0, 2 * LINES * sizeof *times);
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].held_out) times[strtol(p->items[i].bytes, NULL, 10)]++;
}

/* About the share, of equal documents too; a shuffled list holds out the same ones, and a longer
 * list leaves each on its side. */
static void test_hold_out_by_hash(void)
{
    static char text[2 * LINES * WIDTH];
    static int first[2 * LINES], times[2 * LINES];
    CorpusOptions o = { .split = SPLIT_LINE, .hold_out = HOLD_OUT_SPREAD, .val_fraction = 0.1 };
    for (uint64_t key = 0; key < 5; key++) {
        Pieces p;
        Err err = { 0 };
        size_t count = key == 4 ? 2 * LINES : LINES;
        write_list(text, count, key == 4 ? 0 : key);
        Text t = text_of(text);
        CHECK(pieces_open(&p, &o, &t, 1, &err) == 0, "%s", err.msg);
        count_held_out(&p, key == 0 ? first : times);
        if (key == 0) {
            int all = 0;
            for (int i = 0; i < LINES; i++) all += first[i];
            CHECK(abs(all - LINES / 10) < 5 * 17, "%d of %d are held out", all, LINES);
            CHECK(abs(first[3] - LINES / 100) < 5 * 6, "%d of the equal ones", first[3]);
        } else if (key < 4) {
            CHECK(memcmp(times, first, sizeof times) == 0, "order %d decides", (int)key);
        } else {
            CHECK(times[3] >= first[3], "equal ones: %d, then %d", first[3], times[3]);
            for (int i = 0; i < LINES; i++)
                CHECK(i % 10 == 3 || times[i] == first[i], "line %d changes its side", i);
        }
        pieces_close(&p);
    }
}

/* Of two documents one is held out; of one none is. */
static void test_few_documents(void)
{
    for (int percent = 1; percent < 100; percent++)
        for (size_t count = 1; count <= 12; count++)
            for (int end = 0; end < 2; end++) {
                char text[12 * WIDTH];
                Pieces p;
                Err err = { 0 };
                CorpusOptions o = { .split = SPLIT_LINE, .val_fraction = percent / 100.0,
                                    .hold_out = end ? HOLD_OUT_END : HOLD_OUT_SPREAD };
                write_list(text, count, (uint64_t)percent);
                Text t = text_of(text);
                CHECK(pieces_open(&p, &o, &t, 1, &err) == 0, "%s", err.msg);
                size_t held = 0;
                for (size_t i = 0; i < p.count; i++) held += p.items[i].held_out;
                CHECK(count > 1 ? held > 0 && held < count : held == 0, "%d%%: %zu of %zu", percent,
                      held, count);
                pieces_close(&p);
            }
}

static void test_hold_out_end(void)
{
    static const struct { const char *text, *want; double fraction; } cases[] = {
        { "a\nb\nc\nd\n", "|a\n|b\n|c\n!d\n", 0.1 },
        { "a\nb\nc\nd\n", "|a\n|b\n|c\n!d\n", 0.25 },
        { "a\nb\nc\nd\n", "|a\n|b\n!c\n!d\n", 0.26 },
        { "a\nb\nc\nd\n", "|a\n!b\n!c\n!d\n", 0.99 },
        { "a\nb\nc\nlong\n", "|a\n|b\n|c\n!long\n", 0.4 },
        { "a\nb\nc\nd\n", "|a\n|b\n|c\n|d\n", 0 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Pieces p;
        Err err = { 0 };
        char out[100];
        Text t = text_of(cases[i].text);
        CorpusOptions o = { .split = SPLIT_LINE, .val_fraction = cases[i].fraction };
        CHECK(pieces_open(&p, &o, &t, 1, &err) == 0, "%s", err.msg);
        CHECK(strcmp(shown(&p, out), cases[i].want) == 0, "case %zu: %s", i, out);
        pieces_close(&p);
    }
}

/* Characters are cut, not bytes; twenty stretches of a text hold out their ends. */
static void test_plain_texts(void)
{
    char text[401], out[1000];
    Err err = { 0 };
    for (int i = 0; i < 400; i += 2) memcpy(text + i, i / 2 % 10 == 9 ? "\xc3\xa9" : "\xc3\xa0", 2);
    text[400] = '\0';
    Text texts[2] = { text_of(text), text_of("abcdefghij") };
    Pieces p;
    CorpusOptions o = { .val_fraction = 0.1, .hold_out = HOLD_OUT_SPREAD };
    CHECK(pieces_open(&p, &o, texts, 1, &err) == 0 && p.separate, "%s", err.msg);
    CHECK(p.count == 40, "%zu stretches", p.count);
    for (size_t i = 0; i < p.count; i++)
        CHECK(p.items[i].held_out == (i % 2 == 1) && p.items[i].size == (i % 2 ? 2 : 18)
                  && (unsigned char)p.items[i].bytes[1] == (i % 2 ? 0xa9 : 0xa0),
              "stretch %zu has %zu bytes", i, p.items[i].size);
    pieces_close(&p);

    o.bytes = true;
    CHECK(pieces_open(&p, &o, texts, 1, &err) == 0 && p.items[1].size == 2, "bytes");
    pieces_close(&p);
    o.bytes = false;
    CHECK(pieces_open(&p, &o, texts, 2, &err) == 0 && p.count == 4 && p.items[1].size == 40
              && p.items[1].held_out && p.items[2].size == 9 && p.items[3].held_out,
          "the end of each file: %zu pieces", p.count);
    pieces_close(&p);

    o.hold_out = HOLD_OUT_END;
    texts[0] = text_of("abcdefgh\xc3\xa9\n");
    CHECK(pieces_open(&p, &o, texts, 1, &err) == 0 && !p.separate,
          "one plain text has no separator");
    CHECK(strcmp(shown(&p, out), "|abcdefgh\xc3\xa9!\n") == 0, "%s", out);
    pieces_close(&p);
}

/* ---------------------------------------------------------------- windows drawn anywhere */

/* ids[i] = i, so that a window shows where it starts. Every start occurs and none after
 * the last. */
static void test_windows(void)
{
    enum { COUNT = 40, BATCH = 8, DRAWS = 400 };
    int32_t ids[COUNT], x[BATCH * COUNT], y[BATCH * COUNT];
    for (int i = 0; i < COUNT; i++) ids[i] = i;
    for (int context = 1; context < COUNT; context++) {
        Part part = { .ids = ids, .count = COUNT };
        int met[COUNT] = { 0 }, bad = 0, starts = COUNT - context;
        for (uint64_t key = 0; key < DRAWS; key++) {
            windows_random(part, key, BATCH, context, x, y);
            for (int b = 0; b < BATCH; b++) {
                int start = x[b * context];
                if (start < 0 || start >= starts) bad++;
                else met[start]++;
                for (int i = 0; i < context; i++)
                    bad += x[b * context + i] != start + i || y[b * context + i] != start + i + 1;
            }
        }
        int rarest = BATCH * DRAWS;
        for (int s = 0; s < starts; s++) rarest = met[s] < rarest ? met[s] : rarest;
        CHECK(bad == 0, "context %d: %d wrong", context, bad);
        CHECK(rarest >= BATCH * DRAWS / starts / 3, "context %d: one start occurs %d times",
              context, rarest);
    }
}

/* Window b depends on (part, key, b, context) alone: not on the batch, nor on earlier draws. */
static void test_windows_are_pure(void)
{
    enum { COUNT = 1000, BATCH = 16, CONTEXT = 10 };
    static int32_t ids[COUNT], x[BATCH * CONTEXT], y[BATCH * CONTEXT];
    static int32_t again[BATCH * CONTEXT], z[BATCH * CONTEXT];
    for (int i = 0; i < COUNT; i++) ids[i] = i;
    Part part = { .ids = ids, .count = COUNT };
    windows_random(part, 7, BATCH, CONTEXT, x, y);
    windows_random(part, 8, BATCH, CONTEXT, again, z);
    CHECK(memcmp(x, again, sizeof x) != 0, "another key gives other windows");
    for (int batch = 1; batch <= BATCH; batch++) {
        windows_random(part, 7, batch, CONTEXT, again, z);
        size_t bytes = (size_t)batch * CONTEXT * sizeof *x;
        CHECK(memcmp(x, again, bytes) == 0 && memcmp(y, z, bytes) == 0, "batch %d", batch);
    }
}

/* ---------------------------------------------------------------- windows of epochs */

enum { MOST = 401 };

static int32_t places[MOST + 1];        /* places[i] = i; 0 is a separator where there is one */

/* Windows 0 .. n-1 of an epoch: how often each place is a target is added to `times`. Counts the
 * windows that are not a stretch of the ring 0 .. ring-1. */
static int add_epoch(Part part, uint64_t key, uint64_t epoch, int ring, int context, int *times)
{
    int32_t x[MOST], y[MOST];
    int windows = ring / context, wrong = 0;
    for (int k = 0; k < windows; k++) {
        uint64_t number = epoch * (uint64_t)windows + (uint64_t)k;
        windows_epoch(part, key, number, 1, context, x, y);
        for (int i = 0; i < context; i++) {
            bool next = y[i] == (x[i] + 1) % ring, joined = i == 0 || x[i] == y[i - 1];
            wrong += !next || !joined || y[i] < 0 || y[i] >= ring;
            if (y[i] >= 0 && y[i] < ring) times[y[i]]++;
        }
    }
    return wrong;
}

/* Every length of part around the first multiples of the context, with a separator at the seam and
 * without: an epoch has no target twice and leaves out less than a context; over the epochs each is
 * drawn about as often, the first and the last included. */
static void test_epochs(void)
{
    enum { EPOCHS = 400 };
    for (int i = 0; i <= MOST; i++) places[i] = i;
    for (int context = 1; context <= 23; context += context < 8 ? 1 : 5)
        for (int count = context + 1; count < MOST; count += count < 5 * context + 3 ? 1 : 97)
            for (int separator = 0; separator < 2; separator++) {
                Part part = { .ids = places + separator, .count = (size_t)count,
                              .separator = separator };
                int ring = count + separator, sum[MOST] = { 0 }, wrong = 0;
                for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
                    int times[MOST] = { 0 }, once = 0;
                    wrong += add_epoch(part, 7, epoch, ring, context, times);
                    for (int i = 0; i < ring; i++) {
                        wrong += times[i] > 1;
                        once += times[i];
                        sum[i] += times[i];
                    }
                    wrong += ring - once >= context;
                }
                double share = (double)(ring / context * context) / ring;
                double spread = 5 * sqrt(EPOCHS * share * (1 - share)) + 1e-9;
                int worst = 0;
                double mean = EPOCHS * share;
                for (int i = 0; i < ring; i++)
                    if (fabs(sum[i] - mean) > fabs(sum[worst] - mean)) worst = i;
                CHECK(wrong == 0, "context %d, %d ids: %d wrong", context, count, wrong);
                CHECK(fabs(sum[worst] - mean) <= spread,
                      "context %d, %d ids: target %d is drawn %d times of %g", context, count,
                      worst, sum[worst], mean);
            }
}

/* The epochs differ in where their windows begin and in the order of them; so do two keys. */
static void test_epochs_differ(void)
{
    enum { COUNT = 160, CONTEXT = 8, WINDOWS = COUNT / CONTEXT, EPOCHS = 1600 };
    int phases[CONTEXT] = { 0 }, nexts[WINDOWS] = { 0 }, rarest = EPOCHS, commonest = 0;
    Part part = { .ids = places, .count = COUNT };
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int32_t x[2][CONTEXT], y[2][CONTEXT];
        for (uint64_t k = 0; k < 2; k++)
            windows_epoch(part, 5, epoch * WINDOWS + k, 1, CONTEXT, x[k], y[k]);
        phases[x[0][0] % CONTEXT]++;
        nexts[(x[1][0] - x[0][0] + COUNT) % COUNT / CONTEXT]++;
    }
    for (int i = 0; i < CONTEXT; i++) rarest = phases[i] < rarest ? phases[i] : rarest;
    for (int i = 0; i < WINDOWS; i++) commonest = nexts[i] > commonest ? nexts[i] : commonest;
    CHECK(rarest > EPOCHS / CONTEXT / 2, "one phase occurs %d times in %d epochs", rarest, EPOCHS);
    CHECK(nexts[0] == 0 && commonest < 2 * EPOCHS / WINDOWS,
          "one distance occurs %d times in %d epochs", commonest, EPOCHS);
    int32_t x[2][CONTEXT * WINDOWS], y[CONTEXT * WINDOWS];
    windows_epoch(part, 5, 0, WINDOWS, CONTEXT, x[0], y);
    windows_epoch(part, 6, 0, WINDOWS, CONTEXT, x[1], y);
    CHECK(memcmp(x[0], x[1], sizeof x[0]) != 0, "another key gives another order");
}

/* Windows 0 .. 29, over the end of an epoch, in batches of any size. */
static void test_batches_of_epochs(void)
{
    enum { COUNT = 100, CONTEXT = 7, WINDOWS = 30 };
    static int32_t x[WINDOWS * CONTEXT], y[WINDOWS * CONTEXT];
    static int32_t again[WINDOWS * CONTEXT], z[WINDOWS * CONTEXT];
    Part part = { .ids = places, .count = COUNT };
    windows_epoch(part, 7, 0, WINDOWS, CONTEXT, x, y);
    for (int batch = 1; batch < WINDOWS; batch++) {
        for (int first = 0; first < WINDOWS; first += batch) {
            int left = WINDOWS - first < batch ? WINDOWS - first : batch;
            windows_epoch(part, 7, (uint64_t)first, left, CONTEXT, again + first * CONTEXT,
                          z + first * CONTEXT);
        }
        CHECK(memcmp(x, again, sizeof x) == 0 && memcmp(y, z, sizeof y) == 0, "batches of %d",
              batch);
        memset(again, 0, sizeof again);
    }
}

/* ---------------------------------------------------------------- windows of documents */

enum { DOCUMENTS = 23 };

/* Document d is at places begins[d] .. begins[d+1] - 1, and has 1 to 9 ids. */
static Documents some_documents(void)
{
    static size_t begins[DOCUMENTS + 1], order[DOCUMENTS], ends[DOCUMENTS];
    for (size_t d = 0; d < DOCUMENTS; d++) begins[d + 1] = begins[d] + 1 + d * 7 % 9;
    return (Documents){ .count = DOCUMENTS, .begins = begins, .order = order, .ends = ends };
}

static size_t document_at(const Documents *d, int32_t place)
{
    size_t i = 0;
    while (d->begins[i + 1] <= (size_t)place) i++;
    return i;
}

/* Counts what is wrong with a window: after an id comes the next of its document, or after the last
 * one the first of any document, which `follows` counts. */
static int check_window(const Documents *d, const int32_t *x, const int32_t *y, int context,
                        int (*follows)[DOCUMENTS])
{
    int wrong = 0;
    for (int i = 0; i < context; i++) {
        wrong += i > 0 && x[i] != y[i - 1];
        size_t from = document_at(d, x[i]), to = document_at(d, y[i]);
        if ((size_t)x[i] + 1 < d->begins[from + 1]) wrong += y[i] != x[i] + 1;
        else {
            wrong += (size_t)y[i] != d->begins[to];
            follows[from][to]++;
        }
    }
    return wrong;
}

/* Each document follows each other one about as often, in both kinds of windows: none is always the
 * neighbour that it is in the text. */
static void test_windows_of_documents(void)
{
    enum { CONTEXT = 40, DRAWS = 6000 };
    Documents d = some_documents();
    int ring = (int)d.begins[DOCUMENTS];
    Part part = { .ids = places, .count = (size_t)ring, .separator = true, .documents = &d };
    for (int kind = 0; kind < 2; kind++) {
        int follows[DOCUMENTS][DOCUMENTS] = { { 0 } }, wrong = 0, neighbours = 0, all = 0;
        for (uint64_t i = 0; i < DRAWS; i++) {
            int32_t x[CONTEXT], y[CONTEXT];
            if (kind == 0) windows_random(part, i, 1, CONTEXT, x, y);
            else windows_epoch(part, 3, i, 1, CONTEXT, x, y);
            wrong += check_window(&d, x, y, CONTEXT, follows);
        }
        for (int from = 0; from < DOCUMENTS; from++)
            for (int to = 0; to < DOCUMENTS; to++) {
                all += follows[from][to];
                neighbours += to == (from + 1) % DOCUMENTS ? follows[from][to] : 0;
            }
        CHECK(wrong == 0, "kind %d: %d wrong", kind, wrong);
        CHECK(neighbours < 2 * all / DOCUMENTS && neighbours > all / DOCUMENTS / 2,
              "kind %d: neighbours follow %d times of %d", kind, neighbours, all);
    }
}

/* As without documents: no target twice in an epoch, less than a context left out, all as often. */
static void test_epochs_of_documents(void)
{
    enum { EPOCHS = 400 };
    Documents d = some_documents();
    int ring = (int)d.begins[DOCUMENTS];
    Part part = { .ids = places, .count = (size_t)ring, .separator = true, .documents = &d };
    for (int context = 1; context < ring; context += context < 10 ? 1 : 13) {
        int windows = ring / context, sum[MOST] = { 0 }, wrong = 0, rarest = EPOCHS;
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
            int times[MOST] = { 0 };
            for (int k = 0; k < windows; k++) {
                int32_t x[MOST], y[MOST];
                windows_epoch(part, 7, epoch * (uint64_t)windows + (uint64_t)k, 1, context, x, y);
                for (int i = 0; i < context; i++) times[y[i]]++;
            }
            for (int i = 0; i < ring; i++) {
                wrong += times[i] > 1;
                sum[i] += times[i];
            }
        }
        for (int i = 0; i < ring; i++) rarest = sum[i] < rarest ? sum[i] : rarest;
        double share = (double)(windows * context) / ring;
        CHECK(wrong == 0, "context %d: %d targets twice", context, wrong);
        CHECK(rarest >= EPOCHS * share - 5 * sqrt(EPOCHS * share * (1 - share)) - 1e-9,
              "context %d: a target is drawn %d times of %g", context, rarest, EPOCHS * share);
    }
}

/* Every document once an epoch, in another order; its last target is the separator after it, where
 * the context has room for that, and no target after it counts. */
static void test_document_windows(void)
{
    enum { MOST_CONTEXT = 12, EPOCHS = 3 };
    Documents d = some_documents();
    Part part = { .ids = places, .count = d.begins[DOCUMENTS], .separator = true, .documents = &d };
    for (int context = 1; context <= MOST_CONTEXT; context++) {
        int wrong = 0, same = 0;
        size_t order[EPOCHS][DOCUMENTS], counted = 0;
        int32_t x[EPOCHS * DOCUMENTS * MOST_CONTEXT], y[EPOCHS * DOCUMENTS * MOST_CONTEXT];
        size_t targets = windows_documents(part, 7, 0, EPOCHS * DOCUMENTS, context, x, y);
        for (int w = 0; w < EPOCHS * DOCUMENTS; w++) {
            const int32_t *in = x + w * context, *out = y + w * context;
            size_t one = document_at(&d, in[0]), begin = d.begins[one];
            int length = (int)(d.begins[one + 1] - begin);
            order[w / DOCUMENTS][w % DOCUMENTS] = one;
            for (int t = 0; t < context; t++) {
                int32_t want = t < length - 1 ? (int32_t)begin + t + 1
                             : t == length - 1 ? SEPARATOR_ID : NO_TARGET;
                wrong += out[t] != want;
                wrong += in[t] != (t < length ? (int32_t)begin + t : SEPARATOR_ID);
                counted += want != NO_TARGET;
            }
        }
        for (int e = 0; e < EPOCHS; e++) {
            bool met[DOCUMENTS] = { false };
            for (int i = 0; i < DOCUMENTS; i++) {
                wrong += met[order[e][i]];
                met[order[e][i]] = true;
                same += e > 0 && order[e][i] == order[e - 1][i];
            }
        }
        CHECK(wrong == 0, "context %d: %d wrong", context, wrong);
        CHECK(targets == counted, "context %d: %zu of %zu targets", context, targets, counted);
        CHECK(same < DOCUMENTS, "context %d: one order, but for %d", context, same);
        int32_t again[2 * MOST_CONTEXT], next[2 * MOST_CONTEXT];
        windows_documents(part, 7, 5, 2, context, again, next);
        CHECK(memcmp(again, x + 5 * context, 2 * (size_t)context * sizeof *x) == 0
              && memcmp(next, y + 5 * context, 2 * (size_t)context * sizeof *y) == 0,
              "context %d: a window depends on its number alone", context);
    }
}

/* ---------------------------------------------------------------- what is kept back */

/* Of a plain text just so much, but not all; of documents whole ones, but not the first. */
static void test_keep_back(void)
{
    static const struct { size_t most, plain, split; } cases[] = {
        { 0, 0, 0 }, { 1, 1, 0 }, { 3, 3, 0 }, { 4, 4, 4 }, { 5, 5, 4 }, { 6, 6, 6 }, { 8, 8, 6 },
        { 9, 9, 6 }, { 10, 9, 6 }, { 1000, 9, 6 },
    };
    int32_t ids[14] = { 0, 1, 2, 3, 0, 4, 0, 5, 6, 7, 0, 8, 9, 10 };    /* the last are held out */
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        size_t begins[] = { 0, 4, 6, 10 }, order[3], ends[3];
        Documents d = { .count = 3, .begins = begins, .order = order, .ends = ends };
        bool split = i % 2 == 1;
        Corpus c = { .ids = ids, .count = 14, .train_count = 10, .separator = true,
                     .documents = split ? &d : NULL };
        corpus_keep_back(&c, cases[i / 2].most);
        size_t want = split ? cases[i / 2].split : cases[i / 2].plain;
        Part train = corpus_part(&c, PART_TRAIN), kept = corpus_part(&c, PART_KEPT);
        Part val = corpus_part(&c, PART_VAL);
        CHECK(kept.count == want && train.count == 10 - want && val.count == 4, "case %zu: %zu", i,
              kept.count);
        CHECK(train.ids == ids && kept.ids == ids + train.count && val.ids == ids + 10,
              "case %zu: places", i);
        CHECK(!split || begins[d.count] == train.count, "case %zu: %zu documents", i, d.count);
        CHECK(kept.documents == NULL && (train.documents != NULL) == split, "case %zu", i);
    }
}

static void test_end(void)
{
    int32_t ids[5] = { 0 };
    Documents d = { .count = 1 };
    Part part = { .ids = ids, .count = 5, .separator = true, .documents = &d };
    for (size_t most = 0; most < 7; most++) {
        Part end = part_end(part, most);
        CHECK(end.count == (most < 5 ? most : 5) && end.ids + end.count == ids + 5, "%zu", most);
        CHECK(end.separator && end.documents == NULL, "%zu: no documents", most);
    }
}

int main(void)
{
    test_end();
    test_keep_back();
    test_documents();
    test_no_documents();
    test_random_documents();
    test_delimiters();
    test_hold_out_by_hash();
    test_few_documents();
    test_hold_out_end();
    test_plain_texts();
    test_windows();
    test_windows_are_pure();
    test_epochs();
    test_epochs_differ();
    test_batches_of_epochs();
    test_windows_of_documents();
    test_epochs_of_documents();
    test_document_windows();
    return check_report("documents");
}
