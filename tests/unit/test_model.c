/* test_model.c: model.h in single precision, on every usable table.
 *
 * Gradients and logits are held against the second network of tiny.h in double precision,
 * differentiated numerically element by element; the rest are invariants: what must not change a
 * result, to the last bit or within rounding.
 */
#include "gpt.h"
#include "check.h"
#include "tiny.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#endif

enum { DROPOUT_KEY = 4711, THREADS_MAX = 7 };

static Config small(int family)
{
    return family == FAMILY_GPT2 ? gpt2(2, 2, 8, 9, 11, 1, 0, 0) : qwen3(2, 2, 6, 8, 19, 9, 11, 0);
}

/* Opens or ends the test: nothing can be said without a model. */
static void open_model(Model *m, const Config *c, const Kernels *K, ModelUse use, int slice)
{
    Err err = { 0 };
    if (gpt_open(m, c, K, use, slice, &err) == 0) return;
    printf("test_model: %s\n", err.msg);
    exit(1);
}

static void *memory(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (p != NULL) return p;
    printf("test_model: not enough memory\n");
    exit(1);
}

/* Mean loss of the batch x, y (B,T), in slices of at most n sequences; gradients in m->grads. */
static double run(Model *m, const int32_t *x, const int32_t *y, int B, int T, int n)
{
    double sum = 0;
    model_begin(m);
    for (int first = 0; first < B; first += n) {
        Slice s = { x + first * T, y + first * T, n < B - first ? n : B - first, T, first,
                    (size_t)(B * T), DROPOUT_KEY };
        model_train(m, &s, &sum);
    }
    model_finish(m);
    return sum / B / T;
}

/* ---------------------------------------------------------------- against the second network */

/* Gradients, one verdict per tensor: the largest difference against its largest gradient. */
static void check_gradients(const Model *m, const double *want, const char *name)
{
    for (int i = 0; i < m->tensor_count; i++) {
        const Tensor *t = &m->tensors[i];
        double largest = 0, worst = 0;
        for (size_t e = t->offset; e < t->offset + tensor_size(t); e++) {
            double error = fabs((double)m->grads[e] - want[e]);
            worst = tiny_larger(worst, error);
            largest = fmax(largest, fabs(want[e]));
        }
        CHECK(worst <= 1e-3 * largest, "%s %s: %s is off by %.3g of %.3g", m->gemm.K->name, name,
              t->name, worst, largest);
    }
}

static void check_against_tiny(const Config *c, int T, int B)
{
    const Kernels *K = kernels_usable(0);
    int N = B * T, V = c->vocab;
    int32_t *x = memory((size_t)N, sizeof *x), *y = memory((size_t)N, sizeof *y);
    double *want = NULL, mean = 0;
    real *logits = memory((size_t)T * (size_t)V, sizeof *logits);
    char name[120];
    tiny_name(name, sizeof name, c, T);
    tiny_text(x, y, N, V, 2);
    for (int k = 0; (K = kernels_usable(k)) != NULL; k++) {
        Model m;
        open_model(&m, c, K, MODEL_TRAIN, B);
        tiny_fill(&m, 1);
        Tiny *o = tiny_open(&m, DROPOUT_KEY);
        if (o == NULL) exit(1);
        if (want == NULL) {
            want = memory(m.size, sizeof *want);
            mean = tiny_mean_loss(o, x, y, B, T);
            for (size_t i = 0; i < m.size; i++) {
                const double h = 1e-5, kept = o->params[i];
                o->params[i] = kept + h;
                double above = tiny_mean_loss(o, x, y, B, T);
                o->params[i] = kept - h;
                want[i] = (above - tiny_mean_loss(o, x, y, B, T)) / (2 * h);
                o->params[i] = kept;
            }
        }
        CHECK_NEAR(run(&m, x, y, B, T, B), mean, 1e-5, 0, "%s %s: loss", K->name, name);
        check_gradients(&m, want, name);

        double worst = 0;
        o->dropout = 0;
        tiny_logits(o, x, T, 0);
        model_logits(&m, x, T, logits);
        for (int i = 0; i < T * V; i++)
            worst = tiny_larger(worst, fabs((double)logits[i] - o->logits[i / V][i % V]));
        CHECK(worst < 1e-4, "%s %s: logits are off by %.3g", K->name, name, worst);
        tiny_close(o);
        model_close(&m);
    }
    free(want);
    free(logits);
    free(x);
    free(y);
}

/* ---------------------------------------------------------------- invariants forward */

/* A fresh model knows next to nothing: its loss is nearly that of equal probabilities. */
static void check_initial_loss(const Kernels *K, int family)
{
    enum { T = 32, V = 65 };
    Config c = family == FAMILY_GPT2 ? gpt2(4, 4, 64, T, V, 0, 0, 0.2)
                                     : qwen3(4, 4, 0, 64, 0, T, V, 0.2);
    int32_t x[T], y[T];
    real losses[T];
    double sum = 0;
    Model m;
    open_model(&m, &c, K, MODEL_EVAL, 1);
    model_init(&m, 3);
    tiny_text(x, y, T, V, 4);
    model_losses(&m, x, y, 1, T, losses);
    for (int t = 0; t < T; t++) sum += (double)losses[t];
    CHECK_NEAR(sum / T, log(V), 0, 0.1, "%s family %d: initial loss", K->name, family);
    model_close(&m);
}

