/* test_networks.c: what networks/network.h demands, of every network of the list.
 *
 * Built with -DFOLIO_DOUBLE. Tiny configurations with every switch: gradients against finite
 * differences element by element, probabilities of all strings, later characters that change no
 * earlier conditional, the decoder against the full forward and its draws against the
 * probabilities, the same bytes for any slice and any number of threads, and a batch that is learnt
 * by heart. Networks that learn without gradients have none, and learn some ids instead; n-grams
 * are counted again as their definition says.
 *
 *     test_networks               the verdict
 *     test_networks WORD          only the cases whose line has WORD
 */
#include "../../networks/memory.h"
#include "../../networks/ngram.h"
#include "../../training/optimizer.h"
#include "check.h"

enum { V = 4, B = 5, STREAMS = 3, DROPOUT_KEY = 4711, IDS = 90 };

/* A family and its fields; `vocab` is V. With `deviation` ids are numbers; with `memory` there is
 * one of this order beside the network, with `teacher` counts have this share of the targets. */
static const char *const cases[] = {
    "gpt2 layers=1 heads=2 channels=8 context=6 dropout=0.2",
    "qwen3 layers=1 heads=2 channels=8 context=6",
    "fvsbn context=6",
    "nade hidden=7 context=6",
    "nade hidden=7 context=6 dropout=0.2",
    "made layers=1 hidden=9 context=6 direct=off",
    "made layers=3 hidden=9 context=6 direct=on dropout=0.2",
    "made layers=2 hidden=9 context=6 direct=on masks=3",
    "cnn layers=3 channels=5 context=6 kernel=2 dilations=2 dropout=0.2",
    "cnn layers=2 channels=5 context=6 kernel=3 dilations=6",
    "cnn layers=2 channels=5 context=8 kernel=3 dilations=3 image-width=3",
    "cnn layers=2 channels=4 context=9 kernel=5 dilations=3 image-width=4 dropout=0.2",
    "lstm layers=1 channels=7 context=6",
    "lstm layers=2 channels=9 context=6 dropout=0.2",
    "gpt2 layers=1 heads=2 channels=8 context=6 dropout=0.2 deviation=0",
    "qwen3 layers=1 heads=2 channels=8 context=6 deviation=0.7",
    "fvsbn context=6 deviation=0",
    "fvsbn context=1 deviation=0",
    "nade hidden=7 context=6 deviation=0",
    "made layers=2 hidden=9 context=6 direct=on deviation=0",
    "cnn layers=2 channels=5 context=8 kernel=3 dilations=3 image-width=3 deviation=0",
    "lstm layers=2 channels=9 context=6 deviation=0",
    "ngram order=0 context=6",
    "ngram order=1 context=6",
    "ngram order=4 context=6",
    "ngram order=9 context=6",
    "qwen3 layers=1 heads=2 channels=8 context=6 memory=4",
    "gpt2 layers=1 heads=2 channels=8 context=6 memory=2",
    "lstm layers=1 channels=7 context=6 memory=9",
    "made layers=2 hidden=9 context=6 direct=on masks=3 memory=3",
    "gpt2 layers=1 heads=2 channels=8 context=6 teacher=0.4",
    "qwen3 layers=1 heads=2 channels=8 context=6 teacher=1",
    "lstm layers=1 channels=7 context=6 teacher=0.3",
    "nade hidden=7 context=6 teacher=0.6",
};

typedef struct {
    const char *line;
    const Family *family;
    Space config;
    Numbers numbers;            /* scale 0: ids are symbols */
    int memory;                 /* 0: none */
    double share;               /* of the teacher; 0: none */
    int T;
    int32_t *x, *y;             /* (B,T); some targets do not count */
    size_t targets;
} Case;

static void stop(const char *line, const char *why)
{
    printf("test_networks: %s: %s\n", line, why);
    exit(1);
}

static void *memory(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (p == NULL) stop("memory", "there is not enough");
    return p;
}

