/* test_kernels.c: every usable table x every kernel, against naive loops in double precision.
 *
 * Arrays end, then start, at pages that must not be touched; outputs are filled with NaN first,
 * gaps between rows of inputs hold NaN, and bytes next to an array must not change. Every table is
 * held to the same bounds, so any two tables agree within twice those.
 *
 *     test_kernels             the verdict
 *     test_kernels --bench     the same loop prints elements per second, and for products twice
 *                              the multiply-adds
 */
#include "../../kernels/kernels.h"
#include "check.h"

/* ---------------------------------------------------------------- arrays against guard pages */

enum { FENCE_BYTES = 8 << 20, MARGIN = 256, CANARY = 0xa5 };

typedef struct {
    char *map, *low, *high;         /* low .. high is writable; the pages on both sides are not */
    size_t page;
    char *at;                       /* the array */
    size_t bytes;
    bool at_end;
} Fence;

static int fence_open(Fence *f)
{
    f->page = (size_t)sysconf(_SC_PAGESIZE);
    f->map = mmap(NULL, FENCE_BYTES + 2 * f->page, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->map == MAP_FAILED) return -1;
    f->low = f->map + f->page;
    f->high = f->low + FENCE_BYTES;
    return mprotect(f->map, f->page, PROT_NONE) || mprotect(f->high, f->page, PROT_NONE) ? -1 : 0;
}

static void fence_close(Fence *f) { munmap(f->map, FENCE_BYTES + 2 * f->page); }

/* An array of `bytes` whose end (or start) touches a guard page; canaries are on its other side. */
static void *fence_place(Fence *f, size_t bytes, bool at_end)
{
    if (bytes > FENCE_BYTES - MARGIN) {
        printf("test_kernels: an array of %zu bytes does not fit\n", bytes);
        exit(1);
    }
    f->at = at_end ? f->high - bytes : f->low;
    f->bytes = bytes;
    f->at_end = at_end;
    memset(at_end ? f->at - MARGIN : f->at + bytes, CANARY, MARGIN);
    return f->at;
}

static bool fence_intact(const Fence *f)
{
    const unsigned char *margin = (const unsigned char *)(f->at_end ? f->at - MARGIN
                                                                    : f->at + f->bytes);
    for (int i = 0; i < MARGIN; i++)
        if (margin[i] != CANARY) return false;
    return true;
}

/* ---------------------------------------------------------------- one test per kernel */

/* The larger of two errors; unlike fmax it keeps a NaN. */
static double larger(double a, double b) { return isnan(a) || a >= b ? a : b; }

/* Uniform in [-3, 3). */
static double draw(uint64_t seed, uint64_t i) { return 6 * rng_uniform(seed, i) - 3; }

enum { ARRAYS = 5, MATRIX_BYTES = 1 << 20 };

typedef enum { NONE, IN, OUT, IN_OUT } Role;
typedef enum { VECTOR, PAIRS, FOURS, COLUMN, MATRIX } Shape;   /* (n), (2n), (4n), (rows), (rows,n)
                                                             * by ld */

typedef struct {
    real *a[ARRAYS];
    int rows, n;
    ptrdiff_t ld;
    double result;                  /* what the kernel returns, if anything */
} Call;

typedef struct {                    /* the same for the oracle */
    double *a[ARRAYS];
    int rows, n;
    ptrdiff_t ld;
    double result;
} Wide;

typedef struct {
    const char *name;
    void (*run)(const Kernels *K, Call *c);
    void (*want)(Wide *w);
    struct { Role role; Shape shape; } array[ARRAYS];
    double relative, absolute;      /* the error that an output may have */
    unsigned flags;
    int same_as;                    /* array 0 may be this array; 0: may not */
} Test;

enum {
    SUMS = 1,                       /* `absolute` grows with the root of the terms */
    EACH = 2,                       /* an element's value may not depend on its position */
    SQUARES = 4                     /* array 2 is not negative */
};

static void run_gemv(const Kernels *K, Call *c)
{
    K->gemv(c->a[0], c->rows, c->a[1], c->ld, c->a[2], c->rows, c->n, 1);
}

static void want_gemv(Wide *w)
{
    for (int r = 0; r < w->rows; r++) {
        w->a[0][r] = 0;
        for (int i = 0; i < w->n; i++) w->a[0][r] += w->a[1][r * w->ld + i] * w->a[2][i];
    }
}

static void run_weighted_rows(const Kernels *K, Call *c)
{
    K->weighted_rows(c->a[0], c->a[1], c->a[2], c->ld, c->rows, c->n);
}

static void want_weighted_rows(Wide *w)
{
    for (int i = 0; i < w->n; i++) {
        w->a[0][i] = 0;
        for (int r = 0; r < w->rows; r++) w->a[0][i] += w->a[1][r] * w->a[2][r * w->ld + i];
    }
}

static void run_add(const Kernels *K, Call *c) { K->add(c->a[0], c->a[1], c->n); }

static void want_add(Wide *w)
{
    for (int i = 0; i < w->n; i++) w->a[0][i] += w->a[1][i];
}

static void run_blend(const Kernels *K, Call *c)
{
    K->blend(c->a[0], (real)0.75, c->a[1], (real)-1.25, c->a[2], c->n);
}

static void want_blend(Wide *w)
{
    for (int i = 0; i < w->n; i++) w->a[0][i] = 0.75 * w->a[1][i] - 1.25 * w->a[2][i];
}

static void run_sum_rows(const Kernels *K, Call *c)
{
    K->sum_rows(c->a[0], c->a[1], c->ld, c->rows, c->n);
}

static void want_sum_rows(Wide *w)
{
    for (int r = 0; r < w->rows; r++)
        for (int i = 0; i < w->n; i++) w->a[0][i] += w->a[1][r * w->ld + i];
}

static void run_sum_rows_product(const Kernels *K, Call *c)
{
    K->sum_rows_product(c->a[0], c->a[1], c->a[2], c->ld, c->rows, c->n);
}

static void want_sum_rows_product(Wide *w)
{
    for (int r = 0; r < w->rows; r++)
        for (int i = 0; i < w->n; i++)
            w->a[0][i] += w->a[1][r * w->ld + i] * w->a[2][r * w->ld + i];
}

static void run_sum_squares(const Kernels *K, Call *c)
{
    c->result = K->sum_squares(c->a[0], c->n);
}

static void want_sum_squares(Wide *w)
{
    for (int i = 0; i < w->n; i++) w->result += w->a[0][i] * w->a[0][i];
}

static void run_layernorm(const Kernels *K, Call *c)
{
    c->result = (double)K->layernorm(c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->n, (real)0.25);
}

static void run_layernorm_plain(const Kernels *K, Call *c)
{
    c->result = (double)K->layernorm(c->a[0], c->a[1], c->a[2], c->a[3], NULL, c->n, (real)0.25);
}

static void want_layernorm(Wide *w)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < w->n; i++) mean += w->a[2][i] / w->n;
    for (int i = 0; i < w->n; i++) variance += (w->a[2][i] - mean) * (w->a[2][i] - mean) / w->n;
    w->result = 1 / sqrt(variance + 0.25);
    for (int i = 0; i < w->n; i++) {
        w->a[1][i] = (w->a[2][i] - mean) * w->result;
        w->a[0][i] = w->a[1][i] * w->a[3][i] + (w->a[4] != NULL ? w->a[4][i] : 0);
    }
}

static void want_layernorm_plain(Wide *w) { want_layernorm(w); }

static void run_layernorm_back(const Kernels *K, Call *c)
{
    K->layernorm_back(c->a[0], c->a[1], c->a[2], c->a[3], (real)1.5, c->n);
}

static void want_layernorm_back(Wide *w)
{
    double mean = 0, meanx = 0;
    for (int i = 0; i < w->n; i++) {
        mean += w->a[1][i] * w->a[3][i] / w->n;
        meanx += w->a[1][i] * w->a[3][i] * w->a[2][i] / w->n;
    }
    for (int i = 0; i < w->n; i++)
        w->a[0][i] += 1.5 * (w->a[1][i] * w->a[3][i] - mean - w->a[2][i] * meanx);
}

static void run_rmsnorm(const Kernels *K, Call *c)
{
    c->result = (double)K->rmsnorm(c->a[0], c->a[1], c->a[2], c->a[3], c->n, (real)0.25);
}

