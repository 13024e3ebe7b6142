/* memory.h: an n-gram memory beside a network; the two together are a network, too.
 *
 * Owns: the mixture of their probabilities, and the numbers that weigh them. The mixture is
 * log-linear (Klakow 1998): of a text that goes on with w after h
 *     p(w | h) = network(w | h)^a memory(w | h)^b / Z(h)
 *     a = sum_i A_i f_i        b = sum_i B_i f_i        f = (1, k, ln c, ln d)
 * where Z makes it sum to 1, and f is what the memory knows of h (NgramContext): the longest end of
 * h that its text has, of k characters, occurs c times there, with d different characters after it.
 * The exponents A and B are few, so a few thousand characters choose them, which neither has seen.
 *
 *     Memory m;
 *     if (memory_open(&m, &network, &size, &err)) ...;      does not move from here on
 *     memory_learn(&m, ids, count);                         counts
 *     memory_fit(&m, others, others_count);                 chooses the exponents
 *     model_losses(&m.mixture, x, y, n, T, nats);           as of any model; so do decoders
 *     memory_close(&m);
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "exponents.h"
#include "network.h"

typedef struct {
    int order;              /* of its n-grams */
    size_t ids;             /* characters that it counts */
    size_t fitted;          /* characters that memory_fit gets, at most */
} MemorySize;

typedef struct {
    Model mixture;          /* what others use; without parameters of its own */
    Model counts;           /* of the ngram family */
    Model *network;         /* the caller's */
    Exponents exponents;
    size_t fitted;          /* room for so many */
    real *logits;           /* (context,V) of the network */
    double *q;              /* (threads,V) of the memory, then of the mixture */
    real *network_logits, *memory_logs;     /* (fitted,V) while the exponents are chosen */
    double *features;       /* (fitted,FEATURES) */
    Arena arena;
} Memory;

/* Bytes that memory_open takes beside a network of V symbols and this context. */
double memory_bytes(int vocab, int context, const Kernels *K, const MemorySize *size);
/* The exponents are halves until memory_fit or the caller sets them. EXIT_USAGE: an order, or a
 * number of ids, that n-grams cannot have. EXIT_RUNTIME: memory. */
int memory_open(Memory *m, Model *network, const MemorySize *size, Err *err);
void memory_close(Memory *m);

/* Counts ids, as many as the size said. */
void memory_learn(Memory *m, const int32_t *ids, size_t count);
/* Maximises sum_t ln p(ids[t + 1] | ids up to t in windows of the context) less half the squared
 * distance of the exponents from halves, by Newton's method: concave, so there is one maximum.
 * Neither part should have seen the ids. The result depends on no number of threads. */
void memory_fit(Memory *m, const int32_t *ids, size_t count);

/* Bytes of what a decoder of the mixture keeps beside the network's. */
double memory_decoder_bytes(int vocab, int streams);

#endif
