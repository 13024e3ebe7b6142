/* sampling.h: one character drawn from the logits: temperature, top-k, top-p, min-p, a penalty for
 * what has just come; or the likeliest.
 *
 * In this order: the penalty changes the logits; weights come from them and the temperature; top-k
 * keeps the largest; top-p keeps the largest of these; min-p keeps of these what is likely enough
 * at temperature 1, as llama.cpp does, which has the temperature come last.
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

/* The last characters of one text. */
typedef struct {
    int32_t *ids;           /* (window) a ring */
    int32_t *counts;        /* (V) how often each is among them */
    int vocab, first;       /* V; the first id that is a character */
    int window, used, next; /* 0 .. window - 1 of the ring are in use; where the next one goes */
} Recent;

typedef struct {
    double temperature;     /* 0: always the likeliest */
    int64_t top_k;          /* 0: all */
    double top_p;           /* 1: all */
    double min_p;           /* 0: all */
    double repeat_penalty;  /* 1: none */
    const Recent *recent;   /* the caller's, for the penalty: the text that goes on; or NULL */
    int first;              /* the least id that may be drawn: 1 leaves the separator out */
    int count;              /* V */
    const Numbers *numbers; /* NULL, or what is drawn is a number */
    double *scores;         /* (V) the logits after the penalty */
    double *weights;        /* (V) */
    Ranked *ranked;         /* (V) */
} Chooser;

/* Temperature 1, all characters but the separator. EXIT_RUNTIME: memory; *c is empty then. */
int chooser_open(Chooser *c, const Tokenizer *t, Err *err);
void chooser_close(Chooser *c);

/* An id with probability proportional to exp((score - max) / temperature) among those kept; logits
 * (V). The score is the logit; of a character that is in c->recent, however often, it is
 * logit / repeat_penalty, or logit repeat_penalty if that is not positive (Keskar et al. 2019, as
 * llama.cpp has it). Min-p keeps what has exp(score - max) >= min_p. Draw number `position` of the
 * stream `key` decides. A number comes from the Gaussian that the logits stand for, with its
 * deviation times the temperature; nothing else is looked at. -1: a logit is
 * not a finite number, or there is nothing to draw. */
int32_t chooser_pick(Chooser *c, const real *logits, uint64_t key, uint64_t position);

/* Remembers `window` characters; nothing with 0. EXIT_RUNTIME: memory; *r is empty then. */
int recent_open(Recent *r, int window, const Tokenizer *t, Err *err);
void recent_close(Recent *r);
void recent_clear(Recent *r);
/* Both of the same window and vocabulary. */
void recent_copy(Recent *to, const Recent *from);
/* The text goes on with id; a separator is no character and changes nothing. */
void recent_add(Recent *r, int32_t id);

#endif
