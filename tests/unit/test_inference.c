/* test_inference.c: what is drawn, and what is scored: frequencies of the sampler against
 * probabilities worked out here, stop strings against a search that looks at the whole text, and
 * the three protocols against sums of their own.
 */
#include "../../inference/evaluate.h"
#include "../../inference/sampling.h"
#include "../../inference/stops.h"
#include "../../networks/network.h"
#include "../../config.h"
#include "check.h"

enum { V = 6, CONTEXT = 5, COUNT = 43, DRAWS = 60000 };

/* ---------------------------------------------------------------- sampling */

/* A vocabulary of V bytes without a separator, or with one as symbol 0. */
static Tokenizer letters(bool separator)
{
    Tokenizer t = { 0 };
    Err err = { 0 };
    static const uint32_t values[V] = { 'a', 'b', 'c', 'd', 'e', 'f' };
    CHECK(tokenizer_from_values(&t, values, V, false, separator, &err) == 0, "vocabulary: %s",
          err.msg);
    return t;
}

/* Draws DRAWS symbols; each must come as often as `want` says, within five standard deviations, and
 * one of probability 0 never. */
static void check_frequencies(Chooser *c, const real *logits, const double *want, const char *name)
{
    double counts[V] = { 0 };
    int outside = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        int32_t id = chooser_pick(c, logits, rng_key(3, 0, 0, RNG_SAMPLE), i);
        if (id >= 0 && id < V) counts[id]++;
        else outside++;
    }
    CHECK(outside == 0, "%s: %d draws are no symbols", name, outside);
    for (int i = 0; i < V; i++) {
        double sigma = sqrt(DRAWS * want[i] * (1 - want[i]));
        CHECK(fabs(counts[i] - DRAWS * want[i]) <= 5 * sigma,
              "%s: symbol %d came %.0f times, not %.0f", name, i, counts[i], DRAWS * want[i]);
    }
}

static void test_sampling(void)
{
    static const double p[V] = { 0.05, 0.4, 0.1, 0.25, 0.15, 0.05 };
    Tokenizer t = letters(false);
    Chooser c;
    Err err = { 0 };
    real logits[V];
    for (int i = 0; i < V; i++) logits[i] = (real)(7 + log(p[i]));
    CHECK(chooser_open(&c, &t, &err) == 0, "%s", err.msg);
    check_frequencies(&c, logits, p, "temperature 1");

    double flat[V], sum = 0;
    for (int i = 0; i < V; i++) sum += flat[i] = sqrt(p[i]);
    for (int i = 0; i < V; i++) flat[i] /= sum;
    c.temperature = 2;
    check_frequencies(&c, logits, flat, "temperature 2");

    c.temperature = 1;
    c.top_k = 3;
    check_frequencies(&c, logits, (const double[]){ 0, 0.5, 0, 0.3125, 0.1875, 0 }, "top-k 3");
    c.top_p = 0.6;      /* of what top-k kept: 0.5 does not reach it, 0.8125 does */
    check_frequencies(&c, logits, (const double[]){ 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0, 0 }, "both");
    c.top_p = 0.49;     /* of all symbols 0.4 would not reach it, of what top-k kept 0.5 does */
    check_frequencies(&c, logits, (const double[]){ 0, 1, 0, 0, 0, 0 }, "top-p of what top-k kept");
    c.top_k = 0;
    c.top_p = 0.5;      /* the symbol that crosses p is kept */
    check_frequencies(&c, logits, (const double[]){ 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0, 0 },
                      "top-p 0.5");
    c.top_p = 0;
    check_frequencies(&c, logits, (const double[]){ 0, 1, 0, 0, 0, 0 }, "top-p 0");

    real tied[V] = { 1, 2, 2, 2, 1, 2 };
    c.top_p = 1;
    c.top_k = 2;
    check_frequencies(&c, tied, (const double[]){ 0, 0.5, 0.5, 0, 0, 0 },
                      "of equals the first ones");
    chooser_close(&c);
    tokenizer_close(&t);
}

