/* layers.h: the layers that several networks share, forward and backward as pairs.
 *
 * Owns: rows of symbols or numbers, the linear layer, sums of pairs, the head with its
 * cross-entropy, dropout of rows; their formulas stand above the pairs in layers.c. One rule for
 * gradients: those of parameters accumulate, those of inputs are overwritten. Rows are independent,
 * so threads share them; a sum over rows is one chain in the order of the rows, so threads share
 * its columns instead. Each charges its time to m->profile. The letters are those of model.h.
 *
 *     linear_forward (m, y, x, w, b, N, I, O);
 *     head_gradients (m, &head, nats, dfinal, final, targets, N, slice_scale(s));
 *     linear_backward(m, dx, dw, db, dy, x, w, N, I, O);
 */
#ifndef LAYERS_H
#define LAYERS_H

#include "network.h"

enum {
    COLUMNS = 64,           /* a thread's share when columns are summed over rows */
    SERIAL = 1 << 15        /* fewer multiply-adds are not worth waking the threads for */
};

static inline int min_dim(int a, int b) { return a < b ? a : b; }

/* What the first layer reads of an id: the row w[id] (n) of a symbol; of a number z the sum
 * w[0] + z w[1] (numbers.h). Rows begin `step` apart. y (n) = that, or += it; dw += the gradient
 * dy (n). */
void symbol_set(const Model *m, real *y, const real *w, size_t step, int32_t id, int n);
void symbol_add(const Model *m, real *y, const real *w, size_t step, int32_t id, int n);
void symbol_backward(const Model *m, real *dw, const real *dy, size_t step, int32_t id, int n);

/* x (N,C) = the rows of ids (N), w (V,C) */
void embedding_forward(const Model *m, real *x, const real *w, const int32_t *ids, int N, int C);
void embedding_backward(const Model *m, real *dw, const real *dx, const int32_t *ids, int N, int C);

/* y (N,O) = x (N,I) w^T + b, w (O,I), b (O) or NULL */
void linear_forward(const Model *m, real *y, const real *x, const real *w, const real *b, int N,
                    int I, int O);
/* dx (N,I) and dw (O,I), db (O); dx and db may be NULL */
void linear_backward(const Model *m, real *dx, real *dw, real *db, const real *dy, const real *x,
                     const real *w, int N, int I, int O);
/* linear_forward for the few rows of a decoder */
void linear_streams(const Model *m, real *y, const real *x, const real *w, const real *b, int N,
                    int I, int O);
/* db (O) += column sums of dy (N,O), whose rows are ld apart */
void sum_columns(const Model *m, real *db, const real *dy, size_t ld, int N, int O);

/* Weights of pairs of positions, (pairs_rows,V) with V the vocabulary: a block for each u < d, the
 * context; in it a row (d-u,V) for each symbol, which serves all positions t >= u. */
static inline double pairs_rows(double d, double V) { return d * (d + 1) / 2 * V; }
/* Where w has position u, and how far its rows are apart. */
size_t pairs_at(const Model *m, int u);
size_t pairs_step(const Model *m, int u);
/* y (n,T,V) += the sums over the symbols ids (n,T) */
void pairs_forward(const Model *m, real *y, const real *w, const int32_t *ids, int n, int T);
void pairs_backward(const Model *m, real *dw, const real *dy, const int32_t *ids, int n, int T);

/* losses (rows) of logits (rows,V), which become probabilities; a target below 0 costs nothing.
 * Of numbers minus the log of the density of the target, in units of the text, under a Gaussian
 * whose mean and log deviation are the logits (rows,2); a separator costs nothing either. */
void cross_entropy_forward(const Model *m, real *losses, real *p, const int32_t *targets, int rows);
/* The gradient of scale times the sum of losses, in place of the probabilities. */
void cross_entropy_backward(const Model *m, real *d, const int32_t *targets, int rows, real scale);

/* The last layer: logits = final w^T + b. */
typedef struct {
    const real *w, *b;      /* (V,I), (V); b may be NULL */
    real *dw, *db;          /* their gradients */
    real *logits;           /* (head_rows,V) */
    int I;
} Head;

/* Rows of logits at once, of N: a large V takes no more memory. */
int head_rows(int N, int V);
/* nats (N) of final (N,I) */
void head_losses(const Model *m, const Head *h, real *nats, const real *final, const int32_t *y,
                 int N);
/* The same, and d(scale times their sum): dfinal (N,I), h->dw, h->db. */
void head_gradients(const Model *m, const Head *h, real *nats, real *dfinal, const real *final,
                    const int32_t *y, int N, real scale);

/* 1 / (targets of the batch): what each loss counts in the mean. */
real slice_scale(const Slice *s);

/* The share p of what dropout leaves out, as the kernels want it. */
Dropout dropout_of(double p);
/* y (rows,C) = dropout(x), y may be x; the numbers follow from the key and from first + r. Nothing
 * without dropout. */
void dropout_rows(const Model *m, Dropout d, uint64_t key, size_t first, real *y, const real *x,
                  int rows, int C);

#endif