static void parse(Case *c, const char *line)
{
    char words[200], *word;
    Err err = { 0 };
    *c = (Case){ .line = line };
    snprintf(words, sizeof words, "%s", line);
    c->family = family_named(strtok(words, " "));
    if (c->family == NULL) stop(line, "no such family");
    for (int i = 0; i < c->family->field_count; i++)
        if (c->family->fields[i].text != NULL)
            field_set(&c->config, &c->family->fields[i], c->family->fields[i].text);
    while ((word = strtok(NULL, " ")) != NULL) {
        char *value = strchr(word, '=');
        *value++ = '\0';
        if (strcmp(word, "deviation") == 0) {
            c->numbers = (Numbers){ 3, 2, strtod(value, NULL) };
            continue;
        }
        if (strcmp(word, "teacher") == 0) {
            c->share = strtod(value, NULL);
            continue;
        }
        if (strcmp(word, "memory") == 0) {
            c->memory = atoi(value);
            continue;
        }
        const Field *f = family_field(c->family, word);
        if (f == NULL || field_set(&c->config, f, value)) stop(line, word);
    }
    bool numbers = c->numbers.scale > 0;
    if (family_check(c->family, &c->config, numbers ? NUMBER_OUTPUTS : V, &err)
        || family_fit(c->family, &c->config, IDS, &err)) stop(line, err.msg);
    c->T = family_context(c->family, &c->config);
    size_t N = (size_t)(B * c->T);
    c->x = memory(N, sizeof *c->x);
    c->y = memory(N, sizeof *c->y);
    for (size_t i = 0; i < N; i++) {
        c->x[i] = (int32_t)rng_below(1, i, V);
        c->y[i] = rng_below(2, i, 5) == 0 ? -1 : (int32_t)rng_below(3, i, V);
        if (numbers) {
            c->x[i] = number_id(&c->numbers, 3 + 2 * rng_normal(1, i));
            if (c->y[i] > 0) c->y[i] = number_id(&c->numbers, 3 + 2 * rng_normal(3, i));
        }
        if (c->y[i] > 0 || (c->y[i] == 0 && !numbers)) c->targets++;
    }
}

static void release(Case *c)
{
    free(c->x);
    free(c->y);
}

static bool has_gradients(const Case *c)
{
    return network_of(c->family)->learn == NULL && c->memory == 0;
}

static struct { Model network, counts; Memory memory; Teacher teacher; double q[3 * V]; } beside;

/* Lets counts of other ids teach the model. */
static void add_teacher(Model *m, const Case *c, const int32_t *ids)
{
    Err err = { 0 };
    NgramSize size = { .order = 3, .ids = IDS, .vocab = V, .context = c->T };
    if (ngram_open(&beside.counts, &size, m->gemm.K, &err)) stop(c->line, err.msg);
    model_learn(&beside.counts, ids, IDS);
    beside.teacher = (Teacher){ &beside.counts, c->share, beside.q };
    m->teacher = &beside.teacher;
}

/* Puts a memory beside the network; *m is the two. */
static void add_memory(Model *m, const Case *c, const int32_t *ids)
{
    Err err = { 0 };
    MemorySize size = { .order = c->memory, .ids = IDS };
    beside.network = *m;
    if (memory_open(&beside.memory, &beside.network, &size, &err)) stop(c->line, err.msg);
    memory_learn(&beside.memory, ids, IDS);
    for (int i = 0; i < 2 * MEMORY_FEATURES; i++)
        beside.memory.exponents.of[i / MEMORY_FEATURES][i % MEMORY_FEATURES]
            = 0.3 * rng_normal(8, (uint64_t)i);
    *m = beside.memory.mixture;
}

static void close_model(Model *m)
{
    if (m->teacher != NULL) model_close(&beside.counts);
    if (m->params == NULL) {
        memory_close(&beside.memory);
        *m = beside.network;
    }
    model_close(m);
}

/* Parameters are far from their start, so that nothing is zero or nearly even by design. */
static void open_model(Model *m, const Case *c, ModelUse use, int slice)
{
    Err err = { 0 };
    if (model_open(m, network_of(c->family), &c->config, kernels_usable(0), use, slice, &err))
        stop(c->line, err.msg);
    m->numbers = c->numbers;
    model_init(m, 1);
    int32_t ids[IDS];
    for (size_t i = 0; i < IDS; i++) ids[i] = (int32_t)rng_below(4, i, 1 + rng_below(6, i, V));
    if (m->network->learn != NULL) model_learn(m, ids, IDS);
    else for (size_t i = 0; i < m->size; i++) m->params[i] += 0.3 * rng_normal(5, i);
    if (c->memory > 0) add_memory(m, c, ids);
    if (c->share > 0 && use == MODEL_TRAIN) add_teacher(m, c, ids);
}

