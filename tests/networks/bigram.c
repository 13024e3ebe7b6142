/* bigram.c: the smallest network that can learn: p(x_{t+1} | x_t) = softmax(W[x_t]), W (V,V).
 *
 * It proves that networks/network.h suffices: built with this file in place of the networks' own
 * list, the programs train, save, resume, sample and score it (tests/run/train_networks.sh), and
 * know nothing of it.
 *
 *     ./train text.txt --family bigram --context 8 --steps 100
 */
#define NETWORKS(X) \
    X(gpt2) X(qwen3) X(ngram) X(fvsbn) X(nade) X(made) X(cnn) X(lstm) X(bigram)
#include "../../networks/family.c"
#include "../../networks/network.c"

typedef struct { int context, vocab; } Bigram;
typedef struct { real *w, *p; } State;          /* (V,V), (V) */
typedef struct { int32_t *last; } Last;         /* (streams) characters */

#define FIELD(name, field, high, text, change, help) \
    { name, "--" name, FIELD_INT, offsetof(Bigram, field), 1, high, NULL, text, change, help }
static const Field fields[] = {
    FIELD(FIELD_CONTEXT, context, CONTEXT_MAX, "64", FIELD_SHRINKS, "characters of a window"),
    FIELD(FIELD_VOCAB, vocab, VOCAB_MAX, NULL, FIELD_FIXED, NULL),
};
static const Choice always[] = { { "lr", "0.1" }, { "schedule", "wsd" }, { NULL, NULL } };
static const Budget budgets[] = {
    { 0, 0, { { "context", "32" }, { "batch", "8" }, { NULL, NULL } } }
};

static int check(void *config, Err *err) { (void)config; (void)err; return 0; }
static double flops(const void *config, int T)
{
    (void)T;
    return 3.0 * ((const Bigram *)config)->vocab;
}
static double kept(const void *config) { (void)config; return 1; }

static void describe(const void *config, char *out, size_t room)
{
    snprintf(out, room, "pairs of characters, windows of %d", ((const Bigram *)config)->context);
}

static void tensors(TensorTable *t, const void *config)
{
    int V = ((const Bigram *)config)->vocab;
    Tensor w = { .name = "pairs.weight", .rows = V, .cols = V, .rank = 2, .by_symbol = true,
                 .deviation = 0.02 };
    tensors_add(t, w, false);
}

extern const Family family_bigram;
const Family family_bigram = { "bigram", "a table of pairs", fields, 2, sizeof(Bigram), check,
                               tensors, flops, kept, describe, always, budgets, 1,
                               budgets[0].values, NULL, NULL, NULL };

static State *state(Model *m) { return (State *)(void *)m->state.bytes; }
static void layout(Model *m, Arena *a) { state(m)->p = arena_reals(a, (size_t)m->vocab); }
static void bind(Model *m, real *params) { state(m)->w = params; }
static const real *row(Model *m, int32_t id) { return state(m)->w + (size_t)id * (size_t)m->vocab; }

static void losses(Model *m, const Slice *s, real *nats)
{
    for (int i = 0; i < s->n * s->T; i++)
        nats[i] = m->gemm.K->softmax(state(m)->p, row(m, s->x[i]), m->vocab, 1)
                  - row(m, s->x[i])[s->y[i]];
}

static void gradients(Model *m, const Slice *s, real *nats)
{
    real *p = state(m)->p, scale = (real)(1.0 / (double)s->targets);
    for (int i = 0; i < s->n * s->T; i++) {
        nats[i] = m->gemm.K->softmax(p, row(m, s->x[i]), m->vocab, 1) - row(m, s->x[i])[s->y[i]];
        p[s->y[i]] -= 1;
        real *g = m->grads + (size_t)s->x[i] * (size_t)m->vocab;
        m->gemm.K->blend(g, scale, p, 1, g, m->vocab);
    }
}

static void logits(Model *m, const int32_t *x, int T, real *out)
{
    size_t V = (size_t)m->vocab;
    for (size_t t = 0; t < (size_t)T; t++) memcpy(out + t * V, row(m, x[t]), V * sizeof *out);
}

static Last *last(Decoder *d) { return (Last *)(void *)d->state.bytes; }

static void decoder_layout(Decoder *d, Arena *a)
{
    last(d)->last = arena_take(a, (size_t)d->room, sizeof(int32_t));
}

static void feed(Decoder *d, int count)
{
    for (int i = 0; i < d->n; i++)
        last(d)->last[i] = d->ids[i * d->model->context + d->pos + count - 1];
}

static void decoder_logits(Decoder *d)
{
    for (int i = 0; i < d->n; i++)
        logits(d->model, &last(d)->last[i], 1, d->logits + i * d->model->vocab);
}

static void copy(Decoder *d, int to, int from) { last(d)->last[to] = last(d)->last[from]; }

extern const Network network_bigram;
const Network network_bigram = { &family_bigram, layout, NULL, bind, NULL, NULL, gradients, losses,
                                 logits, decoder_layout, feed, decoder_logits, copy, NULL,
                                 NULL };