/* Changing character t changes no logit before t, to the last bit, and some logit at t. */
static void check_causality(const Kernels *K, int family)
{
    enum { T = 2 * QUERIES + 5, V = 11 };
    Config c = small(family);
    c.context = T;
    static real before[T * V], after[T * V];
    int32_t x[T], y[T];
    Model m;
    open_model(&m, &c, K, MODEL_EVAL, 1);
    tiny_fill(&m, 1);
    tiny_text(x, y, T, V, 2);
    model_logits(&m, x, T, before);
    for (int t = 0; t < T; t += 1 + t / 9) {
        int32_t kept = x[t];
        x[t] = (kept + 1) % V;
        model_logits(&m, x, T, after);
        x[t] = kept;
        CHECK(memcmp(before, after, (size_t)(t * V) * sizeof *before) == 0,
              "%s family %d: character %d changes earlier logits", K->name, family, t);
        CHECK(memcmp(before + t * V, after + t * V, V * sizeof *before) != 0,
              "%s family %d: character %d changes nothing", K->name, family, t);
    }
    model_close(&m);
}

/* Feeds 3 T characters one by one; every logit against the full forward over what the decoder
 * should hold: when the context is full, its last half is kept. */
static void check_decoder(const Kernels *K, const Config *c, int T)
{
    int V = c->vocab, held = 0;
    Config config = *c;
    config.context = T;
    int32_t *window = memory((size_t)T, sizeof *window);
    real *full = memory((size_t)T * (size_t)V, sizeof *full);
    double worst = 0, again = 0;
    char name[120];
    tiny_name(name, sizeof name, c, T);
    Model m;
    Decoder d;
    Err err = { 0 };
    open_model(&m, &config, K, MODEL_EVAL, 1);
    tiny_fill(&m, 1);
    CHECK(decoder_open(&d, &m, 1, &err) == 0, "%s", err.msg);
    if (err.status == 0) {
        for (int i = 0; i < 3 * T + 2; i++) {
            int32_t id = (int32_t)rng_below(9, (uint64_t)i, (uint64_t)V);
            if (held == T) {
                held = T / 2;
                memmove(window, window + T - held, (size_t)held * sizeof *window);
            }
            window[held++] = id;
            model_logits(&m, window, held, full);
            const real *logits = decoder_step(&d, &id);
            const real *want = full + (held - 1) * V;
            for (int v = 0; v < V; v++)
                worst = tiny_larger(worst, fabs((double)(logits[v] - want[v])));
        }
        decoder_reset(&d);
        model_logits(&m, window, 1, full);
        const real *logits = decoder_step(&d, window);
        for (int v = 0; v < V; v++) again = tiny_larger(again, fabs((double)(logits[v] - full[v])));
        decoder_close(&d);
    }
    CHECK(worst < 1e-4, "%s: decoding %s: logits are off by %.3g", K->name, name, worst);
    CHECK(again < 1e-4, "%s: decoding %s after a reset: logits are off by %.3g", K->name, name,
          again);
    model_close(&m);
    free(window);
    free(full);
}

/* With another flat array a model computes what the owner of that array computes; and again with
 * its own. */
static void check_use(const Kernels *K, int family)
{
    enum { T = 9, V = 11 };
    Config c = small(family);
    static real want[T * V], before[T * V], got[T * V];
    int32_t x[T], y[T];
    Model m, other;
    open_model(&m, &c, K, MODEL_EVAL, 1);
    open_model(&other, &c, K, MODEL_EVAL, 1);
    tiny_fill(&m, 1);
    tiny_fill(&other, 2);
    tiny_text(x, y, T, V, 2);
    model_logits(&m, x, T, before);
    model_logits(&other, x, T, want);
    model_use(&m, other.params);
    model_logits(&m, x, T, got);
    CHECK(memcmp(got, want, sizeof got) == 0 && memcmp(got, before, sizeof got) != 0,
          "%s family %d: the other weights do not count", K->name, family);
    model_use(&m, m.params);
    model_logits(&m, x, T, got);
    CHECK(memcmp(got, before, sizeof got) == 0, "%s family %d: the model's own weights do not",
          K->name, family);
    model_close(&m);
    model_close(&other);
}

/* ---------------------------------------------------------------- batches, slices, threads */

/* A batch of two is two batches of one: the same losses to the last bit, and the mean of the
 * gradients. */
static void check_two_batches(const Kernels *K, int family)
{
    enum { T = 9 };
    int32_t x[2 * T], y[2 * T];
    real both[2 * T], one[2 * T];
    Config c = small(family);
    Model m;
    open_model(&m, &c, K, MODEL_TRAIN, 2);
    tiny_fill(&m, 1);
    tiny_text(x, y, 2 * T, c.vocab, 2);
    model_losses(&m, x, y, 2, T, both);
    model_losses(&m, x, y, 1, T, one);
    model_losses(&m, x + T, y + T, 1, T, one + T);
    CHECK(memcmp(both, one, sizeof both) == 0,
          "%s family %d: the losses of two sequences depend on each other",
          K->name, family);

    double *want = memory(m.size, sizeof *want);
    for (int b = 0; b < 2; b++) {
        run(&m, x + b * T, y + b * T, 1, T, 1);
        for (size_t i = 0; i < m.size; i++) want[i] += 0.5 * (double)m.grads[i];
    }
    run(&m, x, y, 2, T, 2);
    check_gradients(&m, want, "two batches of one");
    free(want);
    model_close(&m);
}

