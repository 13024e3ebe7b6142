/* cnn.c: causal convolutions, gated and residual. Over text they are dilated (WaveNet, van den Oord
 * et al. 2016a), over images masked in rows and columns (PixelCNN, van den Oord et al. 2016b):
 *
 *     x_0 = E[id],    z = sum_k W_k x_l[t - o_k] + b,    x_{l+1} = x_l + P (tanh(z_a) sigmoid(z_b))
 *     p(id_{t+1} | id_0 .. id_t) = softmax(V norm(x_L)_t + b_V),    norm: RMS, with a weight
 *
 * A tap k looks back o_k positions. Over text o_k = k 2^(l mod `dilations`). In an image of width W
 * a position belongs to the pixel that it predicts, and taps are its neighbours in the rows above
 * and to the left, never across an edge. Stacked, these never see what lies above and far to the
 * right; so one more tap goes back 2^(l mod `dilations`) pixels in the order of reading. An image
 * also has x_0 = E[id] + Q[t], for pixels in the middle are not those at an edge, and it ends.
 *
 *     n sequences of a slice    T positions    N = n T    C channels    L layers    K taps
 */
#include "layers.h"

typedef struct {
    int context, vocab, layers, channels, kernel, dilations, width;
    double dropout;
} Cnn;

typedef struct {
    real *conv, *convb;     /* (2C,K C), (2C) */
    real *out, *outb;       /* (C,C), (C) */
} Layer;

typedef struct {
    real *embedding;        /* (V,C) */
    real *position;         /* (context,C) or NULL: Q */
    Layer *layers;          /* (L) */
    real *norm;             /* (C) */
    real *head, *bias;      /* (V,C), (V) */
} Weights;

typedef struct {            /* what a layer's backward needs */
    real *x;                /* (N,C) its input */
    real *z, *y;            /* (N,2C), (N,C) before and after the gate */
} LayerActs;

typedef struct {
    Weights w, g;           /* parameters, gradients */
    LayerActs *acts;        /* (L) */
    real *seen;             /* (N,K C) what the taps see; then its gradient */
    real *x, *branch;       /* (N,C) the residual stream, what a layer adds to it */
    real *xhat, *rstd;      /* (N,C), (N) of the norm */
    real *final;            /* (N,C) after it */
    real *dx, *dy, *dz;     /* (N,C), (N,C), (N,2C) */
    real *logits;           /* (head_rows,V) */
} State;

typedef struct {
    real *x;                /* (streams,L,context,C) inputs of the layers so far */
    real *seen;             /* (streams,K C) */
    real *z, *y, *now;      /* (streams,2C), (streams,C), (streams,C) */
    real *xhat;             /* (C) */
} Memory;

/* ---------------------------------------------------------------- taps */

static int taps(const Cnn *c)
{
    int r = c->kernel / 2;
    return c->width == 0 ? c->kernel : r * (2 * r + 1) + (r + 1) + 1;
}

/* The position that tap k of a layer sees from position t, or -1: there is none. */
static int seen_from(const Cnn *c, int layer, int k, int t)
{
    int jump = 1 << layer % c->dilations;
    int W = c->width, r = c->kernel / 2, above = r * (2 * r + 1);
    if (W == 0) return t - k * jump;
    if (k == taps(c) - 1) return t - jump;
    int up = k < above ? 1 + k / (2 * r + 1) : 0;
    int left = k < above ? k % (2 * r + 1) - r : k - above;
    int column = t % W - left, row = t / W - up;
    if (column < 0 || column >= W || row < 0) return -1;
    int pixel = row * W + column;
    return layer > 0 ? pixel : pixel < t ? pixel + 1 : -1;  /* the input is one pixel behind */
}

/* ---------------------------------------------------------------- the family */

enum { CHANNELS_MAX = 8192, LAYERS_MAX = 64, KERNEL_MAX = 31, DILATIONS_MAX = 12 };

#define INT(name, field, least, high, text, change, help) \
    { name, "--" name, FIELD_INT, offsetof(Cnn, field), least, high, NULL, text, change, help }
