/* ngram.c: an interpolated n-gram model with modified Kneser-Ney smoothing (Chen and Goodman 1998).
 *
 * p(w | h) of a context h of n - 1 characters at most, h' being h without its first one:
 *     p(w | h) = (c(hw) - D(c(hw))) / sum_v c(hv)  +  g(h) p(w | h')      w among what follows h
 *     g(h)     = sum_v D(c(hv)) / sum_v c(hv)
 * and in the end 1 / V. Of the longest context that a window has, c counts how often hw occurs in
 * the text, of shorter ones how many different characters come before it (Kneser and Ney 1995). A
 * context that never occurs, or never with a character after it, is passed over. D(c) is D_1, D_2
 * or, from 3 on, D_3 of the length of hw and the kind of count, from how many t_c have count c:
 *     D_i = i - (i + 1) Y t_{i+1} / t_i        Y = t_1 / (t_1 + 2 t_2)
 *
 * The parameters are the training text itself, ids as numbers; counting is all the training there
 * is, whenever other ids are bound. Letters: N ids, V symbols, n the order.
 *
 *     ./train text.txt --family ngram --order 6
 */
#include "ngram.h"

enum {
    ORDER_MAX = 64,
    IDS_MAX = 1 << 28,      /* grams are numbered in 32 bits */
    NO_ID = -1,             /* where the text ends, and nothing is learnt yet */
    GRAMS = 2               /* for each id there is room for so many; English has 0.9 at order 8,
                             * 1.9 at order 16 */
};

/* ---------------------------------------------------------------- the family */

typedef struct { int order, context, vocab, ids; } Ngram;

#define FIELD(name, field, low, high, text, change, help) \
    { name, "--" name, FIELD_INT, offsetof(Ngram, field), low, high, NULL, text, change, help }
static const Field fields[] = {
    FIELD("order", order, 0, ORDER_MAX, "8", FIELD_FIXED,
          "ngram: looks back at N - 1 characters; 1: at none, 0: nor at how frequent they are"),
    FIELD(FIELD_CONTEXT, context, 1, CONTEXT_MAX, "256", FIELD_SHRINKS,
          "characters the model looks back at"),
    FIELD(FIELD_VOCAB, vocab, 1, VOCAB_MAX, NULL, FIELD_FIXED, NULL),
    FIELD("ids", ids, 0, INT32_MAX, NULL, FIELD_FIXED, NULL),
};
#undef FIELD

enum { FIELDS = sizeof fields / sizeof fields[0] };

static int check(void *config, Err *err)
{
    const Ngram *c = config;
    if (c->ids <= IDS_MAX) return 0;
    return fail(err, EXIT_USAGE, "the training part has more than %d characters, too many for the "
                "ngram family; hold more out with --val-fraction, or use another family", IDS_MAX);
}

static void fit(void *config, size_t ids)
{
    ((Ngram *)config)->ids = ids < INT32_MAX ? (int)ids : INT32_MAX;
}

static void tensors(TensorTable *t, const void *config)
{
    Tensor text = { .name = "text.ids", .rows = 1, .cols = ((const Ngram *)config)->ids, .rank = 1,
                    .start = NO_ID };
    tensors_add(t, text, false);
}

/* The interpolation with 1 / V; what else there is depends on the text. */
static double flops(const void *config, int T)
{
    (void)T;
    return 2.0 * ((const Ngram *)config)->vocab;
}

static double kept(const void *config) { (void)config; return 1; }

static void describe(const void *config, char *out, size_t room)
{
    const Ngram *c = config;
    snprintf(out, room, "order %d, windows of %d", c->order, c->context);
}

static const Choice always[] = { { "context", "256" }, { NULL, NULL } };

const Family family_ngram = {
    "ngram", "counts what follows the last characters", fields, FIELDS, sizeof(Ngram), check,
    tensors, flops, kept, describe, always, NULL, 0, NULL, NULL, NULL, fit
};

/* ---------------------------------------------------------------- memory */

typedef enum { OCCURRENCES, PREDECESSORS, KINDS } Kind;

/* Characters in a row that occur in the text. The grams of one character more that begin with them
 * are their children. Children of a gram that occurs once are not kept: the text says what follows.
 * The grams of one length stand together, in the order of their ids. */