/* Loss and gradients are the same bytes for every number of threads and every slice. */
static void check_same_bytes(const Kernels *K, const Config *c, int B, int T)
{
    static const int threads[] = { 1, 2, 3, THREADS_MAX };
    int slices[] = { 1, 2, 3, B };
    int32_t *x = memory((size_t)(B * T), sizeof *x), *y = memory((size_t)(B * T), sizeof *y);
    real *grads = NULL;
    double loss = 0;
    tiny_text(x, y, B * T, c->vocab, 2);
    for (int i = 0; i < 4; i++) {
        omp_set_num_threads(threads[i]);
        Model m;
        open_model(&m, c, K, MODEL_TRAIN, B);
        tiny_fill(&m, 1);
        if (i == 1) omp_set_num_threads(THREADS_MAX);       /* more than the model was opened for */
        for (int j = 0; j < 4; j++) {
            if (i > 0 && j != i && j != 3 - i) continue;    /* every pair would take too long */
            double got = run(&m, x, y, B, T, slices[j]);
            if (grads == NULL) {
                grads = memory(m.size, sizeof *grads);
                memcpy(grads, m.grads, m.size * sizeof *grads);
                loss = got;
            }
            CHECK(got == loss && memcmp(grads, m.grads, m.size * sizeof *grads) == 0,
                  "%s family %d C=%d V=%d: %d threads and slices of %d give other bytes", K->name,
                  c->family, c->channels, c->vocab, threads[i], slices[j]);
        }
        model_close(&m);
    }
    omp_set_num_threads(1);
    free(grads);
    free(x);
    free(y);
}

/* No two rows of any layer, site and step draw the same dropout. The keys are tiny.h's, which the
 * model's are too: with others its losses would differ from the second network's. */
static void check_dropout_keys(void)
{
    enum { STEPS = 3, LAYERS = 4, ROWS = 32, KEYS = STEPS * LAYERS * SITES * ROWS };
    static uint64_t keys[KEYS];
    int count = 0, equal = 0;
    for (uint64_t step = 0; step < STEPS; step++)
        for (int place = 0; place < LAYERS * SITES; place++)
            for (size_t row = 0; row < ROWS; row++) {
                uint64_t step_key = rng_key(1, 0, step, RNG_DROPOUT);
                keys[count] = tiny_dropout_key(step_key, place / SITES, place % SITES, row);
                for (int i = 0; i < count; i++) equal += keys[i] == keys[count];
                count++;
            }
    CHECK(equal == 0, "%d of %d dropout keys are equal", equal, KEYS);
}

/* The losses do not depend on the number of threads either. */
static void check_same_losses(const Kernels *K, int family)
{
    enum { T = 70, B = 3, V = 70, C = COLUMNS + 16 };
    Config c = family == FAMILY_GPT2 ? gpt2(2, 4, C, T, V, 1, 1, 0)
                                     : qwen3(2, 4, 24, C, 99, T, V, 0);
    static real first[B * T], losses[B * T];
    static int32_t x[B * T], y[B * T];
    tiny_text(x, y, B * T, V, 2);
    for (int threads = 1; threads <= THREADS_MAX; threads += 2) {
        omp_set_num_threads(threads);
        Model m;
        open_model(&m, &c, K, MODEL_EVAL, B);
        tiny_fill(&m, 5);
        model_losses(&m, x, y, B, T, threads == 1 ? first : losses);
        CHECK(threads == 1 || memcmp(first, losses, sizeof first) == 0,
              "%s family %d: %d threads give other losses",
              K->name, family, threads);
        model_close(&m);
    }
    omp_set_num_threads(1);
}

/* ---------------------------------------------------------------- learning, and odd sizes */

/* One batch is learnt by heart: its loss falls to almost nothing. */
static void check_overfit(const Kernels *K, const Config *c)
{
    enum { T = 16, B = 4, V = 17, STEPS = 150 };
    int32_t x[B * T], y[B * T];
    double loss = 0, start = 0;
    Model m;
    open_model(&m, c, K, MODEL_TRAIN, B);
    model_init(&m, 1);
    tiny_text(x, y, B * T, V, 2);
    for (int b = 0; b < B; b++) x[b * T] = b;       /* equal beginnings could not be told apart */
    real *moments = memory(2 * m.size, sizeof *moments);
    for (int step = 1; step <= STEPS; step++) {
        loss = run(&m, x, y, B, T, B);
        if (step == 1) start = loss;
        AdamW a = { (real)1e-2, (real)0.9, (real)0.99, (real)1e-8, 0, (real)(1 - pow(0.9, step)),
                    (real)sqrt(1 - pow(0.99, step)), 1 };
        K->adamw(m.params, moments, moments + m.size, m.grads, (int)m.size, a);
    }
    CHECK(start > 2.5 && loss < 0.02, "%s family %d untied %d: loss %.3g, and after %d steps %.3g",
          K->name, c->family, c->untied, start, STEPS, loss);
    free(moments);
    model_close(&m);
}

