/* nade.c: the neural autoregressive distribution estimator (Larochelle and Murray 2011; Uria et al.
 * 2016) over a window of d characters: one hidden layer whose activations all positions share. A
 * character that is read adds its row to them, and each position has an output layer of its own,
 *
 *     a_t = c + sum_{u<=t} W_u[x_u],    h_t = relu(a_t),
 *     p(x_{t+1} | x_0 .. x_t) = softmax(b_t + U_t h_t),
 *
 * so a window costs d H for all of its hidden layers, not d^2 H. The papers' sigmoid is a ReLU here
 * (Uria et al. take both): LAB.md has the losses.
 *
 *     d context    T <= d positions    n sequences of a slice    N = n T    V symbols    H hidden
 */
#include "layers.h"

typedef struct { int context, vocab, hidden; double dropout; } Nade;

typedef struct {
    real *w, *c;            /* (d,V,H), (H) */
    real *u, *b;            /* (d,V,H), (d,V) */
} Weights;

typedef struct {
    Weights w, g;           /* parameters, gradients */
    real *h, *dh;           /* (N,H) */
    real *logits;           /* (N,V); then their gradients */
    char *packed;           /* (threads) right operands, packed_size bytes each */
    size_t packed_size;
} State;

typedef struct { real *a, *h; } Sums;       /* (streams,H) of what has been read up to now */

/* ---------------------------------------------------------------- the family */

#define INT(name, field, low, high, text, change, help) \
    { name, "--" name, FIELD_INT, offsetof(Nade, field), low, high, NULL, text, change, help }
static const Field fields[] = {
    INT("hidden", hidden, 0, 262144, "0", FIELD_FIXED, "hidden units; 0: 256"),
    INT(FIELD_CONTEXT, context, 1, CONTEXT_MAX, "64", FIELD_SHRINKS, "characters of a window"),
    INT(FIELD_VOCAB, vocab, 1, VOCAB_MAX, NULL, FIELD_FIXED, NULL),
    { "dropout", "--dropout", FIELD_REAL, offsetof(Nade, dropout), 0, 0.99, NULL, "0", FIELD_FREE,
      "probability of dropping an activation" },
};
#undef INT

static const Choice always[] = {
    { "optimizer", "adamw" }, { "lr", "0.08" }, { "min-lr", "0" }, { "warmup", "20" },
    { "schedule", "wsd" }, { "sampling", "epoch" }, { NULL, NULL }
};
#define SIZES(hidden, context, batch) \
    { { "hidden", hidden }, { "context", context }, { "batch", batch }, { NULL, NULL } }
static const Budget budgets[] = {
    { 0, 0, SIZES("256", "8", "128") },
    { 5e11, 100000, SIZES("512", "8", "256") },
    { 3e12, 500000, SIZES("1024", "10", "512") },
};
static const Choice probe[] = SIZES("512", "8", "256");
#undef SIZES

static int check(void *config, Err *err)
{
    Nade *c = config;
    if (c->hidden == 0) c->hidden = 256;
    double weights = (double)c->context * c->vocab * (2.0 * c->hidden + 1);
    if (weights <= INT32_MAX) return 0;
    return fail(err, EXIT_USAGE, "context %d, hidden %d: need %.0f million weights for %d symbols, "
                "and the nade family takes at most %d million; use a smaller --context or --hidden",
                c->context, c->hidden, weights / 1e6, c->vocab, INT32_MAX / 1000000);
}

static void tensors(TensorTable *t, const void *config)
{
    const Nade *c = config;
    int rows = c->context * c->vocab, H = c->hidden;
    const Tensor list[] = {
        { .name = "input.weight", .rows = rows, .cols = H, .rank = 2, .decay = true,
          .deviation = 1 / sqrt(c->context) },
        { .name = "input.bias", .rows = 1, .cols = H, .rank = 1 },
        { .name = "output.weight", .rows = rows, .cols = H, .rank = 2, .decay = true,
          .deviation = 0.1 / sqrt(H) },
        { .name = "output.bias", .rows = c->context, .cols = c->vocab, .rank = 2 },
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) tensors_add(t, list[i], false);
}

static double flops(const void *config, int T)
{
    const Nade *c = config;
    (void)T;
    return 6.0 * c->hidden * (c->vocab + 1.0);
}

static double kept(const void *config)
{
    const Nade *c = config;
    return 2.0 * c->hidden + c->vocab;
}

static void describe(const void *config, char *out, size_t room)
{
    const Nade *c = config;
    snprintf(out, room, "%d hidden units, windows of %d", c->hidden, c->context);
}

extern const Family family_nade;
const Family family_nade = {
    "nade", "a hidden layer whose activations all positions share", fields,
    sizeof fields / sizeof fields[0], sizeof(Nade), check, tensors, flops, kept, describe, always,
    budgets, sizeof budgets / sizeof budgets[0], probe, NULL, family_by_position, NULL
};

