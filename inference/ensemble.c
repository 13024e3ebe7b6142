/* ensemble.c: owns the mean of several models: loading them, starting a text and writing it. */
#include "../base.h"
#include "../formats/checkpoint.h"
#include "../system/machine.h"
#include "../networks/network.h"
#include "../tokenizer.h"
#include "ensemble.h"

enum { PROBES_MAX = 256 };      /* symbols to ask for the likeliest one */

double mean_nats(const real *nats, size_t stride, int count)
{
    double least = (double)nats[0], sum = 0;
    for (size_t m = 1; m < (size_t)count; m++)
        if ((double)nats[m * stride] < least) least = (double)nats[m * stride];
    for (size_t m = 0; m < (size_t)count; m++) sum += exp(least - (double)nats[m * stride]);
    return least - log(sum / count);
}

double log_sum_exp(const real *logits, int count)
{
    double max = (double)logits[0], sum = 0;
    for (int i = 1; i < count; i++) max = fmax(max, (double)logits[i]);
    for (int i = 0; i < count; i++) sum += exp((double)logits[i] - max);
    return max + log(sum);
}

/* ---------------------------------------------------------------- loading */

void ensemble_close(Ensemble *e)
{
    for (int m = 0; m < e->built; m++) {
        memory_close(&e->memories[m]);
        model_close(&e->networks[m]);
    }
    for (int m = 0; m < e->loaded; m++) checkpoint_close(&e->checkpoints[m]);
    free(e->models);
    free(e->networks);
    free(e->memories);
    free(e->checkpoints);
    *e = (Ensemble){ 0 };
}

const Tokenizer *ensemble_tokenizer(const Ensemble *e) { return &e->checkpoints[0].tokenizer; }

static bool same_vocabulary(const Tokenizer *a, const Tokenizer *b)
{
    if (a->bytes != b->bytes || a->separator != b->separator || a->count != b->count) return false;
    for (int id = a->separator ? 1 : 0; id < a->count; id++)
        if (a->values[id] != b->values[id]) return false;
    return true;
}

int ensemble_load(Ensemble *e, const char *const *paths, int count, Err *err)
{
    *e = (Ensemble){ .paths = paths, .count = count };
    e->checkpoints = calloc((size_t)count, sizeof *e->checkpoints);
    e->models = calloc((size_t)count, sizeof *e->models);
    e->networks = calloc((size_t)count, sizeof *e->networks);
    e->memories = calloc((size_t)count, sizeof *e->memories);
    bool failed = e->checkpoints == NULL || e->models == NULL || e->networks == NULL
               || e->memories == NULL;
    if (failed) fail(err, EXIT_RUNTIME, "not enough memory for %d checkpoints", count);
    for (int m = 0; m < count && !failed; m++) {
        failed = checkpoint_load(&e->checkpoints[m], paths[m], err) != 0;
        e->loaded += !failed;
        const Tokenizer *t = &e->checkpoints[m].tokenizer;
        if (!failed && count > 1 && tokenizer_has_numbers(t))
            failed = fail(err, EXIT_USAGE, "%.200s is a model of numbers, and these are not "
                          "averaged; give one checkpoint", paths[m]) != 0;
        if (failed || same_vocabulary(ensemble_tokenizer(e), t)) continue;
        fail(err, EXIT_USAGE, "%.200s and %.200s have different vocabularies, so their "
             "probabilities cannot be averaged; models trained on the same text have one",
             paths[0], paths[m]);
        failed = true;
    }
    if (failed) ensemble_close(e);
    return failed ? -1 : 0;
}

/* Whether model m computes with a memory. */
static bool remembers(const Ensemble *e, int m)
{
    return e->checkpoints[m].memory.count > 0 && !e->network_only;
}

bool ensemble_remembers(const Ensemble *e)
{
    int m = 0;
    while (m < e->count && !remembers(e, m)) m++;
    return m < e->count;
}

const char *ensemble_memory_words(const Ensemble *e)
{
    bool any = false;
    for (int m = 0; m < e->count; m++) any = any || e->checkpoints[m].memory.count > 0;
    return !any ? "" : e->network_only ? " without memory" : " with memory";
}