/* Sizes at the edge of what a Config may say: everything stays finite. */
static void check_odd_sizes(const Kernels *K)
{
    const Config odd[] = {
        gpt2(2, 2, 8, 5, 1, 1, 0, 0.1),                     /* V = 1 */
        gpt2(2, 2, 8, 1, 5, 1, 0, 0.1),                     /* T = 1 */
        gpt2(2, 1, 1, 5, 5, 1, 0, 0.1),                     /* C = 1 */
        gpt2(2, 12, 12, 5, 5, 0, 1, 0.1),                   /* H = C */
        gpt2(0, 1, 4, 5, 5, 1, 0, 0.1),                     /* L = 0 */
        gpt2(1, 1, 1, 1, 1, 0, 0, 0),
        gpt2(1, 1, 2, 50, 70000, 0, 0, 0),
        qwen3(2, 2, 4, 8, 5, 5, 1, 0.1),                    /* V = 1 */
        qwen3(2, 2, 4, 8, 5, 1, 5, 0.1),                    /* T = 1 */
        qwen3(2, 1, 2, 1, 1, 5, 5, 0.1),                    /* C = F = 1, the smallest head */
        qwen3(2, 3, 70, 4, 200, 5, 5, 0.1),                 /* heads much wider than C */
        qwen3(0, 1, 2, 4, 5, 5, 5, 0.1),                    /* L = 0 */
        qwen3(1, 1, 2, 1, 1, 1, 1, 0),
        qwen3(1, 1, 2, 2, 7, 50, 70000, 0),
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const Config *c = &odd[i];
        int32_t x[100], y[100];
        Model m;
        Decoder d;
        Err err = { 0 };
        open_model(&m, c, K, MODEL_TRAIN, 2);
        model_init(&m, 1);
        tiny_text(x, y, 2 * c->context, c->vocab, 2);
        double loss = run(&m, x, y, 2, c->context, 2);
        CHECK_NEAR(loss, log(c->vocab), 0, 0.05, "%s V=%d T=%d C=%d: loss", K->name, c->vocab,
                   c->context, c->channels);
        CHECK(isfinite(m.gemm.K->sum_squares(m.grads, (int)m.size)), "gradients are finite");
        if (decoder_open(&d, &m, 1, &err) == 0) {
            for (int t = 0; t < 3; t++)
                CHECK(isfinite(decoder_step(&d, &x[t % c->context])[0]), "logits are finite");
            decoder_close(&d);
        }
        CHECK(err.status == 0, "%s", err.msg);
        model_close(&m);
    }
}

/* ---------------------------------------------------------------- sizes, tensors, memory */

/* Field by field: a struct may have gaps. */
static bool same_config(const Config *a, const Config *b)
{
    bool same = a->family == b->family;
    for (int i = 0; i < family_gpt2.field_count; i++) {
        const Field *f = &family_gpt2.fields[i];
        size_t size = f->kind == FIELD_REAL ? sizeof(double) : sizeof(int);
        same = same && memcmp((const char *)a + f->offset, (const char *)b + f->offset, size) == 0;
    }
    return same;
}

