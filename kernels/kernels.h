/* kernels.h: the contract between the model and the instruction sets.
 *
 * A Kernels table is everything that is worth writing once per instruction set. kernels.c knows
 * which tables exist and picks one; gemm.c builds matrix products from a table's packing and tile;
 * body.h holds every kernel, written once over a small vector vocabulary that each table's file
 * supplies.
 *
 *     const Kernels *K = kernels_pick(NULL, &err);              the fastest that this machine runs
 *     gemm(&g, y, O, view(x, N, I), transposed(view(w, O, I)), false);    y (N,O) = x (N,I) w^T
 *
 * Same bytes: the value of every output follows from the inputs and sizes alone, never from how
 * the caller cuts rows into slices or among threads. Sums over rows are one chain in their order.
 * Arrays need no alignment; outputs do not overlap inputs unless a comment says so.
 */
#ifndef KERNELS_H
#define KERNELS_H

#include "../base.h"

/* What dropout does: keep an element with probability 1 - p and scale it by 1 / (1 - p). */
typedef struct {
    uint32_t threshold;     /* p 2^32: an element with a draw below it is dropped; 0: no dropout */
    real scale;             /* 1 / (1 - p) */
} Dropout;

/* One AdamW step (Loshchilov and Hutter 2019), g the gradient times `grad_scale`:
 *     m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
 *     w <- w (1 - lr decay) - lr / correction1 * m / (sqrt(v) / sqrt_correction2 + eps)
 * with correction_i = 1 - beta_i^step. */
typedef struct {
    real lr, beta1, beta2, eps, decay, correction1, sqrt_correction2, grad_scale;
} AdamW;

typedef struct Kernels {
    const char *name;       /* NULL: this build lacks the table */

    /* Matrix product: one tile is mr x nr outputs. Packing belongs to the table, so that the driver
     * never sees the format: `packed` bytes per element, k-major panels of mr rows or nr columns,
     * one after the other. */
    int mr, nr;
    size_t packed;
    /* dst = panels (k, mr) of src (m, k), padded with zero rows to a multiple of mr; element (i, j)
     * of src at src[i rs + j cs]. */
    void (*pack_rows)(void *dst, const real *src, ptrdiff_t rs, ptrdiff_t cs, int m, int k);
    /* dst = panels (k, nr) of src (k, n), padded with zero columns to a multiple of nr; element
     * (i, j) of src at src[i rs + j cs]. */
    void (*pack_cols)(void *dst, const real *src, ptrdiff_t rs, ptrdiff_t cs, int k, int n);
    /* c (mr, nr) = [c +] sum over k of a (mr, k) x b (k, nr), one chain in the order of k.
     * a is a packed panel (rs 1, cs mr), or unpacked rows: element (i, p) at a[i rs + p cs];
     * b is packed. */
    void (*tile)(real *c, ptrdiff_t ldc, const void *a, ptrdiff_t rs, ptrdiff_t cs, const void *b,
                 int k, bool add);

    /* y (vectors, rows) = x (vectors, n) w (rows, n)^T: one token, or several while the rows of
     * weights stay in the cache; ldy and ld: distance between rows of y and w. An output does not
     * depend on how many others there are. */
    void (*gemv)(real *y, ptrdiff_t ldy, const real *w, ptrdiff_t ld, const real *x, int rows,
                 int n, int vectors);
    /* y (n) = sum over r of p_r v (r, n): a weighted sum of rows. */
    void (*weighted_rows)(real *y, const real *p, const real *v, ptrdiff_t ld, int rows, int n);

    /* y += x */
    void (*add)(real *y, const real *x, int n);
    /* y = a x + b z; y may be x or z. */
    void (*blend)(real *y, real a, const real *x, real b, const real *z, int n);
    /* sum (n) += sum over r of x (r, n)          sum (n) += sum over r of x (r, n) * y (r, n) */
    void (*sum_rows)(real *sum, const real *x, ptrdiff_t ld, int rows, int n);
    void (*sum_rows_product)(real *sum, const real *x, const real *y, ptrdiff_t ld, int rows,
                             int n);
    /* Returns the sum of squares of x. */
    double (*sum_squares)(const real *x, int n);

    /* xhat = (x - mean) rstd,  y = xhat w + b  (b may be NULL);
     * returns rstd = 1 / sqrt(variance + eps) */
    real (*layernorm)(real *y, real *xhat, const real *x, const real *w, const real *b, int n,
                      real eps);
    /* dx += rstd (d - mean(d) - xhat mean(d xhat))  with  d = dy w */
    void (*layernorm_back)(real *dx, const real *dy, const real *xhat, const real *w, real rstd,
                           int n);

    /* xhat = x rstd,  y = xhat w;  returns rstd = 1 / sqrt(mean(x^2) + eps). y may be x. */
    real (*rmsnorm)(real *y, real *xhat, const real *x, const real *w, int n, real eps);
    /* dx += rstd (d - xhat mean(d xhat))  with  d = dy w */
    void (*rmsnorm_back)(real *dx, const real *dy, const real *xhat, const real *w, real rstd,
                         int n);

    /* Rotates the pairs (x_j, x_{j+n/2}) by the angles whose cosines and sines are given (n/2), in
     * place; `back` by the opposite angles. n even. */
    void (*rotate)(real *x, const real *cosine, const real *sine, int n, bool back);

    /* y = silu(gate) up,  silu(x) = x / (1 + e^-x) */
    void (*swiglu)(real *y, const real *gate, const real *up, int n);
    /* dgate = dy up silu'(gate),  dup = dy silu(gate) */
    void (*swiglu_back)(real *dgate, real *dup, const real *dy, const real *gate, const real *up,
                        int n);

    /* y = tanh(a) sigmoid(b), x (2n) = a, b           dx (2n) from dy */
    void (*gated)(real *y, const real *x, int n);
    void (*gated_back)(real *dx, const real *dy, const real *x, int n);

    /* The cell of an LSTM: z (4n) = i, f, g, o before and after sigmoid, sigmoid, tanh, sigmoid;
     * c = f before + i g,  h = o tanh(c) */
    void (*lstm)(real *h, real *c, real *z, const real *before, int n);
    /* z (4n): i, f, g, o, then the gradient of what they were before; dc: the gradient of c by way
     * of what is later, then that of `before`. */
    void (*lstm_back)(real *z, real *dc, const real *dh, const real *c, const real *before, int n);

    /* y = gelu(x) = x cdf(x), cdf of the standard normal; or its tanh form; y may be x.
     * dx = dy gelu'(x); dx may be dy. */
    void (*gelu)(real *y, const real *x, int n, bool tanh_form);
    void (*gelu_back)(real *dx, const real *dy, const real *x, int n, bool tanh_form);

    /* p = softmax(scale s); returns log sum exp(scale s). p may be s. */
    real (*softmax)(real *p, const real *s, int n, real scale);
    /* p = exp(scale s - lse): the same probabilities again, from the returned value. p may be s. */
    void (*softmax_again)(real *p, const real *s, int n, real scale, real lse);
    /* ds = scale p (dp - sum p dp). ds may be dp. */
    void (*softmax_back)(real *ds, const real *dp, const real *p, int n, real scale);

    /* y_i = keep_i scale x_i, keep_i drawn from (row_key, i). y may be x. Backward is the same
     * function as forward. */
    void (*dropout)(real *y, const real *x, int n, uint64_t row_key, Dropout d);

    void (*adamw)(real *w, real *m, real *v, const real *g, int n, AdamW a);
} Kernels;