static void want_rmsnorm(Wide *w)
{
    double square = 0;
    for (int i = 0; i < w->n; i++) square += w->a[2][i] * w->a[2][i] / w->n;
    w->result = 1 / sqrt(square + 0.25);
    for (int i = 0; i < w->n; i++) {
        w->a[1][i] = w->a[2][i] * w->result;
        w->a[0][i] = w->a[1][i] * w->a[3][i];
    }
}

static void run_rmsnorm_back(const Kernels *K, Call *c)
{
    K->rmsnorm_back(c->a[0], c->a[1], c->a[2], c->a[3], (real)1.5, c->n);
}

static void want_rmsnorm_back(Wide *w)
{
    double meanx = 0;
    for (int i = 0; i < w->n; i++) meanx += w->a[1][i] * w->a[3][i] * w->a[2][i] / w->n;
    for (int i = 0; i < w->n; i++)
        w->a[0][i] += 1.5 * (w->a[1][i] * w->a[3][i] - w->a[2][i] * meanx);
}

/* The product of complex numbers: (x_j + i x_{j+n}) (cosine_j +- i sine_j). */
static void turn(Wide *w, double sign)
{
    for (int i = 0; i < w->n; i++) {
        double x = w->a[0][i], y = w->a[0][w->n + i], c = w->a[1][i], s = sign * w->a[2][i];
        w->a[0][i] = x * c - y * s;
        w->a[0][w->n + i] = y * c + x * s;
    }
}

static void run_rotate(const Kernels *K, Call *c)
{
    K->rotate(c->a[0], c->a[1], c->a[2], 2 * c->n, false);
}

static void want_rotate(Wide *w) { turn(w, 1); }

static void run_rotate_back(const Kernels *K, Call *c)
{
    K->rotate(c->a[0], c->a[1], c->a[2], 2 * c->n, true);
}

static void want_rotate_back(Wide *w) { turn(w, -1); }

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void run_swiglu(const Kernels *K, Call *c) { K->swiglu(c->a[0], c->a[1], c->a[2], c->n); }

static void want_swiglu(Wide *w)
{
    for (int i = 0; i < w->n; i++) w->a[0][i] = w->a[1][i] * sigmoid(w->a[1][i]) * w->a[2][i];
}

static void run_swiglu_back(const Kernels *K, Call *c)
{
    K->swiglu_back(c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->n);
}

static void want_swiglu_back(Wide *w)
{
    for (int i = 0; i < w->n; i++) {
        double x = w->a[3][i], s = sigmoid(x);
        double slope = s + x * exp(-x) / (1 + exp(-x)) / (1 + exp(-x));
        w->a[0][i] = w->a[2][i] * w->a[4][i] * slope;
        w->a[1][i] = w->a[2][i] * x * s;
    }
}

static void run_gated(const Kernels *K, Call *c) { K->gated(c->a[0], c->a[1], c->n); }

static void want_gated(Wide *w)
{
    for (int i = 0; i < w->n; i++) w->a[0][i] = tanh(w->a[1][i]) * sigmoid(w->a[1][w->n + i]);
}

static void run_gated_back(const Kernels *K, Call *c)
{
    K->gated_back(c->a[0], c->a[1], c->a[2], c->n);
}

static void want_gated_back(Wide *w)
{
    for (int i = 0; i < w->n; i++) {
        double a = w->a[2][i], b = w->a[2][w->n + i], d = w->a[1][i];
        w->a[0][i] = d * sigmoid(b) / cosh(a) / cosh(a);
        w->a[0][w->n + i] = d * tanh(a) * sigmoid(b) * sigmoid(-b);
    }
}

static void run_lstm(const Kernels *K, Call *c)
{
    K->lstm(c->a[0], c->a[1], c->a[2], c->a[3], c->n);
}

static void want_lstm(Wide *w)
{
    for (int k = 0; k < w->n; k++) {
        double *i = w->a[2] + k, *f = i + w->n, *g = f + w->n, *o = g + w->n;
        *i = sigmoid(*i);
        *f = sigmoid(*f);
        *g = tanh(*g);
        *o = sigmoid(*o);
        w->a[1][k] = *f * w->a[3][k] + *i * *g;
        w->a[0][k] = *o * tanh(w->a[1][k]);
    }
}

static void run_lstm_back(const Kernels *K, Call *c)
{
    K->lstm_back(c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->n);
}

static void want_lstm_back(Wide *w)
{
    for (int k = 0; k < w->n; k++) {
        double *i = w->a[0] + k, *f = i + w->n, *g = f + w->n, *o = g + w->n;
        double dh = w->a[2][k], c = w->a[3][k];
        double dc = w->a[1][k] + dh * *o / cosh(c) / cosh(c);
        double di = dc * *g, df = dc * w->a[4][k], dg = dc * *i;
        w->a[1][k] = dc * *f;
        *i = di * *i * (1 - *i);
        *f = df * *f * (1 - *f);
        *g = dg * (1 - *g * *g);
        *o = dh * tanh(c) * *o * (1 - *o);
    }
}

static double cdf(double x) { return 0.5 * erfc(-x / sqrt(2.0)); }
static double pdf(double x) { return exp(-0.5 * x * x) / sqrt(2 * acos(-1.0)); }
static double tanh_argument(double x) { return sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x); }

static void run_gelu(const Kernels *K, Call *c) { K->gelu(c->a[0], c->a[1], c->n, false); }

static void want_gelu(Wide *w)
{
    for (int i = 0; i < w->n; i++) w->a[0][i] = w->a[1][i] * cdf(w->a[1][i]);
}

static void run_gelu_tanh(const Kernels *K, Call *c) { K->gelu(c->a[0], c->a[1], c->n, true); }

static void want_gelu_tanh(Wide *w)
{
    for (int i = 0; i < w->n; i++)
        w->a[0][i] = 0.5 * w->a[1][i] * (1 + tanh(tanh_argument(w->a[1][i])));
}

static void run_gelu_back(const Kernels *K, Call *c)
{
    K->gelu_back(c->a[0], c->a[1], c->a[2], c->n, false);
}

static void want_gelu_back(Wide *w)
{
    for (int i = 0; i < w->n; i++)
        w->a[0][i] = w->a[1][i] * (cdf(w->a[2][i]) + w->a[2][i] * pdf(w->a[2][i]));
}

static void run_gelu_tanh_back(const Kernels *K, Call *c)
{
    K->gelu_back(c->a[0], c->a[1], c->a[2], c->n, true);
}

static void want_gelu_tanh_back(Wide *w)
{
    for (int i = 0; i < w->n; i++) {
        double x = w->a[2][i], th = tanh(tanh_argument(x));
        double inner = sqrt(2 / acos(-1.0)) * (1 + 3 * 0.044715 * x * x);
        w->a[0][i] = w->a[1][i] * (0.5 * (1 + th) + 0.5 * x * (1 - th * th) * inner);
    }
}

static void run_softmax(const Kernels *K, Call *c)
{
    c->result = (double)K->softmax(c->a[0], c->a[1], c->n, (real)0.375);
}

static void want_softmax(Wide *w)
{
    double total = 0;
    for (int i = 0; i < w->n; i++) total += exp(0.375 * w->a[1][i]);
    for (int i = 0; i < w->n; i++) w->a[0][i] = exp(0.375 * w->a[1][i]) / total;
    w->result = log(total);
}

static void run_softmax_again(const Kernels *K, Call *c)
{
    K->softmax_again(c->a[0], c->a[1], c->n, (real)0.375, (real)2.5);
}

static void want_softmax_again(Wide *w)
{
    for (int i = 0; i < w->n; i++) w->a[0][i] = exp(0.375 * w->a[1][i] - 2.5);
}

static void run_softmax_back(const Kernels *K, Call *c)
{
    K->softmax_back(c->a[0], c->a[1], c->a[2], c->n, (real)0.375);
}

static void want_softmax_back(Wide *w)
{
    double dot = 0;
    for (int i = 0; i < w->n; i++) dot += w->a[1][i] * w->a[2][i];
    for (int i = 0; i < w->n; i++) w->a[0][i] = 0.375 * w->a[2][i] * (w->a[1][i] - dot);
}

static const uint64_t drop_key = 0x0123456789abcdef;
static const Dropout drop = { 0x40000000, (real)(4.0 / 3.0) };

static void run_dropout(const Kernels *K, Call *c)
{
    K->dropout(c->a[0], c->a[1], c->n, drop_key, drop);
}

/* The dropped elements are taken from the last table, applied to ones: every table drops the
 * same ones. */