/* ---------------------------------------------------------------- memory */

static State *state(Model *m) { return (State *)(void *)m->state.bytes; }
static const Nade *sizes(const Model *m) { return (const Nade *)(const void *)m->config.bytes; }

static void layout(Model *m, Arena *a)
{
    State *s = state(m);
    const Kernels *K = m->gemm.K;
    int H = sizes(m)->hidden, V = m->vocab;
    size_t N = (size_t)m->slice * (size_t)m->context;
    bool train = m->use == MODEL_TRAIN;
    size_t outputs = packed_bytes(K, H, V), inputs = train ? packed_bytes(K, V, H) : 0;
    size_t hidden = train ? packed_bytes(K, m->slice, H) : 0;
    s->packed_size = outputs > inputs ? outputs : inputs;
    if (hidden > s->packed_size) s->packed_size = hidden;
    s->packed = arena_take(a, (size_t)m->gemm.threads, s->packed_size);
    s->h = arena_reals(a, N * (size_t)H);
    s->logits = arena_reals(a, N * (size_t)V);
    if (train) s->dh = arena_reals(a, N * (size_t)H);
}

static Weights weights_at(const Model *m, real *flat)
{
    const Tensor *t = m->tensors;
    return (Weights){ flat + t[0].offset, flat + t[1].offset, flat + t[2].offset,
                      flat + t[3].offset };
}

static void bind(Model *m, real *params)
{
    state(m)->w = weights_at(m, params);
    if (m->use == MODEL_TRAIN) state(m)->g = weights_at(m, m->grads);
}

/* The rows (V,H) of W or U at position t. */
static size_t rows_of(const Model *m, int t)
{
    return (size_t)t * (size_t)m->vocab * (size_t)sizes(m)->hidden;
}

/* ---------------------------------------------------------------- hidden layer
 * a_t = a_{t-1} + W_t[x_t],  a_{-1} = c,  h_t = relu(a_t)
 * da_t = da_{t+1} + dh_t [h_t > 0], in place of dh;  dW_t[x_t] += da_t,  dc += da_0
 * Forward, threads share sequences; a position has rows of dW to itself, so backward they share
 * positions. */

static void relu(real *y, const real *x, int n)
{
    for (int k = 0; k < n; k++) y[k] = x[k] > 0 ? x[k] : 0;
}

static void hidden_forward(Model *m, real *h /* (N,H) */, const int32_t *x, int n, int T)
{
    const Weights *w = &state(m)->w;
    int H = sizes(m)->hidden;
    size_t row = (size_t)H;
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++) {
        real *a = h + (size_t)i * (size_t)T * row;
        memcpy(a, w->c, row * sizeof *a);
        for (int t = 0; t < T; t++, a += row) {
            symbol_add(m, a, w->w + rows_of(m, t), row, x[(size_t)i * (size_t)T + (size_t)t], H);
            if (t + 1 < T) memcpy(a + row, a, row * sizeof *a);
            relu(a, a, H);
        }
    }
    profile_mark(m->profile, PHASE_EMBEDDING);
}

static void hidden_backward(Model *m, real *dh, const real *h, const int32_t *x, int n, int T)
{
    const Weights *g = &state(m)->g;
    int H = sizes(m)->hidden;
    size_t row = (size_t)H, sequence = (size_t)T * row;
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++)
        for (size_t t = (size_t)T; t-- > 0;) {
            size_t at = (size_t)i * sequence + t * row;
            for (size_t k = at; k < at + row; k++) dh[k] = h[k] > 0 ? dh[k] : 0;
            if (t + 1 < (size_t)T) m->gemm.K->add(dh + at, dh + at + row, H);
        }
    OMP(parallel for schedule(static))
    for (int t = 0; t < T; t++)
        for (int i = 0; i < n; i++) {
            size_t r = (size_t)i * (size_t)T + (size_t)t;
            symbol_backward(m, g->w + rows_of(m, t), dh + r * row, row, x[r], H);
        }
    sum_columns(m, g->c, dh, sequence, n, H);
    profile_mark(m->profile, PHASE_EMBEDDING);
}

/* ---------------------------------------------------------------- output layers
 * logits_t = h_t U_t^T + b_t
 * dh_t = dlogits_t U_t      dU_t += dlogits_t^T h_t      db_t += column sums of dlogits_t
 * Products of n rows for each position; threads share positions. */

static char *packed_space(const State *s)
{
    return s->packed + (size_t)omp_get_thread_num() * s->packed_size;
}

static void output_forward(Model *m, real *logits /* (N,V) */, const real *h, int n, int T)
{
    const State *s = state(m);
    int H = sizes(m)->hidden, V = m->vocab;
    size_t row = (size_t)T * (size_t)V;
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++)
        memcpy(logits + (size_t)i * row, s->w.b, row * sizeof *logits);
    OMP(parallel for schedule(static) num_threads(m->gemm.threads))
    for (int t = 0; t < T; t++) {
        View u = view(s->w.u + rows_of(m, t), V, H);
        Packed outputs = gemm_pack(m->gemm.K, packed_space(s), transposed(u));
        gemm_packed(&m->gemm, logits + t * V, T * V, view_ld(h + t * H, n, H, T * H), outputs, V,
                    (Causal){ CAUSAL_NONE, 0 }, true);
    }
    profile_mark(m->profile, PHASE_LINEAR);
}