typedef struct {
    int32_t symbol;         /* the last character */
    int32_t count;          /* occurrences */
    union {
        int32_t before;     /* different characters before them, the start of the text being one */
        int32_t next;       /* count 1: where the text goes on */
    } is;
    int32_t first;          /* its children: up to the `first` of the gram after it */
} Gram;

typedef struct { double of[KINDS][4]; } Discounts;      /* D_1, D_2, D_3 at 1, 2, 3 */

typedef struct {
    int32_t *text;          /* (N) of which `length` are ids */
    int32_t length, room;   /* room: grams */
    int vocab, order;       /* order: of the grams that are kept, n or less */
    Gram *grams;            /* (room + 1) those of 0 characters, of 1, ..; one that ends the last */
    int32_t *begins;        /* (n + 2) where the grams of k characters begin */
    Discounts *discounts;   /* (n + 1) of grams of k characters */
    int32_t *sorted;        /* (N) positions in the order of the n characters from there on */
    int32_t *before;        /* (N) what comes before each of these; V: nothing */
    int8_t *shared;         /* (N + 1) of the n, those that it shares with the one before it */
    int32_t *marks;         /* (V + 2) bins while sorting; the gram a character came before last */
    double *p;              /* (threads,V) */
} State;

static State *state(Model *m) { return (State *)(void *)m->state.bytes; }

static void layout(Model *m, Arena *a)
{
    const Ngram *c = (const void *)m->config.bytes;
    State *s = state(m);
    size_t N = (size_t)c->ids, n = (size_t)c->order, V = (size_t)c->vocab;
    s->vocab = c->vocab;
    s->room = GRAMS * c->ids + 1;
    s->text = arena_take(a, N, sizeof *s->text);
    s->grams = arena_take(a, (size_t)s->room + 1, sizeof *s->grams);
    s->begins = arena_take(a, n + 2, sizeof *s->begins);
    s->discounts = arena_take(a, n + 1, sizeof *s->discounts);
    s->sorted = arena_take(a, N, sizeof *s->sorted);
    s->before = arena_take(a, N, sizeof *s->before);
    s->shared = arena_take(a, N + 1, sizeof *s->shared);
    s->marks = arena_take(a, V + 2, sizeof *s->marks);
    s->p = arena_take(a, (size_t)m->gemm.threads * V, sizeof *s->p);
}

/* ---------------------------------------------------------------- counting */

/* s->sorted: positions by the n characters from each on, the end of the text before every id.
 * Stable passes from the last character to the first; s->before is the other half of each. */
static void sort_positions(State *s, int n)
{
    int32_t N = s->length;
    for (int32_t i = 0; i < N; i++) s->sorted[i] = i;
    for (int k = n - 1; k >= 0; k--) {
        int32_t *bins = s->marks, *sorted = s->before;      /* bin 0: the end */
        memset(bins, 0, ((size_t)s->vocab + 2) * sizeof *bins);
        bins[1] = k < N ? k : N;
        for (int32_t i = k; i < N; i++) bins[s->text[i] + 2]++;
        for (int v = 1; v <= s->vocab; v++) bins[v + 1] += bins[v];
        for (int32_t j = 0; j < N; j++) {
            int32_t at = s->sorted[j];
            sorted[bins[at < N - k ? s->text[at + k] + 1 : 0]++] = at;
        }
        s->before = s->sorted;
        s->sorted = sorted;
    }
}

/* Fills s->shared, with -1 before the first position and 0 after the last; and s->before. */
static void compare_neighbours(State *s, int n)
{
    int32_t N = s->length;
    for (int32_t j = 0; j < N; j++) {
        int32_t at = s->sorted[j], last = j > 0 ? s->sorted[j - 1] : at;
        int most = n < N - at ? n : N - at, k = 0;
        while (k < most && last < N - k && s->text[at + k] == s->text[last + k]) k++;
        s->shared[j] = (int8_t)(j > 0 ? k : -1);
        s->before[j] = at > 0 ? s->text[at - 1] : s->vocab;
    }
    s->shared[N] = 0;
}