static void want_dropout(Wide *w)
{
    enum { LONGEST = 512 };
    real ones[LONGEST], kept[LONGEST];
    const Kernels *last = kernels_usable(0);
    for (int i = 1; kernels_usable(i) != NULL; i++) last = kernels_usable(i);
    for (int i = 0; i < w->n; i++) ones[i] = 1;
    last->dropout(kept, ones, w->n, drop_key, drop);
    for (int i = 0; i < w->n; i++) w->a[0][i] = kept[i] > 0 ? w->a[1][i] * 4 / 3 : 0;
}

static const AdamW adam = { (real)0.01, (real)0.9, (real)0.99, (real)1e-8, (real)0.1, (real)0.271,
                            (real)0.17233688, (real)0.5 };

static void run_adamw(const Kernels *K, Call *c)
{
    K->adamw(c->a[0], c->a[1], c->a[2], c->a[3], c->n, adam);
}

static void want_adamw(Wide *w)
{
    for (int i = 0; i < w->n; i++) {
        double g = 0.5 * w->a[3][i], *m = &w->a[1][i], *v = &w->a[2][i];
        *m = 0.9 * *m + 0.1 * g;
        *v = 0.99 * *v + 0.01 * g * g;
        w->a[0][i] -= 0.01 * 0.1 * w->a[0][i];
        w->a[0][i] -= 0.01 * (*m / 0.271) / (sqrt(*v) / 0.17233688 + 1e-8);
    }
}

#define BOTH(f) #f, run_##f, want_##f
#define V(role) { role, VECTOR }
#define P(role) { role, PAIRS }
#define F(role) { role, FOURS }
#define C(role) { role, COLUMN }
#define M(role) { role, MATRIX }
static const Test tests[] = {
    /* kernel               arrays                              relative, absolute      in place */
    { BOTH(gemv),             { C(OUT), M(IN), V(IN) },                1e-6, 2e-6, SUMS,        0 },
    { BOTH(weighted_rows),    { V(OUT), C(IN), M(IN) },                1e-6, 1e-6, SUMS | EACH, 0 },
    { BOTH(add),              { V(IN_OUT), V(IN) },                    1e-6, 0,    EACH,        0 },
    { BOTH(blend),            { V(OUT), V(IN), V(IN) },                1e-6, 1e-6, EACH,        1 },
    { BOTH(blend),            { V(OUT), V(IN), V(IN) },                1e-6, 1e-6, EACH,        2 },
    { BOTH(sum_rows),         { V(IN_OUT), M(IN) },                    1e-6, 1e-6, SUMS | EACH, 0 },
    { BOTH(sum_rows_product), { V(IN_OUT), M(IN), M(IN) },             1e-6, 1e-6, SUMS | EACH, 0 },
    { BOTH(sum_squares),      { V(IN) },                               1e-6, 1e-6, SUMS,        0 },
    { BOTH(layernorm),        { V(OUT), V(OUT), V(IN), V(IN), V(IN) }, 1e-6, 2e-6, 0,           0 },
    { BOTH(layernorm_plain),  { V(OUT), V(OUT), V(IN), V(IN) },        1e-6, 2e-6, 0,           0 },
    { BOTH(layernorm_back),   { V(IN_OUT), V(IN), V(IN), V(IN) },      2e-6, 4e-6, 0,           0 },
    { BOTH(rmsnorm),          { V(OUT), V(OUT), V(IN), V(IN) },        1e-6, 1e-6, 0,           2 },
    { BOTH(rmsnorm_back),     { V(IN_OUT), V(IN), V(IN), V(IN) },      2e-6, 4e-6, 0,           0 },
    { BOTH(rotate),           { P(IN_OUT), V(IN), V(IN) },             1e-6, 2e-6, 0,           0 },
    { BOTH(rotate_back),      { P(IN_OUT), V(IN), V(IN) },             1e-6, 2e-6, 0,           0 },
    { BOTH(swiglu),           { V(OUT), V(IN), V(IN) },                2e-6, 0,    EACH,        0 },
    { BOTH(swiglu_back),      { V(OUT), V(OUT), V(IN), V(IN), V(IN) }, 1e-6, 2e-6, EACH,        0 },
    { BOTH(gated),            { V(OUT), P(IN) },                       1e-6, 1e-6, 0,           0 },
    { BOTH(gated_back),       { P(OUT), V(IN), P(IN) },                2e-6, 2e-6, 0,           0 },
    { BOTH(lstm),             { V(OUT), V(OUT), F(IN_OUT), V(IN) },    2e-6, 2e-6, 0,           0 },
    { BOTH(lstm_back),        { F(IN_OUT), V(IN_OUT), V(IN), V(IN), V(IN) },
                              4e-6, 2e-5, 0, 0 },
    { BOTH(gelu),             { V(OUT), V(IN) },                       1e-6, 1e-6, EACH,        1 },
    { BOTH(gelu_tanh),        { V(OUT), V(IN) },                       1e-6, 1e-6, EACH,        1 },
    { BOTH(gelu_back),        { V(OUT), V(IN), V(IN) },                1e-6, 2e-6, EACH,        1 },
    { BOTH(gelu_tanh_back),   { V(OUT), V(IN), V(IN) },                1e-6, 2e-6, EACH,        1 },
    { BOTH(softmax),          { V(OUT), V(IN) },                       2e-6, 0,    0,           1 },
    { BOTH(softmax_again),    { V(OUT), V(IN) },                       2e-6, 0,    EACH,        1 },
    { BOTH(softmax_back),     { V(OUT), V(IN), V(IN) },                2e-6, 2e-6, SUMS,        1 },
    { BOTH(dropout),          { V(OUT), V(IN) },                       1e-6, 0,    0,           1 },
    { BOTH(adamw),            { V(IN_OUT), V(IN_OUT), V(IN_OUT), V(IN) },
                              2e-6, 2e-6, EACH | SQUARES, 0 },
};
#undef BOTH
#undef V
#undef P
#undef F
#undef C
#undef M

/* ---------------------------------------------------------------- the loop over kernels */

typedef struct {
    Fence fence[ARRAYS];
    real *before[ARRAYS], *after[ARRAYS];       /* the arrays before and after the compared call */
    double *wide[ARRAYS];                       /* the oracle's */
    size_t count[ARRAYS];                       /* elements, gaps between rows included */
} Lab;

static int lab_open(Lab *l)
{
    *l = (Lab){ 0 };
    for (int i = 0; i < ARRAYS; i++) {
        if (fence_open(&l->fence[i])) return -1;
        l->before[i] = malloc(MATRIX_BYTES);
        l->after[i] = malloc(MATRIX_BYTES);
        l->wide[i] = malloc(2 * MATRIX_BYTES);
        if (l->before[i] == NULL || l->after[i] == NULL || l->wide[i] == NULL) return -1;
    }
    return 0;
}

static void lab_close(Lab *l)
{
    for (int i = 0; i < ARRAYS; i++) {
        fence_close(&l->fence[i]);
        free(l->before[i]);
        free(l->after[i]);
        free(l->wide[i]);
    }
}

/* Random inputs, NaN in outputs and in the gaps of matrices; the oracle's arrays hold the same. */
static void lab_fill(Lab *l, const Test *t, Call *c, Wide *w, uint64_t seed)
{
    w->rows = c->rows, w->n = c->n, w->ld = c->ld, w->result = 0;
    for (int a = 0; a < ARRAYS; a++) {
        Shape shape = t->array[a].shape;
        Role role = t->array[a].role;
        l->count[a] = shape == VECTOR ? (size_t)c->n : shape == PAIRS ? 2 * (size_t)c->n
                    : shape == FOURS ? 4 * (size_t)c->n
                    : shape == COLUMN ? (size_t)c->rows
                    : (size_t)(c->rows - 1) * (size_t)c->ld + (size_t)c->n;
        w->a[a] = role == NONE ? NULL : l->wide[a];
        for (size_t i = 0; i < l->count[a] && role != NONE; i++) {
            bool gap = shape == MATRIX && (ptrdiff_t)i % c->ld >= c->n;
            double x = role == OUT || gap ? (double)NAN : draw(seed + (uint64_t)a, i);
            l->before[a][i] = (real)((t->flags & SQUARES) && a == 2 ? x * x : x);
            l->wide[a][i] = (double)l->before[a][i];
        }
    }
}

