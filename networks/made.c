/* made.c: the masked autoencoder for distribution estimation (Germain et al. 2015) over a window of
 * d characters: an ordinary network from all of them to all predictions, in which what would look
 * ahead is masked. Unit k of layer l has a degree m_l(k), the last position that it may know,
 *
 *     h_1 = relu(c_1 + sum_u W_1u[x_u])                   W_1: unit k sees u <= m_1(k)
 *     h_l = relu(c_l + W_l h_{l-1})                       W_l: unit k sees j with m(j) <= m(k)
 *     p(x_{t+1} | x_0 .. x_t) = softmax(b_t + U_t h_L + sum_{u<=t} D_{t,u}[x_u])
 *                                                         U_t: sees j with m_L(j) <= t
 *
 * so one pass over the hidden layers serves a whole window. D are the paper's direct connections.
 * One set of degrees spreads them evenly; of several, drawn at random, each training step takes
 * one, and probabilities are means over all sets: the paper's ensemble of orders of connection.
 *
 *     d context    T <= d positions    n sequences of a slice    N = n T    V symbols
 *     L hidden layers of H units    Q sets of masks
 */
#include "layers.h"

typedef struct { int context, vocab, layers, hidden, masks, direct; double dropout; } Made;

typedef struct { real *w, *b; } Layer;      /* (d,V,H), (H); (H,H), (H); the last (d,V,H), (d,V) */

typedef struct {
    Layer *layers;          /* (L+1): the last is the output */
    real *direct;           /* (pairs_rows,V) or NULL */
} Weights;

typedef struct {
    Weights w, g;           /* parameters, gradients */
    real **masked;          /* (L+1) copies of layers[l].w with zeros where set `copied` masks */
    int copied;             /* -1: no set's, or of parameters that have changed since */
    int trained;            /* the set that the gradients are of */
    int *degrees;           /* (Q,L,H) */
    real **h;               /* (L) of (n,H) */
    real *dh, *dbelow;      /* (n,H) */
    real *logits;           /* (N,V); then their gradients */
    real *nats, *p;         /* (N), (V) of one set */
} State;

typedef struct {
    real *a;                /* (streams,H) what the first layer has summed up to now */
    real *h;                /* (Q,L,streams,H) units that are known; 0 for others */
    real *logits;           /* (streams,V) of one set */
} Known;

/* ---------------------------------------------------------------- the family */

enum { MASKS_MAX = 64, HIDDEN = 512 };

#define INT(name, field, low, high, text, change, help) \
    { name, "--" name, FIELD_INT, offsetof(Made, field), low, high, NULL, text, change, help }
static const Field fields[] = {
    INT("layers", layers, 1, 1000, "1", FIELD_FIXED, "hidden layers"),
    INT("hidden", hidden, 0, 262144, "0", FIELD_FIXED, "units of a layer; 0: 512"),
    INT(FIELD_CONTEXT, context, 1, CONTEXT_MAX, "64", FIELD_FIXED, "characters of a window"),
    INT(FIELD_VOCAB, vocab, 1, VOCAB_MAX, NULL, FIELD_FIXED, NULL),
    INT("masks", masks, 1, MASKS_MAX, "1", FIELD_FIXED,
        "made: sets of masks, whose probabilities are averaged"),
    { "direct", "--direct", FIELD_WORD, offsetof(Made, direct), 0, 1, "off|on", "on", FIELD_FIXED,
      "made: connections from the input to the output" },
    { "dropout", "--dropout", FIELD_REAL, offsetof(Made, dropout), 0, 0.99, NULL, "0", FIELD_FREE,
      "probability of dropping an activation" },
};
#undef INT

static const Choice always[] = {
    { "optimizer", "adamw" }, { "lr", "0.04" }, { "min-lr", "0" }, { "warmup", "20" },
    { "schedule", "wsd" }, { "sampling", "epoch" }, { NULL, NULL }
};
#define SIZES(hidden, context, batch) \
    { { "layers", "1" }, { "hidden", hidden }, { "context", context }, { "batch", batch }, \
      { NULL, NULL } }
