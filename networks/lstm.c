/* lstm.c: long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et
 * al. 2000; for text Sutskever et al. 2011, Graves 2013). What was read is kept in two vectors:
 *
 *     i, f, o = sigmoid(W x_t + U h_{t-1} + b),   g = tanh(the same)        each has its own rows
 *     c_t = f c_{t-1} + i g,    h_t = o tanh(c_t)
 *     p(x_{t+1} | x_0 .. x_t) = softmax(V h_t + b_V)
 *
 * Layers stand on each other: h_t of one is x_t of the next. Every window starts from zeros.
 *
 *     n sequences of a slice    T positions    N = n T    C units of a layer, and of the embedding
 *     L layers    V symbols
 */
#include "layers.h"

typedef struct { int context, vocab, layers, channels; double dropout; } Lstm;

typedef struct {
    real *w, *u, *b;        /* (4C,C), (4C,C), (4C): the rows of i, f, g, o */
} Layer;

typedef struct {
    real *embedding;        /* (V,C) */
    Layer *layers;          /* (L) */
    real *head, *bias;      /* (V,C), (V) */
} Weights;

typedef struct {            /* what a layer's backward needs; each (N,..) */
    real *x;                /* C: its input, after dropout */
    real *z;                /* 4C: gates; then their gradients */
    real *before;           /* C: h_{t-1}, zeros at t = 0 */
    real *c;                /* C */
} LayerActs;

typedef struct {
    Weights w, g;           /* parameters, gradients */
    LayerActs *acts;        /* (L) */
    char **packed;          /* (L) U for the loop over time: transposed, then as it is */
    real *out;              /* (N,C) h of the last layer, after dropout; then gradients */
    real *dx;               /* (N,C) */
    real *dh, *dc;          /* (n,C) of the position that the loop is at */
    real *zeros;            /* (C) */
    real *logits;           /* (head_rows,V) */
} State;

typedef struct {
    real *h, *c;            /* (streams,L,C) */
    real *x, *z;            /* (streams,C), (streams,4C) */
} Memory;

/* ---------------------------------------------------------------- the family */

enum { UNITS_MAX = 16384, LAYERS_MAX = 16 };

#define INT(name, field, high, text, change, help) \
    { name, "--" name, FIELD_INT, offsetof(Lstm, field), 1, high, NULL, text, change, help }
