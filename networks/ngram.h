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

/* The longest context, of the order's, that the text has with a character after it. */
typedef struct {
    int length;             /* characters of it; 0: none but the empty one */
    int32_t count;          /* how often it occurs, */
    int32_t followers;      /* and how many different characters follow */
} NgramContext;

/* p (V) of what follows the `read` characters that end before `end`. `m` is of the ngram family,
 * and has learnt a text. Calls may run at the same time. */
NgramContext ngram_predict(const Model *m, const int32_t *end, int read, double *p);

#endif