static const Budget budgets[] = {
    { 0, 0, SIZES("256", "8", "128") },
    { 5e11, 100000, SIZES("512", "8", "256") },
    { 3e12, 500000, SIZES("1024", "10", "512") },
};
static const Choice probe[] = SIZES("512", "8", "256");
#undef SIZES

static int check(void *config, Err *err)
{
    Made *c = config;
    if (c->hidden == 0) c->hidden = HIDDEN;
    double H = c->hidden, outputs = (double)c->context * c->vocab;
    double direct = c->direct ? pairs_rows(c->context, c->vocab) * c->vocab : 0;
    double weights = outputs * (2 * H + 1) + (c->layers - 1) * H * (H + 1) + direct;
    if (weights <= INT32_MAX) return 0;
    return fail(err, EXIT_USAGE, "context %d, hidden %d: need %.0f million weights for %d symbols, "
                "and the made family takes at most %d million; use a smaller --context or --hidden",
                c->context, c->hidden, weights / 1e6, c->vocab, INT32_MAX / 1000000);
}

/* A matrix and the bias of its outputs. */
static void add_layer(TensorTable *t, const char *name, Tensor w, Tensor b)
{
    snprintf(w.name, sizeof w.name, "%s.weight", name);
    snprintf(b.name, sizeof b.name, "%s.bias", name);
    w.rank = 2;
    w.decay = true;
    tensors_add(t, w, false);
    tensors_add(t, b, false);
}

static void tensors(TensorTable *t, const void *config)
{
    const Made *c = config;
    int d = c->context, V = c->vocab, H = c->hidden;
    Tensor bias = { .rows = 1, .cols = H, .rank = 1 };
    add_layer(t, "input", (Tensor){ .rows = d * V, .cols = H, .deviation = 1 / sqrt(d) }, bias);
    for (int l = 1; l < c->layers; l++) {
        char name[32];
        snprintf(name, sizeof name, "hidden.%d", l);
        add_layer(t, name, (Tensor){ .rows = H, .cols = H, .hidden = true,
                                     .deviation = sqrt(2.0 / H) }, bias);
    }
    add_layer(t, "output", (Tensor){ .rows = d * V, .cols = H, .deviation = 0.1 / sqrt(H) },
              (Tensor){ .rows = d, .cols = V, .rank = 2 });
    if (!c->direct) return;
    Tensor pairs = { .name = "direct.weight", .rows = (int)pairs_rows(d, V), .cols = V, .rank = 2,
                     .decay = true };
    tensors_add(t, pairs, false);
}

static double flops(const void *config, int T)
{
    const Made *c = config;
    double H = c->hidden, hidden = (c->layers - 1) * H * H / c->context;
    return 6 * (H * (c->vocab + 1.0) + hidden) + (c->direct ? c->vocab * (T + 1.0) : 0);
}

static double kept(const void *config)
{
    const Made *c = config;
    return c->vocab + (c->layers + 2.0) * c->hidden / c->context + 1;
}

static void describe(const void *config, char *out, size_t room)
{
    const Made *c = config;
    snprintf(out, room, "%d layers of %d units, windows of %d, %d set%s of masks", c->layers,
             c->hidden, c->context, c->masks, c->masks > 1 ? "s" : "");
}

extern const Family family_made;
const Family family_made = {
    "made", "masked layers that serve a whole window at once", fields,
    sizeof fields / sizeof fields[0], sizeof(Made), check, tensors, flops, kept, describe, always,
    budgets, sizeof budgets / sizeof budgets[0], probe, NULL, family_by_position, NULL
};

/* ---------------------------------------------------------------- memory */

static State *state(Model *m) { return (State *)(void *)m->state.bytes; }
static const Made *sizes(const Model *m) { return (const Made *)(const void *)m->config.bytes; }

static int layer_rows(const Model *m, int l)
{
    const Made *c = sizes(m);
    return l == 0 || l == c->layers ? c->context * c->vocab : c->hidden;
}

