/* network.c: a model of any network: memory, initial values, steps; sliding decoding. */
#include "network.h"
#include "list.h"

#define DECLARE_NETWORK(name) extern const Network network_##name;
#define POINT_NETWORK(name) &network_##name,
NETWORKS(DECLARE_NETWORK)
static const Network *const networks[] = { NETWORKS(POINT_NETWORK) NULL };

const Network *network_of(const Family *f)
{
    int i = 0;
    while (networks[i]->family != f) i++;
    return networks[i];
}

/* ---------------------------------------------------------------- memory
 * Each layout function runs twice: once to measure, once to hand out pointers. */

static void layout_weights(Model *m, Arena *a)
{
    m->tensors = arena_take(a, (size_t)m->tensor_count, sizeof *m->tensors);
    m->params = arena_reals(a, m->size);
}

static void layout_activations(Model *m, Arena *a, const Kernels *K)
{
    gemm_layout(&m->gemm, a, K, omp_get_max_threads());
    if (m->use == MODEL_TRAIN) m->nats = arena_reals(a, (size_t)m->slice * (size_t)m->context);
    m->network->layout(m, a);
}

/* A model that has sizes and no memory. */
static Model model_described(const Network *n, const void *config)
{
    Model m = { .network = n };
    memcpy(m.config.bytes, config, n->family->config);
    m.context = family_context(n->family, config);
    m.vocab = family_vocab(n->family, config);
    return m;
}

static bool has_gradients(const Model *m)
{
    return m->use == MODEL_TRAIN && m->network->learn == NULL;
}

/* Measures the model's arenas. */
static void model_measure(Model *m, const Network *n, const void *config, const Kernels *K,
                          ModelUse use, int slice)
{
    *m = model_described(n, config);
    m->use = use;
    m->slice = slice;
    m->tensor_count = family_tensors(n->family, config, NULL, &m->size);
    layout_weights(m, &m->weights);
    if (has_gradients(m)) arena_reals(&m->training, m->size);
    layout_activations(m, &m->activations, K);
}

size_t model_bytes(const Network *n, const void *config, const Kernels *K, ModelUse use, int slice)
{
    Model m;
    model_measure(&m, n, config, K, use, slice);
    return m.weights.used + m.training.used + m.activations.used;
}

int model_slice(const Family *f, const void *config, size_t cache_bytes, int batch)
{
    enum { ROWS = 1024 };                               /* fewer, and packing the weights shows */
    int context = family_context(f, config);
    double sequences = (double)cache_bytes / (f->kept(config) * sizeof(real) * context);
    double least = (double)((ROWS + context - 1) / context);
    double n = fmin(sequences > least ? sequences : least, SLICE_CHARACTERS / context);
    return n < batch ? (int)n : batch;
}

int model_open(Model *m, const Network *n, const void *config, const Kernels *K, ModelUse use,
               int slice, Err *err)
{
    model_measure(m, n, config, K, use, slice);
    if (arena_open(&m->weights, "weights", err) ||
        (has_gradients(m) && arena_open(&m->training, "gradients", err)) ||
        arena_open(&m->activations, "activations", err)) {
        model_close(m);
        return -1;
    }
    layout_weights(m, &m->weights);
    if (has_gradients(m)) m->grads = arena_reals(&m->training, m->size);
    layout_activations(m, &m->activations, K);
    family_tensors(n->family, config, m->tensors, NULL);
    if (n->prepare != NULL) n->prepare(m);
    n->bind(m, m->params);
    return 0;
}

void model_close(Model *m)
{
    arena_close(&m->weights);
    arena_close(&m->training);
    arena_close(&m->activations);
}

/* ---------------------------------------------------------------- parameters and steps */

void model_init(Model *m, uint64_t seed)
{
    uint64_t key = rng_key(seed, 0, 0, RNG_INIT);
    for (const Tensor *t = m->tensors; t < m->tensors + m->tensor_count; t++)
        for (size_t i = t->offset; i < t->offset + tensor_size(t); i++)
            m->params[i] = t->start + (t->deviation > 0 ? (real)(t->deviation * rng_normal(key, i))
                                                        : 0);
    model_use(m, m->params);
}