/* Min-p compares probabilities at temperature 1, whatever the temperature is. */
static void test_min_p(void)
{
    static const double p[V] = { 0.05, 0.4, 0.1, 0.25, 0.15, 0.05 };
    Tokenizer t = letters(false);
    Chooser c;
    Err err = { 0 };
    real logits[V];
    for (int i = 0; i < V; i++) logits[i] = (real)(-3 + log(p[i]));
    CHECK(chooser_open(&c, &t, &err) == 0, "%s", err.msg);
    check_frequencies(&c, logits, p, "min-p is off at first");
    c.min_p = 0.3;      /* of 0.4: 0.12 */
    check_frequencies(&c, logits, (const double[]){ 0, 0.5, 0, 0.3125, 0.1875, 0 }, "min-p 0.3");

    double sum = sqrt(0.4) + sqrt(0.25) + sqrt(0.15);
    c.temperature = 2;  /* at which 0.3 would keep all */
    check_frequencies(&c, logits, (const double[]){ 0, sqrt(0.4) / sum, 0, sqrt(0.25) / sum,
                                                    sqrt(0.15) / sum, 0 }, "at temperature 2");
    sum = 0.4 * 0.4 + 0.25 * 0.25 + 0.15 * 0.15;
    c.temperature = 0.5;
    check_frequencies(&c, logits, (const double[]){ 0, 0.16 / sum, 0, 0.0625 / sum, 0.0225 / sum,
                                                    0 }, "at temperature 0.5");
    c.temperature = 1;
    c.top_k = 2;
    check_frequencies(&c, logits, (const double[]){ 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0, 0 },
                      "and top-k");
    c.top_k = 0;
    c.top_p = 0.7;      /* 0.8 with 0.15, of all: the total is not of what min-p keeps */
    check_frequencies(&c, logits, (const double[]){ 0, 0.5, 0, 0.3125, 0.1875, 0 }, "and top-p");
    c.min_p = 0.5;
    check_frequencies(&c, logits, (const double[]){ 0, 0.4 / 0.65, 0, 0.25 / 0.65, 0, 0 },
                      "the stricter one");
    c.top_p = 1;
    c.min_p = 1;
    check_frequencies(&c, logits, (const double[]){ 0, 1, 0, 0, 0, 0 }, "min-p 1");
    check_frequencies(&c, (const real[]){ 1, 2, 2, 0, 2, 1 },
                      (const double[]){ 0, 1. / 3, 1. / 3, 0, 1. / 3, 0 }, "all the likeliest");
    c.temperature = 0;
    CHECK(chooser_pick(&c, logits, 1, 0) == 1, "greedy is the likeliest");
    chooser_close(&c);
    tokenizer_close(&t);
}