/* Calls the kernel on copies of l->before, without the first `skip` columns. */
static void lab_call(Lab *l, const Kernels *K, const Test *t, Call *c, int skip, bool at_end,
                     bool in_place)
{
    Call call = *c;
    call.n -= skip;
    for (int a = 0; a < ARRAYS; a++) {
        if (t->array[a].role == NONE) continue;
        size_t bytes = l->count[a] * sizeof(real);
        c->a[a] = fence_place(&l->fence[a], bytes, at_end);
        memcpy(c->a[a], l->before[a], bytes);
        call.a[a] = c->a[a] + (t->array[a].shape == COLUMN ? 0 : skip);
    }
    if (in_place) {
        memcpy(c->a[0], l->before[t->same_as], l->count[0] * sizeof(real));
        c->a[t->same_as] = call.a[t->same_as] = call.a[0];
    }
    t->run(K, &call);
    c->result = call.result;
}

/* The largest error as a multiple of the allowed one; NaN must be where the oracle's is. */
static double lab_error(const Test *t, const Call *c, const Wide *w, const Lab *l)
{
    double terms = t->flags & SUMS ? sqrt((double)(c->rows > c->n ? c->rows : c->n)) : 1;
    double worst = fabs(c->result - w->result) / (1e-6 * fabs(w->result) + 1e-6 * terms);
    if (isnan(c->result) && isnan(w->result)) worst = 0;
    for (int a = 0; a < ARRAYS; a++)
        for (size_t i = 0;
             i < l->count[a] && (t->array[a].role == OUT || t->array[a].role == IN_OUT); i++) {
            double got = (double)c->a[a][i], want = w->a[a][i];
            if (isnan(got) && isnan(want)) continue;
            double allowed = t->relative * fabs(want) + t->absolute * terms;
            double error = got == want ? 0 : fabs(got - want) / allowed;
            worst = larger(worst, error);
        }
    return worst;
}

static bool lab_unharmed(const Test *t, const Call *c, const Lab *l)
{
    for (int a = 0; a < ARRAYS; a++) {
        size_t bytes = l->count[a] * sizeof(real);
        if (t->array[a].role == NONE) continue;
        if (!fence_intact(&l->fence[a])) return false;
        if (t->array[a].role == IN && memcmp(c->a[a], l->before[a], bytes) != 0) return false;
    }
    return true;
}

/* Outputs from element `skip` on, against those of the call that was compared with the oracle. */
static bool lab_same(const Test *t, const Call *c, const Lab *l, int skip)
{
    for (int a = 0; a < ARRAYS; a++) {
        if (t->array[a].role != OUT && t->array[a].role != IN_OUT) continue;
        size_t bytes = (l->count[a] - (size_t)skip) * sizeof(real);
        if (memcmp(c->a[a] + skip, l->after[a] + skip, bytes) != 0) return false;
    }
    return true;
}

static void check_kernel(Lab *l, const Kernels *K, const Test *t, Call c, bool at_end)
{
    enum { SHIFTS = 17 };                           /* one more than the lanes of any table */
    Wide w;
    lab_fill(l, t, &c, &w, (uint64_t)c.n);
    lab_call(l, K, t, &c, 0, at_end, false);
    t->want(&w);
    double error = lab_error(t, &c, &w, l);
    bool good = error <= 1 && lab_unharmed(t, &c, l);
    for (int a = 0; a < ARRAYS; a++)
        if (t->array[a].role != NONE) memcpy(l->after[a], c.a[a], l->count[a] * sizeof(real));
    CHECK(good, "%s %s, %d rows of %d at %td: %.3g times the allowed error", K->name, t->name,
          c.rows, c.n, c.ld, error);

    double result = c.result;
    if (t->same_as) {
        lab_call(l, K, t, &c, 0, at_end, true);
        bool same = lab_same(t, &c, l, 0) && memcmp(&c.result, &result, sizeof result) == 0;
        CHECK(same && fence_intact(&l->fence[0]), "%s %s, %d in place differs", K->name, t->name,
              c.n);
    }
    for (int skip = 1; skip <= SHIFTS && skip < c.n && (t->flags & EACH); skip++) {
        lab_call(l, K, t, &c, skip, at_end, false);
        CHECK(lab_same(t, &c, l, skip), "%s %s, %d: values differ when shifted by %d", K->name,
              t->name, c.n, skip);
    }
}

/* One input element is NaN: outputs are NaN where the oracle's are, and only there. */
static void check_nan(Lab *l, const Kernels *K, const Test *t, Call c)
{
    for (int a = 0; a < ARRAYS; a++)
        for (size_t i = 0;
             i < (size_t)c.n && (t->array[a].role == IN || t->array[a].role == IN_OUT); i++) {
            Wide w;
            lab_fill(l, t, &c, &w, 1);
            if (i >= l->count[a]) break;
            l->before[a][i] = (real)NAN;
            w.a[a][i] = (double)NAN;
            lab_call(l, K, t, &c, 0, true, false);
            t->want(&w);
            double error = lab_error(t, &c, &w, l);
            CHECK(error <= 1, "%s %s of %d: a NaN at %zu of array %d is lost or spreads", K->name,
                  t->name, c.n, i, a);
        }
}

static bool has_matrix(const Test *t)
{
    for (int a = 0; a < ARRAYS; a++)
        if (t->array[a].role != NONE && t->array[a].shape == MATRIX) return true;
    return false;
}

static void bench_kernel(Lab *l, const Kernels *K, const Test *t, Call c)
{
    Wide w;
    lab_fill(l, t, &c, &w, 1);
    lab_call(l, K, t, &c, 0, true, false);
    double start = clock_seconds(), seconds = 0, calls = 0;
    for (; seconds < 0.05; seconds = clock_seconds() - start)
        for (int i = 0; i < 100; i++, calls++) t->run(K, &c);
    printf("%-10s %-18s %8.3f Gelem/s\n", K->name, t->name,
           calls * c.n * (has_matrix(t) ? c.rows : 1) / seconds / 1e9);
}

static void each_kernel(Lab *l, const Kernels *K, const Test *t, bool bench)
{
    static const int rows[] = { 1, 2, 3, 7, 18 }, sizes[] = { 127, 128, 129, 255, 384, 385, 500 };
    static const int gaps[] = { 0, 1, 13 };
    if (bench) {
        bench_kernel(l, K, t, (Call){ .rows = 64, .n = 384, .ld = 384 });
        return;
    }
    for (int i = 1; i < 71 + (int)(sizeof sizes / sizeof sizes[0]); i++) {
        int n = i < 71 ? i : sizes[i - 71];
        for (int r = 0; r < (has_matrix(t) ? 5 : 1); r++)
            for (int at_end = 0; at_end < 2; at_end++)
                check_kernel(l, K, t,
                             (Call){ .rows = rows[r], .n = n, .ld = n + gaps[(r + i) % 3] },
                             at_end);
    }
    for (int n = 1; n < 40; n += 3) check_nan(l, K, t, (Call){ .rows = 2, .n = n, .ld = n + 1 });
}

/* Every output of gemv is the same, to the last bit, as if it were the only one; gaps
 * between rows do not change. */
static void check_gemv(const Kernels *K)
{
    enum { N = 53, ROWS = 11, VECTORS = 11, LD = N + 3, LDY = ROWS + 2 };
    static real w[ROWS * LD], x[VECTORS * N], y[VECTORS * LDY];
    for (int i = 0; i < ROWS * LD; i++) w[i] = (real)draw(1, (uint64_t)i);
    for (int i = 0; i < VECTORS * N; i++) x[i] = (real)draw(2, (uint64_t)i);
    for (int n = 1; n <= N; n += 4)
        for (int rows = 1; rows <= ROWS; rows++)
            for (int vectors = 1; vectors <= VECTORS; vectors++) {
                int wrong = 0;
                for (int i = 0; i < VECTORS * LDY; i++) y[i] = 7;
                K->gemv(y, LDY, w, LD, x, rows, n, vectors);
                for (int i = 0; i < VECTORS * LDY; i++) {
                    int v = i / LDY, r = i % LDY;
                    real one = 7;
                    if (v < vectors && r < rows)
                        K->gemv(&one, 1, w + r * LD, LD, x + v * n, 1, n, 1);
                    wrong += memcmp(&one, &y[i], sizeof one) != 0;
                }
                CHECK(wrong == 0, "%s gemv, %d vectors against %d rows of %d: %d outputs differ",
                      K->name, vectors, rows, n, wrong);
            }
}

/* ---------------------------------------------------------------- matrix products */

enum { LAYOUTS = 5, WORKSPACES = 4 };
static const int thread_counts[WORKSPACES] = { 1, 2, 3, 7 };

typedef struct {
    Fence a, b, c, packed, memory[WORKSPACES];
    Gemm gemm[WORKSPACES];              /* one for each thread count */
    double *want;
    real *first;                        /* the result of one thread */
} Products;

enum { WANT_ELEMENTS = 1 << 18 };