static void layout(Model *m, Arena *a)
{
    State *s = state(m);
    const Made *c = sizes(m);
    size_t L = (size_t)c->layers, H = (size_t)c->hidden, n = (size_t)m->slice;
    size_t N = n * (size_t)c->context;
    bool train = m->use == MODEL_TRAIN;
    s->w.layers = arena_take(a, L + 1, sizeof(Layer));
    s->g.layers = arena_take(a, L + 1, sizeof(Layer));
    s->masked = arena_take(a, L + 1, sizeof *s->masked);
    s->h = arena_take(a, L, sizeof *s->h);
    s->degrees = arena_take(a, (size_t)c->masks * L * H, sizeof *s->degrees);
    for (int l = 0; l <= c->layers; l++) {
        real *w = arena_reals(a, (size_t)layer_rows(m, l) * H);
        real *h = l < c->layers && (train || l < 2) ? arena_reals(a, n * H) : NULL;
        if (a->base == NULL) continue;
        s->masked[l] = w;
        if (l < c->layers) s->h[l] = h != NULL ? h : s->h[l - 2];
    }
    s->logits = arena_reals(a, N * (size_t)c->vocab);
    s->nats = arena_reals(a, N);
    s->p = arena_reals(a, (size_t)c->vocab);
    if (!train) return;
    s->dh = arena_reals(a, n * H);
    s->dbelow = arena_reals(a, n * H);
}

static void weights_bind(const Model *m, Weights *w, real *flat)
{
    const Made *c = sizes(m);
    const Tensor *t = m->tensors;
    for (int l = 0; l <= c->layers; l++, t += 2)
        w->layers[l] = (Layer){ flat + t[0].offset, flat + t[1].offset };
    w->direct = c->direct ? flat + t->offset : NULL;
}

static void bind(Model *m, real *params)
{
    weights_bind(m, &state(m)->w, params);
    if (m->use == MODEL_TRAIN) weights_bind(m, &state(m)->g, m->grads);
    state(m)->copied = -1;
}

/* The rows (V,H) of layer 0 or L at position t. */
static size_t rows_of(const Model *m, int t)
{
    return (size_t)t * (size_t)m->vocab * (size_t)sizes(m)->hidden;
}

/* ---------------------------------------------------------------- masks */

static int *degrees(Model *m, int set, int l)
{
    const Made *c = sizes(m);
    return state(m)->degrees + ((size_t)set * (size_t)c->layers + (size_t)l) * (size_t)c->hidden;
}

/* Evenly spread, or at random; then from the least of the layer below on, so that every unit sees
 * one. */
static void draw_degrees(Model *m)
{
    const Made *c = sizes(m);
    for (int set = 0; set < c->masks; set++) {
        int least = 0;
        for (int l = 0; l < c->layers; l++) {
            int *degree = degrees(m, set, l);
            uint64_t key = rng_key(0, (uint64_t)set, (uint64_t)l, RNG_INIT);
            int lowest = c->context;
            for (int k = 0; k < c->hidden; k++) {
                int free = c->context - least;
                degree[k] = c->masks == 1 ? (int)((int64_t)k * c->context / c->hidden)
                                  : least + (int)rng_below(key, (uint64_t)k, (uint64_t)free);
                if (degree[k] < lowest) lowest = degree[k];
            }
            least = lowest;
        }
    }
}

/* to = the matrix `from` of layer l without what the set masks; may be the same memory. */
static void mask_layer(Model *m, int set, int l, real *to, const real *from)
{
    const Made *c = sizes(m);
    int H = c->hidden, rows = layer_rows(m, l);
    const int *above = l > 0 && l < c->layers ? degrees(m, set, l) : NULL;
    const int *units = degrees(m, set, l > 0 ? l - 1 : 0);
    OMP(parallel for schedule(static))
    for (int r = 0; r < rows; r++) {
        int degree = above != NULL ? above[r] : r / c->vocab;
        const real *in = from + (size_t)r * (size_t)H;
        real *out = to + (size_t)r * (size_t)H;
        if (l == 0) for (int k = 0; k < H; k++) out[k] = degree <= units[k] ? in[k] : 0;
        else for (int k = 0; k < H; k++) out[k] = units[k] <= degree ? in[k] : 0;
    }
}

static void mask_weights(Model *m, int set)
{
    State *s = state(m);
    if (s->copied == set) return;
    for (int l = 0; l <= sizes(m)->layers; l++)
        mask_layer(m, set, l, s->masked[l], s->w.layers[l].w);
    s->copied = set;
    profile_mark(m->profile, PHASE_LINEAR);
}