/* The logits of what is among the last characters: a positive one is divided, others multiplied. */
static void test_repeat_penalty(void)
{
    static const real logits[V] = { 1.5f, -1, 2, 0, -0.5f, 1 };
    static const double penalised[V] = { 0.75, -2, 2, 0, -0.5, 1 };     /* a and b, by 2 */
    Tokenizer t = letters(false);
    Chooser c;
    Recent r, other;
    Err err = { 0 };
    double want[V], plain[V], sum = 0, whole = 0;
    for (int i = 0; i < V; i++) sum += want[i] = exp(penalised[i]);
    for (int i = 0; i < V; i++) whole += plain[i] = exp((double)logits[i]);
    for (int i = 0; i < V; i++) {
        want[i] /= sum;
        plain[i] /= whole;
    }
    CHECK(chooser_open(&c, &t, &err) == 0 && recent_open(&r, 3, &t, &err) == 0
          && recent_open(&other, 3, &t, &err) == 0, "%s", err.msg);
    c.recent = &r;
    recent_add(&r, 0);
    check_frequencies(&c, logits, plain, "penalty 1 is none");
    c.repeat_penalty = 2;
    for (int i = 0; i < 3; i++) recent_add(&r, 2);
    recent_add(&r, 0);
    recent_add(&r, 1);
    recent_add(&r, 0);      /* the last three are a b a, and twice is no worse than once */
    check_frequencies(&c, logits, want, "penalty 2");
    recent_copy(&other, &r);
    for (int i = 0; i < 3; i++) recent_add(&r, 3);
    c.recent = &other;
    check_frequencies(&c, logits, want, "a copy");
    for (int i = 0; i < 3; i++) recent_add(&other, 3);
    check_frequencies(&c, logits, plain, "that goes on by itself");
    recent_add(&other, 1);
    recent_add(&other, 0);
    check_frequencies(&c, logits, want, "each once, and d, whose logit is 0");
    c.recent = &r;
    check_frequencies(&c, logits, plain, "of 0 both give 0");
    recent_clear(&other);
    c.recent = &other;
    check_frequencies(&c, logits, plain, "after nothing");
    recent_add(&other, 0);
    recent_add(&other, 2);
    c.temperature = 0;      /* a and c halved: c and f are equal, and c is first */
    CHECK(chooser_pick(&c, logits, 1, 0) == 2, "greedy, of equals");
    c.repeat_penalty = 2.5;
    CHECK(chooser_pick(&c, logits, 1, 0) == 5, "greedy takes it into account");
    c.temperature = 1;
    c.top_k = 1;
    check_frequencies(&c, logits, (const double[]){ 0, 0, 0, 0, 0, 1 }, "top-k does");
    c.top_k = 0;
    c.min_p = 0.99;
    check_frequencies(&c, logits, (const double[]){ 0, 0, 0, 0, 0, 1 }, "min-p does");
    c.min_p = 0;
    c.recent = NULL;
    check_frequencies(&c, logits, plain, "no text to look at");

    Recent none;
    CHECK(recent_open(&none, 0, &t, &err) == 0, "%s", err.msg);
    recent_add(&none, 0);
    c.recent = &none;
    check_frequencies(&c, logits, plain, "a window of 0 is none");
    recent_copy(&none, &none);
    recent_clear(&none);
    recent_close(&none);
    recent_close(&other);
    recent_close(&r);
    chooser_close(&c);
    tokenizer_close(&t);
}

/* It is no character: neither does it take a place, nor is a text that has one longer for it. */
static void test_separator_is_not_penalised(void)
{
    Tokenizer t = letters(true);
    Chooser c;
    Recent r;
    Err err = { 0 };
    CHECK(chooser_open(&c, &t, &err) == 0 && recent_open(&r, 2, &t, &err) == 0, "%s", err.msg);
    c.temperature = 0;
    c.first = 0;
    c.recent = &r;
    c.repeat_penalty = 3;
    recent_add(&r, 1);
    recent_add(&r, SEPARATOR_ID);
    recent_add(&r, 2);
    CHECK(chooser_pick(&c, (const real[]){ 2, 3, 1, 1, 1, 1 }, 1, 0) == 0, "3 is 1 now, 2 is 2");
    CHECK(chooser_pick(&c, (const real[]){ 0, 2, 4, 1, 1, 1 }, 1, 0) == 2, "4/3, 2/3");
    recent_close(&r);
    chooser_close(&c);
    tokenizer_close(&t);
}

static void test_separator_is_not_drawn(void)
{
    Tokenizer t = letters(true);
    Chooser c;
    Err err = { 0 };
    real logits[V] = { 9, 1, 1, 1, 1, 1 };
    CHECK(chooser_open(&c, &t, &err) == 0, "%s", err.msg);
    check_frequencies(&c, logits, (const double[]){ 0, 0.2, 0.2, 0.2, 0.2, 0.2 },
                      "without separator");
    c.temperature = 0;
    CHECK(chooser_pick(&c, logits, 1, 0) == 1, "greedy: the first of equals that may be drawn");
    logits[3] = (real)INFINITY;
    CHECK(chooser_pick(&c, logits, 1, 0) == -1, "a logit that is not finite");
    chooser_close(&c);
    tokenizer_close(&t);
}

/* ---------------------------------------------------------------- stop strings */

enum { TEXT_MAX = 40 };

/* The longest end of a text that is a beginning of a stop string; with `whole` all of one. */
static size_t longest_end(const char *text, size_t size, const char *const *strings, int count,
                          bool whole)
{
    size_t longest = 0;
    for (int i = 0; i < count; i++) {
        size_t length = strlen(strings[i]);
        for (size_t n = whole ? length : 1; n > 0 && n <= length && n <= size; n++)
            if (n > longest && memcmp(text + size - n, strings[i], n) == 0) longest = n;
    }
    return longest;
}

