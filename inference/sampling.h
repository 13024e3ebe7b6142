/* sampling.h: one character drawn from the model's logits: temperature, top-k, top-p, or the likeliest.
 *
 *     Chooser c;
 *     if (chooser_open(&c, &tokenizer, &err)) ...;
 *     c.temperature = 0.8;
 *     int32_t id = chooser_pick(&c, decoder_step(&decoder, id), key, position);
 *     chooser_close(&c);
 */
#ifndef SAMPLING_H
#define SAMPLING_H

#include "../base.h"
#include "../tokenizer.h"

typedef struct {
    double logit;
    int32_t id;
} Ranked;

typedef struct {
    double temperature;     /* 0: always the likeliest */
    int64_t top_k;          /* 0: all */
    double top_p;           /* 1: all */
    int first;              /* the least id that may be drawn: 1 leaves the separator out */
    int count;              /* V */
    double *weights;        /* (V) */
    Ranked *ranked;         /* (V) */
} Chooser;

static inline void chooser_close(Chooser *c)
{
    free(c->weights);
    free(c->ranked);
    *c = (Chooser){ 0 };
}

/* Temperature 1, all characters but the separator. EXIT_RUNTIME: memory. */
static inline int chooser_open(Chooser *c, const Tokenizer *t, Err *err)
{
    *c = (Chooser){ .temperature = 1, .top_p = 1, .first = t->separator ? 1 : 0, .count = t->count };
    c->weights = calloc((size_t)c->count, sizeof *c->weights);
    c->ranked = calloc((size_t)c->count, sizeof *c->ranked);
    if (c->weights != NULL && c->ranked != NULL) return 0;
    chooser_close(c);
    return fail(err, EXIT_RUNTIME, "not enough memory to choose among %d characters", t->count);
}

static inline int ranked_order(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Zeroes the weights of all but the k likeliest, then of all but the likeliest whose weights reach the share
 * top_p of what is left (Holtzman et al. 2020); one at least stays. */
static inline void chooser_keep_likeliest(Chooser *c, const real *logits)
{
    int count = c->count - c->first, kept = 0;
    int limit = c->top_k > 0 && c->top_k < count ? (int)c->top_k : count;
    double total = 0, reached = 0;
    for (int i = 0; i < count; i++) c->ranked[i] = (Ranked){ (double)logits[c->first + i], c->first + i };
    qsort(c->ranked, (size_t)count, sizeof *c->ranked, ranked_order);
    for (int i = 0; i < limit; i++) total += c->weights[c->ranked[i].id];
    while (kept < limit && (kept == 0 || c->top_p >= 1.0 || reached < c->top_p * total))
        reached += c->weights[c->ranked[kept++].id];
    for (int i = kept; i < count; i++) c->weights[c->ranked[i].id] = 0.0;
}

/* An id with probability proportional to exp((logit - max) / temperature) among those kept. Draw number
 * `position` of the stream `key` decides. -1: a logit is not a finite number, or there is nothing to draw. */
static inline int32_t chooser_pick(Chooser *c, const real *logits, uint64_t key, uint64_t position)
{
    int32_t best = -1;
    for (int i = c->first; i < c->count; i++) {
        if (!isfinite(logits[i])) return -1;
        if (best < 0 || logits[i] > logits[best]) best = i;
    }
    if (c->temperature <= 0.0 || best < 0) return best;

    double max = (double)logits[best], total = 0, reached = 0;
    for (int i = c->first; i < c->count; i++) c->weights[i] = exp(((double)logits[i] - max) / c->temperature);
    if (c->top_k > 0 || c->top_p < 1.0) chooser_keep_likeliest(c, logits);
    for (int i = c->first; i < c->count; i++) total += c->weights[i];
    double mark = rng_uniform(key, position) * total;
    for (int i = c->first; i < c->count; i++) {
        reached += c->weights[i];
        if (mark < reached) return i;
    }
    return best;
}

#endif