static void begin(Model *m) { state(m)->copied = -1; }

/* Products give gradients to masked weights, too. */
static void finish(Model *m)
{
    const State *s = state(m);
    for (int l = 0; l <= sizes(m)->layers; l++)
        mask_layer(m, s->trained, l, s->g.layers[l].w, s->g.layers[l].w);
}

/* ---------------------------------------------------------------- input
 * a = c + sum over u < T of W_u[x_u]
 * dW_u[x_u] += da: a position has rows of dW to itself, so threads share those; dc += da */

static void input_forward(Model *m, real *a /* (n,H) */, const int32_t *x, int n, int T)
{
    int H = sizes(m)->hidden;
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++) {
        real *sum = a + (size_t)i * (size_t)H;
        memcpy(sum, state(m)->w.layers[0].b, (size_t)H * sizeof *sum);
        for (int t = 0; t < T; t++) {
            int32_t id = x[(size_t)i * (size_t)T + (size_t)t];
            symbol_add(m, sum, state(m)->masked[0] + rows_of(m, t), (size_t)H, id, H);
        }
    }
    profile_mark(m->profile, PHASE_EMBEDDING);
}

static void input_backward(Model *m, const real *da /* (n,H) */, const int32_t *x, int n, int T)
{
    const Layer *g = &state(m)->g.layers[0];
    int H = sizes(m)->hidden;
    OMP(parallel for schedule(static))
    for (int t = 0; t < T; t++)
        for (int i = 0; i < n; i++) {
            int32_t id = x[(size_t)i * (size_t)T + (size_t)t];
            symbol_backward(m, g->w + rows_of(m, t), da + (size_t)i * (size_t)H, (size_t)H, id, H);
        }
    sum_columns(m, g->b, da, (size_t)H, n, H);
    profile_mark(m->profile, PHASE_EMBEDDING);
}

/* ---------------------------------------------------------------- activation
 * h = dropout(relu(a)), in place
 * da = dropout(dh) [h > 0], in place: what is dropped has no gradient */

typedef struct { Dropout drop; uint64_t key; int first; } Dropping;

static void activation_forward(Model *m, const Dropping *p, int l, int n)
{
    size_t H = (size_t)sizes(m)->hidden;
    real *h = state(m)->h[l];
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++)
        for (size_t k = (size_t)i * H, end = k + H; k < end; k++) h[k] = h[k] > 0 ? h[k] : 0;
    dropout_rows(m, p->drop, rng_bits(p->key, (uint64_t)l), (size_t)p->first, h, h, n, (int)H);
    profile_mark(m->profile, PHASE_ACTIVATION);
}

static void activation_backward(Model *m, const Dropping *p, int l, int n)
{
    size_t H = (size_t)sizes(m)->hidden;
    const real *h = state(m)->h[l];
    real *d = state(m)->dh;
    dropout_rows(m, p->drop, rng_bits(p->key, (uint64_t)l), (size_t)p->first, d, d, n, (int)H);
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++)
        for (size_t k = (size_t)i * H, end = k + H; k < end; k++) d[k] = h[k] > 0 ? d[k] : 0;
    profile_mark(m->profile, PHASE_ACTIVATION);
}

/* ---------------------------------------------------------------- passes */

static const Dropping nothing = { { 0, 1 }, 0, 0 };

static void forward(Model *m, const Dropping *p, real *logits, const int32_t *x, int n, int T)
{
    const State *s = state(m);
    int L = sizes(m)->layers, H = sizes(m)->hidden;
    input_forward(m, s->h[0], x, n, T);
    activation_forward(m, p, 0, n);
    for (int l = 1; l < L; l++) {
        linear_forward(m, s->h[l], s->h[l - 1], s->masked[l], s->w.layers[l].b, n, H, H);
        activation_forward(m, p, l, n);
    }
    linear_forward(m, logits, s->h[L - 1], s->masked[L], s->w.layers[L].b, n, H, T * m->vocab);
    if (s->w.direct != NULL) pairs_forward(m, logits, s->w.direct, x, n, T);
}