/* Mean loss of the batch, in slices, of a network without gradients. */
static double run_losses(Model *m, const Case *c)
{
    double sum = 0;
    real *nats = memory((size_t)(B * c->T), sizeof *nats);
    for (int first = 0; first < B; first += m->slice) {
        int n = m->slice < B - first ? m->slice : B - first;
        model_losses(m, c->x + first * c->T, c->y + first * c->T, n, c->T, nats);
        for (int r = 0; r < n * c->T; r++) sum += nats[r];
    }
    free(nats);
    return sum / (double)c->targets;
}

/* Mean loss of the batch, in slices; gradients end in m->grads. */
static double run(Model *m, const Case *c)
{
    double sum = 0;
    if (!has_gradients(c)) return run_losses(m, c);
    model_begin(m);
    for (int first = 0; first < B; first += m->slice) {
        int n = m->slice < B - first ? m->slice : B - first;
        Slice s = { .x = c->x + first * c->T, .y = c->y + first * c->T, .n = n, .T = c->T,
                    .first = first, .targets = c->targets, .dropout_key = DROPOUT_KEY };
        model_train(m, &s, &sum);
    }
    model_finish(m);
    return sum / (double)c->targets;
}

/* ---------------------------------------------------------------- gradients */

/* Mean of -((1 - share) ln p(y) + share sum_v q(v) ln p(v)), from the logits. */
static double taught_loss(Model *m, const Case *c)
{
    double sum = 0, q[V];
    real *logits = memory((size_t)(c->T * V), sizeof *logits);
    for (int b = 0; b < B; b++) {
        const int32_t *x = c->x + b * c->T, *y = c->y + b * c->T;
        model_logits(m, x, c->T, logits);
        for (int t = 0; t < c->T; t++) {
            double all = 0;
            if (y[t] < 0) continue;
            ngram_teach(&beside.counts, x + t + 1, t + 1, y[t], q);
            for (int v = 0; v < V; v++) all += exp(logits[t * V + v]);
            for (int v = 0; v < V; v++)
                sum += (c->share * q[v] + (v == y[t] ? 1 - c->share : 0))
                     * (log(all) - logits[t * V + v]);
        }
    }
    free(logits);
    return sum / (double)c->targets;
}

/* Central differences; an element of a gradient is a sum of few terms, so that ten digits stay. */
static void test_gradients(const Case *c)
{
    Model m;
    open_model(&m, c, MODEL_TRAIN, B);
    double *grads = memory(m.size, sizeof *grads);
    run(&m, c);
    memcpy(grads, m.grads, m.size * sizeof *grads);
    for (const Tensor *t = m.tensors; t < m.tensors + m.tensor_count; t++) {
        double worst = 0, most = 0, h = 1e-5;
        for (size_t i = t->offset; i < t->offset + tensor_size(t); i++) {
            double keep = m.params[i], loss[2];
            for (int side = 0; side < 2; side++) {
                m.params[i] = keep + (side == 0 ? h : -h);
                loss[side] = c->share > 0 ? taught_loss(&m, c) : run(&m, c);
            }
            m.params[i] = keep;
            double slope = (loss[0] - loss[1]) / (2 * h);
            worst = fmax(worst, fabs(slope - grads[i]));
            most = fmax(most, fabs(grads[i]));
        }
        CHECK(worst < 1e-8 + 1e-6 * most, "%s: %s: off by %g of %g", c->line, t->name, worst, most);
        CHECK(most > 0, "%s: %s has an effect", c->line, t->name);
    }
    free(grads);
    close_model(&m);
}

/* Bit for bit. */
static void test_slices(const Case *c)
{
    double *want = NULL, loss = 0;
    for (int slice = B; slice >= 1; slice -= 2)
        for (int threads = 1; threads <= 3; threads++) {
            Model m;
            omp_set_num_threads(threads);
            open_model(&m, c, MODEL_TRAIN, slice);
            double now = run(&m, c);
            const real *got = has_gradients(c) ? m.grads : m.params;
            if (got == NULL) got = &beside.network.params[0];
            size_t bytes = m.size * sizeof *want;
            if (want == NULL) {
                loss = now;
                want = memory(m.size + 1, sizeof *want);
                memcpy(want, got, bytes);
            }
            CHECK(now == loss && memcmp(want, got, bytes) == 0, "%s: slices of %d, %d threads",
                  c->line, slice, threads);
            close_model(&m);
        }
    omp_set_num_threads(1);
    free(want);
}

/* ---------------------------------------------------------------- probabilities */

/* All strings of four characters after a first one, which for images are all of four pixels; with
 * the last character changed, the conditional of the second stays. */
