/* layers.c: the layers that several networks share. */
#include "layers.h"
#include "ngram.h"

/* ---------------------------------------------------------------- rows of symbols
 * y = w[id]               dw[id] += dy
 * y = w[0] + z w[1]       dw[0] += dy,  dw[1] += z dy             of a number z */

static bool has_numbers(const Model *m) { return m->numbers.scale > 0; }

void symbol_set(const Model *m, real *y, const real *w, size_t step, int32_t id, int n)
{
    if (has_numbers(m)) m->gemm.K->blend(y, 1, w, (real)number_standard(id), w + step, n);
    else memcpy(y, w + (size_t)id * step, (size_t)n * sizeof *y);
}

void symbol_add(const Model *m, real *y, const real *w, size_t step, int32_t id, int n)
{
    bool numbers = has_numbers(m);
    m->gemm.K->add(y, numbers ? w : w + (size_t)id * step, n);
    if (numbers) m->gemm.K->blend(y, 1, y, (real)number_standard(id), w + step, n);
}

void symbol_backward(const Model *m, real *dw, const real *dy, size_t step, int32_t id, int n)
{
    bool numbers = has_numbers(m);
    m->gemm.K->add(numbers ? dw : dw + (size_t)id * step, dy, n);
    dw += step;
    if (numbers) m->gemm.K->blend(dw, 1, dw, (real)number_standard(id), dy, n);
}

void embedding_forward(const Model *m, real *x, const real *w, const int32_t *ids, int N, int C)
{
    OMP(parallel for schedule(static))
    for (int r = 0; r < N; r++) symbol_set(m, x + (size_t)r * (size_t)C, w, (size_t)C, ids[r], C);
    profile_mark(m->profile, PHASE_EMBEDDING);
}

void embedding_backward(const Model *m, real *dw, const real *dx, const int32_t *ids, int N, int C)
{
    OMP(parallel for schedule(static))
    for (int j = 0; j < C; j += COLUMNS)
        for (int r = 0; r < N; r++)
            symbol_backward(m, dw + j, dx + (size_t)r * (size_t)C + j, (size_t)C, ids[r],
                            min_dim(COLUMNS, C - j));
    profile_mark(m->profile, PHASE_EMBEDDING);
}

/* ---------------------------------------------------------------- linear
 * y (N,O) = x (N,I) w^T + b     w is (O,I), b is (O)
 * dx = dy w      dw += dy^T x      db += column sums of dy */

void linear_forward(const Model *m, real *y, const real *x, const real *w, const real *b, int N,
                    int I, int O)
{
    gemm(&m->gemm, y, O, view(x, N, I), transposed(view(w, O, I)), false);
    if (b != NULL) {
        OMP(parallel for schedule(static))
        for (int r = 0; r < N; r++)
            m->gemm.K->add(y + (size_t)r * (size_t)O, b, O);
    }
    profile_mark(m->profile, PHASE_LINEAR);
}

void sum_columns(const Model *m, real *db, const real *dy, size_t ld, int N, int O)
{
    OMP(parallel for schedule(static))
    for (int j = 0; j < O; j += COLUMNS)
        m->gemm.K->sum_rows(db + j, dy + j, ld, N, min_dim(COLUMNS, O - j));
}

void linear_backward(const Model *m, real *dx, real *dw, real *db, const real *dy, const real *x,
                     const real *w, int N, int I, int O)
{
    if (dx != NULL) gemm(&m->gemm, dx, I, view(dy, N, O), view(w, O, I), false);
    gemm(&m->gemm, dw, I, transposed(view(dy, N, O)), view(x, N, I), true);
    if (db != NULL) sum_columns(m, db, dy, (size_t)O, N, O);
    profile_mark(m->profile, PHASE_LINEAR);
}