/* The most characters from a position on that occur more than once, of the n. */
static int repeated(const State *s, int32_t j)
{
    return s->shared[j] > s->shared[j + 1] ? s->shared[j] : s->shared[j + 1];
}

/* The longest gram at a position that is kept: the shortest that occurs once, unless the text ends
 * before that. */
static int longest(const State *s, int32_t j)
{
    int once = repeated(s, j) + 1, left = s->length - s->sorted[j];
    return once < left ? once : left;
}

/* The greatest order up to n of which all grams fit. */
static int order_that_fits(const State *s, int n)
{
    int64_t grams = 0, of[ORDER_MAX + 2] = { 0 };
    for (int32_t j = 0; j < s->length; j++)
        for (int k = s->shared[j] + 1; k <= longest(s, j); k++) of[k]++;
    for (int k = 0; k <= n; k++)
        if ((grams += of[k]) > s->room) return k - 1;
    return n;
}

/* D of grams of k characters, of which `once` occur once. */
static void set_discounts(State *s, int k, int32_t once)
{
    const double least = 0.1;           /* so that each character has some probability */
    double t[KINDS][5] = { { 0, once }, { 0, once } };
    for (const Gram *g = s->grams + s->begins[k]; g < s->grams + s->begins[k + 1]; g++) {
        if (g->count == 1) continue;
        if (g->count <= 4) t[OCCURRENCES][g->count]++;
        if (g->is.before <= 4) t[PREDECESSORS][g->is.before]++;
    }
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 1; i <= 3; i++) {
            const double *c = t[kind];
            bool known = c[1] > 0 && c[i] > 0;
            double D = known ? i - (i + 1) * c[1] / (c[1] + 2 * c[2]) * c[i + 1] / c[i] : 0.5 * i;
            s->discounts[k].of[kind][i] = fmin(fmax(D, least), i);
        }
}

/* Appends the grams of k characters, and tells those of k - 1 where their children begin. */
static void add_grams(State *s, int k)
{
    Gram *grams = s->grams, *parent = grams + s->begins[k - 1] - 1;
    int32_t next = s->begins[k], once = 0;
    for (int32_t j = 0; j < s->length; j++) {
        int32_t at = s->sorted[j], before = s->before[j];
        int most = longest(s, j), shared = s->shared[j];
        bool unique = k > repeated(s, j) && k <= s->length - at;
        once += unique;
        if (shared < k - 1 && k - 1 <= most) (++parent)->first = next;
        if (k > most) continue;
        if (shared < k) grams[next++] = (Gram){ .symbol = s->text[at + k - 1] };
        Gram *g = &grams[next - 1];
        g->count++;
        if (unique) g->is.next = at + k;
        else if (s->marks[before] != next) {
            s->marks[before] = next;
            g->is.before++;
        }
    }
    s->begins[k + 1] = grams[s->begins[k]].first = next;
    set_discounts(s, k, once);
}

/* Everything that follows from the first `length` ids of s->text. */
static void count(State *s, int n)
{
    s->order = 0;
    if (s->length == 0) return;
    sort_positions(s, n);
    compare_neighbours(s, n);
    s->order = order_that_fits(s, n);
    memset(s->marks, 0, ((size_t)s->vocab + 2) * sizeof *s->marks);
    s->grams[0] = (Gram){ .count = s->length, .first = 1 };
    s->begins[0] = 0;
    s->begins[1] = 1;
    for (int k = 1; k <= s->order; k++) add_grams(s, k);
}

/* Ids up to the first number that is none, counted unless they are what was counted last. */
static void bind(Model *m, real *params)
{
    const Ngram *c = (const void *)m->config.bytes;
    State *s = state(m);
    int32_t i = 0;
    bool same = true;
    for (; i < c->ids && params[i] >= 0 && params[i] < (real)s->vocab; i++) {
        int32_t id = (int32_t)params[i];
        same = same && s->text[i] == id;
        s->text[i] = id;
    }
    same = same && s->length == i;
    s->length = i;
    if (!same) count(s, c->order);
}

/* Memory that is new holds no text. */
static void prepare(Model *m)
{
    for (size_t i = 0; i < m->size; i++) m->params[i] = NO_ID;
}