static const Field fields[] = {
    INT("layers", layers, 1, LAYERS_MAX, "6", FIELD_FIXED, "layers"),
    INT("channels", channels, 1, CHANNELS_MAX, "128", FIELD_FIXED, "channels of a layer"),
    INT(FIELD_CONTEXT, context, 1, CONTEXT_MAX, "128", FIELD_SHRINKS, "characters of a window"),
    INT(FIELD_VOCAB, vocab, 1, VOCAB_MAX, NULL, FIELD_FIXED, NULL),
    INT("kernel", kernel, 2, KERNEL_MAX, "3", FIELD_FIXED,
        "cnn: characters that a layer sees; in images the pixels across, odd"),
    INT("dilations", dilations, 1, DILATIONS_MAX, "6", FIELD_FIXED,
        "cnn: layers look back 1, 2, 4, .. times as far, and after so many begin again"),
    INT("image-width", width, 0, CONTEXT_MAX, "0", FIELD_FIXED,
        "cnn: documents are images of this width, one character a pixel; 0: text"),
    { "dropout", "--dropout", FIELD_REAL, offsetof(Cnn, dropout), 0, 0.99, NULL, "0", FIELD_FREE,
      "probability of dropping an activation" },
};
#undef INT

static const Choice always[] = {
    { "optimizer", "adamw" }, { "lr", "0.032" }, { "min-lr", "0" }, { "warmup", "20" },
    { "schedule", "wsd" }, { "sampling", "epoch" }, { NULL, NULL }
};
#define SIZES(layers, channels, context, batch) \
    { { "layers", layers }, { "channels", channels }, { "context", context }, \
      { "batch", batch }, { NULL, NULL } }
static const Budget budgets[] = {
    { 0, 0, SIZES("5", "64", "128", "8") },
    { 3e12, 100000, SIZES("6", "96", "128", "16") },
    { 1.2e13, 200000, SIZES("6", "128", "256", "16") },
    { 1e14, 500000, SIZES("7", "192", "256", "16") },
};
static const Choice probe[] = SIZES("6", "128", "128", "16");
#undef SIZES

static int check(void *config, Err *err)
{
    const Cnn *c = config;
    if (c->width == 0 || c->kernel % 2 == 1) return 0;
    return fail(err, EXIT_USAGE, "--kernel %d: of an image a layer sees an odd number of pixels "
                "across; try %d", c->kernel, c->kernel + 1);
}

static void add_tensor(TensorTable *t, const char *name, int layer, Tensor one)
{
    if (layer < 0) snprintf(one.name, sizeof one.name, "%s", name);
    else snprintf(one.name, sizeof one.name, "layers.%d.%s", layer, name);
    one.rank = one.rows > 1 || one.by_symbol ? 2 : 1;
    one.decay = one.rank == 2;
    one.hidden = one.decay && layer >= 0;
    tensors_add(t, one, false);
}

static void tensors(TensorTable *t, const void *config)
{
    const Cnn *c = config;
    int C = c->channels, V = c->vocab, seen = taps(c) * C;
    add_tensor(t, "embedding.weight", -1,
               (Tensor){ .rows = V, .cols = C, .by_symbol = true, .deviation = 1 });
    if (c->width > 0)
        add_tensor(t, "position.weight", -1,
                   (Tensor){ .rows = c->context, .cols = C, .deviation = 0.02 });
    for (int l = 0; l < c->layers; l++) {
        add_tensor(t, "conv.weight", l,
                   (Tensor){ .rows = 2 * C, .cols = seen, .deviation = 1 / sqrt((double)seen) });
        add_tensor(t, "conv.bias", l, (Tensor){ .rows = 1, .cols = 2 * C });
        add_tensor(t, "out.weight", l,
                   (Tensor){ .rows = C, .cols = C,
                             .deviation = 1 / sqrt((double)C * c->layers) });
        add_tensor(t, "out.bias", l, (Tensor){ .rows = 1, .cols = C });
    }
    add_tensor(t, "norm.weight", -1, (Tensor){ .rows = 1, .cols = C, .start = 1 });
    add_tensor(t, "head.weight", -1,
               (Tensor){ .rows = V, .cols = C, .by_symbol = true, .deviation = 0.02 });
    add_tensor(t, "head.bias", -1, (Tensor){ .rows = 1, .cols = V });
}

static double flops(const void *config, int T)
{
    const Cnn *c = config;
    double C = c->channels;
    (void)T;
    return 6 * (c->layers * C * C * (2 * taps(c) + 1) + C * c->vocab);
}