/* Every value as text and back; values that a field takes and does not take. */
static void check_fields(void)
{
    Config configs[] = { gpt2(6, 6, 384, 256, 65, 0, 1, 0.2),
                         qwen3(3, 5, 14, 100, 333, 64, 65, 0.1) };
    configs[1].untied = 1;
    configs[1].rope_base = 1e6 / 3;
    Config back;
    for (int i = 0; i < 2; i++) {
        const Family *family = gpt_family(&configs[i]);
        char text[64];
        memset(&back, 0, sizeof back);
        back.family = configs[i].family;
        for (const Field *f = family->fields; f < family->fields + family->field_count; f++) {
            field_get(&configs[i], f, text, sizeof text);
            CHECK(field_set(&back, f, text) == 0, "%s is %s", f->name, text);
            CHECK(strcmp(f->option + 2, f->name) == 0, "%s and %s", f->option, f->name);
            CHECK((f->text == NULL) == (strcmp(f->name, FIELD_VOCAB) == 0), "%s: default", f->name);
        }
        CHECK(family->field_count == 12 && same_config(&configs[i], &back), "all fields come back");
    }

    static const struct { const char *field, *value; int result; } cases[] = {
        { "layers", "0", 0 },       { "layers", "1000", 0 },        { "layers", "1001", -1 },
        { "layers", "-1", -1 },     { "layers", "1.5", -1 },        { "layers", "", -1 },
        { "layers", "6x", -1 },     { "layers", "nan", -1 },
        { "layers", "9999999999999999999", -1 },
        { "heads", "0", -1 },       { "channels", "0", -1 },        { "vocab", "0", -1 },
        { "context", "0", -1 },     { "context", "65536", 0 },      { "context", "65537", -1 },
        { "bias", "on", 0 },        { "bias", "off", 0 },           { "bias", "1", -1 },
        { "bias", "", -1 },         { "gelu", "erf", 0 },           { "gelu", "tanh", 0 },
        { "gelu", "TANH", -1 },
        { "dropout", "0", 0 },      { "dropout", "0.99", 0 },       { "dropout", "1", -1 },
        { "dropout", "-0.1", -1 },  { "dropout", "inf", -1 },       { "dropout", "0.2 ", -1 },
        { "hidden", "0", 0 },
        { "hidden", "262144", 0 },  { "hidden", "262145", -1 },     { "hidden", "-1", -1 },
        { "head-size", "65536", 0 }, { "head-size", "65537", -1 },  { "head-size", "2.5", -1 },
        { "head", "tied", 0 },      { "head", "untied", 0 },        { "head", "0", -1 },
        { "rope-base", "1", 0 },    { "rope-base", "1e12", 0 },     { "rope-base", "0.5", -1 },
        { "rope-base", "1e13", -1 }, { "rope-base", "nan", -1 },    { "rope-base", "", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const Field *f = family_field(&family_gpt2, cases[i].field);
        CHECK(f != NULL && field_set(&back, f, cases[i].value) == cases[i].result, "%s = \"%s\"",
              cases[i].field, cases[i].value);
    }
}

/* What was left open is filled in, and what was not is left alone. */
static void check_completion(void)
{
    static const struct { int family, heads, channels, hidden, head_size; double base; } want[] = {
        { FAMILY_GPT2, 6, 384, 1536, 64, 10000 },   { FAMILY_GPT2, 1, 5, 20, 5, 10000 },
        { FAMILY_QWEN3, 6, 384, 1024, 64, 10000 },  { FAMILY_QWEN3, 4, 128, 384, 32, 10000 },
        { FAMILY_QWEN3, 1, 1, 64, 1, 10000 },       { FAMILY_QWEN3, 2, 96, 256, 48, 10000 },
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        Config c = { .family = want[i].family, .heads = want[i].heads,
                     .channels = want[i].channels };
        gpt_complete(&c);
        CHECK(c.hidden == want[i].hidden && c.head_size == want[i].head_size
                  && c.rope_base == want[i].base,
              "family %d C=%d: hidden %d, head-size %d, rope-base %g", c.family, c.channels,
              c.hidden, c.head_size, c.rope_base);
        Config again = c;
        gpt_complete(&again);
        CHECK(same_config(&c, &again), "a complete configuration changes");
    }
    Config given = { .family = FAMILY_QWEN3, .heads = 4, .channels = 128, .hidden = 1,
                     .head_size = 6, .rope_base = 1e6 };
    gpt_complete(&given);
    CHECK(given.hidden == 1 && given.head_size == 6 && given.rope_base == 1e6,
          "given values change");
}

/* A Config that differs from a sound one in one field. */
static Config changed(int family, const char *field, double value)
{
    Config c = small(family);
    const Field *f = family_field(gpt_family(&c), field);
    if (f->kind == FIELD_REAL) *field_real(&c, f) = value;
    else *field_int(&c, f) = (int)value;
    return c;
}

static void check_refused(const Config *c, const char *what)
{
    Model m;
    Err err = { 0 };
    CHECK(gpt_check(c, &err) == -1 && err.status == EXIT_USAGE && err.msg[0] != '\0',
          "%s is accepted", what);
    CHECK(gpt_open(&m, c, kernels_usable(0), MODEL_EVAL, 1, &err) == -1, "%s opens", what);
}

static void check_config(void)
{
    static const struct { const char *field; double value; } both[] = {
        { "layers", -1 },     { "layers", 1001 },      { "heads", 0 },      { "heads", 1025 },
        { "channels", 0 },    { "channels", 65537 },   { "hidden", -1 },    { "hidden", 262145 },
        { "head-size", -1 },  { "head-size", 65538 },  { "context", 0 },    { "context", 65537 },
        { "vocab", 0 },       { "vocab", 1 << 22 },    { "bias", 2 },       { "gelu", -1 },
        { "head", 2 },        { "head", -1 },          { "dropout", 1.0 },  { "dropout", -0.1 },
        { "rope-base", 0.5 }, { "rope-base", 1e13 },
        { "rope-base", (double)NAN }, { "dropout", (double)NAN },
    };
    for (int family = FAMILY_GPT2; family <= FAMILY_QWEN3; family++) {
        Err err = { 0 };
        Config c = small(family);
        CHECK(gpt_check(&c, &err) == 0, "family %d: %s", family, err.msg);
        for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
            c = changed(family, both[i].field, both[i].value);
            check_refused(&c, both[i].field);
        }
    }
    static const struct { int family; const char *field; double value; } wrong[] = {
        { FAMILY_GPT2, "heads", 3 },  { FAMILY_GPT2, "channels", 9 },
        { FAMILY_GPT2, "head", 1 },   { FAMILY_GPT2, "head-size", 6 },
        { FAMILY_QWEN3, "bias", 1 },  { FAMILY_QWEN3, "head-size", 3 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Config c = changed(wrong[i].family, wrong[i].field, wrong[i].value);
        check_refused(&c, wrong[i].field);
    }
    static const struct { const char *field; double value; } right[] = {
        { "heads", 3 }, { "channels", 9 }, { "hidden", 1 }, { "head-size", 2 }, { "head-size", 98 },
        { "head", 1 },  { "rope-base", 1 },
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        Err err = { 0 };
        Config c = changed(FAMILY_QWEN3, right[i].field, right[i].value);
        CHECK(gpt_check(&c, &err) == 0, "%s %g: %s", right[i].field, right[i].value, err.msg);
    }
    Config odd = qwen3(1, 2, 0, 6, 0, 9, 11, 0), none = qwen3(1, 4, 0, 2, 0, 9, 11, 0);
    check_refused(&odd, "a derived head-size of 3");
    check_refused(&none, "a derived head-size of 0");
}

/* The tensors that are rows of one matrix with the tensor before them. */
static bool continues(const Tensor *t)
{
    return strstr(t->name, ".k_proj.") != NULL || strstr(t->name, ".v_proj.") != NULL
        || strstr(t->name, ".up_proj.") != NULL;
}

/* Tensors: in order, apart, on cache lines or joined without a gap, named once, and as many numbers
 * as there should be. */
static void check_tensors(const Config *c, size_t parameters, int decayed, int others)
{
    size_t size = 0, end = 0, sum = 0;
    int count = family_tensors(gpt_family(c), c, NULL, &size), again = 0, decay = 0;
    Tensor *t = memory((size_t)count, sizeof *t);
    again = family_tensors(gpt_family(c), c, t, NULL);
    CHECK(again == count && count == decayed + others, "%d tensors", count);
    for (int i = 0; i < count; i++) {
        CHECK(continues(&t[i]) ? t[i].offset == end
              : t[i].offset >= end && t[i].offset % (CACHE_LINE / sizeof(float)) == 0,
              "%s starts at %zu, %zu",
              t[i].name, t[i].offset, end);
        CHECK(t[i].decay == (t[i].rank == 2) && t[i].hidden == (t[i].rank == 2 && t[i].block >= 0),
              "%s: decay %d, hidden %d", t[i].name, t[i].decay, t[i].hidden);
        CHECK(t[i].rank == 2 || t[i].rows == 1, "%s: rank %d with %d rows", t[i].name, t[i].rank,
              t[i].rows);
        end = t[i].offset + tensor_size(&t[i]);
        sum += tensor_size(&t[i]);
        decay += t[i].decay;
        for (int j = 0; j < i; j++) CHECK(strcmp(t[i].name, t[j].name) != 0, "%s twice", t[i].name);
    }
    CHECK(end <= size, "the last tensor ends at %zu of %zu", end, size);
    CHECK(sum == parameters && family_parameters(gpt_family(c), c) == parameters,
          "%zu parameters instead of %zu", sum, parameters);
    CHECK(decay == decayed, "%d tensors decay instead of %d", decay, decayed);
    free(t);
}

/* Names and shapes are those of Hugging Face's Qwen3ForCausalLM; the model's matrices are made of
 * them. */
static void check_qwen3_tensors(int untied)
{
    enum { L = 2, H = 2, D = 6, A = H * D, C = 8, F = 19, T = 9, V = 11 };
    static const struct { const char *name; int rows, cols; } block[] = {   /* rows 0: a vector */
        { "input_layernorm", 0, C },   { "self_attn.q_proj", A, C },  { "self_attn.k_proj", A, C },
        { "self_attn.v_proj", A, C },  { "self_attn.q_norm", 0, D },  { "self_attn.k_norm", 0, D },
        { "self_attn.o_proj", C, A },  { "post_attention_layernorm", 0, C },
        { "mlp.gate_proj", F, C },     { "mlp.up_proj", F, C },       { "mlp.down_proj", C, F },
    };
    enum { EACH = sizeof block / sizeof block[0] };
    Config c = qwen3(L, H, D, C, F, T, V, 0);
    c.untied = untied;
    Model m;
    open_model(&m, &c, kernels_usable(0), MODEL_TRAIN, 1);
    CHECK(m.tensor_count == 1 + L * EACH + 1 + untied, "%d tensors", m.tensor_count);
    for (int i = 0; i < m.tensor_count; i++) {
        const Tensor *t = &m.tensors[i];
        char name[120];
        int at = (i - 1) % EACH, rows = V, cols = C, last = i - 1 - L * EACH;
        if (i == 0) {
            snprintf(name, sizeof name, "model.embed_tokens.weight");
        } else if (last >= 0) {
            snprintf(name, sizeof name, "%s", last ? "lm_head.weight" : "model.norm.weight");
            rows = last ? V : 0;
        } else {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", (i - 1) / EACH,
                     block[at].name);
            rows = block[at].rows;
            cols = block[at].cols;
        }
        CHECK(strcmp(t->name, name) == 0, "%s instead of %s", t->name, name);
        CHECK(t->rank == (rows ? 2 : 1) && t->rows == (rows ? rows : 1) && t->cols == cols
              && !t->stored_transposed,
              "%s: rank %d, %d x %d, transposed %d", t->name, t->rank, t->rows, t->cols,
              t->stored_transposed);
    }
    for (int l = 0; l < L; l++) {
        const Tensor *t = &m.tensors[1 + l * EACH];
        const Block *w = &gpt_memory(&m)->w.blocks[l], *g = &gpt_memory(&m)->g.blocks[l];
        CHECK(w->qkvw == m.params + t[1].offset && w->qkvw + A * C == m.params + t[2].offset
              && w->qkvw + 2 * A * C == m.params + t[3].offset,
              "block %d: queries, keys, values", l);
        CHECK(w->fcw == m.params + t[8].offset && w->fcw + F * C == m.params + t[9].offset,
              "block %d: gate, up", l);
        CHECK(g->qkvw == m.grads + t[1].offset && g->outw == m.grads + t[10].offset,
              "block %d: gradients", l);
        CHECK(w->ln1b == NULL && w->qkvb == NULL && w->projb == NULL && w->ln2b == NULL
                  && w->fcb == NULL && w->outb == NULL,
              "block %d has biases", l);
    }
    const Weights *w = &gpt_memory(&m)->w, *g = &gpt_memory(&m)->g;
    CHECK(w->wpe == NULL && (w->head == w->wte) == !untied && (g->head == g->wte) == !untied,
          "the head");
    model_close(&m);
}