static void backward(Model *m, const Dropping *p, const real *dlogits, const int32_t *x, int n,
                     int T)
{
    State *s = state(m);
    const Layer *g = s->g.layers;
    int L = sizes(m)->layers, H = sizes(m)->hidden;
    if (s->w.direct != NULL) pairs_backward(m, s->g.direct, dlogits, x, n, T);
    linear_backward(m, s->dh, g[L].w, g[L].b, dlogits, s->h[L - 1], s->masked[L], n, H,
                    T * m->vocab);
    for (int l = L - 1; l >= 1; l--) {
        activation_backward(m, p, l, n);
        linear_backward(m, s->dbelow, g[l].w, g[l].b, s->dh, s->h[l - 1], s->masked[l], n, H, H);
        real *swap = s->dh;
        s->dh = s->dbelow;
        s->dbelow = swap;
    }
    activation_backward(m, p, 0, n);
    input_backward(m, s->dh, x, n, T);
}

static void gradients(Model *m, const Slice *s, real *nats)
{
    State *t = state(m);
    const Made *c = sizes(m);
    Dropping p = { dropout_of(c->dropout), s->dropout_key, s->first };
    int N = s->n * s->T;
    t->trained = (int)rng_below(s->dropout_key, (uint64_t)c->layers, (uint64_t)c->masks);
    mask_weights(m, t->trained);
    forward(m, &p, t->logits, s->x, s->n, s->T);
    cross_entropy_forward(m, nats, t->logits, s->y, N);
    cross_entropy_backward(m, t->logits, s->y, N, slice_scale(s));
    backward(m, &p, t->logits, s->x, s->n, s->T);
}

/* log(e^a + e^b) */
static real log_sum(real a, real b)
{
    double most = a > b ? (double)a : (double)b;
    return (real)(most + log1p(exp(-fabs((double)a - (double)b))));
}

/* -log of the mean of the sets' probabilities. */
static void losses(Model *m, const Slice *s, real *nats)
{
    State *t = state(m);
    int Q = sizes(m)->masks, N = s->n * s->T;
    t->copied = -1;
    for (int set = 0; set < Q; set++) {
        mask_weights(m, set);
        forward(m, &nothing, t->logits, s->x, s->n, s->T);
        cross_entropy_forward(m, set == 0 ? nats : t->nats, t->logits, s->y, N);
        for (int r = 0; r < N && set > 0; r++) nats[r] = -log_sum(-nats[r], -t->nats[r]);
    }
    for (int r = 0; r < N && Q > 1; r++) nats[r] = s->y[r] < 0 ? 0 : nats[r] + (real)log(Q);
}

/* sum (rows,V): the log of the sum over sets of probabilities, of which `logits` are one's. */
static void sum_sets(const Model *m, real *sum, const real *logits, real *p, int rows, int set)
{
    size_t V = (size_t)m->vocab;
    for (int r = 0; r < rows; r++, sum += V, logits += V) {
        real all = m->gemm.K->softmax(p, logits, m->vocab, 1);
        for (size_t v = 0; v < V; v++)
            sum[v] = set == 0 ? logits[v] - all : log_sum(sum[v], logits[v] - all);
    }
}

static void logits(Model *m, const int32_t *x, int T, real *out)
{
    State *t = state(m);
    int Q = sizes(m)->masks;
    t->copied = -1;
    for (int set = 0; set < Q; set++) {
        mask_weights(m, set);
        forward(m, &nothing, Q == 1 ? out : t->logits, x, 1, T);
        if (Q > 1) sum_sets(m, out, t->logits, t->p, T, set);
    }
    for (int i = 0; i < T * m->vocab && Q > 1; i++) out[i] -= (real)log(Q);
}

/* ---------------------------------------------------------------- decoding
 * A unit is known once its degree has been read; while the others are 0, the weights need no masks:
 * what they would mask meets a 0. */

static Known *known(Decoder *d) { return (Known *)(void *)d->state.bytes; }

static real *known_units(Decoder *d, int set, int l)
{
    const Made *c = sizes(d->model);
    size_t layer = (size_t)set * (size_t)c->layers + (size_t)l;
    return known(d)->h + layer * (size_t)d->room * (size_t)c->hidden;
}