static void learn(Model *m, const int32_t *ids, size_t size)
{
    for (size_t i = 0; i < size; i++) m->params[i] = (real)ids[i];
    bind(m, m->params);
}

static void remark(Model *m, char *out, size_t room)
{
    const Ngram *c = (const void *)m->config.bytes;
    const State *s = state(m);
    if (s->length > 0 && s->order < c->order)
        snprintf(out, room, "the text has too many different sequences of %d characters, so the "
                 "order is %d; rare long contexts are left out", s->order + 1, s->order);
}

/* ---------------------------------------------------------------- probabilities */

static const Gram *find_child(const State *s, const Gram *g, int32_t symbol)
{
    int32_t low = g->first, end = (g + 1)->first, high = end;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (s->grams[middle].symbol < symbol) low = middle + 1;
        else high = middle;
    }
    return low < end && s->grams[low].symbol == symbol ? &s->grams[low] : NULL;
}

/* The gram of the k characters at h, or the shorter one that stands for it because it occurs once;
 * *next: where that goes on. NULL: it does not occur. */
static const Gram *find_gram(const State *s, const int32_t *h, int k, int32_t *next)
{
    const Gram *g = s->grams;
    int i = 0;
    for (; i < k && g != NULL && g->count > 1; i++) g = find_child(s, g, h[i]);
    if (g == NULL || g->count > 1) return g;
    *next = g->is.next;
    for (; i < k; i++, ++*next)
        if (*next == s->length || s->text[*next] != h[i]) return NULL;
    return g;
}

static double tally(const Gram *g, Kind kind)
{
    return g->count == 1 || kind == OCCURRENCES ? g->count : g->is.before;
}

/* An occurrence that does not count: how often its character has followed the context before, and
 * what its count loses. */
typedef struct {
    int32_t symbol;         /* NO_ID: all count */
    double lost;
} LeftOut;

/* Adds weight (c - D) / sum c to what follows a context of k characters; *weight becomes weight
 * times its g. False: nothing follows that counts. */
static bool add_followers(const State *s, const Gram *g, int32_t next, Kind kind, int k,
                          LeftOut out, double *weight, double *p)
{
    const Gram *first = s->grams + g->first, *end = s->grams + (g + 1)->first;
    const double *D = s->discounts[k + 1].of[kind];
    double sum = -out.lost, left = 0;
    if (g->count == 1) {
        bool follows = next < s->length && !(out.lost > 0 && s->text[next] == out.symbol);
        if (!follows) return false;
        p[s->text[next]] += *weight * (1 - D[1]);
        *weight *= D[1];
        return true;
    }
    for (const Gram *w = first; w < end; w++) sum += tally(w, kind);
    if (sum <= 0) return false;
    for (const Gram *w = first; w < end; w++) {
        double c = tally(w, kind) - (w->symbol == out.symbol ? out.lost : 0);
        double d = D[c < 3 ? (int)c : 3];
        p[w->symbol] += *weight * (c - d) / sum;
        left += d;
    }
    *weight *= left / sum;
    return true;
}

/* How often a character follows a context in the text. */
static int32_t occurrences(const State *s, const Gram *g, int32_t next, int32_t symbol)
{
    if (g->count == 1) return next < s->length && s->text[next] == symbol;
    const Gram *w = find_child(s, g, symbol);
    return w != NULL ? w->count : 0;
}

static int32_t followers(const Gram *g)
{
    return g->count == 1 ? 1 : (g + 1)->first - g->first;
}

/* p (V) of what follows the `read` characters that end before `end`, as if the text had one
 * occurrence of y less there (NO_ID: as it is). A count of predecessors loses one where that was
 * the only occurrence with its predecessor. */