/* The deviation that a tensor of a fresh model should have. */
static double initial_deviation(const Config *c, const Tensor *t)
{
    bool residual = strstr(t->name, "c_proj") || strstr(t->name, "o_proj")
                    || strstr(t->name, "down_proj");
    if (t->rank == 1) return 0;
    if (c->family == FAMILY_GPT2) return residual ? 0.02 / sqrt(2.0 * c->layers) : 0.02;
    if (t->block < 0) return 0.02;
    return residual ? 0 : 0.5 / sqrt(t->cols);
}

/* The deviation of every tensor as model_init promises, and no seed like another. */
static void check_init(const Kernels *K, int family)
{
    Config c = family == FAMILY_GPT2 ? gpt2(3, 2, 64, 64, 200, 1, 0, 0)
                                     : qwen3(3, 2, 50, 64, 99, 64, 200, 0);
    c.untied = family == FAMILY_QWEN3;
    Model m, other;
    open_model(&m, &c, K, MODEL_EVAL, 1);
    open_model(&other, &c, K, MODEL_EVAL, 1);
    model_init(&m, 1);
    model_init(&other, 2);
    for (int i = 0; i < m.tensor_count; i++) {
        const Tensor *t = &m.tensors[i];
        size_t n = tensor_size(t), len = strlen(t->name), equal = 0;
        double sum = 0, squares = 0;
        for (size_t e = t->offset; e < t->offset + n; e++) {
            sum += (double)m.params[e];
            squares += (double)m.params[e] * (double)m.params[e];
            equal += m.params[e] == other.params[e];
        }
        double mean = sum / (double)n, deviation = sqrt(fmax(0, squares / (double)n - mean * mean));
        double want = initial_deviation(&c, t);
        bool one = t->rank == 1 && strcmp(t->name + len - 7, ".weight") == 0;
        CHECK_NEAR(deviation, want, 5 / sqrt(2.0 * (double)n), 1e-12, "%s: deviation", t->name);
        CHECK_NEAR(mean, one, 0, 5 * want / sqrt((double)n), "%s: mean", t->name);
        CHECK(want > 0 ? equal < 2 + n / 1000 : equal == n,
              "%s: %zu of %zu elements equal another seed's", t->name, equal, n);
    }
    model_init(&other, 1);
    CHECK(memcmp(m.params, other.params, m.size * sizeof(real)) == 0,
          "the same seed gives the same weights");
    model_close(&m);
    model_close(&other);
}

