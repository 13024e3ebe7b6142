/* sampling.h: one character drawn from the logits: temperature, top-k, top-p, or the likeliest.
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

/* Temperature 1, all characters but the separator. EXIT_RUNTIME: memory; *c is empty then. */
int chooser_open(Chooser *c, const Tokenizer *t, Err *err);
void chooser_close(Chooser *c);

/* An id with probability proportional to exp((logit - max) / temperature) among those kept; logits
 * (V). Draw number `position` of the stream `key` decides. -1: a logit is not a finite number, or
 * there is nothing to draw. */
int32_t chooser_pick(Chooser *c, const real *logits, uint64_t key, uint64_t position);

#endif