static void test_strings(const Case *c)
{
    enum { LENGTH = 4, STRINGS = V * V * V * V };
    Model m;
    open_model(&m, c, MODEL_EVAL, 1);
    for (int32_t first = 0; first < V; first++) {
        double sum = 0, earlier[V][V] = { { 0 } };
        for (int i = 0; i < STRINGS; i++) {
            int32_t text[LENGTH + 1] = { first };
            for (int k = LENGTH, rest = i; k >= 1; k--, rest /= V) text[k] = rest % V;
            real nats[LENGTH];
            model_losses(&m, text, text + 1, 1, LENGTH, nats);
            sum += exp(-nats[0] - nats[1] - nats[2] - nats[3]);
            double *seen = &earlier[text[1]][text[2]];
            if (i % (V * V) == 0) *seen = nats[1];
            CHECK(*seen == nats[1], "%s: a later character changes an earlier loss", c->line);
        }
        CHECK_NEAR(sum, 1, 0, 1e-9, "%s: all strings after %d", c->line, (int)first);
    }
    close_model(&m);
}

/* The density of a number integrates to one, whatever was read before it; a later number changes
 * no earlier density. */
static void test_density(const Case *c)
{
    const double step = 0.06, most = 40;
    Model m;
    open_model(&m, c, MODEL_EVAL, 1);
    int T = c->T < 2 ? c->T : 2;
    double sum[2] = { 0 }, first = 0;
    int32_t text[3] = { 0, c->x[1], 0 };
    for (double value = -most; value <= most; value += step)
        for (int t = 0; t < T; t++) {
            real nats[2];
            text[1] = t == 0 ? number_id(&c->numbers, value) : c->x[1];
            text[2] = number_id(&c->numbers, value);
            model_losses(&m, text, text + 1, 1, T, nats);
            sum[t] += exp(-nats[t]) * step;
            if (t == 0) continue;
            if (first == 0) first = nats[0];
            CHECK(nats[0] == first, "%s: a later number changes an earlier density", c->line);
        }
    for (int t = 0; t < T; t++) CHECK_NEAR(sum[t], 1, 0, 1e-4, "%s: number %d", c->line, t);
    close_model(&m);
}

/* -log of the normal density, as its definition says. */
static double minus_log_normal(const Case *c, const real *outputs, int32_t y)
{
    const Numbers *n = &c->numbers;
    double mean = n->center + n->scale * outputs[0];
    double spread = n->deviation > 0 ? n->deviation
                                     : n->scale * exp(6.9 * tanh(outputs[1] / 6.9));
    double off = (number_value(n, y) - mean) / spread;
    return -log(exp(-off * off / 2) / (spread * sqrt(2 * acos(-1))));
}

/* The logits of the whole window, and the losses that follow from them; of shorter windows too. */
static void test_losses(const Case *c)
{
    Model m;
    open_model(&m, c, MODEL_EVAL, B);
    int W = m.vocab;
    real *logits = memory((size_t)(c->T * W), sizeof *logits);
    real *nats = memory((size_t)(B * c->T), sizeof *nats);
    for (int T = c->T; T >= 1; T -= 2) {
        model_losses(&m, c->x, c->y, B, T, nats);
        for (int b = 0; b < B; b++) {
            model_logits(&m, c->x + b * T, T, logits);
            for (int t = 0; t < T; t++) {
                double sum = 0;
                int32_t y = c->y[b * T + t];
                bool numbers = c->numbers.scale > 0, counts = numbers ? y > 0 : y >= 0;
                for (int v = 0; v < W; v++) sum += exp(logits[t * W + v]);
                double want = !counts ? 0 : numbers ? minus_log_normal(c, logits + t * W, y)
                            : log(sum) - logits[t * W + y];
                CHECK_NEAR(nats[b * T + t], want, 1e-9, 1e-9, "%s: T %d", c->line, T);
            }
        }
    }
    free(logits);
    free(nats);
    close_model(&m);
}

/* ---------------------------------------------------------------- decoding */

/* Three streams far past the context, of which one is made equal to another on the way: the full
 * forward of what each has read since the start of its context. */
