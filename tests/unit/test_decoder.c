/* test_decoder.c: decoding several texts together, and the mean of several models, on every usable
 * table.
 *
 * A stream must give the same bits as a decoder of its own, whatever the others read, however many
 * there are, and for any number of threads; and what it gives must be the full forward pass within
 * rounding.
 */
#include "gpt.h"
#include "check.h"
#include "../../inference/ensemble.h"

enum { STREAMS = 7, V = 11, STEPPED_MAX = 3 * 64 + 2, THREADS_MAX = 7 };

static const Config configs[] = {
    { .family = FAMILY_GPT2, .layers = 2, .heads = 2, .channels = 8, .bias = 1 },
    { .family = FAMILY_GPT2, .layers = 1, .heads = 3, .channels = 15, .gelu_tanh = 1 },
    { .family = FAMILY_QWEN3, .layers = 2, .heads = 3, .channels = 10, .head_size = 4, .hidden = 7,
      .untied = 1 },
    { .family = FAMILY_GPT2, .layers = 2, .heads = 4, .channels = 80 },  /* worth several threads */
};

enum { CONFIGS = sizeof configs / sizeof configs[0] };

/* Opens a model with large random parameters, or ends the test. */
static void open_model(Model *m, const Config *c, int context, const Kernels *K, uint64_t seed)
{
    Err err = { 0 };
    Config config = *c;
    config.context = context;
    config.vocab = V;
    gpt_complete(&config);
    if (gpt_open(m, &config, K, MODEL_EVAL, 1, &err)) {
        printf("test_decoder: %s\n", err.msg);
        exit(1);
    }
    for (int i = 0; i < m->tensor_count; i++)
        for (size_t e = m->tensors[i].offset;
             e < m->tensors[i].offset + tensor_size(&m->tensors[i]); e++)
            m->params[e] = (real)(0.5 * rng_normal(seed, e));
}

static void open_decoder(Decoder *d, Model *m, int streams)
{
    Err err = { 0 };
    if (decoder_open(d, m, streams, &err) == 0) return;
    printf("test_decoder: %s\n", err.msg);
    exit(1);
}

/* Character t of text number i. */
static int32_t character(int i, int t)
{
    return (int32_t)rng_below(9, (uint64_t)(i * STEPPED_MAX + t), V);
}

/* want (STEPPED_MAX,STREAMS,V): what a decoder for each text alone gives. */
static void decode_alone(Model *m, int steps, real *want)
{
    Decoder d;
    open_decoder(&d, m, 1);
    for (int i = 0; i < STREAMS; i++) {
        decoder_reset(&d);
        for (int t = 0; t < steps; t++) {
            int32_t id = character(i, t);
            memcpy(want + (t * STREAMS + i) * V, decoder_step(&d, &id), V * sizeof *want);
        }
    }
    decoder_close(&d);
}

static real want[STEPPED_MAX * STREAMS * V];

static bool same(const real *logits, int i, int t)
{
    return memcmp(logits, want + (t * STREAMS + i) * V, V * sizeof *logits) == 0;
}

/* All texts together, and then ever fewer of them. */
static void check_streams(Model *m, int steps, const char *name)
{
    Decoder d;
    int different = 0, n = STREAMS, place[STREAMS];
    open_decoder(&d, m, STREAMS);
    for (int i = 0; i < STREAMS; i++) place[i] = i;
    for (int t = 0; t < steps; t++) {
        int32_t ids[STREAMS];
        for (int i = 0; i < n; i++) ids[i] = character(place[i], t);
        const real *logits = decoder_step(&d, ids);
        for (int i = 0; i < n; i++) different += !same(logits + i * V, place[i], t);
        if (n > 1 && t % 5 == 4) {                          /* the second one ends */
            decoder_copy(&d, 1, --n);
            place[1] = place[n];
            d.n = n;
            different += !same(d.logits + V, place[1], t);
        }
    }
    CHECK(different == 0, "%s: %d texts differ from the same texts alone", name, different);
    decoder_close(&d);
}

/* One text is read, then it goes on in several ways. */
static void check_spread(Model *m, int steps, const char *name)
{
    Decoder d;
    int different = 0;
    int32_t ids[STREAMS];
    open_decoder(&d, m, STREAMS);
    for (int first = 1; first < steps; first += 1 + first / 3) {
        decoder_reset(&d);
        d.n = 1;
        for (int t = 0; t < first; t++) {
            ids[0] = character(3, t);
            decoder_step(&d, ids);
        }
        for (int i = 1; i < STREAMS; i++) decoder_copy(&d, i, 0);
        d.n = STREAMS;
        for (int i = 0; i < STREAMS; i++) different += !same(d.logits + i * V, 3, first - 1);
        for (int i = 0; i < STREAMS; i++) ids[i] = i == 5 ? character(3, first) : (int32_t)(i % V);
        different += !same(decoder_step(&d, ids) + 5 * V, 3, first);
    }
    CHECK(different == 0, "%s: %d copies differ from the text", name, different);
    decoder_close(&d);
}

