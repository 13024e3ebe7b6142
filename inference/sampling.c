/* sampling.c: owns the choice of a character: which ids may be drawn, their weights, the draw; and
 * the memory of the last characters. */
#include "../base.h"
#include "../tokenizer.h"
#include "sampling.h"

/* ---------------------------------------------------------------- the last characters */

void recent_close(Recent *r)
{
    free(r->ids);
    free(r->counts);
    *r = (Recent){ .window = 0 };
}

int recent_open(Recent *r, int window, const Tokenizer *t, Err *err)
{
    if (tokenizer_has_numbers(t)) window = 0;
    *r = (Recent){ .window = window, .vocab = t->count, .first = t->separator ? 1 : 0 };
    r->ids = calloc((size_t)window + 1, sizeof *r->ids);
    r->counts = calloc((size_t)t->count, sizeof *r->counts);
    if (r->ids != NULL && r->counts != NULL) return 0;
    recent_close(r);
    return fail(err, EXIT_RUNTIME, "not enough memory to remember %d characters", window);
}

void recent_clear(Recent *r)
{
    r->used = r->next = 0;
    if (r->counts != NULL) memset(r->counts, 0, (size_t)r->vocab * sizeof *r->counts);
}

void recent_copy(Recent *to, const Recent *from)
{
    to->used = from->used;
    to->next = from->next;
    if (to == from || from->window == 0) return;
    memcpy(to->ids, from->ids, (size_t)from->used * sizeof *to->ids);
    memcpy(to->counts, from->counts, (size_t)from->vocab * sizeof *to->counts);
}

void recent_add(Recent *r, int32_t id)
{
    if (r->window == 0 || id < r->first) return;
    if (r->used == r->window) r->counts[r->ids[r->next]]--;
    else r->used++;
    r->ids[r->next] = id;
    r->counts[id]++;
    r->next = (r->next + 1) % r->window;
}

/* ---------------------------------------------------------------- the choice */

void chooser_close(Chooser *c)
{
    free(c->scores);
    free(c->weights);
    free(c->ranked);
    *c = (Chooser){ 0 };
}

int chooser_open(Chooser *c, const Tokenizer *t, Err *err)
{
    *c = (Chooser){ .temperature = 1, .top_p = 1, .repeat_penalty = 1,
                    .first = t->separator ? 1 : 0, .count = t->count,
                    .numbers = tokenizer_has_numbers(t) ? &t->numbers : NULL };
    c->scores = calloc((size_t)c->count, sizeof *c->scores);
    c->weights = calloc((size_t)c->count, sizeof *c->weights);
    c->ranked = calloc((size_t)c->count, sizeof *c->ranked);
    if (c->scores != NULL && c->weights != NULL && c->ranked != NULL) return 0;
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
static void chooser_keep_likeliest(Chooser *c)
{
    int count = c->count - c->first, kept = 0;
    int limit = c->top_k > 0 && c->top_k < count ? (int)c->top_k : count;
    double total = 0, reached = 0;
    for (int i = 0; i < count; i++)
        c->ranked[i] = (Ranked){ c->scores[c->first + i], c->first + i };
    qsort(c->ranked, (size_t)count, sizeof *c->ranked, ranked_order);
    for (int i = 0; i < limit; i++) total += c->weights[c->ranked[i].id];
    while (kept < limit && (kept == 0 || c->top_p >= 1.0 || reached < c->top_p * total))
        reached += c->weights[c->ranked[kept++].id];
    for (int i = kept; i < count; i++) c->weights[c->ranked[i].id] = 0.0;
}

/* The logit, after the penalty. */
static double chooser_score(const Chooser *c, double logit, int id)
{
    bool repeated = c->recent != NULL && c->recent->window > 0 && c->recent->counts[id] > 0;
    if (!repeated) return logit;
    return logit > 0.0 ? logit / c->repeat_penalty : logit * c->repeat_penalty;
}

/* Zeroes the weights of what is less than min_p times as likely as the likeliest. */
static void chooser_keep_likely(Chooser *c, double max)
{
    for (int i = c->first; i < c->count; i++)
        if (exp(c->scores[i] - max) < c->min_p) c->weights[i] = 0.0;
}

static int32_t pick_number(const Chooser *c, const real *logits, uint64_t key, uint64_t position)
{
    const Numbers *n = c->numbers;
    if (!isfinite(logits[0]) || !isfinite(logits[1])) return -1;
    double deviation = exp(number_log_deviation(n, (double)logits[1]));
    double z = (double)logits[0] + c->temperature * deviation * rng_normal(key, position);
    return number_id(n, n->center + n->scale * z);
}

int32_t chooser_pick(Chooser *c, const real *logits, uint64_t key, uint64_t position)
{
    int32_t best = -1;
    if (c->numbers != NULL) return pick_number(c, logits, key, position);
    for (int i = c->first; i < c->count; i++) {
        if (!isfinite(logits[i])) return -1;
        c->scores[i] = chooser_score(c, (double)logits[i], i);
        if (best < 0 || c->scores[i] > c->scores[best]) best = i;
    }
    if (c->temperature <= 0.0 || best < 0) return best;

    double max = c->scores[best], total = 0, reached = 0;
    for (int i = c->first; i < c->count; i++)
        c->weights[i] = exp((c->scores[i] - max) / c->temperature);
    if (c->top_k > 0 || c->top_p < 1.0) chooser_keep_likeliest(c);
    if (c->min_p > 0.0) chooser_keep_likely(c, max);
    for (int i = c->first; i < c->count; i++) total += c->weights[i];
    double mark = rng_uniform(key, position) * total;
    for (int i = c->first; i < c->count; i++) {
        reached += c->weights[i];
        if (mark < reached) return i;
    }
    return best;
}