static int products_open(Products *p)
{
    p->want = malloc(WANT_ELEMENTS * sizeof *p->want);
    p->first = malloc(WANT_ELEMENTS * sizeof *p->first);
    if (p->want == NULL || p->first == NULL) return -1;
    for (int i = 0; i < WORKSPACES; i++)
        if (fence_open(&p->memory[i])) return -1;
    bool failed = fence_open(&p->a) || fence_open(&p->b) || fence_open(&p->c)
                  || fence_open(&p->packed);
    return failed ? -1 : 0;
}

static void products_close(Products *p)
{
    for (int i = 0; i < WORKSPACES; i++) fence_close(&p->memory[i]);
    fence_close(&p->a);
    fence_close(&p->b);
    fence_close(&p->c);
    fence_close(&p->packed);
    free(p->want);
    free(p->first);
}

/* Every workspace ends at a guard page. */
static void products_use(Products *p, const Kernels *K)
{
    for (int i = 0; i < WORKSPACES; i++) {
        Arena arena = { 0 };
        gemm_layout(&p->gemm[i], &arena, K, thread_counts[i]);
        arena = (Arena){ .base = fence_place(&p->memory[i], arena.used, true) };
        gemm_layout(&p->gemm[i], &arena, K, thread_counts[i]);
    }
}

/* A random matrix stored in one of LAYOUTS ways; NaN between its elements. */
static View matrix_place(Fence *f, int rows, int cols, int layout, bool at_end, uint64_t seed)
{
    const View views[LAYOUTS] = {
        { NULL, rows, cols, cols, 1 },      /* by rows: tight, */
        { NULL, rows, cols, cols + 3, 1 },  /* with gaps; */
        { NULL, rows, cols, 1, rows },      /* by columns: tight, */
        { NULL, rows, cols, 1, rows + 5 },  /* with gaps; */
        { NULL, rows, cols, 2 * cols + 1, 2 }
    };
    View v = views[layout];
    size_t count = (size_t)((rows - 1) * v.rs + (cols - 1) * v.cs + 1);
    real *at = fence_place(f, count * sizeof(real), at_end);
    for (size_t i = 0; i < count; i++) at[i] = (real)NAN;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            at[i * v.rs + j * v.cs] = (real)draw(seed, (uint64_t)i * (uint64_t)cols + (uint64_t)j);
    v.at = at;
    return v;
}

/* Row-major (rows, ld) with a pattern in the gaps; elements are NaN, or random if a
 * product will be added. */
static real *output_place(Fence *f, int rows, int cols, ptrdiff_t ld, bool add, bool at_end)
{
    size_t count = (size_t)(rows - 1) * (size_t)ld + (size_t)cols;
    real *c = fence_place(f, count * sizeof(real), at_end);
    for (size_t i = 0; i < count; i++)
        c[i] = (ptrdiff_t)i % ld >= cols ? (real)-12345 : add ? (real)draw(99, i) : (real)NAN;
    return c;
}

/* want (M,N) = [c +] a b, before c is overwritten. */
static void product_want(double *want, const real *c, ptrdiff_t ld, View a, View b, bool add)
{
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < b.cols; j++) {
            double sum = add ? (double)c[i * ld + j] : 0;
            for (int k = 0; k < a.cols; k++)
                sum += (double)a.at[i * a.rs + k * a.cs] * (double)b.at[k * b.rs + j * b.cs];
            want[i * b.cols + j] = sum;
        }
}

/* The largest error in units of the allowed one; infinite if a gap was written to. */
static double product_error(const double *want, const real *c, ptrdiff_t ld, int rows, int cols,
                            int depth)
{
    double worst = 0, allowed = 5e-6 * sqrt(depth);
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < cols; j++) {
            double x = want[i * cols + j];
            double error = fabs((double)c[i * ld + j] - x) / (allowed + 1e-6 * fabs(x));
            worst = larger(worst, error);
        }
        for (ptrdiff_t j = cols; j < ld && i < rows - 1; j++)
            if ((double)c[i * ld + j] != -12345) return (double)INFINITY;
    }
    return worst;
}

/* Both packings and one tile: the m x n outputs that exist, and zeros added to the others.
 * `direct`: rows of a that are not packed; m is mr then. */
static void check_tile(Products *p, const Kernels *K, int m, int n, int k, int layout, bool add,
                       bool at_end)
{
    bool direct = m == K->mr && at_end == add;
    View a = matrix_place(&p->a, m, k, layout, at_end, 1);
    View b = matrix_place(&p->b, k, n, (layout + 1) % LAYOUTS, at_end, 2);
    size_t row_bytes = (size_t)(k * K->mr) * K->packed, col_bytes = (size_t)(k * K->nr) * K->packed;
    char *rows = fence_place(&p->memory[0], row_bytes, at_end);
    char *cols = fence_place(&p->packed, col_bytes, at_end);
    memset(rows, 0xff, row_bytes);
    memset(cols, 0xff, col_bytes);
    K->pack_rows(rows, a.at, a.rs, a.cs, m, k);
    K->pack_cols(cols, b.at, b.rs, b.cs, k, n);

    ptrdiff_t ld = K->nr + (layout % 2) * 3;
    real *c = output_place(&p->c, K->mr, K->nr, ld, add, at_end);
    for (int i = 0; i < K->mr; i++)
        for (int j = 0; j < K->nr; j++) {
            double sum = add ? (double)c[i * ld + j] : 0;
            for (int q = 0; q < k && i < m && j < n; q++)
                sum += (double)a.at[i * a.rs + q * a.cs] * (double)b.at[q * b.rs + j * b.cs];
            p->want[i * K->nr + j] = sum;
        }
    if (direct) K->tile(c, ld, a.at, a.rs, a.cs, cols, k, add);
    else K->tile(c, ld, rows, 1, K->mr, cols, k, add);
    double error = product_error(p->want, c, ld, K->mr, K->nr, k);
    bool intact = fence_intact(&p->c) && fence_intact(&p->packed) && fence_intact(&p->memory[0]);
    CHECK(error <= 1 && intact,
          "%s tile of %d x %d x %d, layout %d, add %d, direct %d: %.3g times the allowed error",
          K->name, m, n, k, layout, add, direct, error);
}

static bool same_elements(const real *c, ptrdiff_t ld, const real *first, int rows, int cols)
{
    for (int i = 0; i < rows; i++)
        if (memcmp(c + i * ld, first + (size_t)i * (size_t)cols, (size_t)cols * sizeof *c) != 0)
            return false;
    return true;
}

static View some_rows(View v, int from, int count)
{
    return (View){ v.at + from * v.rs, count, v.cols, v.rs, v.cs };
}

static View some_cols(View v, int from, int count)
{
    return transposed(some_rows(transposed(v), from, count));
}

/* A product with one thread against the oracle; then with more threads, cut into slices of
 * rows, with the sum over k in two calls, and with a packed right operand: each gives the same
 * bytes. Threads cost more than small products, so `all_threads` is for the large ones; the
 * others try one number each. */
