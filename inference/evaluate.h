/* evaluate.h: how well a model predicts a text: four ways to cut it into windows and score them.
 *
 * Owns: the protocols full, random, strided and documents, for `eval` and for evaluations while
 * training. A score is the sum of -ln p(character | those before it in its window), in nats, over
 * the characters scored; a separator is read but not scored. With several models p is the mean of
 * theirs. Sums are one chain in the order of windows and positions, so a score does not depend on
 * the slice.
 *
 *     Scorer s;
 *     if (scorer_open(&s, &model, 1, tokenizer.separator, &err)) ...;      the only allocation
 *     Score all = evaluate_full(&s, part, model.context, SIZE_MAX);
 *     printf("%g nats per character\n", score_mean(all));
 *     scorer_close(&s);
 */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "../base.h"
#include "../corpus.h"
#include "../networks/network.h"

/* nanoGPT's estimate: batches of 64 windows of 256 characters. */
enum { RANDOM_BATCH = 64, RANDOM_CONTEXT = 256 };

typedef struct {
    double sum;             /* nats */
    size_t characters;
    bool stopped;           /* Scorer.stop ended it early: the figures are not complete */
} Score;

typedef struct {
    Model *models;              /* (count), opened for the same slice */
    int count;
    size_t room;                /* characters of a slice of the smallest context */
    bool separator;             /* targets with SEPARATOR_ID are not scored */
    bool (*stop)(void);         /* NULL, or asked before every slice whether to end early */
    int32_t *x, *y;             /* (slice, context) */
    real *losses;               /* (count, slice, context) */
    int *from;                  /* (slice) */
    Score score;                /* so far */
    int queued, length;         /* windows in x and y, all of this length */
} Scorer;

/* Bytes that scorer_open takes for such models, `context` the smallest. */
double scorer_bytes(int count, int slice, int context);
/* For count >= 1 models; separator: whether their vocabulary has one. EXIT_RUNTIME: memory; *s is
 * empty then. */
int scorer_open(Scorer *s, Model *models, int count, bool separator, Err *err);
void scorer_close(Scorer *s);

/* Nats per character; NAN if none was scored. */
double score_mean(Score s);

/* Consecutive windows, the last one shorter: every character but the first is scored once, and
 * nothing before the part is seen. With more than `most` characters only most / context windows (at
 * least one), evenly spaced. Needs 1 <= context <= every model's; a part of fewer than 2 characters
 * scores none. */
Score evaluate_full(Scorer *s, Part part, int context, size_t most);
/* Windows that start uniformly anywhere, with replacement; window i uses draw i of the stream
 * `key`. */
Score evaluate_random(Scorer *s, Part part, uint64_t key, size_t windows, int context);
/* Windows that move on by `stride`, 1 <= stride <= context: the first scores all of its targets,
 * each later one its last `stride`, so that these see at least context - stride characters. The
 * last is shorter. */
Score evaluate_strided(Scorer *s, Part part, int context, int stride);
/* A window for each document, from the separator before it on, and further ones for what of it does
 * not fit into the first. Of a part of more than `most` characters only so many documents, evenly
 * spaced, that about as many are scored. */
Score evaluate_documents(Scorer *s, Part part, int context, size_t most);

#endif