void linear_streams(const Model *m, real *y, const real *x, const real *w, const real *b, int N,
                    int I, int O)
{
    int parts = m->gemm.threads;
    OMP(parallel for schedule(static) num_threads(parts)
        if ((size_t)N * (size_t)I * (size_t)O >= SERIAL))
    for (int part = 0; part < parts; part++) {
        int o = part * O / parts, end = (part + 1) * O / parts;
        m->gemm.K->gemv(y + o, O, w + (size_t)o * (size_t)I, I, x, end - o, I, N);
    }
    for (int r = 0; r < N && b != NULL; r++)
        m->gemm.K->add(y + (size_t)r * (size_t)O, b, O);
}

/* ---------------------------------------------------------------- pairs
 * y_t (V) += sum over u <= t of w_{t,u}[x_u]
 * dw_{t,u}[x_u] += dy_t: a u has a block of dw to itself, so threads share those */

size_t pairs_at(const Model *m, int u)
{
    size_t V = (size_t)m->vocab, d = (size_t)m->context, before = (size_t)u;
    size_t earlier = before * d - before * (before - 1) / 2;    /* d + (d-1) + .. of the blocks */
    return earlier * V * V;
}

size_t pairs_step(const Model *m, int u)
{
    return (size_t)(m->context - u) * (size_t)m->vocab;
}

void pairs_forward(const Model *m, real *y, const real *w, const int32_t *ids, int n, int T)
{
    int V = m->vocab;
    OMP(parallel for schedule(static))
    for (int i = 0; i < n; i++)
        for (int u = 0; u < T; u++) {
            size_t r = (size_t)i * (size_t)T + (size_t)u;
            symbol_add(m, y + r * (size_t)V, w + pairs_at(m, u), pairs_step(m, u), ids[r],
                       (T - u) * V);
        }
    profile_mark(m->profile, PHASE_EMBEDDING);
}

void pairs_backward(const Model *m, real *dw, const real *dy, const int32_t *ids, int n, int T)
{
    int V = m->vocab;
    OMP(parallel for schedule(static, 1))
    for (int u = 0; u < T; u++)
        for (int i = 0; i < n; i++) {
            size_t r = (size_t)i * (size_t)T + (size_t)u;
            symbol_backward(m, dw + pairs_at(m, u), dy + r * (size_t)V, pairs_step(m, u), ids[r],
                            (T - u) * V);
        }
    profile_mark(m->profile, PHASE_EMBEDDING);
}

/* ---------------------------------------------------------------- cross-entropy
 * loss_r = log sum exp(logits_r) - logits_r[target_r],   p = softmax(logits), in place
 * dlogits = scale (p - onehot(target)), in place; 0 where the target does not count
 *
 * Of numbers, where z is the target, a and b the outputs, l(b) the log deviation (numbers.h) and
 * e = (a - z) / exp(l):
 *     loss = e^2 / 2 + l + log(2 pi) / 2 + log(scale),   da = e / exp(l),   db = (1 - e^2) l'(b)
 * and da, db, all but their scale, are what stays in place of probabilities. */

static void gaussian_forward(const Model *m, real *losses, real *p, const int32_t *targets,
                             int rows)
{
    const Numbers *n = &m->numbers;
    const double constant = 0.91893853320467274 + log(n->scale);
    OMP(parallel for schedule(static))
    for (int r = 0; r < rows; r++) {
        real *row = p + (size_t)r * NUMBER_OUTPUTS;
        double l = number_log_deviation(n, (double)row[1]), deviation = exp(l);
        double e = ((double)row[0] - number_standard(targets[r])) / deviation;
        double slope = number_log_slope(n, l);
        losses[r] = targets[r] <= 0 ? 0 : (real)(0.5 * e * e + l + constant);
        row[0] = (real)(e / deviation);
        row[1] = (real)((1 - e * e) * slope);
    }
}

void cross_entropy_forward(const Model *m, real *losses, real *p, const int32_t *targets, int rows)
{
    size_t V = (size_t)m->vocab;
    if (has_numbers(m)) {
        gaussian_forward(m, losses, p, targets, rows);
        return;
    }
    OMP(parallel for schedule(static))
    for (int r = 0; r < rows; r++) {
        real *row = p + (size_t)r * V, wanted = targets[r] < 0 ? 0 : row[targets[r]];
        real all = m->gemm.K->softmax(row, row, (int)V, 1);
        losses[r] = targets[r] < 0 ? 0 : all - wanted;
    }
    profile_mark(m->profile, PHASE_LOSS);
}