static void check_product(Products *p, const Kernels *K, int m, int n, int k, unsigned variant,
                          bool all_threads)
{
    bool add = variant & 1, at_end = variant & 2;
    int layout = (int)(variant / 4 % LAYOUTS);
    ptrdiff_t ld = n + (variant % 3 ? 0 : 5);
    View a = matrix_place(&p->a, m, k, layout, at_end, 1);
    View b = matrix_place(&p->b, k, n, (int)(variant / 4 / LAYOUTS % LAYOUTS), at_end, 2);
    real *c = output_place(&p->c, m, n, ld, add, at_end);
    product_want(p->want, c, ld, a, b, add);
    gemm(&p->gemm[0], c, ld, a, b, add);
    double error = product_error(p->want, c, ld, m, n, k);
    for (int i = 0; i < m; i++)
        memcpy(p->first + (size_t)i * (size_t)n, c + i * ld, (size_t)n * sizeof *c);
    CHECK(error <= 1 && fence_intact(&p->c),
          "%s gemm %d x %d x %d, variant %u: %.3g times the allowed error", K->name, m, n, k,
          variant, error);

    for (int w = 1; w < WORKSPACES; w++) {
        if (!all_threads && (unsigned)w != 1 + variant % (WORKSPACES - 1)) continue;
        c = output_place(&p->c, m, n, ld, add, at_end);
        gemm(&p->gemm[w], c, ld, a, b, add);
        CHECK(same_elements(c, ld, p->first, m, n) && fence_intact(&p->c),
              "%s gemm %d x %d x %d, variant %u: %d threads differ",
              K->name, m, n, k, variant, thread_counts[w]);
    }
    int cut = 1 + (int)(variant % 50);
    c = output_place(&p->c, m, n, ld, add, at_end);
    for (int i = 0; i < m; i += cut)
        gemm(&p->gemm[0], c + i * ld, ld, some_rows(a, i, cut < m - i ? cut : m - i), b, add);
    CHECK(same_elements(c, ld, p->first, m, n), "%s gemm %d x %d x %d: slices of %d rows differ",
          K->name, m, n, k, cut);

    if (k > 1) {
        int half = cut < k ? cut : k / 2;
        c = output_place(&p->c, m, n, ld, add, at_end);
        gemm(&p->gemm[0], c, ld, some_cols(a, 0, half), some_rows(b, 0, half), add);
        gemm(&p->gemm[0], c, ld, some_cols(a, half, k - half), some_rows(b, half, k - half), true);
        CHECK(same_elements(c, ld, p->first, m, n),
              "%s gemm %d x %d x %d: the sum cut at %d differs", K->name, m, n, k, half);
    }
    Packed packed = gemm_pack(K, fence_place(&p->packed, packed_bytes(K, k, n), true), b);
    c = output_place(&p->c, m, n, ld, add, at_end);
    gemm_packed(&p->gemm[0], c, ld, a, packed, n, (Causal){ 0 }, add);
    CHECK(same_elements(c, ld, p->first, m, n) && fence_intact(&p->c) && fence_intact(&p->packed),
          "%s gemm_packed %d x %d x %d differs from gemm", K->name, m, n, k);
}

/* The first k rows and n columns of a packed (K,N) operand. */
static void check_prefixes(Products *p, const Kernels *K, int depth, int width)
{
    View whole = matrix_place(&p->b, depth, width, 3, true, 2);
    Packed packed = gemm_pack(K, fence_place(&p->packed, packed_bytes(K, depth, width), true),
                              whole);
    for (int k = 1; k <= depth; k += 1 + k / 3)
        for (int n = 1; n <= width; n += 1 + n / 4) {
            int m = 1 + (k + n) % 50;
            View a = matrix_place(&p->a, m, k, 2, true, 1);
            View b = some_cols(some_rows(whole, 0, k), 0, n);
            real *c = output_place(&p->c, m, n, width, true, true);
            product_want(p->want, c, width, a, b, true);
            gemm_packed(&p->gemm[0], c, width, a, packed, n, (Causal){ 0 }, true);
            double error = product_error(p->want, c, width, m, n, k);
            CHECK(error <= 1 && fence_intact(&p->c),
                  "%s gemm_packed %d x %d x %d of %d x %d: %.3g times the allowed error",
                  K->name, m, n, k, depth, width, error);
        }
}

/* The parts that a causal product leaves out change no needed output: c (m,n) = a (m,k) b, by
 * the oracle. */
static void check_causal(Products *p, const Kernels *K, int m, int n, int k, int diagonal,
                         int layout)
{
    static const char *const names[] = { "none", "output", "lower", "upper" };
    for (int part = CAUSAL_OUTPUT; part <= CAUSAL_UPPER; part++) {
        bool add = part == CAUSAL_UPPER || diagonal < 0 || layout % 2;
        View a = matrix_place(&p->a, m, k, layout, true, 1);
        View b = matrix_place(&p->b, k, n, 1, true, 2);
        Packed packed = gemm_pack(K, fence_place(&p->packed, packed_bytes(K, k, n), true), b);
        real *zeros = (real *)(uintptr_t)a.at, *c = output_place(&p->c, m, n, n, add, true);
        for (int i = 0; i < m; i++)
            for (int q = 0; q < k; q++)
                if ((part == CAUSAL_LOWER && q > i + diagonal)
                    || (part == CAUSAL_UPPER && q < i + diagonal))
                    zeros[i * a.rs + q * a.cs] = 0;
        product_want(p->want, c, n, a, b, add);
        for (int i = 0; i < m && part == CAUSAL_OUTPUT; i++)
            for (int j = i + diagonal + 1 > 0 ? i + diagonal + 1 : 0; j < n; j++)
                p->want[i * n + j] = (double)(c[i * n + j] = 0);
        gemm_packed(&p->gemm[0], c, n, a, packed, n, (Causal){ part, diagonal }, add);
        for (int i = 0; i < m && part == CAUSAL_OUTPUT; i++)
            for (int j = i + diagonal + 1 > 0 ? i + diagonal + 1 : 0; j < n; j++) c[i * n + j] = 0;
        double error = product_error(p->want, c, n, m, n, k);
        CHECK(error <= 1 && fence_intact(&p->c),
              "%s causal product %d x %d x %d, %s of diagonal %d: %.3g times the allowed error",
              K->name, m, n, k, names[part], diagonal, error);
    }
}

/* a a^T equals the product of two operands, to the last bit, and is symmetric. */
static void check_square(Products *p, const Kernels *K, int m, int k, int layout)
{
    const Gemm *g = &p->gemm[(m + k) % WORKSPACES];
    View a = matrix_place(&p->a, m, k, layout, true, 1);
    gemm(&p->gemm[0], p->first, m, a, transposed(a), false);
    real *c = output_place(&p->c, m, m, m, false, true);
    gemm_square(g, c, a);
    CHECK(same_elements(c, m, p->first, m, m) && fence_intact(&p->c),
          "%s square of %d x %d, layout %d", K->name, m, k, layout);
}

static void check_products(Products *p, const Kernels *K)
{
    static const int sizes[] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  15,
                                 16, 17, 31, 33, 47, 48, 49, 64, 65, 70 };
    static const int large[][3] = {
        { 145, 33, 257 }, { 300, 17, 520 }, { 7, 2065, 3 }, { 40, 2049, 20 }, { 1, 1, 1000 },
        { 384, 100, 129 }, { 1, 384, 300 }, { 289, 1, 256 }, { 6, 16, 512 }, { 20, 17, 1024 },
        { 5, 1100, 300 }, { 3, 700, 600 }
    };
    enum { SIZES = sizeof sizes / sizeof sizes[0], LARGE = sizeof large / sizeof large[0] };
    enum { RANDOM = 400 };
    static const int depths[] = { 1, 2, 7, 40 };
    for (int m = 1; m <= K->mr; m++)
        for (int n = 1; n <= K->nr; n++)
            for (unsigned i = 0; i < 4 * LAYOUTS; i++)
                check_tile(p, K, m, n, depths[i % 4], (int)i % LAYOUTS, (i + (unsigned)m) % 2,
                           (i + (unsigned)n) % 2);
    products_use(p, K);
    for (unsigned i = 0; i < RANDOM; i++)
        check_product(p, K, sizes[rng_below(3, 4 * i, SIZES)],
                      sizes[rng_below(3, 4 * i + 1, SIZES)], sizes[rng_below(3, 4 * i + 2, SIZES)],
                      (unsigned)rng_below(3, 4 * i + 3, 300), false);
    for (unsigned i = 0; i < LARGE; i++)
        check_product(p, K, large[i][0], large[i][1], large[i][2], 7 * i + i / 2, true);
    check_prefixes(p, K, 70, 70);
    check_prefixes(p, K, 300, 16);
    check_prefixes(p, K, 16, 300);
    for (int i = 0; i < 200; i++) {
        int m = sizes[rng_below(5, (uint64_t)(4 * i), SIZES)];
        int n = sizes[rng_below(5, (uint64_t)(4 * i + 1), SIZES)];
        int k = sizes[rng_below(5, (uint64_t)(4 * i + 2), SIZES)] * (i % 10 == 0 ? 5 : 1);
        check_causal(p, K, m, n, k, (int)rng_below(5, (uint64_t)(4 * i + 3), 90) - 45, i % LAYOUTS);
        check_square(p, K, m, k, i % LAYOUTS);
    }
    check_square(p, K, 300, 520, 0);
}

static void bench_products(Products *p, const Kernels *K)
{
    static const int shapes[][3] = {
        { 1024, 384, 384 }, { 384, 1536, 1024 }, { 256, 65, 384 }, { 48, 256, 64 }
    };
    products_use(p, K);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int w = 0; w < 2; w++) {
            int m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
            View a = matrix_place(&p->a, m, k, 0, true, 1);
            View b = matrix_place(&p->b, k, n, 2, true, 2);
            real *c = output_place(&p->c, m, n, n, false, true);
            double start = clock_seconds(), seconds = 0, calls = 0;
            for (; seconds < 0.2; seconds = clock_seconds() - start, calls++)
                gemm(&p->gemm[w], c, n, a, b, false);
            printf("%-10s gemm %4d x %4d x %4d, %d threads %8.1f GFLOP/s\n", K->name, m, n, k,
                   thread_counts[w], 2.0 * m * n * k * calls / seconds / 1e9);
        }
}

