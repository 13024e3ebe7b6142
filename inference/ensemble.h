/* ensemble.h: a model, or several of one vocabulary whose probabilities are averaged.
 *
 * Owns: loading them, each with the memory that its checkpoint holds, the mean itself,
 * p = 1/M sum_m p_m, the symbol that a text without a prompt starts from, and writing several texts
 * at once under all models. Families, sizes and contexts may differ. Sums over models are one chain
 * in the order in which they were named; the mean of one model is that model, to the last bit.
 *
 *     Ensemble e;
 *     if (ensemble_load(&e, paths, count, &err)) ...;     e.checkpoints, vocabularies compared
 *     if (ensemble_build(&e, kernels, slice, writers_bytes(&e, 1), &err)) ...;    e.models
 *     Writers w;
 *     if (writers_open(&w, &e, 1, &err)) ...;
 *     writers_step(&w, &id);
 *     id = chooser_pick(&chooser, writers_logits(&w, 0), key, position);
 *     writers_close(&w);
 *     ensemble_close(&e);
 */
#ifndef ENSEMBLE_H
#define ENSEMBLE_H

#include "../base.h"
#include "../formats/checkpoint.h"
#include "../networks/memory.h"
#include "../networks/network.h"
#include "../tokenizer.h"

typedef struct {
    const char *const *paths;   /* (count) the caller's */
    Checkpoint *checkpoints;    /* (count) */
    Model *models;              /* (count) what computes: a network, or it and its memory */
    Model *networks;            /* (count) of models with a memory the network alone */
    Memory *memories;           /* (count) */
    int count, loaded, built;
    bool network_only;          /* the caller's, before they are built: leaves memories out */
} Ensemble;

/* -ln of the mean of the probabilities e^-nats[m stride]. The largest of them is taken out first,
 * so that nothing underflows. A NaN gives NaN. */
double mean_nats(const real *nats, size_t stride, int count);
/* ln sum_i e^logit_i */
double log_sum_exp(const real *logits, int count);

/* Loads the checkpoints; what checkpoint_load fails with, or EXIT_USAGE where two vocabularies
 * differ. On failure *e is empty. */
int ensemble_load(Ensemble *e, const char *const *paths, int count, Err *err);
/* Opens the models for evaluation, `slice` sequences at a time. more: bytes that the caller takes
 * after them. EXIT_RUNTIME: memory, looked at for all of it before any is taken. */
int ensemble_build(Ensemble *e, const Kernels *kernels, int slice, double more, Err *err);
void ensemble_close(Ensemble *e);

/* The vocabulary that all have. */
const Tokenizer *ensemble_tokenizer(const Ensemble *e);
/* Whether any model computes with the memory of its checkpoint. */
bool ensemble_remembers(const Ensemble *e);
/* What a figure says: " with memory" if any model has one, " without memory" if it is left out,
 * else "". */
const char *ensemble_memory_words(const Ensemble *e);
/* "a.bin, step 5", or "a.bin, step 5 with its memory, averaged with b.bin, step 7". */
void ensemble_name(const Ensemble *e, char *out, size_t room);
/* The smallest context. */
int ensemble_context(const Ensemble *e);

/* Whether the runs of all models had this setting. */
bool ensemble_all_have(const Ensemble *e, const char *name, const char *value);
/* Whether every model has seen enough separators to start a text from one and to end it at one, or
 * had one in front of each window. */
bool ensemble_knows_separator(const Ensemble *e);
/* What a text without a prompt starts from: the separator if the models know it, else a newline,
 * else the likeliest symbol. EXIT_RUNTIME: memory. */
int ensemble_start(Ensemble *e, int32_t *id, Err *err);

/* Several texts under all models: stream i of every decoder holds text i. */
typedef struct {
    Decoder *decoders;      /* (count) */
    int count, opened, vocab;
    real *nats;             /* (count,V) */
    real *mean;             /* (V) */
} Writers;

/* Bytes that writers_open takes. */
double writers_bytes(const Ensemble *e, int streams);
/* For at most `streams` texts at once. EXIT_RUNTIME: memory; *w is empty then. */
int writers_open(Writers *w, Ensemble *e, int streams, Err *err);
void writers_close(Writers *w);
/* Forgets all text; `streams` go on. */
void writers_reset(Writers *w, int streams);
/* The number of streams that go on from here; a new one is like the first. */
void writers_spread(Writers *w, int streams);
/* Ends stream i: the last one takes its place. */
void writers_end(Writers *w, int i);
/* Adds one character to each stream: ids (streams). */
void writers_step(Writers *w, const int32_t *ids);
/* The logits (V) of what follows stream i: the model's, or the logarithms of the mean
 * probabilities. They stay until the next call. */
const real *writers_logits(Writers *w, int i);

#endif