static void decoder_layout(Decoder *d, Arena *a)
{
    const Made *c = sizes(d->model);
    size_t units = (size_t)d->room * (size_t)c->hidden;
    known(d)->a = arena_reals(a, units);
    known(d)->h = arena_reals(a, (size_t)c->masks * (size_t)c->layers * units);
    known(d)->logits = arena_reals(a, (size_t)d->room * (size_t)d->model->vocab);
}

/* The units of layer l that are known from position t on. */
static void reveal(Decoder *d, int set, int l, int t)
{
    Model *m = d->model;
    const Layer *w = &state(m)->w.layers[l];
    const int *degree = degrees(m, set, l);
    int H = sizes(m)->hidden;
    real *h = known_units(d, set, l);
    const real *a = known(d)->a, *below = l > 0 ? known_units(d, set, l - 1) : NULL;
    for (int k = 0; k < H; k++) {
        if (degree[k] != t) continue;
        if (l > 0) m->gemm.K->gemv(h + k, H, w->w + (size_t)k * (size_t)H, H, below, 1, H, d->n);
        for (size_t at = (size_t)k, i = 0; i < (size_t)d->n; i++, at += (size_t)H) {
            real x = l > 0 ? h[at] + w->b[k] : a[at];
            h[at] = x > 0 ? x : 0;
        }
    }
}

static void decoder_feed(Decoder *d, int count)
{
    Model *m = d->model;
    const Made *c = sizes(m);
    const Layer *w = &state(m)->w.layers[0];
    size_t H = (size_t)c->hidden, units = (size_t)d->room * H;
    for (int t = d->pos; t < d->pos + count; t++) {
        if (t == 0)
            memset(known(d)->h, 0, (size_t)c->masks * (size_t)c->layers * units * sizeof(real));
        for (int i = 0; i < d->n; i++) {
            real *a = known(d)->a + (size_t)i * H;
            int32_t id = d->ids[(size_t)i * (size_t)m->context + (size_t)t];
            if (t == 0) memcpy(a, w->b, H * sizeof *a);
            symbol_add(m, a, w->w + rows_of(m, t), H, id, c->hidden);
        }
        for (int set = 0; set < c->masks; set++)
            for (int l = 0; l < c->layers; l++) reveal(d, set, l, t);
    }
}

/* logits (n,V) by one set */
static void set_logits(Decoder *d, int set, real *out)
{
    Model *m = d->model;
    const Weights *w = &state(m)->w;
    const Layer *last = &w->layers[sizes(m)->layers];
    int H = sizes(m)->hidden, V = m->vocab, t = d->pos - 1;
    linear_streams(m, out, known_units(d, set, sizes(m)->layers - 1), last->w + rows_of(m, t),
                   last->b + t * V, d->n, H, V);
    for (int i = 0; i < d->n && w->direct != NULL; i++)
        for (int u = 0; u <= t; u++) {
            int32_t id = d->ids[(size_t)i * (size_t)m->context + (size_t)u];
            size_t at = pairs_at(m, u) + (size_t)(t - u) * (size_t)V;
            symbol_add(m, out + (size_t)i * (size_t)V, w->direct + at, pairs_step(m, u), id, V);
        }
}

static void decoder_logits(Decoder *d)
{
    Model *m = d->model;
    int Q = sizes(m)->masks;
    for (int set = 0; set < Q; set++) {
        set_logits(d, set, Q == 1 ? d->logits : known(d)->logits);
        if (Q > 1) sum_sets(m, d->logits, known(d)->logits, state(m)->p, d->n, set);
    }
    for (int i = 0; i < d->n * m->vocab && Q > 1; i++) d->logits[i] -= (real)log(Q);
}

static void copy(Decoder *d, int to, int from)
{
    const Made *c = sizes(d->model);
    size_t H = (size_t)c->hidden, a = (size_t)to * H, b = (size_t)from * H;
    memcpy(known(d)->a + a, known(d)->a + b, H * sizeof(real));
    for (int set = 0; set < c->masks; set++)
        for (int l = 0; l < c->layers; l++) {
            real *h = known_units(d, set, l);
            memcpy(h + a, h + b, H * sizeof *h);
        }
}

extern const Network network_made;
const Network network_made = { &family_made, layout, draw_degrees, bind, begin, finish, gradients,
                               losses, logits, decoder_layout, decoder_feed, decoder_logits, copy,
                               NULL, NULL };
