/* memory.c: a network with an n-gram memory beside it. */
#include "memory.h"
#include "ngram.h"

enum { F = MEMORY_FEATURES, PARTS = 8 };    /* PARTS: chains of a sum, joined in order */

static const Exponents halves = { { { 0.5 }, { 0.5 } } };

static Memory *memory_of(const Model *mixture)
{
    return *(Memory *const *)(const void *)mixture->state.bytes;
}

/* ---------------------------------------------------------------- the mixture */

static void set_features(const NgramContext *known, double f[F])
{
    f[0] = 1;
    f[1] = known->length;
    f[2] = log(known->count > 1 ? known->count : 1);
    f[3] = log(known->followers > 1 ? known->followers : 1);
}

/* a and b. */
static void weigh(const Exponents *e, const double f[F], double weights[2])
{
    for (int part = 0; part < 2; part++) {
        weights[part] = 0;
        for (int i = 0; i < F; i++) weights[part] += e->of[part][i] * f[i];
    }
}

/* p (V) of the memory and what it knows, after the `read` characters that end before `end`. */
static void recall(const Memory *m, const int32_t *end, int read, double *p, double f[F])
{
    NgramContext known = ngram_predict(&m->counts, end, read, p);
    set_features(&known, f);
}

/* q (V) = a logits + b ln p: the mixture but for ln Z. */
static void mix(const Memory *m, const real *logits, const int32_t *end, int read, double *q)
{
    double f[F], w[2];
    recall(m, end, read, q, f);
    weigh(&m->exponents, f, w);
    for (int v = 0; v < m->counts.vocab; v++)
        q[v] = w[0] * (double)logits[v] + w[1] * log(q[v]);
}

/* ln Z */
static double log_sum(const double *q, int V)
{
    double most = q[0], sum = 0;
    for (int v = 1; v < V; v++) most = fmax(most, q[v]);
    for (int v = 0; v < V; v++) sum += exp(q[v] - most);
    return most + log(sum);
}

static void losses(Model *mixture, const Slice *s, real *nats)
{
    const Memory *m = memory_of(mixture);
    size_t V = (size_t)mixture->vocab;
    for (int i = 0; i < s->n; i++) {
        const int32_t *x = s->x + (size_t)i * (size_t)s->T, *y = s->y + (size_t)i * (size_t)s->T;
        real *out = nats + (size_t)i * (size_t)s->T;
        model_logits(m->network, x, s->T, m->logits);
        OMP(parallel for schedule(static))
        for (int t = 0; t < s->T; t++) {
            double *q = m->q + (size_t)omp_get_thread_num() * V;
            out[t] = 0;
            if (y[t] < 0) continue;
            mix(m, m->logits + (size_t)t * V, x + t + 1, t + 1, q);
            out[t] = (real)(log_sum(q, mixture->vocab) - q[y[t]]);
        }
    }
}

/* logits (V), of the network, become those of the mixture. */
static void mix_logits(const Memory *m, const int32_t *end, int read, real *logits)
{
    size_t V = (size_t)m->counts.vocab;
    double *q = m->q + (size_t)omp_get_thread_num() * V;
    mix(m, logits, end, read, q);
    for (size_t v = 0; v < V; v++) logits[v] = (real)q[v];
}

static void logits(Model *mixture, const int32_t *x, int T, real *out)
{
    const Memory *m = memory_of(mixture);
    model_logits(m->network, x, T, out);
    OMP(parallel for schedule(static))
    for (int t = 0; t < T; t++)
        mix_logits(m, x + t + 1, t + 1, out + (size_t)t * (size_t)mixture->vocab);
}

/* ---------------------------------------------------------------- decoding */

/* The network's decoder: it has the characters of the mixture's, and its own logits. */
static Decoder *inner(Decoder *d)
{
    Decoder *network = *(Decoder **)(void *)d->state.bytes;
    network->pos = d->pos;
    network->n = d->n;
    return network;
}

static void decoder_layout(Decoder *d, Arena *a)
{
    Memory *m = memory_of(d->model);
    Decoder *network = arena_take(a, 1, sizeof *network);
    Decoder plain = { .model = m->network, .room = d->room, .n = d->n, .rows = d->rows,
                      .ids = d->ids };
    plain.logits = arena_reals(a, (size_t)d->room * (size_t)d->model->vocab);
    m->network->network->decoder_layout(&plain, a);
    memcpy(d->state.bytes, &network, sizeof network);
    if (network != NULL) *network = plain;
}

static void decoder_feed(Decoder *d, int count)
{
    Decoder *network = inner(d);
    network->model->network->decoder_feed(network, count);
}