static const Field fields[] = {
    INT("layers", layers, LAYERS_MAX, "2", FIELD_FIXED, "layers"),
    INT("channels", channels, UNITS_MAX, "256", FIELD_FIXED, "units of a layer"),
    INT(FIELD_CONTEXT, context, CONTEXT_MAX, "128", FIELD_FREE, "characters of a window"),
    INT(FIELD_VOCAB, vocab, VOCAB_MAX, NULL, FIELD_FIXED, NULL),
    { "dropout", "--dropout", FIELD_REAL, offsetof(Lstm, dropout), 0, 0.99, NULL, "0", FIELD_FREE,
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
    { 0, 0, SIZES("1", "128", "64", "16") },
    { 3e12, 100000, SIZES("1", "256", "64", "32") },
    { 2.5e13, 300000, SIZES("2", "256", "128", "32") },
    { 2e14, 500000, SIZES("2", "512", "128", "32") },
};
static const Choice probe[] = SIZES("1", "256", "64", "32");
#undef SIZES

static int check(void *config, Err *err) { (void)config; (void)err; return 0; }

/* A layer. The forget gate begins open, with a bias of 1 (Jozefowicz et al. 2015). */
static void add_layer(TensorTable *t, int l, int C)
{
    static const char *const matrices[] = { "input", "recurrent" };
    static const struct { const char *gates; int count, start; } biases[] = {
        { "i", 1, 0 }, { "f", 1, 1 }, { "go", 2, 0 }
    };
    for (int k = 0; k < 2; k++) {
        Tensor w = { .rows = 4 * C, .cols = C, .rank = 2, .decay = true, .hidden = true,
                     .deviation = 1 / sqrt((double)C) };
        snprintf(w.name, sizeof w.name, "layers.%d.%s.weight", l, matrices[k]);
        tensors_add(t, w, false);
    }
    for (int k = 0; k < 3; k++) {
        Tensor b = { .rows = 1, .cols = biases[k].count * C, .rank = 1,
                     .start = (real)biases[k].start };
        snprintf(b.name, sizeof b.name, "layers.%d.bias.%s", l, biases[k].gates);
        tensors_add(t, b, k > 0);
    }
}

static void tensors(TensorTable *t, const void *config)
{
    const Lstm *c = config;
    int C = c->channels, V = c->vocab;
    Tensor embedding = { .name = "embedding.weight", .rows = V, .cols = C, .rank = 2,
                         .decay = true, .by_symbol = true, .deviation = 0.5 };
    tensors_add(t, embedding, false);
    for (int l = 0; l < c->layers; l++) add_layer(t, l, C);
    Tensor head = { .name = "head.weight", .rows = V, .cols = C, .rank = 2, .decay = true,
                    .by_symbol = true, .deviation = 0.5 / sqrt((double)C) };
    Tensor bias = { .name = "head.bias", .rows = 1, .cols = V, .rank = 1 };
    tensors_add(t, head, false);
    tensors_add(t, bias, false);
}

static double flops(const void *config, int T)
{
    const Lstm *c = config;
    double C = c->channels;
    (void)T;
    return 6 * C * (8 * c->layers * C + c->vocab);
}

/* Of what it keeps only a part counts: in the loop over time the products of few sequences would
 * wait for the weights. */
static double kept(const void *config)
{
    const Lstm *c = config;
    return 7.0 * c->channels * c->layers / 4;
}

static void describe(const void *config, char *out, size_t room)
{
    const Lstm *c = config;
    snprintf(out, room, "%d layer%s of %d units, context %d", c->layers, c->layers > 1 ? "s" : "",
             c->channels, c->context);
}

extern const Family family_lstm;
const Family family_lstm = {
    "lstm", "a memory of two vectors a layer", fields, sizeof fields / sizeof fields[0],
    sizeof(Lstm), check, tensors, flops, kept, describe, always, budgets,
    sizeof budgets / sizeof budgets[0], probe, NULL, NULL, NULL
};

/* ---------------------------------------------------------------- memory */

static const Lstm *sizes(const Model *m) { return (const Lstm *)(const void *)m->config.bytes; }
static State *state(Model *m) { return (State *)(void *)m->state.bytes; }
static Memory *memory(Decoder *d) { return (Memory *)(void *)d->state.bytes; }

static void layout(Model *m, Arena *a)
{
    State *s = state(m);
    bool train = m->use == MODEL_TRAIN;
    size_t L = (size_t)sizes(m)->layers, C = (size_t)sizes(m)->channels, n = (size_t)m->slice;
    size_t N = n * (size_t)m->context;
    const Kernels *K = m->gemm.K;
    s->w.layers = arena_take(a, L, sizeof(Layer));
    if (train) s->g.layers = arena_take(a, L, sizeof(Layer));
    s->acts = arena_take(a, L, sizeof(LayerActs));
    s->packed = arena_take(a, 2, sizeof(char *));
    LayerActs one = { 0 };
    for (size_t l = 0; l < L; l++) {
        if (train || l == 0)
            one = (LayerActs){ arena_reals(a, N * C), arena_reals(a, N * 4 * C),
                               arena_reals(a, N * C), arena_reals(a, N * C) };
        if (a->base != NULL) s->acts[l] = one;
    }
    char *forward = arena_take(a, packed_bytes(K, (int)C, 4 * (int)C), 1);
    char *backward = train ? arena_take(a, packed_bytes(K, 4 * (int)C, (int)C), 1) : NULL;
    if (a->base != NULL) {
        s->packed[0] = forward;
        s->packed[1] = backward;
    }
    s->out = arena_reals(a, N * C);
    s->zeros = arena_reals(a, C);
    s->logits = arena_reals(a, (size_t)head_rows((int)N, m->vocab) * (size_t)m->vocab);
    if (!train) return;
    s->dx = arena_reals(a, N * C);
    s->dh = arena_reals(a, n * C);
    s->dc = arena_reals(a, n * C);
}

/* The tensors stand in the order of tensors(). */
static void bind_weights(const Model *m, Weights *w, real *flat)
{
    const Tensor *t = m->tensors;
    w->embedding = flat + (t++)->offset;
    for (int l = 0; l < sizes(m)->layers; l++) {
        w->layers[l].w = flat + (t++)->offset;
        w->layers[l].u = flat + (t++)->offset;
        w->layers[l].b = flat + t->offset;
        t += 3;                                         /* its parts are joined */
    }
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
    int n, T, N, C;
    size_t first;           /* row of the batch */
    uint64_t key;
    Dropout dropout;
} Pass;

static Pass pass_make(Model *m, const Slice *s, bool train)
{
    return (Pass){ .m = m, .n = s->n, .T = s->T, .N = s->n * s->T, .C = sizes(m)->channels,
                   .first = (size_t)s->first * (size_t)s->T, .key = s->dropout_key,
                   .dropout = dropout_of(train ? sizes(m)->dropout : 0) };
}

/* Dropout stands before every layer but the first, and before the head: place 1 .. L. */
static void drop(const Pass *p, real *y, int place)
{
    if (place > 0)
        dropout_rows(p->m, p->dropout, rng_bits(p->key, (uint64_t)place), p->first, y, y, p->N,
                     p->C);
}

/* The share of a thread of the sequences: these do not wait for each other. */
typedef struct { int first, count; } Share;

static Share share(const Pass *p, int part)
{
    int parts = p->m->gemm.threads, first = part * p->n / parts;
    return (Share){ first, (part + 1) * p->n / parts - first };
}

/* h (N,C) of a layer from a->x. In the loop over time a position is a row of each sequence. */
static void layer_forward(const Pass *p, real *h, LayerActs *a, const Layer *w)
{
    Model *m = p->m;
    const Kernels *K = m->gemm.K;
    int C = p->C, T = p->T;
    size_t row = (size_t)C;
    linear_forward(m, a->z, a->x, w->w, w->b, p->N, C, 4 * C);
    Packed u = gemm_pack(K, state(m)->packed[0], transposed(view(w->u, 4 * C, C)));
    OMP(parallel for schedule(static) num_threads(m->gemm.threads))
    for (int part = 0; part < m->gemm.threads; part++) {
        Share mine = share(p, part);
        size_t begin = (size_t)mine.first * (size_t)T;
        for (int t = 0; t < T && mine.count > 0; t++) {
            size_t at = begin + (size_t)t;
            if (t > 0)
                gemm_packed(&m->gemm, a->z + at * 4 * row, (ptrdiff_t)T * 4 * C,
                            view_ld(a->before + at * row, mine.count, C, (ptrdiff_t)T * C), u,
                            4 * C, (Causal){ 0 }, true);
            for (int s = 0; s < mine.count; s++) {
                size_t r = at + (size_t)s * (size_t)T;
                const real *before = t > 0 ? a->c + (r - 1) * row : state(m)->zeros;
                K->lstm(h + r * row, a->c + r * row, a->z + r * 4 * row, before, C);
                if (t == 0) memset(a->before + r * row, 0, row * sizeof *h);
                if (t + 1 < T) memcpy(a->before + (r + 1) * row, h + r * row, row * sizeof *h);
            }
        }
    }
    profile_mark(m->profile, PHASE_ACTIVATION);
}

/* dx from dh (N,C): the gradient of h_t is that of what stands above and U^T dz_{t+1}. */
static void layer_backward(const Pass *p, real *dx, const real *dout, LayerActs *a, const Layer *w,
                           const Layer *g)
{
    Model *m = p->m;
    State *s = state(m);
    const Kernels *K = m->gemm.K;
    int C = p->C, T = p->T;
    size_t row = (size_t)C;
    Packed u = gemm_pack(K, s->packed[1], view(w->u, 4 * C, C));
    OMP(parallel for schedule(static) num_threads(m->gemm.threads))
    for (int part = 0; part < m->gemm.threads; part++) {
        Share mine = share(p, part);
        size_t begin = (size_t)mine.first * (size_t)T;
        real *dh = s->dh + (size_t)mine.first * row, *dc = s->dc + (size_t)mine.first * row;
        memset(dc, 0, (size_t)mine.count * row * sizeof *dc);
        for (int t = T - 1; t >= 0 && mine.count > 0; t--) {
            size_t at = begin + (size_t)t;
            for (int i = 0; i < mine.count; i++)
                memcpy(dh + (size_t)i * row, dout + (at + (size_t)i * (size_t)T) * row,
                       row * sizeof *dh);
            if (t + 1 < T)
                gemm_packed(&m->gemm, dh, C,
                            view_ld(a->z + (at + 1) * 4 * row, mine.count, 4 * C,
                                    (ptrdiff_t)T * 4 * C), u, C, (Causal){ 0 }, true);
            for (int i = 0; i < mine.count; i++) {
                size_t r = at + (size_t)i * (size_t)T;
                const real *before = t > 0 ? a->c + (r - 1) * row : s->zeros;
                K->lstm_back(a->z + r * 4 * row, dc + (size_t)i * row, dh + (size_t)i * row,
                             a->c + r * row, before, C);
            }
        }
    }
    profile_mark(m->profile, PHASE_ACTIVATION);
    gemm(&m->gemm, g->u, C, transposed(view(a->z, p->N, 4 * C)), view(a->before, p->N, C), true);
    linear_backward(m, dx, g->w, g->b, a->z, a->x, w->w, p->N, C, 4 * C);
}

/* ---------------------------------------------------------------- the network */

static void forward(const Pass *p, const int32_t *ids)
{
    State *s = state(p->m);
    int L = sizes(p->m)->layers;
    embedding_forward(p->m, s->acts[0].x, s->w.embedding, ids, p->N, p->C);
    for (int l = 0; l < L; l++) {
        real *h = l + 1 < L && p->m->use == MODEL_TRAIN ? s->acts[l + 1].x : s->out;
        layer_forward(p, h, &s->acts[l], &s->w.layers[l]);
        drop(p, h, l + 1);
        if (l + 1 < L && h == s->out)                   /* all layers work in one memory */
            memcpy(s->acts[l + 1].x, h, (size_t)p->N * (size_t)p->C * sizeof *h);
    }
}

static Head head_of(const State *s, int C)
{
    return (Head){ .w = s->w.head, .b = s->w.bias, .dw = s->g.head, .db = s->g.bias,
                   .logits = s->logits, .I = C };
}

static void gradients(Model *m, const Slice *in, real *nats)
{
    State *s = state(m);
    Pass p = pass_make(m, in, true);
    Head head = head_of(s, p.C);
    forward(&p, in->x);
    head_gradients(m, &head, nats, s->dx, s->out, in->y, p.N, slice_scale(in));
    real *above = s->dx, *below = s->out;
    for (int l = sizes(m)->layers - 1; l >= 0; l--) {
        drop(&p, above, l + 1);
        layer_backward(&p, below, above, &s->acts[l], &s->w.layers[l], &s->g.layers[l]);
        real *done = above;
        above = below;
        below = done;
    }
    embedding_backward(m, s->g.embedding, above, in->x, p.N, p.C);
}

static void losses(Model *m, const Slice *in, real *nats)
{
    Pass p = pass_make(m, in, false);
    Head head = head_of(state(m), p.C);
    forward(&p, in->x);
    head_losses(m, &head, nats, state(m)->out, in->y, p.N);
}

static void logits(Model *m, const int32_t *x, int T, real *out)
{
    const State *s = state(m);
    Pass p = pass_make(m, &(Slice){ .x = x, .n = 1, .T = T }, false);
    forward(&p, x);
    linear_forward(m, out, s->out, s->w.head, s->w.bias, T, p.C, m->vocab);
}

/* ---------------------------------------------------------------- decoding */

static void decoder_layout(Decoder *d, Arena *a)
{
    const Lstm *c = sizes(d->model);
    size_t room = (size_t)d->room, C = (size_t)c->channels;
    memory(d)->h = arena_reals(a, room * (size_t)c->layers * C);
    memory(d)->c = arena_reals(a, room * (size_t)c->layers * C);
    memory(d)->x = arena_reals(a, room * C);
    memory(d)->z = arena_reals(a, 2 * room * 4 * C);
}

/* One character of every stream: the layers' h and c are gathered, for streams are rows. */
static void read_one(Decoder *d, int pos)
{
    Model *m = d->model;
    Memory *t = memory(d);
    const Kernels *K = m->gemm.K;
    int C = sizes(m)->channels, L = sizes(m)->layers, n = d->n;
    size_t row = (size_t)C, stream = (size_t)L * row;
    real *more = t->z + (size_t)d->room * 4 * row;
    for (int i = 0; i < n; i++) {
        int32_t id = d->ids[(size_t)i * (size_t)m->context + (size_t)pos];
        symbol_set(m, t->x + (size_t)i * row, state(m)->w.embedding, row, id, C);
    }
    for (int l = 0; l < L; l++) {
        const Layer *w = &state(m)->w.layers[l];
        linear_streams(m, t->z, t->x, w->w, w->b, n, C, 4 * C);
        for (int i = 0; i < n; i++)
            memcpy(t->x + (size_t)i * row, t->h + (size_t)i * stream + (size_t)l * row,
                   row * sizeof(real));
        linear_streams(m, more, t->x, w->u, NULL, n, C, 4 * C);
        for (int i = 0; i < n; i++) {
            real *z = t->z + (size_t)i * 4 * row;
            real *h = t->h + (size_t)i * stream + (size_t)l * row;
            real *c = t->c + (size_t)i * stream + (size_t)l * row;
            K->add(z, more + (size_t)i * 4 * row, 4 * C);
            K->lstm(h, c, z, c, C);
            memcpy(t->x + (size_t)i * row, h, row * sizeof(real));
        }
    }
}

static void decoder_feed(Decoder *d, int count)
{
    size_t size = (size_t)d->room * (size_t)sizes(d->model)->layers
                * (size_t)sizes(d->model)->channels * sizeof(real);
    if (d->pos == 0) {
        memset(memory(d)->h, 0, size);
        memset(memory(d)->c, 0, size);
    }
    for (int t = 0; t < count; t++) read_one(d, d->pos + t);
}

static void decoder_logits(Decoder *d)
{
    const State *s = state(d->model);
    linear_streams(d->model, d->logits, memory(d)->x, s->w.head, s->w.bias, d->n,
                   sizes(d->model)->channels, d->model->vocab);
}

static void copy(Decoder *d, int to, int from)
{
    size_t size = (size_t)sizes(d->model)->layers * (size_t)sizes(d->model)->channels;
    memcpy(memory(d)->h + (size_t)to * size, memory(d)->h + (size_t)from * size,
           size * sizeof(real));
    memcpy(memory(d)->c + (size_t)to * size, memory(d)->c + (size_t)from * size,
           size * sizeof(real));
}

extern const Network network_lstm;
const Network network_lstm = { &family_lstm, layout, NULL, bind, NULL, NULL, gradients, losses,
                               logits, decoder_layout, decoder_feed, decoder_logits, copy, NULL,
                               NULL };
