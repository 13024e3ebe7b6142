/* test_optimizer.c: optimizer.h against the formulas written a second time.
 *
 * AdamW as Loshchilov and Hutter (2019) print it, with every quantity in double and the
 * corrected moments spelled out; Muon with loops over whole matrices, always on the side
 * that the formula names; clipping and schedules as in nanoGPT. Every table of kernels that
 * this machine can run is tested:
 *
 *     test_optimizer
 */
#include "../../base.h"
#include "check.h"
#include "../../kernels/kernels.h"
#include "../../training/optimizer.h"

enum { MAX_TENSORS = 12, GAP = 5, ROUNDS = 40 };

static const real untouched = (real)-7.5;       /* in the gaps between the tensors */

typedef struct { int rows, cols; bool hidden, decay; } Shape;

/* Sizes at the edges of a vector and of a chunk that is summed at once. */
static const Shape vectors[] = {
    { 1, 1, false, true },    { 1, 3, false, false },    { 1, 8, false, true },
    { 1, 17, false, false },  { 1, 33, false, true },    { 1, 4095, false, false },
    { 1, 4096, false, true }, { 1, 4097, false, false }, { 1, 9001, false, true },
};

/* Wide, tall, square, single rows and columns, more than one chunk; some that are not Muon's. */
static const Shape matrices[] = {
    { 5, 12, true, true },  { 12, 5, true, true },   { 8, 8, true, false },
    { 1, 17, true, true },  { 17, 1, true, true },   { 1, 1, true, true },
    { 33, 70, true, true }, { 71, 33, true, false }, { 66, 65, true, true },
    { 9, 7, false, true },  { 1, 33, false, false }, { 64, 66, false, true },
};

typedef struct {
    Tensor tensors[MAX_TENSORS];
    int count;
    size_t size;                /* of a flat array, gaps included */
    real *params, *grads;
    double *w, *m, *v;          /* the expected values */
} Problem;

#define VECTORS vectors, (int)(sizeof vectors / sizeof vectors[0])
#define MATRICES matrices, (int)(sizeof matrices / sizeof matrices[0])

/* ---------------------------------------------------------------- the formulas again */

/* One step of AdamW on element i, with t from 1: L&H 2019, algorithm 2, lines 6 to 12,
 * with the decay times the rate. */
static void oracle_element(Problem *q, size_t i, double g, const TrainingPlan *p, double rate,
                           double decay, double t)
{
    const double eps = 1e-8;
    q->m[i] = p->beta1 * q->m[i] + (1 - p->beta1) * g;
    q->v[i] = p->beta2 * q->v[i] + (1 - p->beta2) * g * g;
    double corrected_m = q->m[i] / (1 - pow(p->beta1, t));
    double corrected_v = q->v[i] / (1 - pow(p->beta2, t));
    q->w[i] -= rate * (corrected_m / (sqrt(corrected_v) + eps) + decay * q->w[i]);
}

static double oracle_norm(const real *x, size_t n)
{
    long double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (long double)x[i] * (long double)x[i];
    return (double)sqrtl(sum);
}

/* out (rows,cols) = a (rows,n) b (n,cols), element (i, j) of b at b[i bi + j bj] */
static void multiply(double *out, const double *a, const double *b, size_t rows, size_t n,
                     size_t cols, size_t bi, size_t bj)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            out[i * cols + j] = 0;
            for (size_t k = 0; k < n; k++) out[i * cols + j] += a[i * n + k] * b[k * bi + j * bj];
        }
}

/* x (R,C) <- five times a x + (b x x^T + c (x x^T)^2) x, from x / |x| */
static void oracle_ortho(double *x, size_t R, size_t C)
{
    const double a = 3.4445, b = -4.7750, c = 2.0315;
    double *gram = calloc(R * R, sizeof *gram), *square = calloc(R * R, sizeof *square);
    double *y = calloc(R * C, sizeof *y), sum = 0;
    if (gram == NULL || square == NULL || y == NULL) abort();
    for (size_t i = 0; i < R * C; i++) sum += x[i] * x[i];
    for (size_t i = 0; i < R * C && sum > 0; i++) x[i] /= sqrt(sum);
    for (int step = 0; step < 5; step++) {
        multiply(gram, x, x, R, C, R, 1, C);
        multiply(square, gram, gram, R, R, R, R, 1);
        for (size_t i = 0; i < R * R; i++) gram[i] = b * gram[i] + c * square[i];
        multiply(y, gram, x, R, R, C, C, 1);
        for (size_t i = 0; i < R * C; i++) x[i] = a * x[i] + y[i];
    }
    free(gram);
    free(square);
    free(y);
}