/* Takes the mixed target of a place off its probabilities. */
static void subtract_taught(const Model *m, real *row, const int32_t *target)
{
    const Slice *s = m->at;
    const Teacher *t = m->teacher;
    ptrdiff_t place = target - s->y;
    double *q = t->q + (ptrdiff_t)omp_get_thread_num() * m->vocab;
    ngram_teach(t->counts, s->x + place + 1, (int)(place % s->T) + 1, *target, q);
    for (int v = 0; v < m->vocab; v++) row[v] -= (real)(t->share * q[v]);
    row[*target] -= (real)(1 - t->share);
}

void cross_entropy_backward(const Model *m, real *d, const int32_t *targets, int rows, real scale)
{
    bool numbers = has_numbers(m);
    size_t V = (size_t)m->vocab;
    OMP(parallel for schedule(static))
    for (int r = 0; r < rows; r++) {
        real *row = d + (size_t)r * V;
        if (targets[r] < 0 || (numbers && targets[r] == 0)) {
            memset(row, 0, V * sizeof *row);
            continue;
        }
        if (m->teacher != NULL) subtract_taught(m, row, targets + r);
        else if (!numbers) row[targets[r]] -= 1;
        for (size_t i = 0; i < V; i++) row[i] *= scale;
    }
    profile_mark(m->profile, PHASE_LOSS);
}

/* ---------------------------------------------------------------- head */

enum {
    LOGITS = 1 << 20,       /* elements of the logits at once, */
    LEAST_ROWS = 48         /* but so many rows at least: a multiple of every table's tile */
};

int head_rows(int N, int V)
{
    int rows = LOGITS / V;
    return min_dim(N, rows < LEAST_ROWS ? LEAST_ROWS : rows);
}

/* A block of rows at a time. dfinal NULL: no gradients. */
static void head_loss(const Model *m, const Head *h, real *nats, real *dfinal, const real *final,
                      const int32_t *y, int N, real scale)
{
    int I = h->I, V = m->vocab, step = head_rows(N, V);
    for (int r = 0; r < N; r += step) {
        int rows = min_dim(step, N - r);
        const real *in = final + (size_t)r * (size_t)I;
        linear_forward(m, h->logits, in, h->w, h->b, rows, I, V);
        cross_entropy_forward(m, nats + r, h->logits, y + r, rows);
        if (dfinal == NULL) continue;
        cross_entropy_backward(m, h->logits, y + r, rows, scale);
        linear_backward(m, dfinal + (size_t)r * (size_t)I, h->dw, h->db, h->logits, in, h->w, rows,
                        I, V);
    }
}

void head_losses(const Model *m, const Head *h, real *nats, const real *final, const int32_t *y,
                 int N)
{
    head_loss(m, h, nats, NULL, final, y, N, 0);
}

void head_gradients(const Model *m, const Head *h, real *nats, real *dfinal, const real *final,
                    const int32_t *y, int N, real scale)
{
    head_loss(m, h, nats, dfinal, final, y, N, scale);
}

real slice_scale(const Slice *s) { return (real)(1.0 / (double)s->targets); }

/* ---------------------------------------------------------------- dropout
 * y = x / (1 - p), or 0 with probability p (Srivastava et al. 2014) */

Dropout dropout_of(double p)
{
    return p > 0 ? (Dropout){ (uint32_t)(p * 4294967296.0), (real)(1 / (1 - p)) }
                 : (Dropout){ 0, 1 };
}

void dropout_rows(const Model *m, Dropout d, uint64_t key, size_t first, real *y, const real *x,
                  int rows, int C)
{
    if (d.threshold == 0) return;
    OMP(parallel for schedule(static))
    for (int r = 0; r < rows; r++)
        m->gemm.K->dropout(y + (size_t)r * (size_t)C, x + (size_t)r * (size_t)C, C,
                           rng_bits(key, first + (size_t)r), d);
}