/* From one sequence to the whole batch, never falling as the cache grows. */
static void check_slice(void)
{
    const Config configs[] = {
        gpt2(6, 6, 384, 256, 65, 0, 0, 0.2), gpt2(0, 1, 1, 1, 1, 0, 0, 0),
        gpt2(12, 12, 768, 65536, 50257, 1, 1, 0), gpt2(4, 4, 128, 64, 65, 0, 0, 0),
        qwen3(6, 6, 128, 384, 0, 256, 65, 0.2), qwen3(0, 1, 2, 1, 1, 1, 1, 0),
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++)
        for (int batch = 1; batch < 2000; batch = 3 * batch) {
            int last = 1;
            for (size_t cache = 0; cache <= (size_t)1 << 36; cache = cache ? 4 * cache : 1) {
                int n = model_slice(gpt_family(&configs[i]), &configs[i], cache, batch);
                CHECK(n >= last && n <= batch, "model_slice: %d of %d after %d", n, batch, last);
                last = n;
            }
            CHECK(last == batch || configs[i].context == 65536,
                  "a cache of 64 GB holds only %d of %d", last, batch);
        }
}

/* A model that no machine holds is an error with a sentence; the address sanitizer would end the
 * program. */
static void check_memory(const Kernels *K)
{
    Config huge = gpt2(1000, 1, 65536, 65536, 1 << 21, 1, 0, 0);
    Config largest = qwen3(1000, 1024, 65536, 65536, 262144, 65536, 1 << 21, 0);
    Err err = { 0 };
    CHECK(gpt_check(&largest, &err) == 0, "%s", err.msg);
    CHECK(model_bytes(network_of(gpt_family(&largest)), &largest, K, MODEL_EVAL, 1)
              > model_bytes(network_of(gpt_family(&huge)), &huge, K, MODEL_EVAL, 1),
          "the largest model");
    CHECK(gpt_check(&huge, &err) == 0, "%s", err.msg);
    CHECK(model_bytes(network_of(gpt_family(&huge)), &huge, K, MODEL_TRAIN, 1)
              > model_bytes(network_of(gpt_family(&huge)), &huge, K, MODEL_EVAL, 1),
          "training takes more memory");
    CHECK(model_bytes(network_of(gpt_family(&huge)), &huge, K, MODEL_EVAL, 2)
              > model_bytes(network_of(gpt_family(&huge)), &huge, K, MODEL_EVAL, 1),
          "a slice takes memory");
#ifndef ADDRESS_SANITIZER
    Model m;
    CHECK(gpt_open(&m, &huge, K, MODEL_TRAIN, 1, &err) == -1 && err.status == EXIT_RUNTIME
          && err.msg[0] != '\0', "a huge model");
#endif
}