/* One step of Muon on a matrix, `factor` the scale of its gradient. */
static void oracle_muon(Problem *q, const Tensor *t, double factor, double rate, double decay)
{
    size_t n = tensor_size(t);
    double *u = malloc(n * sizeof *u);
    double stretch = t->rows > t->cols ? sqrt((double)t->rows / t->cols) : 1;
    if (u == NULL) abort();
    for (size_t j = 0; j < n; j++) {
        double g = factor * (double)q->grads[t->offset + j], *m = &q->m[t->offset + j];
        *m = 0.95 * *m + g;
        u[j] = g + 0.95 * *m;
    }
    oracle_ortho(u, (size_t)t->rows, (size_t)t->cols);
    for (size_t j = 0; j < n; j++) {
        double *w = &q->w[t->offset + j];
        *w = *w * (1 - rate * decay) - rate * stretch * u[j];
    }
    free(u);
}

static void oracle_step(Problem *q, const TrainingPlan *p, double rate, int64_t step)
{
    double norm = oracle_norm(q->grads, q->size), factor = 1;
    bool muon = p->optimizer == OPTIMIZER_MUON;
    if (p->clip > 0 && p->clip / (norm + 1e-6) < 1) factor = p->clip / (norm + 1e-6);
    for (int k = 0; k < q->count; k++) {
        const Tensor *t = &q->tensors[k];
        double decay = t->decay ? p->weight_decay : 0;
        if (muon && t->hidden) oracle_muon(q, t, factor, rate, decay);
        else for (size_t i = t->offset; i < t->offset + tensor_size(t); i++)
                oracle_element(q, i, factor * (double)q->grads[i], p, muon ? rate / 4 : rate, decay,
                               (double)step + 1);
    }
}

/* nanoGPT's get_lr; 0.5 (1 + cos pi x) is written as cos^2 (pi x / 2). wsd: a line through the peak
 * where the decay begins and min_lr at the end, cut off at the peak. */
static double oracle_lr(const TrainingPlan *p, double it)
{
    double warmup = (double)p->warmup, steps = (double)p->steps, decay = (double)p->decay_steps;
    if (it < warmup) return p->lr * (it + 1) / (warmup + 1);
    if (p->schedule == SCHEDULE_CONSTANT) return p->lr;
    if (it >= steps) return p->min_lr;
    if (p->schedule == SCHEDULE_WSD) {
        if (decay > steps - warmup) decay = steps - warmup;
        double left = decay > 0 ? (steps - it) / decay : 1;
        return left >= 1 ? p->lr : left * p->lr + (1 - left) * p->min_lr;
    }
    double x = (it - warmup) / (steps - warmup), half = cos(acos(-1.0) / 2 * x);
    if (p->schedule == SCHEDULE_LINEAR) return (1 - x) * p->lr + x * p->min_lr;
    return p->min_lr + half * half * (p->lr - p->min_lr);
}

/* ---------------------------------------------------------------- a problem to solve */

static int problem_open(Problem *q, const Shape *shapes, int count)
{
    *q = (Problem){ .count = count };
    for (int k = 0; k < count; k++) {
        const Shape *s = &shapes[k];
        q->tensors[k] = (Tensor){ .offset = q->size,
                                  .rows = s->rows,
                                  .cols = s->cols,
                                  .decay = s->decay,
                                  .hidden = s->hidden,
                                  .rank = s->hidden || s->rows > 1 ? 2 : 1 };
        q->size += tensor_size(&q->tensors[k]) + GAP;
    }
    q->params = calloc(q->size, sizeof *q->params);
    q->grads = calloc(q->size, sizeof *q->grads);
    q->w = calloc(q->size, sizeof *q->w);
    q->m = calloc(q->size, sizeof *q->m);
    q->v = calloc(q->size, sizeof *q->v);
    if (q->params == NULL || q->grads == NULL || q->w == NULL || q->m == NULL || q->v == NULL)
        return -1;
    for (size_t i = 0; i < q->size; i++) q->params[i] = untouched;
    for (int k = 0; k < count; k++)
        for (size_t j = 0; j < tensor_size(&q->tensors[k]); j++) {
            size_t i = q->tensors[k].offset + j;
            q->params[i] = (real)rng_normal(1, i);
            q->w[i] = (double)q->params[i];
        }
    return 0;
}

static void problem_close(Problem *q)
{
    free(q->params);
    free(q->grads);
    free(q->w);
    free(q->m);
    free(q->v);
}

/* Gradients of very different sizes, so that eps matters for some; a third are 0; none
 * in the gaps. */
static real wild(uint64_t key, size_t i)
{
    double scale = pow(10, (double)(i % 12) - 10);
    return i % 3 == 2 ? 0 : (real)(scale * rng_normal(key, i));
}

/* Wild ones for the vectors; random ones for matrices, of rank 1 where the number of
 * the tensor is even. */
