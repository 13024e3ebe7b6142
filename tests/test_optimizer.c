/* test_optimizer.c: optimizer.h against the formulas written a second time.
 *
 * AdamW as Loshchilov and Hutter (2019) print it, with every quantity in double and the corrected moments
 * spelled out; clipping and schedules as nanoGPT has them. Every table of kernels that this machine can run is
 * tested:
 *
 *     test_optimizer
 */
#include "base.h"
#include "check.h"
#include "kernels/kernels.h"
#include "optimizer.h"

enum { TENSORS = 9, GAP = 5, ROUNDS = 40 };

/* Sizes at the edges of a vector and of what is summed in one go. */
static const int sizes[TENSORS] = { 1, 3, 8, 17, 33, 4095, 4096, 4097, 9001 };

static const real untouched = (real)-7.5;       /* stands between the tensors */

typedef struct {
    Tensor tensors[TENSORS];
    size_t size;                /* of a flat array, gaps included */
    real *params, *grads;
    double *w, *m, *v;          /* what they should be */
} Problem;

/* ---------------------------------------------------------------- the formulas again */

/* One step of AdamW on element i, with t from 1: L&H 2019, algorithm 2, lines 6 to 12, with the decay times
 * the rate. */
static void oracle_element(Problem *q, size_t i, double g, const TrainingPlan *p, double rate, double decay,
                           double t)
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

static void oracle_step(Problem *q, const TrainingPlan *p, double rate, int64_t step)
{
    double norm = oracle_norm(q->grads, q->size), factor = 1;
    if (p->clip > 0 && p->clip / (norm + 1e-6) < 1) factor = p->clip / (norm + 1e-6);
    for (int k = 0; k < TENSORS; k++)
        for (int j = 0; j < sizes[k]; j++) {
            size_t i = q->tensors[k].offset + (size_t)j;
            double decay = q->tensors[k].decay ? p->weight_decay : 0;
            oracle_element(q, i, factor * (double)q->grads[i], p, rate, decay, (double)step + 1);
        }
}

/* nanoGPT's get_lr; 0.5 (1 + cos pi x) is written as cos^2 (pi x / 2). */
static double oracle_lr(const TrainingPlan *p, double it)
{
    double warmup = (double)p->warmup, steps = (double)p->steps;
    if (it < warmup) return p->lr * (it + 1) / (warmup + 1);
    if (p->schedule == SCHEDULE_CONSTANT) return p->lr;
    if (it > steps || warmup >= steps) return p->min_lr;
    double x = (it - warmup) / (steps - warmup), half = cos(acos(-1.0) / 2 * x);
    if (p->schedule == SCHEDULE_LINEAR) return (1 - x) * p->lr + x * p->min_lr;
    return p->min_lr + half * half * (p->lr - p->min_lr);
}

/* ---------------------------------------------------------------- a problem to solve */

static int problem_open(Problem *q)
{
    *q = (Problem){ 0 };
    for (int k = 0; k < TENSORS; k++) {
        q->tensors[k] = (Tensor){ .offset = q->size, .rows = 1, .cols = sizes[k], .rank = 1,
                                  .decay = k % 2 == 0 };
        q->size += (size_t)sizes[k] + GAP;
    }
    q->params = calloc(q->size, sizeof *q->params);
    q->grads = calloc(q->size, sizeof *q->grads);
    q->w = calloc(q->size, sizeof *q->w);
    q->m = calloc(q->size, sizeof *q->m);
    q->v = calloc(q->size, sizeof *q->v);
    if (q->params == NULL || q->grads == NULL || q->w == NULL || q->m == NULL || q->v == NULL) return -1;
    for (size_t i = 0; i < q->size; i++) q->params[i] = untouched;
    for (int k = 0; k < TENSORS; k++)
        for (int j = 0; j < sizes[k]; j++) {
            size_t i = q->tensors[k].offset + (size_t)j;
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

/* Gradients of very different sizes, so that eps matters for some; a third are 0; none in the gaps. */
static void draw_gradients(Problem *q, int64_t step)
{
    uint64_t key = rng_key(3, 0, (uint64_t)step, RNG_BATCH);
    memset(q->grads, 0, q->size * sizeof *q->grads);
    for (int k = 0; k < TENSORS; k++)
        for (int j = 0; j < sizes[k]; j++) {
            size_t i = q->tensors[k].offset + (size_t)j;
            double scale = pow(10, (double)(i % 12) - 10);
            q->grads[i] = i % 3 == 2 ? 0 : (real)(scale * rng_normal(key, i));
        }
}

/* Steps first .. last, both ways; returns whether everything could be allocated. */
static bool run_both(Problem *q, Optimizer *o, const Kernels *K, const TrainingPlan *p, int64_t first,
                     int64_t last)
{
    Err err = { 0 };
    if (problem_open(q) || optimizer_open(o, q->size, &err)) {
        CHECK(false, "not enough memory: %s", err.msg);
        return false;
    }
    for (int64_t step = first; step <= last; step++) {
        draw_gradients(q, step);
        double norm = optimizer_norm(o, K, q->grads);
        optimizer_step(o, K, p, step, norm, q->tensors, TENSORS, q->params, q->grads);
        oracle_step(q, p, oracle_lr(p, (double)step), step);
    }
    return true;
}

/* ---------------------------------------------------------------- AdamW */

/* The largest error of got[i], in units of abs + rel |size[i]|. */
static double worst(const real *got, const double *want, const double *size, size_t n, double rel, double abs)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)got[i] - want[i]) / (abs + rel * fabs(size[i])));
    return most;
}