/* The table named `want`; NULL: the one named by FOLIO_ISA, else the fastest usable one.
 * EXIT_USAGE. */
const Kernels *kernels_pick(const char *want, Err *err);
/* Table number i of those that this machine can run, fastest first; NULL after the last. */
const Kernels *kernels_usable(int i);
/* Names of the tables of this build, separated by spaces (for --version). */
void kernels_built(char *out, size_t room);
/* Answers --isa list: if want is "list", prints one line per table: its name and whether this
 * machine runs it. Returns whether want is "list". */
bool kernels_list(const char *want, FILE *f);

/* ---------------------------------------------------------------- matrix products (gemm.c) */

/* A matrix in memory: element (i, j) at at[i rs + j cs]. */
typedef struct {
    const real *at;
    int rows, cols;
    ptrdiff_t rs, cs;
} View;

static inline View view_ld(const real *at, int rows, int cols, ptrdiff_t ld)
{
    return (View){ at, rows, cols, ld, 1 };
}

static inline View view(const real *at, int rows, int cols)
{
    return view_ld(at, rows, cols, cols);
}

static inline View transposed(View v) { return (View){ v.at, v.cols, v.rows, v.cs, v.rs }; }

/* A table and the memory in which its operands are packed. */
typedef struct {
    const Kernels *K;
    int threads;
    char *cols;             /* one block of the right operand, shared */
    char *rows;             /* one block of the left operand for each thread */
    size_t rows_bytes;      /* of one thread's */
} Gemm;

void gemm_layout(Gemm *g, Arena *a, const Kernels *K, int threads);

/* c (M,N) = [c +] a (M,K) b (K,N); all threads.
 * Every element of c is one chain in the order of K. */
void gemm(const Gemm *g, real *c, ptrdiff_t ldc, View a, View b, bool add);

/* c (M,M) = a (M,K) a^T: half of it is computed, the other half is its mirror image. */
void gemm_square(const Gemm *g, real *c, View a);

/* A right operand packed once and used often, by one thread. Its first k rows and first n columns
 * are a right operand too: attention's causal prefixes. */
typedef struct {
    char *panels;
    size_t stride;          /* bytes from one panel of nr columns to the next */
} Packed;

size_t packed_bytes(const Kernels *K, int k, int n);
Packed gemm_pack(const Kernels *K, char *memory, View b);

/* What a product may leave out, by tiles: in attention, because no query looks at a later key;
 * in a symmetric product, one half. */
typedef struct {
    enum {
        CAUSAL_NONE,
        CAUSAL_OUTPUT,      /* c (i, j) is not needed where j > i + diagonal, and may stay as is */
        CAUSAL_LOWER,       /* a (i, p) is zero where p > i + diagonal; diagonal >= 0, or `add` */
        CAUSAL_UPPER        /* a (i, p) is zero where p < i + diagonal; only with `add` */
    } part;
    int diagonal;
} Causal;

/* c (M,N) = [c +] a (M,K) b (K,N), N <= n and K <= k of `b`; one thread, the calling one. */
void gemm_packed(const Gemm *g, real *c, ptrdiff_t ldc, View a, Packed b, int n, Causal causal,
                 bool add);

/* A matrix with fewer than 2^31 - 1 rows after rounding up to a multiple. */
static inline int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

#endif
