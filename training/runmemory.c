/* runmemory.c: the n-gram memory of a run. */
#include "runmemory.h"

enum {
    KEPT = 5000,            /* characters: as many choose eight numbers (LAB.md), */
    KEPT_SHARE = 20,        /* at most one part in so many of the training part, */
    KEPT_NUMBERS = 1 << 22  /* and as many as have so many logarithms of probabilities */
};

int runmemory_keep_back(const Settings *s, Corpus *c, int vocab, int context, Err *err)
{
    if (s->memory == 0) return 0;
    if (settings_family(s)->fit != NULL)
        return fail(err, EXIT_USAGE, "--memory: the %s family is one itself; leave the option out",
                    settings_family(s)->name);
    if (s->values)
        return fail(err, EXIT_USAGE, "--memory counts symbols, and numbers are none; leave the "
                    "option out");
    size_t window = (size_t)context + 1, most = KEPT_NUMBERS / (size_t)vocab;
    size_t room = c->train_count > window ? c->train_count - window : 0;
    if (most > KEPT) most = KEPT;
    if (most > c->train_count / KEPT_SHARE) most = c->train_count / KEPT_SHARE;
    corpus_keep_back(c, most < room ? most : room);
    return 0;
}

/* What is counted: the end of what is trained on. */
static Part counted(const Corpus *c)
{
    return part_end(corpus_part(c, PART_TRAIN), MEMORY_IDS);
}

static MemorySize size_of(const Settings *s, const Corpus *c)
{
    return (MemorySize){ .order = (int)s->memory, .ids = counted(c).count,
                         .fitted = corpus_part(c, PART_KEPT).count };
}

double runmemory_bytes(const Settings *s, const Corpus *c, int vocab, int context,
                       const Kernels *K)
{
    MemorySize size = size_of(s, c);
    return s->memory > 0 ? memory_bytes(vocab, context, K, &size) : 0;
}

int runmemory_open(RunMemory *m, const Settings *s, const Corpus *c, Trainer *t, Err *err)
{
    MemorySize size = size_of(s, c);
    Part text = counted(c);
    if (s->memory == 0) return 0;
    if (memory_open(&m->memory, &t->model, &size, err)) return -1;
    memory_learn(&m->memory, text.ids, text.count);
    m->kept = corpus_part(c, PART_KEPT);
    m->saved = (SavedMemory){ .order = (int)s->memory, .count = text.count, .ids = text.ids,
                              .exponents = m->memory.exponents };
    return 0;
}

void runmemory_close(RunMemory *m) { memory_close(&m->memory); }

void runmemory_fit(RunMemory *m, Trainer *t)
{
    if (m->saved.order == 0) return;
    model_use(&t->model, trainer_weights(t));
    memory_fit(&m->memory, m->kept.ids, m->kept.count);
    model_use(&t->model, t->model.params);
    m->saved.exponents = m->memory.exponents;
}

void runmemory_remark(RunMemory *m, const Corpus *c, char *out, size_t room)
{
    size_t trained = corpus_part(c, PART_TRAIN).count;
    out[0] = '\0';
    if (m->saved.order == 0) return;
    if (m->saved.count < trained)
        snprintf(out, room, "the memory counts the last %zu characters of %zu that are trained on",
                 m->saved.count, trained);
    else
        model_remark(&m->memory.counts, out, room);
}