static double kept(const void *config)
{
    const Cnn *c = config;
    return c->channels * (4.0 * c->layers + taps(c) + 8);
}

static void describe(const void *config, char *out, size_t room)
{
    const Cnn *c = config;
    int used = snprintf(out, room, "%d layers of %d channels, %d taps, context %d", c->layers,
                        c->channels, taps(c), c->context);
    if (c->width > 0) snprintf(out + used, room - (size_t)used, ", images %d wide", c->width);
}

static bool by_position(const void *config) { return ((const Cnn *)config)->width > 0; }

extern const Family family_cnn;
const Family family_cnn = {
    "cnn", "causal convolutions", fields, sizeof fields / sizeof fields[0], sizeof(Cnn), check,
    tensors, flops, kept, describe, always, budgets, sizeof budgets / sizeof budgets[0], probe,
    NULL, by_position, NULL
};

/* ---------------------------------------------------------------- memory */

static const Cnn *sizes(const Model *m) { return (const Cnn *)(const void *)m->config.bytes; }
static State *state(Model *m) { return (State *)(void *)m->state.bytes; }
static Memory *memory(Decoder *d) { return (Memory *)(void *)d->state.bytes; }

static void layout(Model *m, Arena *a)
{
    State *s = state(m);
    const Cnn *c = sizes(m);
    bool train = m->use == MODEL_TRAIN;
    size_t L = (size_t)c->layers, C = (size_t)c->channels;
    size_t N = (size_t)m->slice * (size_t)m->context;
    s->w.layers = arena_take(a, L, sizeof(Layer));
    if (train) s->g.layers = arena_take(a, L, sizeof(Layer));
    s->acts = arena_take(a, L, sizeof(LayerActs));
    LayerActs one = { 0 };
    for (size_t l = 0; l < L; l++) {
        if (train || l == 0)
            one = (LayerActs){ train ? arena_reals(a, N * C) : NULL, arena_reals(a, N * 2 * C),
                               arena_reals(a, N * C) };
        if (a->base != NULL) s->acts[l] = one;
    }
    s->seen = arena_reals(a, N * (size_t)taps(c) * C);
    s->x = arena_reals(a, N * C);
    s->branch = arena_reals(a, N * C);
    s->xhat = arena_reals(a, N * C);
    s->rstd = arena_reals(a, N);
    s->final = arena_reals(a, N * C);
    s->logits = arena_reals(a, (size_t)head_rows((int)N, m->vocab) * (size_t)m->vocab);
    if (!train) return;
    s->dx = arena_reals(a, N * C);
    s->dy = arena_reals(a, N * C);
    s->dz = arena_reals(a, N * 2 * C);
}

/* The tensors stand in the order of tensors(). */
static void bind_weights(const Model *m, Weights *w, real *flat)
{
    const Tensor *t = m->tensors;
    w->embedding = flat + (t++)->offset;
    w->position = sizes(m)->width > 0 ? flat + (t++)->offset : NULL;
    for (Layer *l = w->layers; l < w->layers + sizes(m)->layers; l++) {
        l->conv = flat + (t++)->offset;
        l->convb = flat + (t++)->offset;
        l->out = flat + (t++)->offset;
        l->outb = flat + (t++)->offset;
    }
    w->norm = flat + (t++)->offset;
    w->head = flat + (t++)->offset;
    w->bias = flat + t->offset;
}

static void bind(Model *m, real *params)
{
    bind_weights(m, &state(m)->w, params);
    if (m->use == MODEL_TRAIN) bind_weights(m, &state(m)->g, m->grads);
}

/* ---------------------------------------------------------------- layers */

typedef struct {            /* of one pass */
    Model *m;
    const Cnn *c;
    int n, T, N, C;
    size_t first;           /* row of the batch */
    uint64_t key;
    Dropout dropout;
} Pass;

static Pass pass_make(Model *m, const Slice *s, bool train)
{
    return (Pass){ .m = m, .c = sizes(m), .n = s->n, .T = s->T, .N = s->n * s->T,
                   .C = sizes(m)->channels, .first = (size_t)s->first * (size_t)s->T,
                   .key = s->dropout_key, .dropout = dropout_of(train ? sizes(m)->dropout : 0) };
}

