/* evaluate.h: how well a model predicts a text: the three ways to cut a text into windows and score them.
 *
 * Owns: the protocols full, random and strided, for `eval` and for evaluations while training.
 * A score is the sum of -ln p(character | those before it in its window), in nats, over the characters
 * scored; a separator is read but not scored. With several models p is the mean of theirs. Sums are one chain
 * in the order of windows and positions, so a score does not depend on the slice.
 *
 *     Scorer s;
 *     if (scorer_open(&s, &model, 1, tokenizer.separator, &err)) ...;          the only allocation
 *     Score all = evaluate_full(&s, part, model.config.context, SIZE_MAX);
 *     printf("%g nats per character\n", score_mean(all));
 *     scorer_close(&s);
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "../base.h"
#include "../corpus.h"
#include "ensemble.h"
#include "../model.h"

/* nanoGPT's estimate: batches of 64 windows of 256 characters. */
enum { RANDOM_BATCH = 64, RANDOM_CONTEXT = 256 };

typedef struct {
    double sum;             /* nats */
    size_t characters;
    bool stopped;           /* the caller wanted it to end early: the figures are not complete */
} Score;

/* One window: inputs ids[start .. start + length - 1]; the targets from position `from` on are scored. */
typedef struct {
    size_t start;
    int length, from;
} Window;

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

static inline void scorer_close(Scorer *s)
{
    free(s->x);
    free(s->y);
    free(s->losses);
    free(s->from);
    *s = (Scorer){ 0 };
}

static inline int scorer_open(Scorer *s, Model *models, int count, bool separator, Err *err)
{
    size_t slice = (size_t)models[0].slice;
    int context = models[0].config.context;
    for (int m = 1; m < count; m++)
        if (models[m].config.context < context) context = models[m].config.context;
    *s = (Scorer){ .models = models, .count = count, .separator = separator };
    s->room = slice * (size_t)context;
    s->x = calloc(s->room, sizeof *s->x);
    s->y = calloc(s->room, sizeof *s->y);
    if (s->room <= SIZE_MAX / (size_t)count) s->losses = calloc(s->room * (size_t)count, sizeof *s->losses);
    s->from = calloc(slice, sizeof *s->from);
    if (s->x != NULL && s->y != NULL && s->losses != NULL && s->from != NULL) return 0;
    scorer_close(s);
    return fail(err, EXIT_RUNTIME, "not enough memory to evaluate the model");
}

/* Nats per character; NAN if none was scored. */
static inline double score_mean(Score s)
{
    return s.characters > 0 ? s.sum / (double)s.characters : (double)NAN;
}

/* Runs the model over the queued windows and adds their losses. */
static inline void score_queued(Scorer *s)
{
    int queued = s->queued, T = s->length;
    s->queued = 0;
    if (queued == 0 || s->score.stopped) return;
    if (s->stop != NULL && s->stop()) {
        s->score.stopped = true;
        return;
    }
    for (int m = 0; m < s->count; m++)
        model_losses(&s->models[m], s->x, s->y, queued, T, s->losses + (size_t)m * s->room);
    for (int n = 0; n < queued; n++)
        for (int t = s->from[n]; t < T; t++) {
            if (s->separator && s->y[n * T + t] == SEPARATOR_ID) continue;
            s->score.sum += mean_nats(s->losses + n * T + t, s->room, s->count);
            s->score.characters++;
        }
}

/* Queues one window; windows of one slice have one length. */
static inline void score_window(Scorer *s, Part part, Window w)
{
    if (s->queued == s->models[0].slice || (s->queued > 0 && s->length != w.length)) score_queued(s);
    size_t at = (size_t)s->queued * (size_t)w.length, bytes = (size_t)w.length * sizeof *part.ids;
    memcpy(s->x + at, part.ids + w.start, bytes);
    memcpy(s->y + at, part.ids + w.start + 1, bytes);
    s->length = w.length;
    s->from[s->queued++] = w.from;
}

static inline Score score_finish(Scorer *s)
{
    score_queued(s);
    Score score = s->score;
    s->score = (Score){ 0 };
    return score;
}

/* The shorter of the context and what a part has targets for. */
static inline int score_length(size_t targets, int context)
{
    return targets < (size_t)context ? (int)targets : context;
}

/* Consecutive windows, the last one shorter: every character but the first is scored once, and nothing before
 * the part is seen. With more than `most` characters only most / context windows (at least one), evenly
 * spaced. Needs 1 <= context <= every model's; a part of fewer than 2 characters scores none. */
static inline Score evaluate_full(Scorer *s, Part part, int context, size_t most)
{
    size_t targets = part.count > 0 ? part.count - 1 : 0, T = (size_t)context;
    size_t whole = targets / T, sample = most / T > 0 ? most / T : 1;
    if (targets > most && sample < whole) {
        for (size_t i = 0; i < sample && !s->score.stopped; i++) {
            size_t window = (size_t)((double)i * (double)whole / (double)sample);
            score_window(s, part, (Window){ window * T, context, 0 });
        }
        return score_finish(s);
    }
    for (size_t start = 0; start < targets && !s->score.stopped; start += T)
        score_window(s, part, (Window){ start, score_length(targets - start, context), 0 });
    return score_finish(s);
}

/* Windows that start uniformly anywhere, with replacement; window i uses draw i of the stream `key`. */
static inline Score evaluate_random(Scorer *s, Part part, uint64_t key, size_t windows, int context)
{
    size_t targets = part.count > 0 ? part.count - 1 : 0;
    int T = score_length(targets, context);
    for (size_t i = 0; i < windows && T > 0 && !s->score.stopped; i++) {
        size_t start = (size_t)rng_below(key, i, targets - (size_t)T + 1);
        score_window(s, part, (Window){ start, T, 0 });
    }
    return score_finish(s);
}

/* Windows that move on by `stride`, 1 <= stride <= context: the first scores all of its targets, each later
 * one its last `stride`, so that these see at least context - stride characters. The last is shorter. */
static inline Score evaluate_strided(Scorer *s, Part part, int context, int stride)
{
    size_t targets = part.count > 0 ? part.count - 1 : 0, scored = 0;
    for (size_t start = 0; scored < targets && !s->score.stopped; start += (size_t)stride) {
        int T = score_length(targets - start, context);
        score_window(s, part, (Window){ start, T, (int)(scored - start) });
        scored = start + (size_t)T;
    }
    return score_finish(s);
}

#endif