static void draw_gradients(Problem *q, int64_t step)
{
    uint64_t key = rng_key(3, 0, (uint64_t)step, RNG_BATCH);
    memset(q->grads, 0, q->size * sizeof *q->grads);
    for (int k = 0; k < q->count; k++) {
        const Tensor *t = &q->tensors[k];
        size_t cols = (size_t)t->cols;
        for (size_t j = 0; j < tensor_size(t); j++) {
            size_t i = t->offset + j;
            bool outer = t->rank == 2 && k % 2 == 0;
            if (t->rank == 1) q->grads[i] = wild(key, i);
            else if (outer)
                q->grads[i] = (real)(rng_normal(key, j / cols) * rng_normal(key + 1, j % cols));
            else q->grads[i] = (real)rng_normal(key, i);
        }
    }
}

static int open_for(Optimizer *o, const Problem *q, const Kernels *K, const TrainingPlan *p,
                    Err *err)
{
    if (optimizer_open(o, p, K, q->tensors, q->count, q->size, err)) return -1;
    if (o->average != NULL) memcpy(o->average, q->params, q->size * sizeof(real));
    return 0;
}

/* Steps first .. last, both ways; returns whether everything could be allocated. */
static bool run_both(Problem *q, const Shape *shapes, int count, Optimizer *o, const Kernels *K,
                     const TrainingPlan *p, int64_t first, int64_t last)
{
    Err err = { 0 };
    if (problem_open(q, shapes, count) || open_for(o, q, K, p, &err)) {
        CHECK(false, "not enough memory: %s", err.msg);
        return false;
    }
    for (int64_t step = first; step <= last; step++) {
        draw_gradients(q, step);
        optimizer_step(o, step, optimizer_norm(o, q->grads), q->params, q->grads);
        oracle_step(q, p, oracle_lr(p, (double)step), step);
    }
    return true;
}

/* ---------------------------------------------------------------- AdamW */

/* The largest error of got[i], in units of abs + rel |size[i]|. */
static double worst(const real *got, const double *want, const double *size, size_t n, double rel,
                    double abs)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)got[i] - want[i]) / (abs + rel * fabs(size[i])));
    return most;
}

/* The bounds leave room for 1 - beta in float. A first moment may nearly cancel, so it is measured
 * against the gradients that it sums, whose size is the root of the second. */
static void compare(Problem *q, const Optimizer *o, const char *table, const char *what, double lr)
{
    int spoilt = 0;
    for (int k = 0; k < q->count; k++) {
        size_t at = q->tensors[k].offset, n = tensor_size(&q->tensors[k]);
        double w = worst(q->params + at, q->w + at, q->w + at, n, 1e-5, 5e-4 * lr);
        double v = worst(o->v + at, q->v + at, q->v + at, n, 2e-5, 1e-30);
        for (size_t i = at; i < at + n; i++) q->v[i] = sqrt(q->v[i]);
        double m = worst(o->m + at, q->m + at, q->v + at, n, 1e-5, 1e-15);
        CHECK(w <= 1, "%s, %s: weights of %zu elements: %g times the bound", table, what, n, w);
        CHECK(m <= 1, "%s, %s: first moments of %zu: %g times the bound", table, what, n, m);
        CHECK(v <= 1, "%s, %s: second moments of %zu: %g times the bound", table, what, n, v);
        for (size_t i = at + n; i < at + n + GAP; i++)
            spoilt += q->params[i] != untouched || o->m[i] != 0 || o->v[i] != 0;
    }
    CHECK(spoilt == 0, "%s, %s: %d elements between the tensors have changed", table, what, spoilt);
}