static void decoder_logits(Decoder *d)
{
    const Memory *m = memory_of(d->model);
    Decoder *network = inner(d);
    size_t T = (size_t)d->model->context, V = (size_t)d->model->vocab;
    network->model->network->decoder_logits(network);
    OMP(parallel for schedule(static) if (d->n > 1))
    for (int i = 0; i < d->n; i++) {
        real *out = d->logits + (size_t)i * V;
        memcpy(out, network->logits + (size_t)i * V, V * sizeof *out);
        mix_logits(m, d->ids + (size_t)i * T + d->pos, d->pos, out);
    }
}

static void decoder_copy_inner(Decoder *d, int to, int from)
{
    Decoder *network = inner(d);
    network->model->network->decoder_copy(network, to, from);
}

double memory_decoder_bytes(int vocab, int streams)
{
    return (double)streams * vocab * sizeof(real) + sizeof(Decoder);
}

static const Network network_mixture = {
    .losses = losses, .logits = logits, .decoder_layout = decoder_layout,
    .decoder_feed = decoder_feed, .decoder_logits = decoder_logits,
    .decoder_copy = decoder_copy_inner
};

/* ---------------------------------------------------------------- memory */

static void layout(Memory *m, Arena *a)
{
    size_t V = (size_t)m->mixture.vocab, threads = (size_t)omp_get_max_threads();
    m->logits = arena_reals(a, (size_t)m->mixture.context * V);
    m->q = arena_take(a, threads * V, sizeof *m->q);
    m->network_logits = arena_reals(a, m->fitted * V);
    m->memory_logs = arena_reals(a, m->fitted * V);
    m->features = arena_take(a, m->fitted * F, sizeof *m->features);
}

static NgramSize counts_size(int vocab, int context, const MemorySize *size)
{
    return (NgramSize){ size->order, size->ids, vocab, context };
}

/* Measures the arena. */
static void describe(Memory *m, int vocab, int context, const MemorySize *size)
{
    *m = (Memory){ .fitted = size->fitted, .exponents = halves };
    m->mixture = (Model){ .network = &network_mixture, .use = MODEL_EVAL, .vocab = vocab,
                          .context = context };
    layout(m, &m->arena);
}

double memory_bytes(int vocab, int context, const Kernels *K, const MemorySize *size)
{
    Memory m;
    NgramSize counts = counts_size(vocab, context, size);
    describe(&m, vocab, context, size);
    return (double)m.arena.used + ngram_bytes(&counts, K);
}

int memory_open(Memory *m, Model *network, const MemorySize *size, Err *err)
{
    NgramSize counts = counts_size(network->vocab, network->context, size);
    describe(m, network->vocab, network->context, size);
    if (ngram_open(&m->counts, &counts, network->gemm.K, err)
        || arena_open(&m->arena, "memory", err)) {
        memory_close(m);
        return -1;
    }
    layout(m, &m->arena);
    m->network = network;
    m->mixture.slice = network->slice;
    memcpy(m->mixture.state.bytes, &m, sizeof m);
    return 0;
}

void memory_close(Memory *m)
{
    model_close(&m->counts);
    arena_close(&m->arena);
}

void memory_learn(Memory *m, const int32_t *ids, size_t count)
{
    model_learn(&m->counts, ids, count);
}

/* ---------------------------------------------------------------- the exponents */

typedef struct {
    double loss;                    /* -sum ln p */
    double gradient[2 * F];
    double hessian[2 * F][2 * F];
} Curve;

/* Fills logits, logs and features of the places before the last. */
static void gather(Memory *m, const int32_t *ids, size_t places)
{
    size_t V = (size_t)m->network->vocab, T = (size_t)m->network->context;
    for (size_t begin = 0; begin < places; begin += T) {
        int length = (int)(places - begin < T ? places - begin : T);
        model_logits(m->network, ids + begin, length, m->network_logits + begin * V);
        OMP(parallel for schedule(static))
        for (int t = 0; t < length; t++) {
            double *p = m->q + (size_t)omp_get_thread_num() * V;
            real *logs = m->memory_logs + (begin + (size_t)t) * V;
            recall(m, ids + begin + t + 1, t + 1, p, m->features + (begin + (size_t)t) * F);
            for (size_t v = 0; v < V; v++) logs[v] = (real)log(p[v]);
        }
    }
}

/* Adds one place whose character is y. With l and n the two logarithms: the gradient of -ln p by a
 * is E l - l_y, by b E n - n_y; the second derivatives are their covariances under p. */
