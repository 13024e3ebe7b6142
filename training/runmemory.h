/* runmemory.h: --memory: the n-gram memory of a run.
 *
 * Owns: which text it counts, and what is kept back from it and from the network, so that both can
 * be weighed on what neither has seen. Its exponents follow from the weights of a step alone, so a
 * run has no more state than without it.
 *
 *     if (runmemory_keep_back(&settings, &corpus, vocab, context, &err)) ...;     before it is read
 *     if (runmemory_open(&m, &settings, &corpus, &trainer, &err)) ...;
 *     runmemory_fit(&m, &trainer);                            before each save: m.saved is what it
 *                                                             states
 */
#ifndef RUNMEMORY_H
#define RUNMEMORY_H

#include "../networks/memory.h"
#include "settings.h"
#include "trainer.h"

typedef struct {
    Memory memory;
    SavedMemory saved;      /* order 0: the run has no memory */
    Part kept;
} RunMemory;

/* Keeps the end of the training part back: 5,000 characters, less of a short text or with many
 * symbols. EXIT_USAGE: a family or a text that has no use for a memory. */
int runmemory_keep_back(const Settings *s, Corpus *c, int vocab, int context, Err *err);
/* Bytes that runmemory_open takes. */
double runmemory_bytes(const Settings *s, const Corpus *c, int vocab, int context,
                       const Kernels *K);
/* Counts. Nothing without --memory. EXIT_RUNTIME: memory. */
int runmemory_open(RunMemory *m, const Settings *s, const Corpus *c, Trainer *t, Err *err);
void runmemory_close(RunMemory *m);

/* The exponents that suit what the trainer would save now. */
void runmemory_fit(RunMemory *m, Trainer *t);
/* What a note should say about the counts; "" where there is nothing to say. */
void runmemory_remark(RunMemory *m, const Corpus *c, char *out, size_t room);

#endif
