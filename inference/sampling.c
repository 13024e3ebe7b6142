/* sampling.c: owns the choice of a character: which ids may be drawn, their weights, the draw. */
#include "../base.h"
#include "../tokenizer.h"
#include "sampling.h"

void chooser_close(Chooser *c)
{
    free(c->weights);
    free(c->ranked);
    *c = (Chooser){ 0 };
}

int chooser_open(Chooser *c, const Tokenizer *t, Err *err)
{
    *c = (Chooser){ .temperature = 1, .top_p = 1, .first = t->separator ? 1 : 0,
                    .count = t->count };
    c->weights = calloc((size_t)c->count, sizeof *c->weights);
    c->ranked = calloc((size_t)c->count, sizeof *c->ranked);
    if (c->weights != NULL && c->ranked != NULL) return 0;
    chooser_close(c);
    return fail(err, EXIT_RUNTIME, "not enough memory to choose among %d characters", t->count);
}

/* For qsort: the likeliest first, the smaller id where two are equal. */
static int ranked_order(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Zeroes the weights of all but the k likeliest, then of all but the likeliest whose weights reach
 * the share top_p of what is left (Holtzman et al. 2020); one at least stays. */
static void chooser_keep_likeliest(Chooser *c, const real *logits)
{
    int count = c->count - c->first, kept = 0;
    int limit = c->top_k > 0 && c->top_k < count ? (int)c->top_k : count;
    double total = 0, reached = 0;
    for (int i = 0; i < count; i++)
        c->ranked[i] = (Ranked){ (double)logits[c->first + i], c->first + i };
    qsort(c->ranked, (size_t)count, sizeof *c->ranked, ranked_order);
    for (int i = 0; i < limit; i++) total += c->weights[c->ranked[i].id];
    while (kept < limit && (kept == 0 || c->top_p >= 1.0 || reached < c->top_p * total))
        reached += c->weights[c->ranked[kept++].id];
    for (int i = kept; i < count; i++) c->weights[c->ranked[i].id] = 0.0;
}

int32_t chooser_pick(Chooser *c, const real *logits, uint64_t key, uint64_t position)
{
    int32_t best = -1;
    for (int i = c->first; i < c->count; i++) {
        if (!isfinite(logits[i])) return -1;
        if (best < 0 || logits[i] > logits[best]) best = i;
    }
    if (c->temperature <= 0.0 || best < 0) return best;

    double max = (double)logits[best], total = 0, reached = 0;
    for (int i = c->first; i < c->count; i++)
        c->weights[i] = exp(((double)logits[i] - max) / c->temperature);
    if (c->top_k > 0 || c->top_p < 1.0) chooser_keep_likeliest(c, logits);
    for (int i = c->first; i < c->count; i++) total += c->weights[i];
    double mark = rng_uniform(key, position) * total;
    for (int i = c->first; i < c->count; i++) {
        reached += c->weights[i];
        if (mark < reached) return i;
    }
    return best;
}