void model_use(Model *m, real *flat) { m->network->bind(m, flat); }

void model_begin(Model *m)
{
    OMP(parallel for schedule(static))
    for (size_t i = 0; i < m->size; i++) m->grads[i] = 0;
    if (m->network->begin != NULL) m->network->begin(m);
}

void model_train(Model *m, const Slice *s, double *sum)
{
    m->at = s;
    m->network->gradients(m, s, m->nats);
    for (int r = 0; r < s->n * s->T; r++) *sum += (double)m->nats[r];
}

void model_finish(Model *m)
{
    if (m->network->finish != NULL) m->network->finish(m);
}

void model_learn(Model *m, const int32_t *ids, size_t count) { m->network->learn(m, ids, count); }

void model_remark(Model *m, char *out, size_t room)
{
    out[0] = '\0';
    if (m->network->remark != NULL) m->network->remark(m, out, room);
}

void model_losses(Model *m, const int32_t *x, const int32_t *y, int n, int T, real *nats)
{
    m->network->losses(m, &(Slice){ .x = x, .y = y, .n = n, .T = T }, nats);
}

void model_logits(Model *m, const int32_t *x, int T, real *logits)
{
    m->network->logits(m, x, T, logits);
}

/* ---------------------------------------------------------------- decoding */

static void layout_decoder(Decoder *d, Arena *a)
{
    d->ids = arena_take(a, (size_t)d->room * (size_t)d->model->context, sizeof *d->ids);
    d->logits = arena_reals(a, (size_t)d->room * (size_t)d->model->vocab);
    d->model->network->decoder_layout(d, a);
}

static Decoder decoder_measure(Model *m, int streams)
{
    enum { ROWS = 16 };                         /* as many read the weights once for all of them */
    Decoder d = { .model = m, .room = streams, .n = streams,
                  .rows = streams > ROWS ? streams : ROWS };
    layout_decoder(&d, &d.arena);
    return d;
}

size_t decoder_bytes(const Network *n, const void *config, int streams)
{
    Model m = model_described(n, config);
    return decoder_measure(&m, streams).arena.used;
}

int decoder_open(Decoder *d, Model *m, int streams, Err *err)
{
    *d = decoder_measure(m, streams);
    if (arena_open(&d->arena, "decoder", err)) return -1;
    layout_decoder(d, &d->arena);
    return 0;
}

void decoder_close(Decoder *d) { arena_close(&d->arena); }

void decoder_reset(Decoder *d) { d->pos = 0; }

/* `count` characters from pos on, of each stream. */
static void decoder_feed(Decoder *d, int count)
{
    d->model->network->decoder_feed(d, count);
    d->pos += count;
}

const real *decoder_step(Decoder *d, const int32_t *ids)
{
    size_t T = (size_t)d->model->context;
    int keep = d->model->context / 2;
    if ((size_t)d->pos == T) {
        for (size_t i = 0; i < (size_t)d->n; i++)
            memmove(d->ids + i * T, d->ids + (i + 1) * T - keep, (size_t)keep * sizeof *ids);
        for (d->pos = 0; d->pos < keep;) {
            int most = d->rows / d->n, left = keep - d->pos;
            decoder_feed(d, left < most ? left : most);
        }
    }
    for (size_t i = 0; i < (size_t)d->n; i++) d->ids[i * T + (size_t)d->pos] = ids[i];
    decoder_feed(d, 1);
    d->model->network->decoder_logits(d);
    return d->logits;
}

void decoder_copy(Decoder *d, int to, int from)
{
    size_t T = (size_t)d->model->context, V = (size_t)d->model->vocab;
    size_t a = (size_t)to, b = (size_t)from;
    if (to == from) return;
    memcpy(d->ids + a * T, d->ids + b * T, (size_t)d->pos * sizeof *d->ids);
    memcpy(d->logits + a * V, d->logits + b * V, V * sizeof *d->logits);
    d->model->network->decoder_copy(d, to, from);
}