static void drop(const Pass *p, real *y, const real *x, int layer)
{
    dropout_rows(p->m, p->dropout, rng_bits(p->key, (uint64_t)layer), p->first, y, x, p->N, p->C);
}

static const double norm_eps = 1e-6;

/* x (C) = E[id] + Q[t] */
static void embed(Model *m, real *x, int32_t id, int t)
{
    const Weights *w = &state(m)->w;
    size_t C = (size_t)sizes(m)->channels;
    symbol_set(m, x, w->embedding, C, id, (int)C);
    if (w->position != NULL) m->gemm.K->add(x, w->position + (size_t)t * C, (int)C);
}

/* dE[id] += dx,  dQ[t] += dx */
static void embed_backward(const Pass *p, const int32_t *ids)
{
    const State *s = state(p->m);
    size_t C = (size_t)p->C;
    OMP(parallel for schedule(static))
    for (int j = 0; j < p->C; j += COLUMNS)
        for (int r = 0; r < p->N; r++) {
            const real *d = s->dx + (size_t)r * C + j;
            int count = min_dim(COLUMNS, p->C - j);
            symbol_backward(p->m, s->g.embedding + j, d, C, ids[r], count);
            if (s->g.position != NULL)
                p->m->gemm.K->add(s->g.position + (size_t)(r % p->T) * C + j, d, count);
        }
    profile_mark(p->m->profile, PHASE_EMBEDDING);
}

/* seen (N,K C) = the rows of x (N,C) that the taps see, zeros for none */
static void taps_forward(const Pass *p, real *seen, const real *x, int layer)
{
    int K = taps(p->c);
    size_t C = (size_t)p->C;
    OMP(parallel for schedule(static))
    for (int r = 0; r < p->N; r++)
        for (int k = 0; k < K; k++) {
            real *to = seen + ((size_t)r * (size_t)K + (size_t)k) * C;
            int t = r % p->T, from = seen_from(p->c, layer, k, t);
            if (from < 0) memset(to, 0, C * sizeof *to);
            else memcpy(to, x + (size_t)(r - t + from) * C, C * sizeof *to);
        }
    profile_mark(p->m->profile, PHASE_EMBEDDING);
}

/* dx += the gradients of the taps; of a sequence in the order of its rows */
static void taps_backward(const Pass *p, real *dx, const real *dseen, int layer)
{
    int K = taps(p->c);
    size_t C = (size_t)p->C;
    OMP(parallel for schedule(static))
    for (int s = 0; s < p->n; s++)
        for (int t = 0; t < p->T; t++)
            for (int k = 0; k < K; k++) {
                int from = seen_from(p->c, layer, k, t);
                if (from < 0) continue;
                size_t row = (size_t)s * (size_t)p->T;
                p->m->gemm.K->add(dx + (row + (size_t)from) * C,
                                  dseen + ((row + (size_t)t) * (size_t)K + (size_t)k) * C, p->C);
            }
    profile_mark(p->m->profile, PHASE_EMBEDDING);
}

/* x += P gate(z) + b,  z = W seen + b */
static void layer_forward(const Pass *p, real *x, LayerActs *a, const Layer *w, int layer)
{
    Model *m = p->m;
    State *s = state(m);
    int C = p->C, seen = taps(p->c) * C;
    if (a->x != NULL) memcpy(a->x, x, (size_t)p->N * (size_t)C * sizeof *x);
    taps_forward(p, s->seen, x, layer);
    linear_forward(m, a->z, s->seen, w->conv, w->convb, p->N, seen, 2 * C);
    OMP(parallel for schedule(static))
    for (int r = 0; r < p->N; r++)
        m->gemm.K->gated(a->y + (size_t)r * (size_t)C, a->z + (size_t)r * 2 * (size_t)C, C);
    profile_mark(m->profile, PHASE_ACTIVATION);
    linear_forward(m, s->branch, a->y, w->out, w->outb, p->N, C, C);
    drop(p, s->branch, s->branch, layer);
    OMP(parallel for schedule(static))
    for (int r = 0; r < p->N; r++)
        m->gemm.K->add(x + (size_t)r * (size_t)C, s->branch + (size_t)r * (size_t)C, C);
    profile_mark(m->profile, PHASE_RESIDUAL);
}