/* After each byte all that can be shown is shown, and nothing of a stop string ever is. */
static void check_stops(const char *const *strings, int count, const char *text)
{
    char shown[TEXT_MAX + 1], name[400] = "";
    size_t size = 0, length = strlen(text), at = 0;
    Stops s;
    Watch w = { .complete = false };
    Err err = { 0 };
    for (int i = 0; i < count; i++)
        snprintf(name + strlen(name), sizeof name - strlen(name), "%s ", strings[i]);
    CHECK(stops_open(&s, strings, count, &err) == 0, "%s", err.msg);
    while (at < length && !w.complete) {
        Released r = stops_add(&s, &w, text[at++]);
        memcpy(shown + size, r.bytes, r.size);
        size += r.size;
        if (r.passes) shown[size++] = text[at - 1];
        size_t whole = longest_end(text, at, strings, count, true);
        size_t held = whole > 0 ? whole : longest_end(text, at, strings, count, false);
        CHECK(w.complete == (whole > 0), "%sin %.*s: complete %d", name, (int)at, text, w.complete);
        CHECK(size == at - held && memcmp(shown, text, size) == 0, "%sin %.*s: %.*s is shown", name,
              (int)at, text, (int)size, shown);
    }
    Released r = stops_rest(&s, &w);
    memcpy(shown + size, r.bytes, r.size);
    CHECK(w.complete ? r.size == 0 : size + r.size == length && memcmp(shown, text, length) == 0,
          "%sin %s: the rest is %.*s", name, text, (int)r.size, r.bytes);
    stops_close(&s);
}