/* ---------------------------------------------------------------- rotary pairs */

/* The result of a pair does not depend on the others: the same bytes as when it is rotated alone.
 * Rotating back undoes it; an angle of 0 changes nothing. */
static void check_pairs(const Kernels *K)
{
    enum { LONGEST = 70 };
    for (int half = 1; half <= LONGEST; half++) {
        real x[2 * LONGEST], before[2 * LONGEST], cosine[LONGEST], sine[LONGEST];
        real zeros[LONGEST] = { 0 }, ones[LONGEST];
        double worst = 0;
        bool same = true;
        for (int i = 0; i < 2 * half; i++) x[i] = before[i] = (real)draw(7, (uint64_t)i);
        for (int i = 0; i < half; i++) {
            ones[i] = 1;
            cosine[i] = (real)cos(draw(8, (uint64_t)i));
            sine[i] = (real)sin(draw(8, (uint64_t)i));
        }
        K->rotate(x, ones, zeros, 2 * half, half % 2);
        CHECK(memcmp(x, before, 2 * (size_t)half * sizeof *x) == 0, "%s rotate %d by 0",
              K->name, 2 * half);
        K->rotate(x, cosine, sine, 2 * half, false);
        for (int j = 0; j < half; j++) {
            real pair[2] = { before[j], before[half + j] };
            K->rotate(pair, cosine + j, sine + j, 2, false);
            same = same && memcmp(pair, x + j, sizeof *x) == 0
                && memcmp(pair + 1, x + half + j, sizeof *x) == 0;
        }
        CHECK(same, "%s rotate %d: a pair alone gives another result", K->name, 2 * half);
        K->rotate(x, cosine, sine, 2 * half, true);
        for (int i = 0; i < 2 * half; i++) worst = larger(worst, fabs((double)(x[i] - before[i])));
        CHECK(worst < 2e-6, "%s rotate %d and back: off by %.3g", K->name, 2 * half, worst);
    }
}

/* --------------------------------------------------------- elementary functions on dense grids */

enum { GRID = 4000 };

/* exp by softmax_again, tanh by gelu(x) / x, the sigmoid by swiglu: the accuracies that body.h
 * states, and for all but the first the rounding of the product on top. */
static void check_accuracy(const Kernels *K)
{
    real x[GRID], y[GRID];
    double rounding = 1.5 * (sizeof(real) == 4 ? 0x1p-23 : 0x1p-52), worst = 0;
    for (int i = 0; i < GRID; i++) x[i] = (real)(-87 + 175.0 * i / (GRID - 1));
    K->softmax_again(y, x, GRID, 1, 0);
    for (int i = 0; i < GRID; i++)
        worst = larger(worst, fabs((double)y[i] / exp((double)x[i]) - 1));
    CHECK(worst < 2e-7, "%s exp: relative error %.3g", K->name, worst);

    for (int i = 0; i < GRID; i++) x[i] = (real)(-20 + 40.0 * (i + 0.5) / GRID);
    K->gelu(y, x, GRID, true);
    worst = 0;
    for (int i = 0; i < GRID; i++) {
        double th = 2 * (double)y[i] / (double)x[i] - 1;
        worst = larger(worst, fabs(th - tanh(tanh_argument((double)x[i]))));
    }
    CHECK(worst < 2e-7 + 2 * rounding, "%s tanh: error %.3g", K->name, worst);

    real ones[GRID];
    worst = 0;
    for (int i = 0; i < GRID; i++) {
        x[i] = (real)(-80 + 200.0 * (i + 0.5) / GRID);
        ones[i] = 1;
    }
    K->swiglu(y, x, ones, GRID);
    for (int i = 0; i < GRID; i++)
        worst = larger(worst, fabs((double)y[i] / ((double)x[i] * sigmoid((double)x[i])) - 1));
    CHECK(worst < 2e-7 + 2 * rounding, "%s sigmoid: relative error %.3g", K->name, worst);
}

/* Largest errors of the normal distribution's cdf, by gelu(x) / x, and of gelu's slope. */
typedef struct { double cdf, at, slope; } NormalError;

/* At `chunks` x GRID points in the range of `width` around `middle`. */
static NormalError normal_error(const Kernels *K, double middle, double width, int chunks)
{
    NormalError worst = { 0 };
    real x[GRID], y[GRID], slope[GRID], ones[GRID];
    for (int i = 0; i < GRID; i++) ones[i] = 1;
    for (int chunk = 0; chunk < chunks; chunk++) {
        double first = middle - width / 2 + chunk * width / chunks;
        for (int i = 0; i < GRID; i++)
            x[i] = (real)(first + (i + 0.5) * width / chunks / GRID);
        K->gelu(y, x, GRID, false);
        K->gelu_back(slope, ones, x, GRID, false);
        for (int i = 0; i < GRID; i++) {
            double v = (double)x[i], c = cdf(v), error = fabs((double)y[i] / v - c);
            if (!(error <= worst.cdf)) worst.at = v;
            worst.cdf = larger(worst.cdf, error);
            worst.slope = larger(worst.slope, fabs((double)slope[i] - c - v * pdf(v)));
        }
    }
    return worst;
}

/* What body.h states, at 400,000 points of the range and as many around the worst of them: the
 * errors are rounding that comes and goes from one number to the next. */
static void check_normal(const Kernels *K)
{
    enum { CHUNKS = 100 };
    NormalError all = normal_error(K, 0, 40, CHUNKS), near = normal_error(K, all.at, 0.5, CHUNKS);
    CHECK(larger(all.cdf, near.cdf) < 3.6e-7, "%s cdf: error %.3g near %g", K->name,
          larger(all.cdf, near.cdf), all.at);
    CHECK(larger(all.slope, near.slope) < 8e-7, "%s slope of gelu: error %.3g", K->name,
          larger(all.slope, near.slope));
}

/* SwiGLU far from zero: 0 on one side, the product itself on the other, and slopes of 0 and 1. */
static void check_far_gates(const Kernels *K)
{
    real gate[4] = { (real)-1e4, (real)-200, (real)200, (real)1e4 }, up[4] = { 2, 2, 2, 2 };
    real y[4], dgate[4], dup[4];
    static const double want[4] = { 0, 0, 400, 2e4 };
    K->swiglu(y, gate, up, 4);
    K->swiglu_back(dgate, dup, up, gate, up, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_NEAR(y[i], want[i], 1e-6, 1e-30, "%s swiglu of %g", K->name, (double)gate[i]);
        CHECK_NEAR(dup[i], want[i], 1e-6, 1e-30, "%s swiglu_back of %g: up", K->name,
                   (double)gate[i]);
        CHECK_NEAR(dgate[i], i < 2 ? 0 : 4, 1e-6, 1e-30, "%s swiglu_back of %g: gate", K->name,
                   (double)gate[i]);
    }
}

/* GELU far from zero, in both forms: the same. */
static void check_far_gelu(const Kernels *K)
{
    real x[4] = { (real)-1e6, (real)-20, (real)20, (real)1e6 }, dy[4] = { 2, 2, 2, 2 }, y[4], dx[4];
    for (int form = 0; form < 2; form++) {
        K->gelu(y, x, 4, form);
        K->gelu_back(dx, dy, x, 4, form);
        for (int i = 0; i < 4; i++) {
            CHECK_NEAR(y[i], i < 2 ? 0 : x[i], 1e-6, 1e-12, "%s gelu of %g, form %d", K->name,
                       (double)x[i], form);
            CHECK_NEAR(dx[i], i < 2 ? 0 : 2, 1e-6, 1e-12, "%s gelu_back of %g, form %d", K->name,
                       (double)x[i], form);
        }
    }
}

static void check_signed_zero(const Kernels *K)
{
    real x[2] = { (real)-0.0, 0 }, y[2];
    real ones[2] = { 1, 1 };
    K->swiglu(y, x, ones, 2);
    CHECK((double)y[0] == 0 && (double)y[1] == 0, "%s swiglu of zeros: %g %g", K->name,
          (double)y[0], (double)y[1]);
    for (int form = 0; form < 2; form++) {
        K->gelu(y, x, 2, form);
        CHECK((double)y[0] == 0 && (double)y[1] == 0, "%s gelu of zeros: %g %g", K->name,
              (double)y[0], (double)y[1]);
    }
    double lse = (double)K->softmax(y, x, 2, 1);
    CHECK((double)y[0] == 0.5 && (double)y[1] == 0.5 && fabs(lse - log(2)) < 1e-6,
          "%s softmax of zeros", K->name);
}