static void check_oracle(void)
{
    for (int i = 0; i < 4; i++) {
        Config c = gpt2(2, 2, 8, 9, 11, i % 2, i / 2, i % 3 ? 0.3 : 0);
        check_against_tiny(&c, 7, 3);
        c = qwen3(2, 2, i % 2 ? 6 : 2, 8, i % 2 ? 5 : 19, 9, 11, i % 3 ? 0.3 : 0);
        c.untied = i / 2;
        c.rope_base = i % 2 ? 10000 : 3;
        check_against_tiny(&c, 7, 3);
    }
    Config long_gpt2 = gpt2(1, 2, 4, QUERIES + 13, 5, 1, 0, 0.3);
    Config long_qwen3 = qwen3(1, 2, 6, 4, 7, QUERIES + 13, 5, 0.3);
    check_against_tiny(&long_gpt2, QUERIES + 13, 2);
    check_against_tiny(&long_qwen3, QUERIES + 13, 2);
}

/* Everything that holds for a family, on one table. */
static void check_family(const Kernels *K, int family)
{
    static const int contexts[] = { 1, 2, 5, 9, 64 };
    check_initial_loss(K, family);
    check_causality(K, family);
    for (int i = 0; i < 5; i++) {
        Config c = small(family);
        if (family == FAMILY_GPT2) {
            c.bias = i % 2;
            c.gelu_tanh = i / 2 % 2;
        } else {
            c.untied = i % 2;
            c.head_size = i / 2 % 2 ? 2 : 10;
            c.rope_base = i % 2 ? 10000 : 3;
        }
        check_decoder(K, &c, contexts[i]);
    }
    check_use(K, family);
    check_two_batches(K, family);
    check_same_losses(K, family);
    check_init(K, family);
}

static void check_table(const Kernels *K)
{
    const Config same[] = {     /* more rows than one block of a sum; logits in several */
        gpt2(2, 4, COLUMNS + 16, QUERIES + 12, 70, 1, 0, 0.2), gpt2(1, 1, 4, 40, 25000, 0, 0, 0),
        qwen3(2, 3, 34, COLUMNS + 16, 99, QUERIES + 12, 70, 0.2),
        qwen3(1, 1, 2, 4, 7, 40, 25000, 0),
    };
    Config learners[] = { gpt2(2, 2, 16, 16, 17, 1, 0, 0), qwen3(2, 2, 8, 16, 44, 16, 17, 0),
                          qwen3(2, 2, 8, 16, 44, 16, 17, 0) };
    learners[2].untied = 1;
    check_family(K, FAMILY_GPT2);
    check_family(K, FAMILY_QWEN3);
    for (int i = 0; i < 4; i++) {
        Config c = same[i];
        c.untied = i == 2;
        check_same_bytes(K, &c, i % 2 ? 3 : 5, c.context);
    }
    for (int i = 0; i < 3; i++) check_overfit(K, &learners[i]);
    check_odd_sizes(K);
    check_memory(K);
}

int main(void)
{
    const Kernels *K;
    omp_set_num_threads(1);
    check_oracle();
    for (int k = 0; (K = kernels_usable(k)) != NULL; k++) check_table(K);
    check_dropout_keys();
    check_fields();
    check_completion();
    check_config();
    Config nanogpt = gpt2(6, 6, 384, 256, 65, 0, 0, 0.2);
    check_tensors(&nanogpt, 10745088, 26, 13);
    nanogpt.bias = 1;   /* 11 C more a block: C + 3 C + C attention, C + 4 C + C MLP; and C */
    check_tensors(&nanogpt, 10745088 + 6 * 11 * 384 + 384, 26, 13 + 6 * 6 + 1);
    nanogpt.layers = 0;
    check_tensors(&nanogpt, 65 * 384 + 256 * 384 + 2 * 384, 2, 2);
    Config ragged = gpt2(1, 1, 5, 3, 7, 1, 0, 0);
    check_tensors(&ragged, 7 * 5 + 3 * 5 + 12 * 25 + 13 * 5 + 2 * 5, 6, 10);
    Config qwen = qwen3(3, 3, 6, 5, 7, 9, 11, 0);   /* A = 18: 4 A C + 3 F C + 2 C + 2 D a block */
    check_tensors(&qwen, 11 * 5 + 3 * (4 * 18 * 5 + 3 * 7 * 5 + 2 * 5 + 2 * 6) + 5, 1 + 3 * 7,
                  3 * 4 + 1);
    qwen.untied = 1;
    qwen.layers = 0;
    check_tensors(&qwen, 2 * 11 * 5 + 5, 2, 1);
    for (int untied = 0; untied < 2; untied++) check_qwen3_tensors(untied);
    check_slice();
    return check_report("model");
}