/* The bounds leave room for 1 - beta in float. A first moment may nearly cancel, so it is measured against the
 * gradients that it sums, whose size is the root of the second. */
static void compare(Problem *q, const Optimizer *o, const char *table, const char *what, double lr)
{
    int spoilt = 0;
    for (int k = 0; k < TENSORS; k++) {
        size_t at = q->tensors[k].offset, n = (size_t)sizes[k];
        double w = worst(q->params + at, q->w + at, q->w + at, n, 1e-5, 5e-4 * lr);
        double v = worst(o->v + at, q->v + at, q->v + at, n, 2e-5, 1e-30);
        for (size_t i = at; i < at + n; i++) q->v[i] = sqrt(q->v[i]);
        double m = worst(o->m + at, q->m + at, q->v + at, n, 1e-5, 1e-15);
        CHECK(w <= 1, "%s, %s: weights of %d elements: %g times the bound", table, what, sizes[k], w);
        CHECK(m <= 1, "%s, %s: first moments of %d: %g times the bound", table, what, sizes[k], m);
        CHECK(v <= 1, "%s, %s: second moments of %d: %g times the bound", table, what, sizes[k], v);
        for (size_t i = at + n; i < at + n + GAP; i++)
            spoilt += q->params[i] != untouched || o->m[i] != 0 || o->v[i] != 0;
    }
    CHECK(spoilt == 0, "%s, %s: %d elements between the tensors have changed", table, what, spoilt);
}

