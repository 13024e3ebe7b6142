/* fvsbn.c: the fully visible sigmoid belief network (Neal 1992; Gan et al. 2015), with V symbols in
 * place of two: the network without a hidden layer. Over a window of d characters each position t
 * has a logistic regression of its own on all characters that it has read,
 *
 *     p(x_{t+1} | x_0 .. x_t) = softmax(b_t + sum_{u<=t} W_{t,u}[x_u]).
 *
 * A sum of rows and nothing else, so a character costs no product, and the loss is convex: any
 * start leads to the same place, and zero is as good as another.
 *
 *     d context    T <= d positions    n sequences of a slice    N = n T    V symbols
 */
#include "layers.h"

typedef struct { int context, vocab; } Fvsbn;

typedef struct {
    const real *b, *w;      /* (d,V), (pairs_rows,V) */
    real *db, *dw;          /* their gradients */
    real *logits;           /* (N,V); then their gradients */
} State;

typedef struct { real *logits; } Sums;      /* (streams,d,V) of what has been read up to now */

/* ---------------------------------------------------------------- the family */

static const Field fields[] = {
    { FIELD_CONTEXT, "--" FIELD_CONTEXT, FIELD_INT, offsetof(Fvsbn, context), 1, CONTEXT_MAX, NULL,
      "64", FIELD_FIXED, "characters of a window" },
    { FIELD_VOCAB, "--" FIELD_VOCAB, FIELD_INT, offsetof(Fvsbn, vocab), 1, VOCAB_MAX, NULL, NULL,
      FIELD_FIXED, NULL },
};

static const Choice always[] = {
    { "optimizer", "adamw" }, { "lr", "0.04" }, { "min-lr", "0" }, { "warmup", "20" },
    { "schedule", "wsd" }, { "sampling", "epoch" }, { NULL, NULL }
};
#define SIZES(context, batch) { { "context", context }, { "batch", batch }, { NULL, NULL } }
static const Budget budgets[] = {
    { 0, 0, SIZES("8", "256") },
    { 1e10, 100000, SIZES("12", "512") },
    { 2.5e10, 200000, SIZES("16", "512") },
    { 1.2e11, 500000, SIZES("24", "1024") },
};
static const Choice probe[] = SIZES("12", "256");
#undef SIZES

static int check(void *config, Err *err)
{
    const Fvsbn *c = config;
    double weights = pairs_rows(c->context, c->vocab) * c->vocab;
    if (weights <= INT32_MAX) return 0;
    return fail(err, EXIT_USAGE, "context %d: needs %.0f million weights for %d symbols, and the "
                "fvsbn family takes at most %d million; use a smaller --context", c->context,
                weights / 1e6, c->vocab, INT32_MAX / 1000000);
}

static void tensors(TensorTable *t, const void *config)
{
    const Fvsbn *c = config;
    int rows = (int)pairs_rows(c->context, c->vocab);
    Tensor b = { .name = "bias", .rows = c->context, .cols = c->vocab, .rank = 2 };
    Tensor w = { .name = "pairs.weight", .rows = rows, .cols = c->vocab, .rank = 2, .decay = true };
    tensors_add(t, b, false);
    tensors_add(t, w, false);
}

/* Of additions, one each way for a row of a pair, and the softmax. */
static double flops(const void *config, int T)
{
    enum { SOFTMAX = 12 };
    return ((const Fvsbn *)config)->vocab * (T + 1.0 + SOFTMAX);
}

static double kept(const void *config) { return ((const Fvsbn *)config)->vocab; }

static void describe(const void *config, char *out, size_t room)
{
    snprintf(out, room, "no hidden layer, windows of %d", ((const Fvsbn *)config)->context);
}

extern const Family family_fvsbn;
const Family family_fvsbn = {
    "fvsbn", "no hidden layer: a weight for each pair of positions and characters", fields,
    sizeof fields / sizeof fields[0], sizeof(Fvsbn), check, tensors, flops, kept, describe, always,
    budgets, sizeof budgets / sizeof budgets[0], probe, NULL, family_by_position, NULL
};