static void test_stops(void)
{
    static const struct { const char *strings[4]; const char *text; } cases[] = {
        { { "abc", "bcd", "c" }, "xabcd" }, { { "abc", "bcd", "c" }, "xbbcd" },
        { { "abc", "bcd" }, "aabxbcabd" }, { { "abcd", "bc" }, "aabcd" },
        { { "bc", "abcd" }, "aabcd" }, { { "ab", "abab", "a" }, "bbab" },
        { { "abab", "ab" }, "aab" },
        { { "abcx", "bcy", "cz" }, "abcz" }, { { "abcx", "bcy", "cz" }, "abcabcbcy" },
        { { "aaab", "aab" }, "aaaaab" }, { { "abab" }, "aababab" }, { { "", "b" }, "aab" },
        { { "aaaa", "aa" }, "baaaa" }, { { "" }, "aab" }, { { NULL }, "aab" }, { { "ab" }, "" },
        { { "ba", "ba" }, "aba" }, { { "abcabd" }, "abcabcab" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int count = 0;
        while (count < 4 && cases[i].strings[count] != NULL) count++;
        check_stops(cases[i].strings, count, cases[i].text);
    }
    for (uint64_t i = 0; i < 3000; i++) {
        char strings[STOPS_MAX][8], text[TEXT_MAX + 1];
        const char *list[STOPS_MAX];
        uint64_t n = 0, key = rng_key(i, 0, 0, RNG_SAMPLE);
        int count = 1 + (int)rng_below(key, n++, i % 10 == 0 ? STOPS_MAX : 4);
        for (int k = 0; k < count; k++) {
            size_t length = 1 + (size_t)rng_below(key, n++, 7);
            for (size_t b = 0; b < length; b++)
                strings[k][b] = (char)('a' + rng_below(key, n++, 2 + i % 2));
            strings[k][length] = '\0';
            list[k] = strings[k];
        }
        for (int b = 0; b < TEXT_MAX; b++) text[b] = (char)('a' + rng_below(key, n++, 2 + i % 2));
        text[TEXT_MAX] = '\0';
        check_stops(list, count, text);
    }
    const char *many[STOPS_MAX + 1];
    Stops s;
    Err err = { 0 };
    for (int i = 0; i <= STOPS_MAX; i++) many[i] = "a";
    CHECK(stops_open(&s, many, STOPS_MAX + 1, &err) == -1 && err.status == EXIT_USAGE
          && s.count == 0, "too many");
}

/* ---------------------------------------------------------------- protocols */

typedef struct {
    Model m;
    Scorer s;
    int32_t ids[COUNT];
    bool separator;
} Scored;

static void open_scored(Scored *x, bool separator, int slice)
{
    Err err = { 0 };
    Config c = { .layers = 1, .heads = 2, .channels = 8, .context = CONTEXT };
    const Kernels *K = kernels_pick("portable", &err);
    x->separator = separator;
    for (int i = 0; i < COUNT; i++) x->ids[i] = (int32_t)rng_below(5, (uint64_t)i, V);
    CHECK(family_check(&family_gpt2, &c, V, &err) == 0, "%s", err.msg);
    CHECK(model_open(&x->m, network_of(&family_gpt2), &c, K, MODEL_EVAL, slice, &err) == 0, "%s",
          err.msg);
    for (size_t i = 0; i < x->m.size; i++) x->m.params[i] = (real)(0.5 * rng_normal(11, i));
    CHECK(scorer_open(&x->s, &x->m, 1, separator, &err) == 0, "%s", err.msg);
}

static void close_scored(Scored *x)
{
    scorer_close(&x->s);
    model_close(&x->m);
}

/* Adds the window of `length` targets from `start` on, those from position `from`. */
static void add_window(Scored *x, Score *sum, size_t start, int length, int from)
{
    real nats[CONTEXT];
    model_losses(&x->m, x->ids + start, x->ids + start + 1, 1, length, nats);
    for (int t = from; t < length; t++) {
        if (x->separator && x->ids[start + 1 + (size_t)t] == SEPARATOR_ID) continue;
        sum->sum += (double)nats[t];
        sum->characters++;
    }
}

static void check_score(Score got, Score want, const char *name, int slice)
{
    CHECK(got.characters == want.characters && fabs(got.sum - want.sum) <= 1e-6 * want.sum,
          "%s, slice %d: %.9g nats of %zu characters, not %.9g of %zu", name, slice, got.sum,
          got.characters, want.sum, want.characters);
}

static void check_full(Scored *x, Part part, int slice)
{
    Score whole = { 0 }, some = { 0 }, two = { 0 };
    for (size_t start = 0; start < COUNT - 1; start += CONTEXT) {
        size_t left = COUNT - 1 - start;
        add_window(x, &whole, start, left < CONTEXT ? (int)left : CONTEXT, 0);
    }
    check_score(evaluate_full(&x->s, part, CONTEXT, SIZE_MAX), whole, "full", slice);
    check_score(evaluate_full(&x->s, part, CONTEXT, COUNT - 1), whole, "full, all of it", slice);
    /* 42 targets are 8 whole windows; of 16 targets 3 are taken, of 10 two: 0 2 5, and 0 4. */
    add_window(x, &some, 0, CONTEXT, 0);
    add_window(x, &some, 2 * CONTEXT, CONTEXT, 0);
    add_window(x, &some, 5 * CONTEXT, CONTEXT, 0);
    check_score(evaluate_full(&x->s, part, CONTEXT, 16), some, "full, three windows", slice);
    add_window(x, &two, 0, CONTEXT, 0);
    add_window(x, &two, 4 * CONTEXT, CONTEXT, 0);
    check_score(evaluate_full(&x->s, part, CONTEXT, 10), two, "full, two windows", slice);
}

/* The last start is drawn as often as the others. */
static void check_random(Scored *x, Part part, int slice)
{
    enum { WINDOWS = 40, STARTS = 3 };
    Part few = { .ids = part.ids, .count = CONTEXT + STARTS };
    uint64_t key = rng_key(2, 0, 0, RNG_EVAL);
    Score want = { 0 };
    int last = 0;
    for (uint64_t i = 0; i < WINDOWS; i++) {
        size_t start = (size_t)rng_below(key, i, STARTS);
        last += start == STARTS - 1;
        add_window(x, &want, start, CONTEXT, 0);
    }
    CHECK(last > WINDOWS / STARTS / 3, "random: the last start comes %d times", last);
    check_score(evaluate_random(&x->s, few, key, WINDOWS, CONTEXT), want, "random", slice);
}

static void check_strided(Scored *x, Part part, int slice)
{
    for (int stride = 1; stride <= CONTEXT; stride++) {
        Score want = { 0 };
        size_t scored = 0;
        for (size_t start = 0; scored < COUNT - 1; start += (size_t)stride) {
            size_t end = start + CONTEXT < COUNT - 1 ? start + CONTEXT : COUNT - 1;
            add_window(x, &want, start, (int)(end - start), (int)(scored - start));
            scored = end;
        }
        CHECK(scored == COUNT - 1, "strided: all are scored");
        check_score(evaluate_strided(&x->s, part, CONTEXT, stride), want, "strided", slice);
    }
}

/* Documents of 0, 1, ... ids; longer ones than the context go on in further windows. */
static void check_documents(Scored *x, Part part, int slice)
{
    Score want = { 0 }, half = { 0 };
    size_t number = 0;
    for (size_t begin = 0, length = 0; begin < COUNT; begin += 1 + length++)
        x->ids[begin] = SEPARATOR_ID;
    for (size_t begin = 0, end; begin < COUNT; begin = end, number++) {
        for (end = begin + 1; end < COUNT && x->ids[end] != SEPARATOR_ID; ) end++;
        for (size_t at = begin; at + 1 < end; at += CONTEXT) {
            int length = end - 1 - at < CONTEXT ? (int)(end - 1 - at) : CONTEXT;
            add_window(x, &want, at, length, 0);
            if (number % 2 == 0) add_window(x, &half, at, length, 0);
        }
    }
    check_score(evaluate_documents(&x->s, part, CONTEXT, SIZE_MAX), want, "documents", slice);
    check_score(evaluate_documents(&x->s, part, CONTEXT, COUNT - 1), half, "some documents", slice);
}

static void test_protocols(void)
{
    for (int slice = 1; slice <= 4; slice++)
        for (int separator = 0; separator < 2; separator++) {
            static Scored x;
            open_scored(&x, separator != 0, slice);
            Part part = { .ids = x.ids, .count = COUNT };
            check_full(&x, part, slice);
            check_random(&x, part, slice);
            check_strided(&x, part, slice);
            if (separator) check_documents(&x, part, slice);
            Score none = evaluate_full(&x.s, (Part){ .ids = x.ids, .count = 1 }, CONTEXT, SIZE_MAX);
            CHECK(none.characters == 0 && isnan(score_mean(none)),
                  "one character: nothing is scored");
            close_scored(&x);
        }
}

/* Numbers have the Gaussian's mean and deviation, times the temperature; or are its mean. */
static void test_numbers(void)
{
    enum { NUMBERS_DRAWN = 20000 };
    Tokenizer t = { 0 };
    Chooser c;
    Err err = { 0 };
    const real outputs[] = { (real)0.5, (real)-1.2 };
    const double spread = 4 * exp(6.9 * tanh(-1.2 / 6.9)), mean = 100 + 4 * 0.5;
    CHECK(tokenizer_from_numbers(&t, (Numbers){ 100, 4, 0 }, &err) == 0
          && chooser_open(&c, &t, &err) == 0, "%s", err.msg);
    for (int fixed = 0; fixed < 2; fixed++) {
        double sum = 0, squares = 0, want = fixed ? 3 : spread;
        if (fixed) t.numbers.deviation = 3;
        c.temperature = 0.5;
        for (uint64_t i = 0; i < NUMBERS_DRAWN; i++) {
            double x = number_value(&t.numbers, chooser_pick(&c, outputs, 7, i)) - mean;
            sum += x;
            squares += x * x;
        }
        CHECK_NEAR(sum / NUMBERS_DRAWN, 0, 0, 2 * want / sqrt(NUMBERS_DRAWN), "mean");
        CHECK_NEAR(sqrt(squares / NUMBERS_DRAWN), want / 2, 0.03, 0, "deviation");
        c.temperature = 0;
        CHECK_NEAR(number_value(&t.numbers, chooser_pick(&c, outputs, 7, 1)), mean, 1e-5, 0,
                   "the mean itself");
    }
    const real bad[] = { (real)NAN, 0 };
    CHECK(chooser_pick(&c, bad, 7, 1) == -1, "not finite");
    chooser_close(&c);
    tokenizer_close(&t);
}

int main(void)
{
    test_sampling();
    test_min_p();
    test_repeat_penalty();
    test_separator_is_not_penalised();
    test_separator_is_not_drawn();
    test_numbers();
    test_stops();
    test_protocols();
    return check_report("inference");
}