static void test_decoder(const Case *c)
{
    enum { STEPS = 20, COPIED = 4 };
    Model m;
    Decoder d;
    Err err = { 0 };
    open_model(&m, c, MODEL_EVAL, 1);
    if (decoder_open(&d, &m, STREAMS, &err)) stop(c->line, err.msg);
    int W = m.vocab;
    real *logits = memory((size_t)(c->T * W), sizeof *logits);
    for (int i = 0; i < STEPS; i++) {
        int32_t ids[STREAMS];
        for (int s = 0; s < STREAMS; s++) {
            ids[s] = (int32_t)rng_below(7, (uint64_t)(i * 9 + s), V);
            if (c->numbers.scale > 0) ids[s] = c->x[(i * STREAMS + s) % (B * c->T)];
        }
        if (i == COPIED) decoder_copy(&d, 2, 0);
        const real *got = decoder_step(&d, ids);
        for (int s = 0; s < STREAMS; s++) {
            model_logits(&m, d.ids + s * c->T, d.pos, logits);
            for (int v = 0; v < W; v++)
                CHECK_NEAR(got[s * W + v], logits[(d.pos - 1) * W + v], 1e-9, 1e-9,
                           "%s: step %d, stream %d", c->line, i, s);
        }
    }
    decoder_reset(&d);
    CHECK(d.pos == 0, "%s: it begins again", c->line);
    free(logits);
    decoder_close(&d);
    close_model(&m);
}

/* Pairs that are drawn one character after another come as often as the losses say: chi-square with
 * 15 degrees of freedom is above 45 once in 10,000 times. */
static void test_draws(const Case *c)
{
    enum { TOGETHER = 50, ROUNDS = 80, PAIRS = V * V };
    Model m;
    Decoder d;
    Err err = { 0 };
    int times[PAIRS] = { 0 };
    open_model(&m, c, MODEL_EVAL, 1);
    if (decoder_open(&d, &m, TOGETHER, &err)) stop(c->line, err.msg);
    for (int round = 0; round < ROUNDS; round++) {
        int32_t ids[TOGETHER] = { 0 }, first[TOGETHER];
        decoder_reset(&d);
        for (int t = 0; t < 2; t++) {
            const real *logits = decoder_step(&d, ids);
            for (int s = 0; s < TOGETHER; s++, logits += V) {
                uint64_t index = (uint64_t)((round * 2 + t) * TOGETHER + s);
                double sum = 0, reached = 0, mark = rng_uniform(11, index);
                for (int v = 0; v < V; v++) sum += exp(logits[v]);
                for (ids[s] = 0; ids[s] < V - 1; ids[s]++) {
                    reached += exp(logits[ids[s]]) / sum;
                    if (mark < reached) break;
                }
                if (t == 0) first[s] = ids[s];
                else times[first[s] * V + ids[s]]++;
            }
        }
    }
    double chi = 0;
    for (int i = 0; i < PAIRS; i++) {
        int32_t text[] = { 0, i / V, i % V };
        real nats[2];
        model_losses(&m, text, text + 1, 1, 2, nats);
        double want = TOGETHER * ROUNDS * exp(-nats[0] - nats[1]);
        chi += (times[i] - want) * (times[i] - want) / want;
    }
    CHECK(chi < 45, "%s: chi-square of pairs is %g", c->line, chi);
    decoder_close(&d);
    close_model(&m);
}

/* ---------------------------------------------------------------- images */

/* In one layer of convolutions a pixel sees its neighbours above and the one to the left, none of
 * them across an edge; and the two before it in the order of reading. */
static void test_neighbours(void)
{
    enum { WIDTH = 4, PIXELS = 16 };
    Case c;
    Model m;
    parse(&c, "cnn layers=1 channels=5 context=16 kernel=3 image-width=4");
    open_model(&m, &c, MODEL_EVAL, 1);
    real *before = memory(PIXELS * V, sizeof *before), *after = memory(PIXELS * V, sizeof *after);
    model_logits(&m, c.x, PIXELS, before);
    for (int q = 0; q + 1 < PIXELS; q++) {
        c.x[q + 1] = (c.x[q + 1] + 1) % V;              /* pixel q is read before q + 1 is drawn */
        model_logits(&m, c.x, PIXELS, after);
        c.x[q + 1] = (c.x[q + 1] + V - 1) % V;
        for (int p = 0; p < PIXELS; p++) {
            int up = p / WIDTH - q / WIDTH, left = p % WIDTH - q % WIDTH;
            bool near = (up == 1 && abs(left) <= 1) || q == p - 1 || q == p - 2;
            bool changed = memcmp(before + p * V, after + p * V, V * sizeof *after) != 0;
            CHECK(changed == near, "pixel %d of %d", q, p);
        }
    }
    free(before);
    free(after);
    close_model(&m);
    release(&c);
}