/* The logits of text 2 against the full forward over what the decoder should hold: when the context
 * is full, its last half is kept. */
static void check_forward(Model *m, int steps, const char *name)
{
    int context = m->context, held = 0;
    double worst = 0;
    int32_t window[64];
    static real full[64 * V];
    for (int t = 0; t < steps; t++) {
        if (held == context) {
            held = context / 2;
            memmove(window, window + context - held, (size_t)held * sizeof *window);
        }
        window[held++] = character(2, t);
        model_logits(m, window, held, full);
        for (int v = 0; v < V; v++) {
            double error = fabs((double)want[(t * STREAMS + 2) * V + v]
                                - (double)full[(held - 1) * V + v]);
            if (!(error <= worst)) worst = error;           /* keeps a NaN */
        }
    }
    CHECK(worst < 1e-4, "%s: logits are off by %.3g", name, worst);
}

static void check_decoding(const Kernels *K)
{
    static const int contexts[] = { 1, 2, 5, 9, 64 };
    for (int c = 0; c < CONFIGS; c++)
        for (int i = 0; i < 5; i++) {
            char name[80];
            int steps = 3 * contexts[i] + 2;
            Model m;
            snprintf(name, sizeof name, "%s config %d context %d", K->name, c, contexts[i]);
            open_model(&m, &configs[c], contexts[i], K, 1);
            decode_alone(&m, steps, want);
            check_forward(&m, steps, name);
            check_spread(&m, steps, name);
            for (int threads = 1; threads <= THREADS_MAX; threads += 2) {
                omp_set_num_threads(threads);
                check_streams(&m, steps, name);
            }
            omp_set_num_threads(1);
            CHECK(decoder_bytes(m.network, &m.config, 2) > decoder_bytes(m.network, &m.config, 1),
                  "%s: memory", name);
            model_close(&m);
        }
}

/* ---------------------------------------------------------------- several models */

static void check_mean(void)
{
    real nats[] = { (real)0.5, (real)7, (real)2, (real)7, (real)3 };
    double p = (exp(-0.5) + exp(-2.0) + exp(-3.0)) / 3;
    CHECK_NEAR(mean_nats(nats, 2, 3), -log(p), 1e-6, 0, "three probabilities");
    CHECK(mean_nats(nats, 1, 1) == 0.5, "one model is itself");
    real far[] = { (real)5000, (real)5000, (real)1e30, (real)INFINITY, (real)NAN };
    CHECK(mean_nats(far, 1, 2) == 5000, "tiny probabilities do not underflow");
    CHECK_NEAR(mean_nats(far, 1, 3), 5000 + log(1.5), 1e-12, 0,
               "nor do they vanish beside smaller ones");
    CHECK_NEAR(mean_nats(far, 1, 4), 5000 + log(2.0), 1e-12, 0, "nor beside zero");
    CHECK(isnan(mean_nats(far, 1, 5)), "a NaN stays");
}

/* ln of the mean of the softmaxes, in double precision, for models of both families and several
 * contexts. */
static void check_writers(const Kernels *K)
{
    enum { MODELS = 3, STEPS = 20 };
    static const int contexts[MODELS] = { 5, 9, 64 };
    Checkpoint checkpoints[MODELS] = { { .tokenizer = { .count = V } } };
    Model models[MODELS];
    Decoder alone[MODELS];
    Ensemble e = { .checkpoints = checkpoints, .models = models, .count = MODELS };
    Writers w;
    Err err = { 0 };
    double worst = 0;
    for (int m = 0; m < MODELS; m++) {
        open_model(&models[m], &configs[m], contexts[m], K, 20 + (uint64_t)m);
        open_decoder(&alone[m], &models[m], 1);
    }
    if (writers_open(&w, &e, 3, &err)) {
        printf("test_decoder: %s\n", err.msg);
        exit(1);
    }
    writers_reset(&w, 3);
    for (int t = 0; t < STEPS; t++) {
        int32_t ids[3] = { 1, character(1, t), 2 };
        double p[V] = { 0 };
        writers_step(&w, ids);
        for (int m = 0; m < MODELS; m++) {
            const real *logits = decoder_step(&alone[m], &ids[1]);
            double sum = 0;
            for (int v = 0; v < V; v++) sum += exp((double)logits[v]);
            for (int v = 0; v < V; v++) p[v] += exp((double)logits[v]) / sum / MODELS;
        }
        const real *got = writers_logits(&w, 1);
        for (int v = 0; v < V; v++) {
            double error = fabs((double)got[v] - log(p[v]));
            if (!(error <= worst)) worst = error;
        }
    }
    CHECK(worst < 1e-5, "%s: the mean of three models is off by %.3g", K->name, worst);
    writers_close(&w);
    for (int m = 0; m < MODELS; m++) {
        decoder_close(&alone[m]);
        model_close(&models[m]);
    }
}

int main(void)
{
    const Kernels *K;
    omp_set_num_threads(1);
    for (int k = 0; (K = kernels_usable(k)) != NULL; k++) {
        check_decoding(K);
        check_writers(K);
    }
    check_mean();
    return check_report("decoder");
}