/* ---------------------------------------------------------------- training
 * logits_t = b_t + sum_{u<=t} W_{t,u}[x_u]
 * db_t += dlogits_t      dW_{t,u}[x_u] += dlogits_t */

static State *state(Model *m) { return (State *)(void *)m->state.bytes; }

static void layout(Model *m, Arena *a)
{
    state(m)->logits = arena_reals(a, (size_t)m->slice * (size_t)m->context * (size_t)m->vocab);
}

static void bind(Model *m, real *params)
{
    State *s = state(m);
    s->b = params + m->tensors[0].offset;
    s->w = params + m->tensors[1].offset;
    if (m->use != MODEL_TRAIN) return;
    s->db = m->grads + m->tensors[0].offset;
    s->dw = m->grads + m->tensors[1].offset;
}

static void forward(Model *m, real *logits, const int32_t *x, int n, int T)
{
    size_t row = (size_t)T * (size_t)m->vocab;
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++)
        memcpy(logits + (size_t)i * row, state(m)->b, row * sizeof *logits);
    pairs_forward(m, logits, state(m)->w, x, n, T);
}

static void backward(Model *m, const real *dlogits, const int32_t *x, int n, int T)
{
    int row = T * m->vocab;
    sum_columns(m, state(m)->db, dlogits, (size_t)row, n, row);
    pairs_backward(m, state(m)->dw, dlogits, x, n, T);
}

static void losses(Model *m, const Slice *s, real *nats)
{
    forward(m, state(m)->logits, s->x, s->n, s->T);
    cross_entropy_forward(m, nats, state(m)->logits, s->y, s->n * s->T);
}

static void gradients(Model *m, const Slice *s, real *nats)
{
    losses(m, s, nats);
    cross_entropy_backward(m, state(m)->logits, s->y, s->n * s->T, slice_scale(s));
    backward(m, state(m)->logits, s->x, s->n, s->T);
}

static void logits(Model *m, const int32_t *x, int T, real *out) { forward(m, out, x, 1, T); }

/* ---------------------------------------------------------------- decoding
 * A character that is read is added to the logits of all positions from its own on. */

static real *sums(Decoder *d, int stream)
{
    size_t size = (size_t)d->model->context * (size_t)d->model->vocab;
    return ((Sums *)(void *)d->state.bytes)->logits + (size_t)stream * size;
}

static void decoder_layout(Decoder *d, Arena *a)
{
    size_t size = (size_t)d->model->context * (size_t)d->model->vocab;
    ((Sums *)(void *)d->state.bytes)->logits = arena_reals(a, (size_t)d->room * size);
}

static void decoder_feed(Decoder *d, int count)
{
    Model *m = d->model;
    int V = m->vocab, T = m->context;
    for (int i = 0; i < d->n; i++) {
        real *y = sums(d, i);
        if (d->pos == 0) memcpy(y, state(m)->b, (size_t)T * (size_t)V * sizeof *y);
        for (int u = d->pos; u < d->pos + count; u++) {
            int32_t id = d->ids[(size_t)i * (size_t)T + (size_t)u];
            symbol_add(m, y + (size_t)u * (size_t)V, state(m)->w + pairs_at(m, u),
                       pairs_step(m, u), id, (T - u) * V);
        }
    }
}

static void decoder_logits(Decoder *d)
{
    size_t V = (size_t)d->model->vocab;
    for (int i = 0; i < d->n; i++)
        memcpy(d->logits + (size_t)i * V, sums(d, i) + (size_t)(d->pos - 1) * V,
               V * sizeof *d->logits);
}

static void copy(Decoder *d, int to, int from)
{
    memcpy(sums(d, to), sums(d, from),
           (size_t)d->model->context * (size_t)d->model->vocab * sizeof(real));
}

extern const Network network_fvsbn;
const Network network_fvsbn = { &family_fvsbn, layout, NULL, bind, NULL, NULL, gradients, losses,
                                logits, decoder_layout, decoder_feed, decoder_logits, copy, NULL,
                                NULL };