/* ---------------------------------------------------------------- learning */

/* The losses of a batch go to nearly 0: what follows says the first character and the last. */
static void test_by_heart(const Case *c)
{
    enum { STEPS = 300 };
    Model m;
    Optimizer o;
    Err err = { 0 };
    Case batch = *c;
    if (model_open(&m, network_of(c->family), &c->config, kernels_usable(0), MODEL_TRAIN, B, &err))
        stop(c->line, err.msg);
    m.numbers = c->numbers;
    model_init(&m, 1);
    TrainingPlan plan = { .steps = STEPS, .lr = 0.03, .min_lr = 0.03, .warmup = 5, .beta1 = 0.9,
                          .beta2 = 0.99, .clip = 1 };
    if (optimizer_open(&o, &plan, kernels_usable(0), m.tensors, m.tensor_count, m.size, &err))
        stop(c->line, err.msg);
    batch.y = memory((size_t)(B * c->T), sizeof *batch.y);
    batch.targets = (size_t)(B * c->T);
    for (int b = 0; b < B; b++) {
        int32_t *x = batch.x + b * c->T, *y = batch.y + b * c->T;
        x[0] = b % V;
        for (int t = 0; t < c->T; t++) {
            y[t] = (x[0] + x[t] + 1) % V;
            if (t + 1 < c->T) x[t + 1] = y[t];
        }
        for (int t = 0; t < c->T && c->numbers.scale > 0; t++) {    /* a line is not too much */
            x[t] = number_id(&c->numbers, b + t);
            y[t] = number_id(&c->numbers, b + t + 1);
        }
    }
    double before = run(&m, &batch), after = 0;
    for (int64_t step = 0; step < STEPS; step++) {
        after = run(&m, &batch);
        optimizer_step(&o, step, optimizer_norm(&o, m.grads), m.params, m.grads);
    }
    double little = c->numbers.deviation > 0 ? 1.1 : 0.1;
    CHECK(after < little && after < before, "%s: %g from %g", c->line, after, before);
    free(batch.y);
    optimizer_close(&o);
    close_model(&m);
}

/* ---------------------------------------------------------------- n-grams */

enum { ORDERS = 12, WINDOW = 14 };

/* A text and what modified Kneser-Ney makes of it, without any table of grams. */
typedef struct {
    const int32_t *ids;
    int count, order;
    double D[ORDERS + 1][2][4]; /* by length, by whether predecessors are counted, D_1 to D_3 */
    int left_out;               /* grams that end with this id do not count; -1: all do */
} Counted;

/* Occurrences of a gram in the text, or different characters before these, its start being one. */
static int tally(const Counted *t, const int32_t *gram, int length, bool predecessors)
{
    bool seen[V + 1] = { false };
    int occurrences = 0, different = 0;
    for (int i = 0; i + length <= t->count; i++) {
        if (memcmp(t->ids + i, gram, (size_t)length * sizeof *gram) != 0) continue;
        if (i + length - 1 == t->left_out) continue;
        int before = i > 0 ? t->ids[i - 1] : V;
        occurrences++;
        different += !seen[before];
        seen[before] = true;
    }
    return predecessors ? different : occurrences;
}

static void discount(Counted *t, int length, bool predecessors)
{
    double n[5] = { 0 }, *D = t->D[length][predecessors];
    for (int i = 0; i + length <= t->count; i++) {
        bool first = true;
        for (int j = 0; j < i; j++)
            if (memcmp(t->ids + i, t->ids + j, (size_t)length * sizeof *t->ids) == 0) first = false;
        int c = tally(t, t->ids + i, length, predecessors);
        if (first && c <= 4) n[c]++;
    }
    double Y = n[1] / (n[1] + 2 * n[2]);
    D[1] = n[1] > 0 ? 1 - 2 * Y * n[2] / n[1] : 0.5;
    D[2] = n[1] > 0 && n[2] > 0 ? 2 - 3 * Y * n[3] / n[2] : 1;
    D[3] = n[1] > 0 && n[3] > 0 ? 3 - 4 * Y * n[4] / n[3] : 1.5;
    for (int i = 1; i <= 3; i++) D[i] = D[i] < 0.1 ? 0.1 : D[i] > i ? i : D[i];
}