static MemorySize memory_size(const Checkpoint *c)
{
    return (MemorySize){ .order = c->memory.order, .ids = c->memory.count };
}

/* Puts the memory of a checkpoint beside its network. */
static int build_memory(Ensemble *e, int m, Err *err)
{
    const SavedMemory *saved = &e->checkpoints[m].memory;
    MemorySize size = memory_size(&e->checkpoints[m]);
    Memory *memory = &e->memories[m];
    if (memory_open(memory, &e->networks[m], &size, err)) return -1;
    memory_learn(memory, saved->ids, saved->count);
    memory->exponents = saved->exponents;
    e->models[m] = memory->mixture;
    return 0;
}

int ensemble_build(Ensemble *e, const Kernels *kernels, int slice, double more, Err *err)
{
    double bytes = more;
    for (int m = 0; m < e->count; m++) {
        const Checkpoint *c = &e->checkpoints[m];
        MemorySize size = memory_size(c);
        bytes += (double)model_bytes(network_of(c->family), &c->config, kernels, MODEL_EVAL, slice)
               + (double)c->size + (double)tokenizer_bytes(&c->tokenizer);
        if (remembers(e, m))
            bytes += memory_bytes(c->tokenizer.count, c->context, kernels, &size);
    }
    if (memory_check(bytes, err)) return -1;
    for (int m = 0; m < e->count; m++) {
        Model *model = &e->networks[m];
        const Checkpoint *c = &e->checkpoints[m];
        if (model_open(model, network_of(c->family), &c->config, kernels, MODEL_EVAL, slice, err))
            return -1;
        e->built++;
        model->numbers = c->tokenizer.numbers;
        if (checkpoint_copy(c, "", model->tensors, model->tensor_count, model->params, err))
            return -1;
        model_use(model, model->params);
        e->models[m] = *model;
        if (remembers(e, m) && build_memory(e, m, err)) return -1;
    }
    return 0;
}

void ensemble_name(const Ensemble *e, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (int m = 0; m < e->count && used < room; m++) {
        bool holds = e->checkpoints[m].memory.count > 0;
        used += (size_t)snprintf(out + used, room - used, "%s%s, step %llu%s",
                                 m == 0 ? "" : m == 1 ? ", averaged with " : ", ", e->paths[m],
                                 (unsigned long long)e->checkpoints[m].step,
                                 !holds ? "" : e->network_only ? " without its memory"
                                 : " with its memory");
    }
}

int ensemble_context(const Ensemble *e)
{
    int least = e->checkpoints[0].context;
    for (int m = 1; m < e->count; m++)
        if (e->checkpoints[m].context < least) least = e->checkpoints[m].context;
    return least;
}

/* ---------------------------------------------------------------- where a text starts */

bool ensemble_all_have(const Ensemble *e, const char *name, const char *value)
{
    bool all = true;
    for (int m = 0; m < e->count; m++) {
        const char *word = checkpoint_setting(&e->checkpoints[m], name);
        all = all && word != NULL && strcmp(word, value) == 0;
    }
    return all;
}

bool ensemble_knows_separator(const Ensemble *e)
{
    bool known = ensemble_tokenizer(e)->separator;
    if (known && ensemble_all_have(e, "sampling", "document")) return true;
    for (int m = 0; m < e->count && known; m++) {
        const char *separators = checkpoint_setting(&e->checkpoints[m], "separators");
        known = separators != NULL && strtod(separators, NULL) >= SEPARATORS_ENOUGH;
    }
    return known;
}

/* Adds the probabilities of all symbols after an average symbol (at most PROBES_MAX of them, evenly
 * spaced) to sum (V). logits (V): scratch. */
static void ensemble_probe(Ensemble *e, double *sum, real *logits)
{
    const Tokenizer *t = ensemble_tokenizer(e);
    int first = t->separator ? 1 : 0, symbols = t->count - first;
    int probes = symbols < PROBES_MAX ? symbols : PROBES_MAX;
    for (int p = 0; p < probes; p++)
        for (int m = 0; m < e->count; m++) {
            int32_t id = first + (int32_t)((int64_t)p * symbols / probes);
            model_logits(&e->models[m], &id, 1, logits);
            double total = log_sum_exp(logits, t->count);
            for (int i = 0; i < t->count; i++) sum[i] += exp((double)logits[i] - total);
        }
}

