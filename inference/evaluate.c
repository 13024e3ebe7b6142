/* evaluate.c: owns the queue of windows scored together, and how each protocol cuts a text.
 *
 * Sums are one chain in the order of windows and positions.
 */
#include "../base.h"
#include "../corpus.h"
#include "../networks/network.h"
#include "../tokenizer.h"
#include "ensemble.h"
#include "evaluate.h"

/* One window: inputs ids[start .. start + length - 1]; the targets from position `from` on are
 * scored. */
typedef struct {
    size_t start;
    int length, from;
    int padded;             /* to this length, with targets that do not count */
} Window;

void scorer_close(Scorer *s)
{
    free(s->x);
    free(s->y);
    free(s->losses);
    free(s->from);
    *s = (Scorer){ 0 };
}

double scorer_bytes(int count, int slice, int context)
{
    double character = 2 * sizeof(int32_t) + (double)count * sizeof(real);
    return (double)slice * (context * character + sizeof(int));
}

int scorer_open(Scorer *s, Model *models, int count, bool separator, Err *err)
{
    size_t slice = (size_t)models[0].slice;
    int context = models[0].context;
    for (int m = 1; m < count; m++)
        if (models[m].context < context) context = models[m].context;
    *s = (Scorer){ .models = models, .count = count, .separator = separator };
    s->room = slice * (size_t)context;
    s->x = calloc(s->room, sizeof *s->x);
    s->y = calloc(s->room, sizeof *s->y);
    if (s->room <= SIZE_MAX / (size_t)count)
        s->losses = calloc(s->room * (size_t)count, sizeof *s->losses);
    s->from = calloc(slice, sizeof *s->from);
    if (s->x != NULL && s->y != NULL && s->losses != NULL && s->from != NULL) return 0;
    scorer_close(s);
    return fail(err, EXIT_RUNTIME, "not enough memory to evaluate the model");
}

double score_mean(Score s)
{
    return s.characters > 0 ? s.sum / (double)s.characters : (double)NAN;
}

/* Runs the model over the queued windows and adds their losses. */
static void score_queued(Scorer *s)
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
            int32_t y = s->y[n * T + t];
            if (y == NO_TARGET || (s->separator && y == SEPARATOR_ID)) continue;
            s->score.sum += mean_nats(s->losses + n * T + t, s->room, s->count);
            s->score.characters++;
        }
}

/* Queues one window; windows of one slice have one length. */
static void score_window(Scorer *s, Part part, Window w)
{
    bool full = s->queued == s->models[0].slice;
    if (full || (s->queued > 0 && s->length != w.padded)) score_queued(s);
    size_t at = (size_t)s->queued * (size_t)w.padded, bytes = (size_t)w.length * sizeof *part.ids;
    memcpy(s->x + at, part.ids + w.start, bytes);
    memcpy(s->y + at, part.ids + w.start + 1, bytes);
    for (size_t i = at + (size_t)w.length; i < at + (size_t)w.padded; i++) {
        s->x[i] = SEPARATOR_ID;
        s->y[i] = NO_TARGET;
    }
    s->length = w.padded;
    s->from[s->queued++] = w.from;
}

static void score_plain(Scorer *s, Part part, size_t start, int length, int from)
{
    score_window(s, part, (Window){ start, length, from, length });
}

/* The score of all windows; the scorer is ready for the next one. */
static Score score_finish(Scorer *s)
{
    score_queued(s);
    Score score = s->score;
    s->score = (Score){ 0 };
    return score;
}

/* The shorter of the context and what a part has targets for. */
static int score_length(size_t targets, int context)
{
    return targets < (size_t)context ? (int)targets : context;
}

Score evaluate_full(Scorer *s, Part part, int context, size_t most)
{
    size_t targets = part.count > 0 ? part.count - 1 : 0, T = (size_t)context;
    size_t whole = targets / T, sample = most / T > 0 ? most / T : 1;
    if (targets > most && sample < whole) {
        for (size_t i = 0; i < sample && !s->score.stopped; i++) {
            size_t window = (size_t)((double)i * (double)whole / (double)sample);
            score_plain(s, part, window * T, context, 0);
        }
        return score_finish(s);
    }
    for (size_t start = 0; start < targets && !s->score.stopped; start += T)
        score_plain(s, part, start, score_length(targets - start, context), 0);
    return score_finish(s);
}

Score evaluate_random(Scorer *s, Part part, uint64_t key, size_t windows, int context)
{
    size_t targets = part.count > 0 ? part.count - 1 : 0;
    int T = score_length(targets, context);
    for (size_t i = 0; i < windows && T > 0 && !s->score.stopped; i++) {
        size_t start = (size_t)rng_below(key, i, targets - (size_t)T + 1);
        score_plain(s, part, start, T, 0);
    }
    return score_finish(s);
}

Score evaluate_strided(Scorer *s, Part part, int context, int stride)
{
    size_t targets = part.count > 0 ? part.count - 1 : 0, scored = 0;
    for (size_t start = 0; scored < targets && !s->score.stopped; start += (size_t)stride) {
        int T = score_length(targets - start, context);
        score_plain(s, part, start, T, (int)(scored - start));
        scored = start + (size_t)T;
    }
    return score_finish(s);
}

Score evaluate_documents(Scorer *s, Part part, int context, size_t most)
{
    size_t every = part.count / most + 1, number = 0;
    for (size_t begin = 0, end; begin < part.count && !s->score.stopped; begin = end) {
        for (end = begin + 1; end < part.count && part.ids[end] != SEPARATOR_ID;) end++;
        if (number++ % every != 0) continue;
        for (size_t at = begin; at + 1 < end; at += (size_t)context)
            score_window(s, part, (Window){ at, score_length(end - 1 - at, context), 0, context });
    }
    return score_finish(s);
}