/* p(w) after the k characters that end before `end`. */
static double probability(const Counted *t, const int32_t *end, int k, bool longest, int32_t w)
{
    int32_t gram[ORDERS + 1];
    double sum = 0, taken = 0, own = 0;
    if (k < 0) return 1.0 / V;
    memcpy(gram, end - k, (size_t)k * sizeof *gram);
    for (gram[k] = 0; gram[k] < V; gram[k]++) {
        int c = tally(t, gram, k + 1, !longest);
        double d = c == 0 ? 0 : t->D[k + 1][!longest][c > 3 ? 3 : c];
        sum += c;
        taken += d;
        if (gram[k] == w) own = c - d;
    }
    double lower = probability(t, end, k - 1, false, w);
    return sum > 0 ? own / sum + taken / sum * lower : lower;
}

/* What teaches at the places of a window of the text's own: counts in which each is left out. */
static void compare_taught(const Model *m, Counted *t, const int32_t *window)
{
    double q[V];
    for (int i = 0; i < WINDOW && window + i + 1 < t->ids + t->count; i++) {
        int read = i + 1, k = read < t->order - 1 ? read : t->order - 1;
        ngram_teach(m, window + read, read, window[read], q);
        t->left_out = (int)(window + read - t->ids);
        for (int v = 0; v < V; v++)
            CHECK_NEAR(q[v], probability(t, window + read, k, true, v), 1e-12, 0,
                       "order %d, %d ids, %d read: %d of %d is taught", t->order, t->count, read, v,
                       (int)window[read]);
    }
    t->left_out = -1;
    for (int i = 0; i < WINDOW * V && window + i / V + 1 < t->ids + t->count; i++) {
        int32_t gram[WINDOW + 1], other = i % V;
        int read = i / V + 1, k = read < t->order - 1 ? read : t->order - 1;
        if (k < 0) continue;
        memcpy(gram, window + read - k, (size_t)k * sizeof *gram);
        gram[k] = other;
        if (tally(t, gram, k + 1, false) > 0) continue;     /* else one of its places is left out */
        double p[V];
        ngram_predict(m, window + read, read, p);
        ngram_teach(m, window + read, read, other, q);
        CHECK(memcmp(p, q, sizeof p) == 0, "order %d, %d ids, %d read: %d stands nowhere there",
              t->order, t->count, read, (int)other);
    }
}

/* Every probability in a window of the text's own and of other characters; `kept`: the order that
 * the model falls back to. */
static void compare_counts(const int32_t *ids, int count, int order, int kept)
{
    Counted t = { .ids = ids, .count = count, .order = kept, .left_out = -1 };
    char line[80], remark[200], want[40];
    real logits[WINDOW * V];
    Case c;
    Model m;
    Err err = { 0 };
    snprintf(line, sizeof line, "ngram order=%d context=%d", order, WINDOW);
    parse(&c, line);
    if (family_fit(c.family, &c.config, (size_t)count, &err)
        || model_open(&m, network_of(c.family), &c.config, kernels_usable(0), MODEL_EVAL, 1, &err))
        stop(line, err.msg);
    model_init(&m, 1);
    model_learn(&m, ids, (size_t)count);
    model_remark(&m, remark, sizeof remark);
    snprintf(want, sizeof want, "so the order is %d;", kept);
    CHECK(kept < order ? strstr(remark, want) != NULL : remark[0] == '\0', "%s: %d ids: %s", line,
          count, remark);
    for (int k = 1; k <= kept; k++)
        for (int kind = 0; kind < 2; kind++) discount(&t, k, kind == 1);
    for (int own = 0; own < 2; own++) {
        int32_t x[WINDOW];
        for (int i = 0; i < WINDOW; i++)
            x[i] = own ? ids[(count / 3 + i) % count] : (int32_t)rng_below(11, (uint64_t)i, V);
        model_logits(&m, x, WINDOW, logits);
        for (int i = 0; i < WINDOW * V; i++) {
            int read = i / V + 1, k = read < kept - 1 ? read : kept - 1;
            CHECK_NEAR(exp(logits[i]), probability(&t, x + read, k, true, i % V), 1e-12, 0,
                       "%s: %d ids, %d read, %d follows", line, count, read, i % V);
        }
    }
    for (int begin = 0; begin < count; begin += count / 3 + 1) compare_taught(&m, &t, ids + begin);
    close_model(&m);
    release(&c);
}