int ensemble_start(Ensemble *e, int32_t *id, Err *err)
{
    const Tokenizer *t = ensemble_tokenizer(e);
    *id = ensemble_knows_separator(e) ? SEPARATOR_ID : t->ids['\n'];
    if (*id >= 0) return 0;
    double *sum = calloc((size_t)t->count, sizeof *sum);
    real *logits = calloc((size_t)t->count, sizeof *logits);
    bool memory = sum != NULL && logits != NULL;
    if (memory) {
        *id = t->separator ? 1 : 0;
        ensemble_probe(e, sum, logits);
        for (int i = *id + 1; i < t->count; i++)
            if (sum[i] > sum[*id]) *id = i;
    }
    free(sum);
    free(logits);
    return memory ? 0 : fail(err, EXIT_RUNTIME, "not enough memory to find a symbol to start from");
}

/* ---------------------------------------------------------------- writing */

void writers_close(Writers *w)
{
    for (int m = 0; m < w->opened; m++) decoder_close(&w->decoders[m]);
    free(w->decoders);
    free(w->nats);
    free(w->mean);
    *w = (Writers){ 0 };
}

double writers_bytes(const Ensemble *e, int streams)
{
    double V = ensemble_tokenizer(e)->count, bytes = (e->count + 1) * V * sizeof(real);
    for (int m = 0; m < e->count; m++) {
        const Checkpoint *c = &e->checkpoints[m];
        bytes += (double)decoder_bytes(network_of(c->family), &c->config, streams);
        if (remembers(e, m)) bytes += memory_decoder_bytes(c->tokenizer.count, streams);
    }
    return bytes;
}

int writers_open(Writers *w, Ensemble *e, int streams, Err *err)
{
    size_t count = (size_t)e->count, V = (size_t)ensemble_tokenizer(e)->count;
    *w = (Writers){ .count = e->count, .vocab = (int)V };
    w->decoders = calloc(count, sizeof *w->decoders);
    w->nats = count <= SIZE_MAX / V ? calloc(count * V, sizeof *w->nats) : NULL;
    w->mean = calloc(V, sizeof *w->mean);
    bool failed = w->decoders == NULL || w->nats == NULL || w->mean == NULL;
    if (failed) fail(err, EXIT_RUNTIME, "not enough memory to average %d models", e->count);
    for (int m = 0; m < e->count && !failed; m++) {
        failed = decoder_open(&w->decoders[m], &e->models[m], streams, err) != 0;
        w->opened += !failed;
    }
    if (failed) writers_close(w);
    return failed ? -1 : 0;
}

void writers_reset(Writers *w, int streams)
{
    for (int m = 0; m < w->count; m++) {
        decoder_reset(&w->decoders[m]);
        w->decoders[m].n = streams;
    }
}

void writers_spread(Writers *w, int streams)
{
    for (int m = 0; m < w->count; m++) {
        for (int i = w->decoders[m].n; i < streams; i++) decoder_copy(&w->decoders[m], i, 0);
        w->decoders[m].n = streams;
    }
}

void writers_end(Writers *w, int i)
{
    for (int m = 0; m < w->count; m++) decoder_copy(&w->decoders[m], i, --w->decoders[m].n);
}

void writers_step(Writers *w, const int32_t *ids)
{
    for (int m = 0; m < w->count; m++) decoder_step(&w->decoders[m], ids);
}

const real *writers_logits(Writers *w, int i)
{
    size_t V = (size_t)w->vocab, at = (size_t)i * V;
    if (w->count == 1) return w->decoders[0].logits + at;
    for (size_t m = 0; m < (size_t)w->count; m++) {
        const real *logits = w->decoders[m].logits + at;
        double total = log_sum_exp(logits, w->vocab);
        for (size_t v = 0; v < V; v++) w->nats[m * V + v] = (real)(total - (double)logits[v]);
    }
    for (size_t v = 0; v < V; v++) w->mean[v] = (real)-mean_nats(w->nats + v, V, w->count);
    return w->mean;
}