static void add_place(Curve *c, const Exponents *e, const real *l, const real *n, const double f[F],
                      int V, int32_t y)
{
    double w[2], most = -HUGE_VAL, Z = 0, mean[2] = { 0 }, square[2][2] = { { 0 } };
    weigh(e, f, w);
    for (int v = 0; v < V; v++)
        most = fmax(most, w[0] * (double)l[v] + w[1] * (double)n[v]);
    for (int v = 0; v < V; v++) {
        double x = (double)l[v], z = (double)n[v], p = exp(w[0] * x + w[1] * z - most);
        Z += p;
        mean[0] += p * x;
        mean[1] += p * z;
        square[0][0] += p * x * x;
        square[0][1] += p * x * z;
        square[1][1] += p * z * z;
    }
    square[1][0] = square[0][1];
    mean[0] /= Z;
    mean[1] /= Z;
    double at_y[2] = { (double)l[y], (double)n[y] };
    c->loss += most + log(Z) - w[0] * at_y[0] - w[1] * at_y[1];
    for (int i = 0; i < 2 * F; i++) {
        c->gradient[i] += (mean[i / F] - at_y[i / F]) * f[i % F];
        for (int j = 0; j < 2 * F; j++)
            c->hessian[i][j] += (square[i / F][j / F] / Z - mean[i / F] * mean[j / F])
                              * f[i % F] * f[j % F];
    }
}

static void add_curve(Curve *sum, const Curve *c)
{
    sum->loss += c->loss;
    for (int i = 0; i < 2 * F; i++) {
        sum->gradient[i] += c->gradient[i];
        for (int j = 0; j < 2 * F; j++) sum->hessian[i][j] += c->hessian[i][j];
    }
}

/* The loss with its penalty, and its derivatives, at e. */
static Curve curve_at(const Memory *m, const Exponents *e, const int32_t *ids, size_t places)
{
    Curve parts[PARTS] = { { 0 } }, sum = { 0 };
    size_t V = (size_t)m->network->vocab;
    OMP(parallel for schedule(static))
    for (int part = 0; part < PARTS; part++)
        for (size_t t = places * (size_t)part / PARTS; t < places * (size_t)(part + 1) / PARTS; t++)
            add_place(&parts[part], e, m->network_logits + t * V, m->memory_logs + t * V,
                      m->features + t * F, (int)V, ids[t + 1]);
    for (int part = 0; part < PARTS; part++) add_curve(&sum, &parts[part]);
    for (int i = 0; i < 2 * F; i++) {
        double away = e->of[i / F][i % F] - halves.of[i / F][i % F];
        sum.loss += away * away / 2;
        sum.gradient[i] += away;
        sum.hessian[i][i] += 1;
    }
    return sum;
}

/* Solves hessian step = gradient by Cholesky's factors: it is positive definite, at least 1. */
static void newton_step(const Curve *c, double step[2 * F])
{
    enum { N = 2 * F };
    double L[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            double rest = c->hessian[i][j];
            for (int k = 0; k < j; k++) rest -= L[i][k] * L[j][k];
            L[i][j] = i == j ? sqrt(fmax(rest, 1e-12)) : rest / L[j][j];
        }
    for (int i = 0; i < N; i++) {
        step[i] = c->gradient[i];
        for (int k = 0; k < i; k++) step[i] -= L[i][k] * step[k];
        step[i] /= L[i][i];
    }
    for (int i = N - 1; i >= 0; i--) {
        for (int k = i + 1; k < N; k++) step[i] -= L[k][i] * step[k];
        step[i] /= L[i][i];
    }
}

void memory_fit(Memory *m, const int32_t *ids, size_t count)
{
    enum { STEPS = 30, HALVINGS = 20 };
    const double enough = 1e-7;             /* nats a character */
    size_t places = count > m->fitted ? m->fitted : count;
    m->exponents = halves;
    if (places < 2) return;
    places--;
    gather(m, ids, places);
    Curve here = curve_at(m, &m->exponents, ids, places);
    for (int i = 0; i < STEPS; i++) {
        double step[2 * F], share = 1;
        Exponents next;
        Curve there;
        newton_step(&here, step);
        for (int halving = 0;; halving++, share /= 2) {
            for (int k = 0; k < 2 * F; k++)
                next.of[k / F][k % F] = m->exponents.of[k / F][k % F] - share * step[k];
            there = curve_at(m, &next, ids, places);
            if (there.loss <= here.loss) break;
            if (halving == HALVINGS) return;
        }
        double gain = here.loss - there.loss;
        m->exponents = next;
        here = there;
        if (gain < enough * (double)places) return;
    }
}