static void test_adamw(const Kernels *K)
{
    static const struct { const char *what; int64_t first; TrainingPlan plan; } cases[] = {
        { "clipped", 0, { SCHEDULE_COSINE, ROUNDS, 10, 1e-2, 1e-3, 0.9, 0.99, 0.1, 1 } },
        { "not clipped", 0, { SCHEDULE_LINEAR, ROUNDS, 0, 1e-2, 0, 0.9, 0.95, 0.1, 0 } },
        { "clip never reached", 0, { SCHEDULE_CONSTANT, ROUNDS, 3, 1e-3, 0, 0.8, 0.999, 0.5, 1e9 } },
        { "strong decay", 0, { SCHEDULE_CONSTANT, ROUNDS, 0, 1e-1, 0, 0.9, 0.99, 3, 0.5 } },
        { "no memory", 0, { SCHEDULE_CONSTANT, ROUNDS, 0, 1e-2, 0, 0, 0, 0, 0 } },
        { "resumed late", 1000000, { SCHEDULE_CONSTANT, 2000000, 0, 1e-2, 0, 0.9, 0.99, 0.1, 1 } },
        { "rate 0", 0, { SCHEDULE_CONSTANT, ROUNDS, 0, 0, 0, 0.9, 0.99, 0.1, 1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Problem q;
        Optimizer o;
        const TrainingPlan *p = &cases[i].plan;
        if (run_both(&q, &o, K, p, cases[i].first, cases[i].first + ROUNDS - 1))
            compare(&q, &o, K->name, cases[i].what, p->lr);
        optimizer_close(&o);
        problem_close(&q);
    }
}

/* With zero moments the first step is lr g / (|g| + eps), whatever the betas: the corrections cancel them. */
static void test_first_step(const Kernels *K)
{
    const TrainingPlan p = { SCHEDULE_CONSTANT, 10, 0, 1e-2, 0, 0.9, 0.99, 0, 0 };
    static const double g[] = { 1, -1, 1e3, 1e-3, -1e-8, 1e-10, 0 };
    enum { N = sizeof g / sizeof g[0] };
    real w[N] = { 0 }, grads[N];
    Tensor t = { .rows = 1, .cols = N, .rank = 1, .decay = true };
    Optimizer o;
    Err err = { 0 };
    for (int i = 0; i < N; i++) grads[i] = (real)g[i];
    if (optimizer_open(&o, N, &err) == 0) optimizer_step(&o, K, &p, 0, 1, &t, 1, w, grads);
    else CHECK(false, "%s", err.msg);
    for (int i = 0; i < N; i++)
        CHECK_NEAR(w[i], -1e-2 * g[i] / (fabs(g[i]) + 1e-8), 1e-5, 1e-12, "%s: gradient %g", K->name, g[i]);
    optimizer_close(&o);
}

/* A clip that is not reached changes no bit; one that is leaves 0.1 clip in a first moment. */
static void test_clip(const Kernels *K)
{
    TrainingPlan p = { SCHEDULE_CONSTANT, 10, 0, 1e-2, 0, 0.9, 0.99, 0.1, 0 };
    Tensor t = { .rows = 1, .cols = 1, .rank = 1, .decay = true };
    static const double clips[] = { 0, 100, 4.5 };
    real w[3], m[3];
    for (int i = 0; i < 3; i++) {
        real g = 5, start = 1;
        Optimizer o;
        Err err = { 0 };
        p.clip = clips[i];
        if (optimizer_open(&o, 1, &err)) {
            CHECK(false, "%s", err.msg);
            return;
        }
        optimizer_step(&o, K, &p, 0, optimizer_norm(&o, K, &g), &t, 1, &start, &g);
        w[i] = start;
        m[i] = o.m[0];
        optimizer_close(&o);
    }
    CHECK(w[0] == w[1] && m[0] == m[1], "%s: a clip of 100 changes a gradient of 5", K->name);
    CHECK_NEAR(m[0], 0.5, 1e-6, 0, "%s: not clipped", K->name);
    CHECK_NEAR(m[2], 0.45, 1e-6, 0, "%s: clipped to 4.5", K->name);
}

/* ---------------------------------------------------------------- the norm */

static void test_norm(const Kernels *K)
{
    static const size_t lengths[] = { 1, 2, 7, 8, 9, 15, 17, 31, 4095, 4096, 4097, 8191, 8193, 50001 };
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        size_t n = lengths[k];
        Optimizer o;
        Err err = { 0 };
        real *x = malloc(n * sizeof *x);
        if (x == NULL || optimizer_open(&o, n, &err)) {
            CHECK(false, "not enough memory");
            free(x);
            return;
        }
        for (size_t i = 0; i < n; i++) x[i] = (real)rng_normal(5, i);
        CHECK_NEAR(optimizer_norm(&o, K, x), oracle_norm(x, n), 1e-6, 0, "%s: norm of %zu", K->name, n);
        static const real odd[] = { (real)NAN, (real)INFINITY, -(real)INFINITY };
        for (int i = 0; i < 3; i++) {
            size_t at = i == 0 ? n - 1 : i == 1 ? 0 : n / 2;
            real kept = x[at];
            x[at] = odd[i];
            CHECK(!isfinite(optimizer_norm(&o, K, x)), "%s: %g at %zu of %zu is not noticed", K->name,
                  (double)odd[i], at, n);
            x[at] = kept;
        }
        memset(x, 0, n * sizeof *x);
        CHECK(optimizer_norm(&o, K, x) == 0, "%s: norm of %zu zeros", K->name, n);
        optimizer_close(&o);
        free(x);
    }
}

/* ---------------------------------------------------------------- threads */

static void test_threads(const Kernels *K)
{
    static const int threads[] = { 1, 2, 3, 7 };
    const TrainingPlan p = { SCHEDULE_COSINE, 8, 2, 1e-2, 1e-3, 0.9, 0.99, 0.1, 1 };
    Problem q[4];
    Optimizer o[4];
    for (int i = 0; i < 4; i++) {
        omp_set_num_threads(threads[i]);
        if (!run_both(&q[i], &o[i], K, &p, 0, 3)) return;
    }
    omp_set_num_threads(1);
    size_t bytes = q[0].size * sizeof(real);
    double norm = optimizer_norm(&o[0], K, q[0].params);
    for (int i = 1; i < 4; i++) {
        int n = threads[i];
        omp_set_num_threads(n);
        CHECK(optimizer_norm(&o[i], K, q[i].params) == norm, "%s: norm with %d threads", K->name, n);
        CHECK(memcmp(q[0].params, q[i].params, bytes) == 0, "%s: weights with %d threads", K->name, n);
        CHECK(memcmp(o[0].m, o[i].m, bytes) == 0, "%s: first moments with %d threads", K->name, n);
        CHECK(memcmp(o[0].v, o[i].v, bytes) == 0, "%s: second moments with %d threads", K->name, n);
    }
    omp_set_num_threads(1);
    for (int i = 0; i < 4; i++) {
        optimizer_close(&o[i]);
        problem_close(&q[i]);
    }
}

/* ---------------------------------------------------------------- schedules */

static const char *const schedules[] = { "cosine", "linear", "constant" };

static void test_schedules(void)
{
    static const struct { int64_t steps, warmup; double lr, min_lr; } runs[] = {
        { 2000, 100, 1e-3, 1e-4 }, { 1, 0, 1e-3, 1e-4 }, { 10, 0, 1, 0 },        { 10, 9, 1, 0.5 },
        { 10, 10, 1, 0.5 },        { 10, 11, 1, 0.5 },   { 10, 1000, 3e-3, 1e-4 }, { 50, 7, 1e-3, 1e-3 },
        { 50, 7, 1e-4, 1e-3 },     { 20, 5, 0, 0 }
    };
    for (size_t r = 0; r < sizeof runs / sizeof runs[0]; r++)
        for (int s = SCHEDULE_COSINE; s <= SCHEDULE_CONSTANT; s++) {
            TrainingPlan p = { .schedule = s, .steps = runs[r].steps, .warmup = runs[r].warmup,
                               .lr = runs[r].lr, .min_lr = runs[r].min_lr };
            for (int64_t step = 0; step < p.steps + 30; step += step < 200 || step > 1900 ? 1 : 97)
                CHECK_NEAR(plan_lr(&p, step), oracle_lr(&p, (double)step), 1e-12, 1e-18,
                           "%s, step %lld of %lld, warm-up %lld", schedules[s], (long long)step,
                           (long long)p.steps, (long long)p.warmup);
        }
}

/* Points of each schedule that need no formula. */
static void test_schedule_points(void)
{
    TrainingPlan p = { .steps = 1100, .warmup = 100, .lr = 1, .min_lr = 0.2 };
    for (int s = SCHEDULE_COSINE; s <= SCHEDULE_CONSTANT; s++) {
        bool constant = s == SCHEDULE_CONSTANT;
        p.schedule = s;
        CHECK_NEAR(plan_lr(&p, 0), 1.0 / 101, 1e-15, 0, "%s: the first step", schedules[s]);
        CHECK_NEAR(plan_lr(&p, 99), 100.0 / 101, 1e-15, 0, "%s: the last step of the warm-up", schedules[s]);
        CHECK(plan_lr(&p, 100) == 1, "%s: the peak", schedules[s]);
        CHECK_NEAR(plan_lr(&p, 600), constant ? 1 : 0.6, 1e-12, 0, "%s: half way", schedules[s]);
        CHECK_NEAR(plan_lr(&p, 1100), constant ? 1 : 0.2, 1e-12, 0, "%s: behind the last step", schedules[s]);
        CHECK_NEAR(plan_lr(&p, (int64_t)1 << 50), constant ? 1 : 0.2, 1e-12, 0, "%s: far behind",
                   schedules[s]);
        for (int64_t step = 1; step < 1200; step++) {
            double before = plan_lr(&p, step - 1), now = plan_lr(&p, step);
            bool sound = step <= 100 ? now > before : now <= before;
            CHECK(sound, "%s: from %g to %g at step %lld", schedules[s], before, now, (long long)step);
        }
    }
}

/* ---------------------------------------------------------------- memory */

static void test_memory(void)
{
    Optimizer o;
    Err err = { 0 };
    CHECK(optimizer_bytes(1000) >= 2000 * sizeof(real), "%zu bytes", optimizer_bytes(1000));
    CHECK(optimizer_bytes(1000000) < 2200000 * sizeof(real), "%zu bytes", optimizer_bytes(1000000));
    CHECK(optimizer_open(&o, SIZE_MAX / 16, &err) != 0 && err.status == EXIT_RUNTIME, "status %d",
          err.status);
    optimizer_close(&o);
    CHECK(optimizer_open(&o, 5000, &err) == 0, "%s", err.msg);
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
        test_norm(K);
        test_threads(K);
    }
    test_schedules();
    test_schedule_points();
    test_memory();
    return check_report("test_optimizer");
}