/* The same lines from bottom to top; dx (N,C) is the gradient of the residual stream. */
static void layer_backward(const Pass *p, real *dx, LayerActs *a, const Layer *w, const Layer *g,
                           int layer)
{
    Model *m = p->m;
    State *s = state(m);
    int C = p->C, seen = taps(p->c) * C;
    const real *dbranch = dx;
    if (p->dropout.threshold != 0) {
        drop(p, s->branch, dx, layer);
        dbranch = s->branch;
    }
    linear_backward(m, s->dy, g->out, g->outb, dbranch, a->y, w->out, p->N, C, C);
    OMP(parallel for schedule(static))
    for (int r = 0; r < p->N; r++)
        m->gemm.K->gated_back(s->dz + (size_t)r * 2 * (size_t)C, s->dy + (size_t)r * (size_t)C,
                              a->z + (size_t)r * 2 * (size_t)C, C);
    profile_mark(m->profile, PHASE_ACTIVATION);
    taps_forward(p, s->seen, a->x, layer);
    linear_backward(m, NULL, g->conv, g->convb, s->dz, s->seen, w->conv, p->N, seen, 2 * C);
    gemm(&m->gemm, s->seen, seen, view(s->dz, p->N, 2 * C), view(w->conv, 2 * C, seen), false);
    profile_mark(m->profile, PHASE_LINEAR);
    taps_backward(p, dx, s->seen, layer);
}

/* ---------------------------------------------------------------- the network */

static void forward(const Pass *p, const int32_t *ids)
{
    Model *m = p->m;
    State *s = state(m);
    size_t C = (size_t)p->C;
    OMP(parallel for schedule(static))
    for (int r = 0; r < p->N; r++) embed(m, s->x + (size_t)r * C, ids[r], r % p->T);
    profile_mark(m->profile, PHASE_EMBEDDING);
    for (int l = 0; l < p->c->layers; l++)
        layer_forward(p, s->x, &s->acts[l], &s->w.layers[l], l);
    OMP(parallel for schedule(static))
    for (int r = 0; r < p->N; r++)
        s->rstd[r] = m->gemm.K->rmsnorm(s->final + (size_t)r * C, s->xhat + (size_t)r * C,
                                        s->x + (size_t)r * C, s->w.norm, p->C, (real)norm_eps);
    profile_mark(m->profile, PHASE_NORM);
}

static Head head_of(const State *s, int C)
{
    return (Head){ .w = s->w.head, .b = s->w.bias, .dw = s->g.head, .db = s->g.bias,
                   .logits = s->logits, .I = C };
}

/* s->dx = the gradient of the last layer's output, from that of `final` in s->dy */
static void norm_backward(const Pass *p)
{
    Model *m = p->m;
    State *s = state(m);
    size_t C = (size_t)p->C;
    OMP(parallel for schedule(static))
    for (int j = 0; j < p->C; j += COLUMNS)
        m->gemm.K->sum_rows_product(s->g.norm + j, s->dy + j, s->xhat + j, p->C, p->N,
                                    min_dim(COLUMNS, p->C - j));
    memset(s->dx, 0, (size_t)p->N * C * sizeof *s->dx);
    OMP(parallel for schedule(static))
    for (int r = 0; r < p->N; r++)
        m->gemm.K->rmsnorm_back(s->dx + (size_t)r * C, s->dy + (size_t)r * C,
                                s->xhat + (size_t)r * C, s->w.norm, s->rstd[r], p->C);
    profile_mark(m->profile, PHASE_NORM);
}

static void gradients(Model *m, const Slice *in, real *nats)
{
    State *s = state(m);
    Pass p = pass_make(m, in, true);
    Head head = head_of(s, p.C);
    forward(&p, in->x);
    head_gradients(m, &head, nats, s->dy, s->final, in->y, p.N, slice_scale(in));
    norm_backward(&p);
    for (int l = p.c->layers - 1; l >= 0; l--)
        layer_backward(&p, s->dx, &s->acts[l], &s->w.layers[l], &s->g.layers[l], l);
    embed_backward(&p, in->x);
}

static void losses(Model *m, const Slice *in, real *nats)
{
    Pass p = pass_make(m, in, false);
    Head head = head_of(state(m), p.C);
    forward(&p, in->x);
    head_losses(m, &head, nats, state(m)->final, in->y, p.N);
}