static void test_adamw(const Kernels *K)
{
    static const struct { const char *what; int64_t first; TrainingPlan plan; } cases[] = {
        { "clipped", 0,
          { .schedule = SCHEDULE_COSINE, .steps = ROUNDS, .warmup = 10, .lr = 1e-2,
            .min_lr = 1e-3, .beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.1, .clip = 1 } },
        { "not clipped", 0,
          { .schedule = SCHEDULE_LINEAR, .steps = ROUNDS, .lr = 1e-2, .beta1 = 0.9,
            .beta2 = 0.95, .weight_decay = 0.1 } },
        { "clip never reached", 0,
          { .schedule = SCHEDULE_CONSTANT, .steps = ROUNDS, .warmup = 3, .lr = 1e-3,
            .beta1 = 0.8, .beta2 = 0.999, .weight_decay = 0.5, .clip = 1e9 } },
        { "strong decay", 0,
          { .schedule = SCHEDULE_WSD, .steps = ROUNDS, .decay_steps = 20, .lr = 1e-1,
            .beta1 = 0.9, .beta2 = 0.99, .weight_decay = 3, .clip = 0.5 } },
        { "no memory", 0, { .schedule = SCHEDULE_CONSTANT, .steps = ROUNDS, .lr = 1e-2 } },
        { "resumed late", 1000000,
          { .schedule = SCHEDULE_CONSTANT, .steps = 2000000, .lr = 1e-2, .beta1 = 0.9,
            .beta2 = 0.99, .weight_decay = 0.1, .clip = 1 } },
        { "rate 0", 0,
          { .schedule = SCHEDULE_CONSTANT, .steps = ROUNDS, .beta1 = 0.9, .beta2 = 0.99,
            .weight_decay = 0.1, .clip = 1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Problem q;
        Optimizer o;
        const TrainingPlan *p = &cases[i].plan;
        if (run_both(&q, VECTORS, &o, K, p, cases[i].first, cases[i].first + ROUNDS - 1))
            compare(&q, &o, K->name, cases[i].what, p->lr);
        CHECK(o.average == NULL, "an average that was not requested");
        optimizer_close(&o);
        problem_close(&q);
    }
}

/* With zero moments the first step is lr g / (|g| + eps), whatever the betas: the
 * corrections cancel them. */
static void test_first_step(const Kernels *K)
{
    const TrainingPlan p = { .schedule = SCHEDULE_CONSTANT, .steps = 10, .lr = 1e-2, .beta1 = 0.9,
                             .beta2 = 0.99 };
    static const double g[] = { 1, -1, 1e3, 1e-3, -1e-8, 1e-10, 0 };
    enum { N = sizeof g / sizeof g[0] };
    real w[N] = { 0 }, grads[N];
    Tensor t = { .rows = 1, .cols = N, .rank = 1, .decay = true };
    Optimizer o;
    Err err = { 0 };
    for (int i = 0; i < N; i++) grads[i] = (real)g[i];
    if (optimizer_open(&o, &p, K, &t, 1, N, &err) == 0) optimizer_step(&o, 0, 1, w, grads);
    else CHECK(false, "%s", err.msg);
    for (int i = 0; i < N; i++)
        CHECK_NEAR(w[i], -1e-2 * g[i] / (fabs(g[i]) + 1e-8), 1e-5, 1e-12, "%s: gradient %g",
                   K->name, g[i]);
    optimizer_close(&o);
}

/* A clip that is not reached changes no bit; one that is leaves 0.1 clip in a first moment. */
static void test_clip(const Kernels *K)
{
    TrainingPlan p = { .schedule = SCHEDULE_CONSTANT, .steps = 10, .lr = 1e-2, .beta1 = 0.9,
                       .beta2 = 0.99, .weight_decay = 0.1 };
    Tensor t = { .rows = 1, .cols = 1, .rank = 1, .decay = true };
    static const double clips[] = { 0, 100, 4.5 };
    real w[3], m[3];
    for (int i = 0; i < 3; i++) {
        real g = 5, start = 1;
        Optimizer o;
        Err err = { 0 };
        p.clip = clips[i];
        if (optimizer_open(&o, &p, K, &t, 1, 1, &err)) {
            CHECK(false, "%s", err.msg);
            return;
        }
        optimizer_step(&o, 0, optimizer_norm(&o, &g), &start, &g);
        w[i] = start;
        m[i] = o.m[0];
        optimizer_close(&o);
    }
    CHECK(w[0] == w[1] && m[0] == m[1], "%s: a clip of 100 changes a gradient of 5", K->name);
    CHECK_NEAR(m[0], 0.5, 1e-6, 0, "%s: not clipped", K->name);
    CHECK_NEAR(m[2], 0.45, 1e-6, 0, "%s: clipped to 4.5", K->name);
}

/* ---------------------------------------------------------------- Muon */

static void test_muon(const Kernels *K)
{
    enum { STEPS = 8 };
    static const struct { const char *what; TrainingPlan plan; } cases[] = {
        { "Muon, clipped",
          { .schedule = SCHEDULE_WSD, .steps = STEPS, .warmup = 2, .decay_steps = 3, .lr = 2e-2,
            .beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.1, .clip = 1 } },
        { "Muon, not clipped",
          { .schedule = SCHEDULE_COSINE, .steps = STEPS, .lr = 1e-1, .beta1 = 0.9,
            .beta2 = 0.99, .weight_decay = 3 } },
        { "Muon, a long way",
          { .schedule = SCHEDULE_CONSTANT, .steps = STEPS, .lr = 10, .beta1 = 0.9,
            .beta2 = 0.99, .clip = 1e9 } },
        { "Muon, rate 0",
          { .schedule = SCHEDULE_CONSTANT, .steps = STEPS, .beta1 = 0.9, .beta2 = 0.99,
            .weight_decay = 1, .clip = 1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Problem q;
        Optimizer o;
        TrainingPlan p = cases[i].plan;
        p.optimizer = OPTIMIZER_MUON;
        if (run_both(&q, MATRICES, &o, K, &p, 0, STEPS - 1)) {
            for (int k = 0; k < q.count; k++) {     /* there is no second moment to compare with */
                size_t at = q.tensors[k].offset, n = tensor_size(&q.tensors[k]);
                if (!q.tensors[k].hidden) continue;
                double m = worst(o.m + at, q.m + at, q.m + at, n, 1e-5, 1e-5);
                CHECK(m <= 1, "%s, %s: momentum of %zu elements: %g times the bound", K->name,
                      cases[i].what, n, m);
                for (size_t j = at; j < at + n; j++) q.m[j] = (double)o.m[j];
            }
            compare(&q, &o, K->name, cases[i].what, p.lr);
        }
        optimizer_close(&o);
        problem_close(&q);
    }
}

/* The singular values of x (n,cols), n <= cols, as the norms of its rows once rotations
 * have made those orthogonal. */
static void singular_values(double *x, size_t n, size_t cols, double *low, double *high)
{
    for (int sweep = 0; sweep < 30; sweep++)
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                double pp = 0, qq = 0, pq = 0, *a = x + p * cols, *b = x + q * cols;
                for (size_t k = 0; k < cols; k++)
                    pp += a[k] * a[k], qq += b[k] * b[k], pq += a[k] * b[k];
                double angle = 0.5 * atan2(2 * pq, pp - qq), c = cos(angle), s = sin(angle);
                for (size_t k = 0; k < cols; k++) {
                    double kept = a[k];
                    a[k] = c * kept + s * b[k];
                    b[k] = c * b[k] - s * kept;
                }
            }
    *low = HUGE_VAL;
    *high = 0;
    for (size_t p = 0; p < n; p++) {
        double square = 0;
        for (size_t k = 0; k < cols; k++) square += x[p * cols + k] * x[p * cols + k];
        *low = fmin(*low, sqrt(square));
        *high = fmax(*high, sqrt(square));
    }
}

/* The change that the first step of rate 1 makes to zeros: its singular values are near
 * sqrt(max(1, rows / cols)), whatever the scale of the gradient. */
static void test_muon_is_orthogonal(const Kernels *K)
{
    enum { SIDE = 60 };
    static const struct { int rows, cols; double scale; } cases[] = {
        { 20, 60, 1 }, { 60, 20, 1 }, { 40, 40, 1e-3 }, { 1, 50, 1 }, { 50, 1, 1e3 },
        { 7, 13, 1e-4 }, { 33, 17, 1e6 },
    };
    const TrainingPlan p = { .optimizer = OPTIMIZER_MUON, .schedule = SCHEDULE_CONSTANT,
                             .steps = 1, .lr = 1 };
    static real w[SIDE * SIDE], g[SIDE * SIDE];
    static double x[SIDE * SIDE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rows = cases[i].rows, cols = cases[i].cols;
        size_t n = (size_t)rows * (size_t)cols;
        Tensor t = { .rows = rows, .cols = cols, .rank = 2, .hidden = true };
        Optimizer o;
        Err err = { 0 };
        for (size_t j = 0; j < n; j++) {            /* a square one is kept away from singular */
            double diagonal = rows == cols && j % (size_t)(cols + 1) == 0 ? 12 : 0;
            g[j] = (real)(cases[i].scale * (rng_normal(17, j) + diagonal));
            w[j] = 0;
        }
        if (optimizer_open(&o, &p, K, &t, 1, n, &err) == 0)
            optimizer_step(&o, 0, optimizer_norm(&o, g), w, g);
        else CHECK(false, "%s", err.msg);
        optimizer_close(&o);
        double stretch = rows > cols ? sqrt((double)rows / cols) : 1, low, high;
        for (size_t j = 0; j < n; j++) {
            size_t r = j / (size_t)cols, c = j % (size_t)cols;
            x[rows <= cols ? j : c * (size_t)rows + r] = (double)w[j] / -stretch;
        }
        singular_values(x, (size_t)(rows < cols ? rows : cols), (size_t)(rows < cols ? cols : rows),
                        &low, &high);
        CHECK(low > 0.65 && high < 1.25, "%s: %d x %d: singular values from %g to %g", K->name,
              rows, cols, low, high);
    }
}

/* Tensors that are not Muon's get the same bits from Muon at four times the rate as from AdamW; a
 * matrix without a gradient only decays. */
static void test_muon_shares(const Kernels *K)
{
    TrainingPlan p = { .schedule = SCHEDULE_CONSTANT, .steps = 10, .lr = 1e-2, .beta1 = 0.9,
                       .beta2 = 0.99, .clip = 1 };
    Problem q[2];
    Optimizer o[2];
    for (int i = 0; i < 2; i++) {
        if (!run_both(&q[i], VECTORS, &o[i], K, &p, 0, 3)) return;
        p.optimizer = OPTIMIZER_MUON;
        p.lr = 4e-2;
    }
    CHECK(memcmp(q[0].params, q[1].params, q[0].size * sizeof(real)) == 0, "%s: AdamW at a quarter",
          K->name);
    for (int i = 0; i < 2; i++) {
        optimizer_close(&o[i]);
        problem_close(&q[i]);
    }

    real w[6] = { 1, 2, 3, 4, 5, 6 }, g[6] = { 0 };
    Tensor t = { .rows = 2, .cols = 3, .rank = 2, .hidden = true, .decay = true };
    Err err = { 0 };
    p.weight_decay = 5;
    if (optimizer_open(&o[0], &p, K, &t, 1, 6, &err) == 0) optimizer_step(&o[0], 0, 0, w, g);
    else CHECK(false, "%s", err.msg);
    for (int i = 0; i < 6; i++)
        CHECK_NEAR(w[i], 0.8 * (i + 1), 1e-6, 0, "%s: no gradient", K->name);
    optimizer_close(&o[0]);
}

/* ---------------------------------------------------------------- the average */

static void test_average(const Kernels *K)
{
    static const double forgets[] = { 0.5, 0.9, 0.999 };
    for (size_t k = 0; k < sizeof forgets / sizeof forgets[0]; k++) {
        double X = forgets[k], most = 0;
        const TrainingPlan p = { .schedule = SCHEDULE_CONSTANT, .steps = 10, .lr = 1e-1,
                                 .beta1 = 0.9, .beta2 = 0.99, .ema = X };
        Problem q;
        Optimizer o;
        Err err = { 0 };
        if (problem_open(&q, VECTORS) || open_for(&o, &q, K, &p, &err)) {
            CHECK(false, "not enough memory: %s", err.msg);
            return;
        }
        for (size_t i = 0; i < q.size; i++) q.w[i] = (double)q.params[i];
        for (int64_t step = 0; step < ROUNDS; step++) {
            draw_gradients(&q, step);
            optimizer_step(&o, step, 1, q.params, q.grads);
            for (size_t i = 0; i < q.size; i++) q.w[i] = X * q.w[i] + (1 - X) * (double)q.params[i];
        }
        for (size_t i = 0; i < q.size; i++)
            most = fmax(most, fabs((double)o.average[i] - q.w[i]) / (1 + fabs(q.w[i])));
        CHECK(most < 1e-5, "%s: average with %g: off by %g", K->name, X, most);
        CHECK(memcmp(o.average, q.params, q.size * sizeof(real)) != 0,
              "the average is the weights themselves");
        optimizer_close(&o);
        problem_close(&q);
    }
}

/* The slowest average that --ema takes comes to weights that stay where they are, as far as float
 * lets it: it stops where a step's share of the way is less than half of its last digit, and the
 * two factors do not add up to 1. */
static void test_slow_average(const Kernels *K)
{
    enum { SIZE = 5, STEPS = 100000 };
    const TrainingPlan p = { .schedule = SCHEDULE_CONSTANT, .steps = STEPS, .ema = 0.9999 };
    real weights[SIZE] = { 2, -2, (real)1.1, (real)1e-3, 1000 };
    Optimizer o;
    Err err = { 0 };
    if (optimizer_open(&o, &p, K, NULL, 0, SIZE, &err)) {
        CHECK(false, "%s", err.msg);
        return;
    }
    for (int i = 0; i < SIZE; i++) o.average[i] = weights[i] / 2;
    for (int64_t step = 0; step < STEPS; step++) optimizer_step(&o, step, 1, weights, weights);
    for (int i = 0; i < SIZE; i++)
        CHECK_NEAR(o.average[i], weights[i], 1e-3, 0, "%s: average of %g", K->name,
                   (double)weights[i]);
    optimizer_close(&o);
}

/* ---------------------------------------------------------------- the norm */

static void test_norm(const Kernels *K)
{
    static const size_t lengths[] = { 1, 2, 7, 8, 9, 15, 17, 31,
                                      4095, 4096, 4097, 8191, 8193, 50001 };
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        size_t n = lengths[k];
        Optimizer o;
        Err err = { 0 };
        real *x = malloc(n * sizeof *x);
        if (x == NULL || optimizer_open(&o, &(TrainingPlan){ 0 }, K, NULL, 0, n, &err)) {
            CHECK(false, "not enough memory");
            free(x);
            return;
        }
        for (size_t i = 0; i < n; i++) x[i] = (real)rng_normal(5, i);
        CHECK_NEAR(optimizer_norm(&o, x), oracle_norm(x, n), 1e-6, 0, "%s: norm of %zu", K->name,
                   n);
        static const real odd[] = { (real)NAN, (real)INFINITY, -(real)INFINITY };
        for (int i = 0; i < 3; i++) {
            size_t at = i == 0 ? n - 1 : i == 1 ? 0 : n / 2;
            real kept = x[at];
            x[at] = odd[i];
            CHECK(!isfinite(optimizer_norm(&o, x)), "%s: %g at %zu of %zu is not noticed", K->name,
                  (double)odd[i], at, n);
            x[at] = kept;
        }
        memset(x, 0, n * sizeof *x);
        CHECK(optimizer_norm(&o, x) == 0, "%s: norm of %zu zeros", K->name, n);
        optimizer_close(&o);
        free(x);
    }
}

/* ---------------------------------------------------------------- threads */

static void test_threads(const Kernels *K, const Shape *shapes, int count, OptimizerKind kind)
{
    static const int threads[] = { 1, 2, 3, 7 };
    const TrainingPlan p = { .optimizer = kind, .schedule = SCHEDULE_COSINE, .steps = 8,
                             .warmup = 2, .lr = 1e-2, .min_lr = 1e-3, .beta1 = 0.9, .beta2 = 0.99,
                             .weight_decay = 0.1, .clip = 1, .ema = 0.9 };
    Problem q[4];
    Optimizer o[4];
    for (int i = 0; i < 4; i++) {
        omp_set_num_threads(threads[i]);
        if (!run_both(&q[i], shapes, count, &o[i], K, &p, 0, 3)) return;
    }
    omp_set_num_threads(1);
    size_t bytes = q[0].size * sizeof(real);
    double norm = optimizer_norm(&o[0], q[0].params);
    for (int i = 1; i < 4; i++) {
        int n = threads[i];
        omp_set_num_threads(n);
        CHECK(optimizer_norm(&o[i], q[i].params) == norm, "%s: norm with %d threads", K->name, n);
        CHECK(memcmp(q[0].params, q[i].params, bytes) == 0, "%s: weights with %d threads", K->name,
              n);
        CHECK(memcmp(o[0].m, o[i].m, bytes) == 0, "%s: first moments with %d threads", K->name, n);
        CHECK(memcmp(o[0].v, o[i].v, bytes) == 0, "%s: second moments with %d threads", K->name, n);
        CHECK(memcmp(o[0].average, o[i].average, bytes) == 0, "%s: average with %d threads",
              K->name, n);
    }
    omp_set_num_threads(1);
    for (int i = 0; i < 4; i++) {
        optimizer_close(&o[i]);
        problem_close(&q[i]);
    }
}

/* ---------------------------------------------------------------- schedules */

static const char *const schedules[] = { "cosine", "linear", "constant", "wsd" };

static void test_schedules(void)
{
    static const struct { int64_t steps, warmup, decay; double lr, min_lr; } runs[] = {
        { 2000, 100, 500, 1e-3, 1e-4 }, { 1, 0, 0, 1e-3, 1e-4 },   { 1, 0, 1, 1, 0 },
        { 10, 0, 5, 1, 0 },             { 10, 9, 1, 1, 0.5 },      { 10, 9, 4, 1, 0.5 },
        { 10, 10, 3, 1, 0.5 },          { 10, 11, 3, 1, 0.5 },     { 10, 1000, 5, 3e-3, 1e-4 },
        { 50, 7, 25, 1e-3, 1e-3 },      { 50, 7, 43, 1e-4, 1e-3 }, { 20, 5, 10, 0, 0 },
        { 50, 7, 44, 1, 0.1 },          { 50, 7, 1000, 1, 0.1 },   { 50, 0, (int64_t)1e12, 1, 0.1 },
        { 50, 7, 0, 1, 0.1 },
    };
    for (size_t r = 0; r < sizeof runs / sizeof runs[0]; r++)
        for (int s = SCHEDULE_COSINE; s <= SCHEDULE_WSD; s++) {
            TrainingPlan p = { .schedule = s, .steps = runs[r].steps, .warmup = runs[r].warmup,
                               .decay_steps = runs[r].decay, .lr = runs[r].lr,
                               .min_lr = runs[r].min_lr };
            for (int64_t step = 0; step < p.steps + 30; step += step < 200 || step > 1400 ? 1 : 97)
                CHECK_NEAR(plan_lr(&p, step), oracle_lr(&p, (double)step), 1e-12, 1e-18,
                           "%s, step %lld of %lld, warm-up %lld, decay %lld", schedules[s],
                           (long long)step, (long long)p.steps, (long long)p.warmup,
                           (long long)p.decay_steps);
        }
}

/* Points of each schedule that are known without a formula. */
static void test_schedule_points(void)
{
    TrainingPlan p = { .steps = 1100, .warmup = 100, .decay_steps = 1000, .lr = 1, .min_lr = 0.2 };
    for (int s = SCHEDULE_COSINE; s <= SCHEDULE_WSD; s++) {
        bool constant = s == SCHEDULE_CONSTANT;
        p.schedule = s;
        CHECK_NEAR(plan_lr(&p, 0), 1.0 / 101, 1e-15, 0, "%s: the first step", schedules[s]);
        CHECK_NEAR(plan_lr(&p, 99), 100.0 / 101, 1e-15, 0, "%s: the last step of the warm-up",
                   schedules[s]);
        CHECK(plan_lr(&p, 100) == 1, "%s: the peak", schedules[s]);
        CHECK_NEAR(plan_lr(&p, 600), constant ? 1 : 0.6, 1e-12, 0, "%s: half way", schedules[s]);
        CHECK_NEAR(plan_lr(&p, 1100), constant ? 1 : 0.2, 1e-12, 0, "%s: after the last step",
                   schedules[s]);
        CHECK_NEAR(plan_lr(&p, (int64_t)1 << 50), constant ? 1 : 0.2, 1e-12, 0, "%s: far after it",
                   schedules[s]);
        for (int64_t step = 1; step < 1200; step++) {
            double before = plan_lr(&p, step - 1), now = plan_lr(&p, step);
            bool sound = step <= 100 ? now > before : now <= before;
            CHECK(sound, "%s: from %g to %g at step %lld", schedules[s], before, now,
                  (long long)step);
        }
    }
}

static void test_wsd_points(void)
{
    TrainingPlan p = { .schedule = SCHEDULE_WSD, .steps = 1000, .warmup = 100,
                       .decay_steps = 200, .lr = 1 };
    CHECK(plan_lr(&p, 100) == 1 && plan_lr(&p, 799) == 1 && plan_lr(&p, 800) == 1,
          "stable to the start of the decay");
    CHECK_NEAR(plan_lr(&p, 801), 0.995, 1e-12, 0, "the first step of the decay");
    CHECK_NEAR(plan_lr(&p, 900), 0.5, 1e-12, 0, "half way down");
    CHECK_NEAR(plan_lr(&p, 999), 0.005, 1e-12, 0, "the last step");
    CHECK(plan_lr(&p, 1000) == 0, "after the last step");
    p.warmup = 900;                                         /* longer than what the decay leaves */
    CHECK_NEAR(plan_lr(&p, 899), 900.0 / 901, 1e-12, 0, "the warm-up comes first");
    CHECK(plan_lr(&p, 900) == 1, "the peak");
    CHECK_NEAR(plan_lr(&p, 950), 0.5, 1e-12, 0, "half way down what is left");
    p.warmup = 2000;
    CHECK_NEAR(plan_lr(&p, 999), 1000.0 / 2001, 1e-12, 0, "all warm-up");
}

/* ---------------------------------------------------------------- memory */

static void test_memory(void)
{
    const Kernels *K = kernels_usable(0);
    const TrainingPlan adamw = { 0 }, average = { .ema = 0.9 };
    const TrainingPlan muon = { .optimizer = OPTIMIZER_MUON };
    const Tensor t = { .rows = 100, .cols = 50, .rank = 2, .hidden = true };
    Optimizer o;
    Err err = { 0 };
    size_t plain = optimizer_bytes(&adamw, K, &t, 1, 5000);
    size_t more = optimizer_bytes(&average, K, &t, 1, 5000);
    CHECK(plain >= 10000 * sizeof(real) && plain < 11000 * sizeof(real), "%zu bytes", plain);
    CHECK(more >= plain + 5000 * sizeof(real) && more < plain + 5100 * sizeof(real), "%zu bytes",
          more);
    more = optimizer_bytes(&muon, K, &t, 1, 5000);
    CHECK(more >= plain + 15000 * sizeof(real), "%zu bytes", more);
    CHECK(optimizer_open(&o, &adamw, K, NULL, 0, SIZE_MAX / 16, &err) != 0
              && err.status == EXIT_RUNTIME,
          "status %d", err.status);
    optimizer_close(&o);
    CHECK(optimizer_open(&o, &adamw, K, &t, 1, 5000, &err) == 0, "%s", err.msg);
    bool zero = o.size == 5000;
    for (size_t i = 0; zero && i < o.size; i++) zero = o.m[i] == 0 && o.v[i] == 0;
    CHECK(zero, "the moments do not start at 0");
    optimizer_close(&o);
}

int main(void)
{
    const Kernels *K;
    omp_set_num_threads(1);                     /* test_threads alone needs more */
    for (int i = 0; (K = kernels_usable(i)) != NULL; i++) {
        test_adamw(K);
        test_first_step(K);
        test_clip(K);
        test_muon(K);
        test_muon_is_orthogonal(K);
        test_muon_shares(K);
        test_average(K);
        test_slow_average(K);
        test_norm(K);
        test_threads(K, VECTORS, OPTIMIZER_ADAMW);
        test_threads(K, MATRICES, OPTIMIZER_MUON);
    }
    test_schedules();
    test_schedule_points();
    test_wsd_points();
    test_memory();
    return check_report("test_optimizer");
}