static NgramContext predict(const State *s, const int32_t *end, int read, int32_t y, double *p)
{
    NgramContext known = { .length = -1 };
    LeftOut out = { .symbol = y };
    double weight = 1;
    int most = read < s->order - 1 ? read : s->order - 1;
    int32_t before = 1;                     /* occurrences of y after one character more */
    bool there = y >= 0;                    /* so far the place is one of the text's */
    for (int v = 0; v < s->vocab; v++) p[v] = 0;
    for (int k = most; k >= 0; k--) {
        int32_t next = 0;
        Kind kind = k == most ? OCCURRENCES : PREDECESSORS;
        const Gram *g = find_gram(s, end - k, k, &next);
        int32_t times = g != NULL && there ? occurrences(s, g, next, y) : 0;
        there = times > 0;
        out.lost = there && before == 1;
        before = times;
        if (g == NULL) continue;
        if (!add_followers(s, g, next, kind, k, out, &weight, p)) continue;
        if (known.length < 0) known = (NgramContext){ k, g->count, followers(g) };
    }
    for (int v = 0; v < s->vocab; v++) p[v] += weight / s->vocab;
    return known.length < 0 ? (NgramContext){ 0 } : known;
}

NgramContext ngram_predict(const Model *m, const int32_t *end, int read, double *p)
{
    return predict((const State *)(const void *)m->state.bytes, end, read, NO_ID, p);
}

void ngram_teach(const Model *m, const int32_t *end, int read, int32_t y, double *q)
{
    predict((const State *)(const void *)m->state.bytes, end, read, y, q);
}

static void losses(Model *m, const Slice *x, real *nats)
{
    const State *s = state(m);
    ptrdiff_t rows = (ptrdiff_t)x->n * x->T;
    OMP(parallel for schedule(static))
    for (ptrdiff_t r = 0; r < rows; r++) {
        double *p = s->p + (ptrdiff_t)omp_get_thread_num() * s->vocab;
        nats[r] = 0;
        if (x->y[r] < 0) continue;
        predict(s, x->x + r + 1, (int)(r % x->T) + 1, NO_ID, p);
        nats[r] = (real)-log(p[x->y[r]]);
    }
}

static void log_probabilities(const State *s, const int32_t *end, int read, double *p, real *logits)
{
    predict(s, end, read, NO_ID, p);
    for (int v = 0; v < s->vocab; v++) logits[v] = (real)log(p[v]);
}

static void logits(Model *m, const int32_t *x, int T, real *out)
{
    const State *s = state(m);
    OMP(parallel for schedule(static))
    for (int t = 0; t < T; t++)
        log_probabilities(s, x + t + 1, t + 1, s->p + omp_get_thread_num() * (ptrdiff_t)s->vocab,
                          out + (ptrdiff_t)t * s->vocab);
}

/* ---------------------------------------------------------------- decoding: d->ids is all of it */

static void decoder_layout(Decoder *d, Arena *a) { (void)d; (void)a; }
static void decoder_feed_ids(Decoder *d, int size) { (void)d; (void)size; }
static void decoder_copy_ids(Decoder *d, int to, int from) { (void)d; (void)to; (void)from; }

static void decoder_logits(Decoder *d)
{
    const State *s = state(d->model);
    ptrdiff_t T = d->model->context, V = s->vocab;
    OMP(parallel for schedule(static))
    for (int i = 0; i < d->n; i++)
        log_probabilities(s, d->ids + i * T + d->pos, d->pos, s->p + omp_get_thread_num() * V,
                          d->logits + i * V);
}

const Network network_ngram = {
    &family_ngram, layout, prepare, bind, NULL, NULL, NULL, losses, logits,
    decoder_layout, decoder_feed_ids, decoder_logits, decoder_copy_ids, learn, remark
};

/* ---------------------------------------------------------------- n-grams beside a network */

static int config_of(Space *config, const NgramSize *size, Err *err)
{
    const Family *f = &family_ngram;
    Ngram c = { .order = size->order, .context = size->context };
    *config = (Space){ { 0 } };
    memcpy(config->bytes, &c, sizeof c);
    return family_check(f, config, size->vocab, err) || family_fit(f, config, size->ids, err);
}

double ngram_bytes(const NgramSize *size, const Kernels *K)
{
    Space config;
    Err unused;
    if (config_of(&config, size, &unused)) return 0;
    return (double)model_bytes(&network_ngram, &config, K, MODEL_EVAL, 1);
}

int ngram_open(Model *m, const NgramSize *size, const Kernels *K, Err *err)
{
    Space config;
    if (config_of(&config, size, err)) return -1;
    return model_open(m, &network_ngram, &config, K, MODEL_EVAL, 1, err);
}