/* Texts of which counts of counts are complete, and others in which they are missing. */
static void test_counts(void)
{
    enum { MOST = 240 };
    static const int counts[] = { 1, 2, 3, 7, 30, MOST };
    int32_t ids[4][MOST];
    for (int i = 0; i < MOST; i++) {
        uint64_t at = (uint64_t)i;
        ids[0][i] = (int32_t)rng_below(8, at, 1 + rng_below(9, at, V));
        ids[1][i] = 0;
        ids[2][i] = i % 2 + 1;
        ids[3][i] = (int32_t)rng_below(10, at % (MOST / 2), V);     /* the same again */
    }
    for (int text = 0; text < 3; text++)
        for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++)
            for (int order = 0; order <= 5; order++)
                compare_counts(ids[text], counts[n], order, order);
    compare_counts(ids[0], MOST, ORDERS, ORDERS);
    compare_counts(ids[3], MOST, ORDERS, 6);
}

/* By hand. 0 comes 3 times, 1 twice, 2 once: Y = 1/3, D_1 = 1/3, D_2 = 1, D_3 = 3. */
static void test_unigrams(void)
{
    static const int32_t ids[] = { 0, 1, 0, 2, 1, 0 };
    static const double want[2][V] = { { 18, 18, 18, 18 }, { 13, 25, 21, 13 } };
    for (int order = 0; order < 2; order++) {
        Case c;
        Model m;
        Err err = { 0 };
        real logits[V];
        parse(&c, order == 0 ? "ngram order=0" : "ngram order=1");
        if (family_fit(c.family, &c.config, 6, &err)
            || model_open(&m, network_of(c.family), &c.config, kernels_usable(0), MODEL_TRAIN, 1,
                          &err)) stop(c.line, err.msg);
        CHECK(m.grads == NULL, "%s: no gradients", c.line);
        model_init(&m, 1);
        model_logits(&m, ids, 1, logits);
        for (int v = 0; v < V; v++)
            CHECK_NEAR(exp(logits[v]), 1.0 / V, 1e-12, 0, "%s: nothing is learnt yet", c.line);
        model_learn(&m, ids, 6);
        model_logits(&m, ids, 1, logits);
        for (int v = 0; v < V; v++)
            CHECK_NEAR(exp(logits[v]), want[order][v] / 72, 1e-12, 0, "%s: %d", c.line, v);
        close_model(&m);
        release(&c);
    }
}

/* What is bound counts: other arrays of ids, and what is no id, where the text ends. */
static void test_bound_ids(void)
{
    static const int32_t ids[] = { 0, 1, 0, 2, 1, 0 };
    real first[V], logits[V], broken[] = { 0, 1, 0, 2, V, 0 };
    Case c;
    Model m;
    Err err = { 0 };
    parse(&c, "ngram order=3");
    if (family_fit(c.family, &c.config, 6, &err)
        || model_open(&m, network_of(c.family), &c.config, kernels_usable(0), MODEL_EVAL, 1, &err))
        stop(c.line, err.msg);
    model_learn(&m, ids, 6);
    model_logits(&m, ids, 1, first);
    model_use(&m, broken);
    model_logits(&m, ids, 1, logits);
    Counted t = { .ids = ids, .count = 4, .order = 3, .left_out = -1 };
    for (int k = 1; k <= 3; k++)
        for (int kind = 0; kind < 2; kind++) discount(&t, k, kind == 1);
    for (int v = 0; v < V; v++)
        CHECK_NEAR(exp(logits[v]), probability(&t, ids + 1, 1, true, v), 1e-12, 0, "%g ends it",
                   broken[4]);
    model_use(&m, m.params);
    model_logits(&m, ids, 1, logits);
    CHECK(memcmp(first, logits, sizeof first) == 0, "the first ids again");
    close_model(&m);
    release(&c);
}

static void test_ngrams(void)
{
    test_counts();
    test_unigrams();
    test_bound_ids();
}

int main(int argc, char **argv)
{
    omp_set_num_threads(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Case c;
        if (argc > 1 && strstr(cases[i], argv[1]) == NULL) continue;
        parse(&c, cases[i]);
        if (has_gradients(&c)) test_gradients(&c);
        test_slices(&c);
        if (c.numbers.scale > 0) test_density(&c);
        else test_strings(&c);
        test_losses(&c);
        test_decoder(&c);
        if (c.numbers.scale == 0) test_draws(&c);
        if (has_gradients(&c) && c.share == 0) test_by_heart(&c);
        release(&c);
    }
    test_neighbours();
    if (argc == 1 || strcmp(argv[1], "ngram") == 0) test_ngrams();
    return check_report("networks");
}
