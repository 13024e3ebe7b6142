/* ngram.h: what the n-gram model says beside its probabilities.
 *
 * Owns: what is known of a context, for those who weigh an n-gram model against another one. All
 * else is the contract's (network.h).
 *
 *     NgramContext known = ngram_predict(&model, ids + size, size, p);
 */
#ifndef NGRAM_H
#define NGRAM_H

#include "network.h"

/* Of n-grams beside a network: order, ids that they count, the network's V and context. */
typedef struct {
    int order;
    size_t ids;
    int vocab, context;
} NgramSize;

/* Bytes that ngram_open takes. */
double ngram_bytes(const NgramSize *size, const Kernels *K);
/* A model of the ngram family, which model_learn counts for. EXIT_USAGE: an order, or a number of
 * ids, that n-grams cannot have. EXIT_RUNTIME: memory. */
int ngram_open(Model *m, const NgramSize *size, const Kernels *K, Err *err);

/* The longest context, of the order's, that the text has with a character after it. */
typedef struct {
    int length;             /* characters of it; 0: none but the empty one */
    int32_t count;          /* how often it occurs, */
    int32_t followers;      /* and how many different characters follow */
} NgramContext;

/* p (V) of what follows the `read` characters that end before `end`. `m` is of the ngram family,
 * and has learnt a text. Calls may run at the same time. */
NgramContext ngram_predict(const Model *m, const int32_t *end, int read, double *p);
/* q (V), likewise, as if one occurrence of y after the same characters were not in the text: what
 * the rest of the text says about the place at which y stands. */
void ngram_teach(const Model *m, const int32_t *end, int read, int32_t y, double *q);

#endif