static void logits(Model *m, const int32_t *x, int T, real *out)
{
    const State *s = state(m);
    Pass p = pass_make(m, &(Slice){ .x = x, .n = 1, .T = T }, false);
    forward(&p, x);
    linear_forward(m, out, s->final, s->w.head, s->w.bias, T, p.C, m->vocab);
}

/* ---------------------------------------------------------------- decoding */

static void decoder_layout(Decoder *d, Arena *a)
{
    const Cnn *c = sizes(d->model);
    size_t room = (size_t)d->room, C = (size_t)c->channels;
    Memory *t = memory(d);
    t->x = arena_reals(a, room * (size_t)c->layers * (size_t)d->model->context * C);
    t->seen = arena_reals(a, room * (size_t)taps(c) * C);
    t->z = arena_reals(a, room * 2 * C);
    t->y = arena_reals(a, room * C);
    t->now = arena_reals(a, room * C);
    t->xhat = arena_reals(a, C);
}

/* The inputs (context,C) of a layer that a stream has had. */
static real *inputs(const Decoder *d, int stream, int layer)
{
    const Cnn *c = sizes(d->model);
    size_t one = (size_t)d->model->context * (size_t)c->channels;
    return ((const Memory *)(const void *)d->state.bytes)->x
           + ((size_t)stream * (size_t)c->layers + (size_t)layer) * one;
}

/* One layer at position pos of every stream: t->now is its input, then its output. */
static void layer_streams(Decoder *d, const Layer *w, int layer, int pos)
{
    Model *m = d->model;
    Memory *t = memory(d);
    int C = sizes(m)->channels, K = taps(sizes(m));
    size_t row = (size_t)C;
    for (int i = 0; i < d->n; i++) {
        real *x = inputs(d, i, layer);
        memcpy(x + (size_t)pos * row, t->now + (size_t)i * row, row * sizeof *x);
        for (int k = 0; k < K; k++) {
            real *to = t->seen + ((size_t)i * (size_t)K + (size_t)k) * row;
            int from = seen_from(sizes(m), layer, k, pos);
            if (from < 0) memset(to, 0, row * sizeof *to);
            else memcpy(to, x + (size_t)from * row, row * sizeof *to);
        }
    }
    linear_streams(m, t->z, t->seen, w->conv, w->convb, d->n, K * C, 2 * C);
    for (int i = 0; i < d->n; i++)
        m->gemm.K->gated(t->y + (size_t)i * row, t->z + (size_t)i * 2 * row, C);
    linear_streams(m, t->z, t->y, w->out, w->outb, d->n, C, C);
    m->gemm.K->add(t->now, t->z, d->n * C);
}

static void decoder_feed(Decoder *d, int count)
{
    Model *m = d->model;
    size_t row = (size_t)sizes(m)->channels;
    for (int pos = d->pos; pos < d->pos + count; pos++) {
        for (int i = 0; i < d->n; i++) {
            embed(m, memory(d)->now + (size_t)i * row,
                  d->ids[(size_t)i * (size_t)m->context + (size_t)pos], pos);
        }
        for (int l = 0; l < sizes(m)->layers; l++)
            layer_streams(d, &state(m)->w.layers[l], l, pos);
    }
}

static void decoder_logits(Decoder *d)
{
    Model *m = d->model;
    const State *s = state(m);
    Memory *t = memory(d);
    int C = sizes(m)->channels;
    for (int i = 0; i < d->n; i++)
        m->gemm.K->rmsnorm(t->y + (size_t)i * (size_t)C, t->xhat, t->now + (size_t)i * (size_t)C,
                           s->w.norm, C, (real)norm_eps);
    linear_streams(m, d->logits, t->y, s->w.head, s->w.bias, d->n, C, m->vocab);
}

static void copy(Decoder *d, int to, int from)
{
    size_t row = (size_t)sizes(d->model)->channels;
    for (int l = 0; l < sizes(d->model)->layers; l++)
        memcpy(inputs(d, to, l), inputs(d, from, l), (size_t)d->pos * row * sizeof(real));
    memcpy(memory(d)->now + (size_t)to * row, memory(d)->now + (size_t)from * row,
           row * sizeof(real));
}

extern const Network network_cnn;
const Network network_cnn = { &family_cnn, layout, NULL, bind, NULL, NULL, gradients, losses,
                              logits, decoder_layout, decoder_feed, decoder_logits, copy, NULL,
                              NULL };