/* Scores spread over +-1e4, or close together at its ends: probabilities as in double, up to the
 * rounding of the scores; -inf gets 0. */
static void check_large_scores(const Kernels *K)
{
    enum { LONGEST = 70 };
    for (int n = 1; n <= LONGEST; n++) {
        real s[LONGEST], p[LONGEST], again[LONGEST];
        double top = (double)-INFINITY, total = 0, worst = 0, sum = 0;
        for (int i = 0; i < n; i++) {
            double x = n > 3 && i == 2 ? (double)-INFINITY : draw(5, (uint64_t)i);
            s[i] = (real)(n % 2 ? 1e4 / 3 * x : n % 4 ? 1e4 + x : -1e4 + x);
            if ((double)s[i] > top) top = (double)s[i];
        }
        for (int i = 0; i < n; i++) total += exp((double)s[i] - top);
        double lse = (double)K->softmax(p, s, n, 1);
        K->softmax_again(again, s, n, 1, (real)lse);
        for (int i = 0; i < n; i++) {
            double want = exp((double)s[i] - top) / total;
            worst = larger(worst, fabs((double)p[i] - want));
            /* lse is rounded at 1e4: 5e-4 */
            worst = larger(worst, 1e-3 * fabs((double)again[i] - want));
            sum += (double)p[i];
        }
        CHECK(worst < 2e-6 && fabs(sum - 1) < 1e-5, "%s softmax of %d large scores: error %.3g",
              K->name, n, worst);
        CHECK_NEAR(lse, top + log(total), 1e-6, 0, "%s log sum exp of %d large scores", K->name, n);
    }
}

/* ---------------------------------------------------------------- dropout */

enum { DRAWS = 4096, ROWS = 48 };

static uint64_t row_key(uint64_t step, uint64_t row)
{
    return rng_bits(rng_bits(rng_key(1, 0, step, RNG_DROPOUT), 3), row);
}

/* Correlation of the masks a and b, each with keep rate q: about normal(0, 1/n) if they
 * are independent. */
static double correlation(const real *a, const real *b, int n, double q)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += ((double)a[i] - q) * ((double)b[i] - q);
    return sum / n / (q * (1 - q));
}

/* Masks of rows and of steps: kept as often as requested, scaled, and no two alike. */
static void check_dropout(const Kernels *K)
{
    static const double rates[] = { 0.001, 0.1, 0.3, 0.5, 0.9, 0.99 };
    static real mask[ROWS][DRAWS], ones[DRAWS];
    for (int i = 0; i < DRAWS; i++) ones[i] = 1;
    for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        double q = 1 - rates[r], kept = 0, limit = 5 / sqrt((double)ROWS * DRAWS), worst = 0;
        for (int row = 0; row < ROWS; row++) {      /* half of the rows belong to the next step */
            Dropout d = { (uint32_t)(rates[r] * 0x1p32), 1 };
            K->dropout(mask[row], ones, DRAWS, row_key((uint64_t)row % 2, (uint64_t)row / 2), d);
            for (int i = 0; i < DRAWS; i++) kept += (double)mask[row][i];
        }
        CHECK_NEAR(kept / ROWS / DRAWS, q, 0, limit * sqrt(q * (1 - q)), "%s dropout %g: keep rate",
                   K->name, rates[r]);
        if (rates[r] < 0.1 || rates[r] > 0.9) continue;
        for (int a = 0; a < ROWS; a++)
            for (int b = 0; b < ROWS; b++)
                for (int lag = a == b; lag < 3; lag++)
                    worst = larger(worst,
                                   fabs(correlation(mask[a], mask[b] + lag, DRAWS - lag, q)));
        CHECK(worst < 5.5 / sqrt(DRAWS), "%s dropout %g: rows correlate by %.3g", K->name, rates[r],
              worst);
    }
    for (uint64_t i = 0; i < 64; i++) {                     /* both halves of a key matter */
        Dropout half = { 0x80000000, 1 };
        uint64_t key = row_key(0, i), low = 0xffffffff, other = i % 2 ? low : ~low;
        K->dropout(mask[0], ones, DRAWS, key, half);
        K->dropout(mask[1], ones, DRAWS, (key & ~other) | (row_key(1, i) & other), half);
        double shared = correlation(mask[0], mask[1], DRAWS, 0.5);
        CHECK(fabs(shared) < 5 / sqrt(DRAWS),
              "%s dropout: keys with half in common: masks correlate by %.3g", K->name, shared);
    }
    K->dropout(mask[0], ones, DRAWS, 1, (Dropout){ 0, 1 });
    CHECK(memcmp(mask[0], ones, sizeof ones) == 0, "%s dropout 0 drops", K->name);
}

/* ---------------------------------------------------------------- the choice of a table */

static bool contains(const Err *err, const char *part) { return strstr(err->msg, part) != NULL; }

static void check_pick(void)
{
    Err err = { 0 };
    char names[200], line[200];
    unsetenv("FOLIO_ISA");
    const Kernels *fastest = kernels_usable(0), *portable = kernels_pick("portable", &err);
    CHECK(fastest != NULL && kernels_pick(NULL, &err) == fastest, "NULL is the fastest");
    CHECK(portable != NULL && strcmp(portable->name, "portable") == 0, "portable is everywhere");
    CHECK(kernels_usable(-1) == NULL && kernels_usable(100) == NULL, "there is a last table");

    CHECK(kernels_pick("sse9", &err) == NULL && err.status == EXIT_USAGE
              && contains(&err, "--isa sse9"),
          "unknown name: %s", err.msg);
    CHECK(kernels_pick("", &err) == NULL && err.status == EXIT_USAGE, "empty name: %s", err.msg);
    setenv("FOLIO_ISA", "portable", 1);
    CHECK(kernels_pick(NULL, &err) == portable, "FOLIO_ISA counts");
    CHECK(kernels_pick(fastest->name, &err) == fastest, "a name beats FOLIO_ISA");
    setenv("FOLIO_ISA", "sse9", 1);
    err = (Err){ 0 };
    CHECK(kernels_pick(NULL, &err) == NULL && err.status == EXIT_USAGE
              && contains(&err, "FOLIO_ISA sse9"),
          "unknown FOLIO_ISA: %s", err.msg);
    setenv("FOLIO_ISA", "", 1);
    CHECK(kernels_pick(NULL, &err) == fastest, "an empty FOLIO_ISA does not count");
    unsetenv("FOLIO_ISA");

    kernels_built(names, sizeof names);
    FILE *f = tmpfile();
    CHECK(f != NULL, "no temporary file");
    if (f == NULL) return;
    kernels_list("list", f);
    for (int i = 0; kernels_usable(i) != NULL; i++) {
        bool listed = false;
        rewind(f);
        while (fgets(line, sizeof line, f) != NULL)
            listed |= strncmp(line, kernels_usable(i)->name, strlen(kernels_usable(i)->name)) == 0
                   && strstr(line, "usable") != NULL && strstr(line, "not usable") == NULL;
        CHECK(listed && strstr(names, kernels_usable(i)->name) != NULL, "%s is listed",
              kernels_usable(i)->name);
    }
    fclose(f);
    memset(names, 'x', sizeof names);
    kernels_built(names, 3);
    CHECK(strlen(names) == 2 && names[3] == 'x', "kernels_built writes no more than it may");
}

int main(int argc, char **argv)
{
    bool bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    Lab lab;
    Products products;
    if (lab_open(&lab) || products_open(&products)) {
        printf("test_kernels: not enough memory\n");
        return 1;
    }
    const Kernels *K;
    for (int i = 0; (K = kernels_usable(i)) != NULL; i++) {
        for (size_t t = 0; t < sizeof tests / sizeof tests[0]; t++)
            each_kernel(&lab, K, &tests[t], bench);
        if (bench) {
            bench_products(&products, K);
            continue;
        }
        check_gemv(K);
        check_products(&products, K);
        check_pairs(K);
        check_accuracy(K);
        check_far_gates(K);
        check_normal(K);
        check_far_gelu(K);
        check_signed_zero(K);
        check_large_scores(K);
        check_dropout(K);
    }
    if (!bench) check_pick();
    lab_close(&lab);
    products_close(&products);
    return bench ? 0 : check_report("kernels");
}