static void output_backward(Model *m, real *dh, const real *dlogits, const real *h, int n, int T)
{
    const State *s = state(m);
    const Kernels *K = m->gemm.K;
    const Causal all = { CAUSAL_NONE, 0 };
    int H = sizes(m)->hidden, V = m->vocab;
    OMP(parallel for schedule(static) num_threads(m->gemm.threads))
    for (int t = 0; t < T; t++) {
        size_t at = rows_of(m, t);
        View d = view_ld(dlogits + t * V, n, V, T * V);
        Packed inputs = gemm_pack(K, packed_space(s), view(s->w.u + at, V, H));
        gemm_packed(&m->gemm, dh + t * H, T * H, d, inputs, H, all, false);
        Packed hidden = gemm_pack(K, packed_space(s), view_ld(h + t * H, n, H, T * H));
        gemm_packed(&m->gemm, s->g.u + at, H, transposed(d), hidden, H, all, true);
    }
    sum_columns(m, s->g.b, dlogits, (size_t)T * (size_t)V, n, T * V);
    profile_mark(m->profile, PHASE_LINEAR);
}

/* ---------------------------------------------------------------- passes */

static void losses(Model *m, const Slice *s, real *nats)
{
    State *p = state(m);
    hidden_forward(m, p->h, s->x, s->n, s->T);
    output_forward(m, p->logits, p->h, s->n, s->T);
    cross_entropy_forward(m, nats, p->logits, s->y, s->n * s->T);
}

static void gradients(Model *m, const Slice *s, real *nats)
{
    State *p = state(m);
    int n = s->n, T = s->T, N = n * T, H = sizes(m)->hidden;
    size_t first = (size_t)s->first * (size_t)T;
    Dropout drop = dropout_of(sizes(m)->dropout);
    hidden_forward(m, p->h, s->x, n, T);
    dropout_rows(m, drop, s->dropout_key, first, p->h, p->h, N, H);
    output_forward(m, p->logits, p->h, n, T);
    cross_entropy_forward(m, nats, p->logits, s->y, N);
    cross_entropy_backward(m, p->logits, s->y, N, slice_scale(s));
    output_backward(m, p->dh, p->logits, p->h, n, T);
    dropout_rows(m, drop, s->dropout_key, first, p->dh, p->dh, N, H);
    hidden_backward(m, p->dh, p->h, s->x, n, T);
}

static void logits(Model *m, const int32_t *x, int T, real *out)
{
    hidden_forward(m, state(m)->h, x, 1, T);
    output_forward(m, out, state(m)->h, 1, T);
}

/* ---------------------------------------------------------------- decoding */

static Sums *sums(Decoder *d) { return (Sums *)(void *)d->state.bytes; }

static void decoder_layout(Decoder *d, Arena *a)
{
    size_t size = (size_t)d->room * (size_t)sizes(d->model)->hidden;
    sums(d)->a = arena_reals(a, size);
    sums(d)->h = arena_reals(a, size);
}

static void decoder_feed(Decoder *d, int count)
{
    Model *m = d->model;
    const Weights *w = &state(m)->w;
    int H = sizes(m)->hidden;
    for (int i = 0; i < d->n; i++) {
        const int32_t *ids = d->ids + (size_t)i * (size_t)m->context;
        real *a = sums(d)->a + (size_t)i * (size_t)H;
        if (d->pos == 0) memcpy(a, w->c, (size_t)H * sizeof *a);
        for (int t = d->pos; t < d->pos + count; t++)
            symbol_add(m, a, w->w + rows_of(m, t), (size_t)H, ids[t], H);
    }
}

static void decoder_logits(Decoder *d)
{
    Model *m = d->model;
    const Weights *w = &state(m)->w;
    int H = sizes(m)->hidden, V = m->vocab, t = d->pos - 1;
    relu(sums(d)->h, sums(d)->a, d->n * H);
    linear_streams(m, d->logits, sums(d)->h, w->u + rows_of(m, t), w->b + t * V, d->n, H, V);
}

static void copy(Decoder *d, int to, int from)
{
    size_t H = (size_t)sizes(d->model)->hidden;
    memcpy(sums(d)->a + (size_t)to * H, sums(d)->a + (size_t)from * H, H * sizeof(real));
}

extern const Network network_nade;
const Network network_nade = { &family_nade, layout, NULL, bind, NULL, NULL, gradients, losses,
                               logits, decoder_layout, decoder_feed, decoder_logits, copy, NULL,
                               NULL };
