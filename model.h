/* model.h: the GPT decoder in one file.
 *
 * A text x_1 .. x_n is modelled by the chain rule, p(x) = prod_t p(x_t | x_1 .. x_{t-1}), and one network, a decoder-only
 * Transformer (Vaswani et al. 2017; Radford et al. 2019), computes every conditional. Training maximises the log-likelihood:
 * the loss is -log p of each character, in nats, averaged. Sampling draws one character at a time.
 *
 * Owns: each layer forward and backward, the loss, decoding with a cache; config.h beside it has the sizes and the tensors.
 * Define MODEL_IMPLEMENTATION in exactly one file of a program before including it.
 *
 *     Model m;                                                     allocates everything; nothing later does
 *     model_open(&m, &config, kernels, MODEL_TRAIN, slice, &err);
 *     model_init(&m, seed);
 *     model_zero_grads(&m);                                        one step:
 *     for (each slice s of the batch) model_train_slice(&m, &s, &loss_sum);
 *     model_finish_grads(&m);                                      now m.grads is d(mean loss) / d(m.params)
 *
 *     Decoder d;                                                   one character at a time:
 *     decoder_open(&d, &m, 1, &err);
 *     const real *logits = decoder_step(&d, &id);                  p(next) = softmax(logits)
 *
 * Dimension letters, the same everywhere; every pointer's comment ends with its shape:
 *     B sequences of a batch     n sequences of a slice     T positions     N = n T rows     V symbols
 *     L blocks     C channels     H heads of size D     A = H D     F width of the MLP     G = F, or 2 F with a gate
 */
#ifndef MODEL_H
#define MODEL_H

#include "base.h"
#include "config.h"
#include "kernels/kernels.h"
#include "system/profile.h"

typedef struct {            /* what a layer norm's backward needs */
    real *xhat;             /* (N,C) */
    real *rstd;             /* (N) */
} Normed;

typedef struct {            /* what a block's backward needs */
    Normed ln1, ln2;
    real *n1, *n2;          /* (N,C) outputs of the norms */
    real *qkv;              /* (N,3A) */
    Normed qk;              /* (N,2A), (N,2H): queries and keys before their weight and rotation */
    real *lse;              /* (n,H,T) log sum exp of the scores of each row */
    real *att;              /* (N,A) heads' outputs */
    real *pre;              /* (N,G) before GELU; gate and up */
    real *hid;              /* (N,F) after GELU or SwiGLU */
} BlockActs;

typedef struct {            /* one thread's memory for attention */
    char *kt, *v, *vt, *k;  /* packed K^T (D,T), V (T,D), V^T (D,T), K (T,D) */
    char *block;            /* packed rows of a block of queries (QUERIES,D) */
    real *p, *pd, *dp;      /* (QUERIES,T) probabilities, after dropout, gradient */
    real *row;              /* (D) */
} HeadSpace;

typedef struct {
    BlockActs *blocks;      /* (L); all the same memory if nothing goes backward */
    Normed lnf;
    real *res;              /* (N,C) the residual stream */
    real *branch;           /* (N,C) what a branch adds to it */
    real *final;            /* (N,C) output of the last norm */
    real *logits;           /* (head_rows,V) */
    real *losses;           /* (N) */
    real *dres, *dx;        /* (N,C) gradients */
    real *datt, *dqkv;      /* (N,A), (N,3A) */
    real *dhid, *dpre;      /* (N,F), (N,G) */
    HeadSpace *heads;       /* (threads) */
} Acts;

typedef enum { MODEL_EVAL, MODEL_TRAIN } ModelUse;

typedef struct {
    Config config;
    ModelUse use;
    int slice;              /* sequences of `context` characters worked on at once */
    Gemm gemm;
    Tensor *tensors;
    int tensor_count;
    size_t size;            /* elements of params and of grads */
    real *params, *grads;
    real *dwte_input;       /* (V,C) gradient of wte as the input; joined with the head's part at the end of a step */
    Weights w, g;
    real *cosine, *sine;    /* (context,D/2) of the rotary angles */
    Acts acts;
    Profile *profile;       /* NULL, or what the layers charge their time to */
    Arena weights, training, activations;
} Model;

/* Sequences to work on at once: as many as the last-level cache holds, but not fewer than make a matrix
 * product efficient, nor more than the batch. Results do not depend on it. */
int model_slice(const Config *c, size_t cache_bytes, int batch);
/* Bytes that model_open would take (gradients included for MODEL_TRAIN). */
size_t model_bytes(const Config *c, const Kernels *K, ModelUse use, int slice);

int model_open(Model *m, const Config *c, const Kernels *K, ModelUse use, int slice, Err *err);
void model_close(Model *m);

/* gpt2: normal 0.02; the matrices whose outputs are summed into the residual stream 0.02 / sqrt(2 L); norms one, biases zero.
 * qwen3: those matrices zero, the others normal 0.5 / sqrt(inputs); embedding and head normal 0.02; norms one. */
void model_init(Model *m, uint64_t seed);

/* Lets the model compute with another flat array of the same layout: an average of the weights, or m->params again. */
void model_use(Model *m, real *flat);

typedef struct {
    const int32_t *x, *y;   /* (n,T) characters and the ones that follow them */
    int n, T;               /* n <= m->slice, T <= context */
    int first;              /* index of the first sequence within the batch */
    int batch;              /* B */
    uint64_t dropout_key;   /* of the step */
} Slice;

void model_zero_grads(Model *m);
/* Adds the sum of the slice's losses to *sum and d(sum / (B T)) to m->grads. */
void model_train_slice(Model *m, const Slice *s, double *sum);
void model_finish_grads(Model *m);

/* losses (n,T) = -log p(y | x up to there), nats; no dropout. */
void model_losses(Model *m, const int32_t *x, const int32_t *y, int n, int T, real *losses);
/* logits (T,V) of one sequence. */
void model_logits(Model *m, const int32_t *x, int T, real *logits);

/* Several texts of equal length, decoded together so that the weights are read once for all of them. What a stream gives
 * does not depend, to the last bit, on the others. */
typedef struct {
    Model *m;
    int n;                  /* streams; the caller may lower it, and raise it again to what the decoder was opened for */
    int rows;               /* characters that can be fed together, of all streams: R below */
    int pos;                /* characters that each has seen since the start of the context */
    int32_t *ids;           /* (n,context) those characters */
    real *k, *v;            /* (n,L,H,context,D) */
    real *x, *norm;         /* (R,C) */
    real *xhat;             /* (C) */
    real *qk, *rstd;        /* (R,2A), (R,2H) */
    real *qkv, *att;        /* (R,3A), (R,A) */
    real *pre, *hid;        /* (R,G), (R,F) */
    real *scores;           /* (n,H,context) */
    real *logits;           /* (n,V) */
    Arena arena;
} Decoder;

size_t decoder_bytes(Model *m, int streams);
int decoder_open(Decoder *d, Model *m, int streams, Err *err);
void decoder_close(Decoder *d);
void decoder_reset(Decoder *d);
/* Feeds one character to each stream, ids (n); returns the logits (n,V) of the next ones. When the context is full, its last
 * half is kept and re-encoded from position 0. Equals the full forward within 1e-4. */
const real *decoder_step(Decoder *d, const int32_t *ids);
/* Makes stream `to` equal to stream `from`, logits included. */
void decoder_copy(Decoder *d, int to, int from);

#endif

#ifdef MODEL_IMPLEMENTATION

/* ================================================================ parameters */

/* Points the fields of w at their tensors within a flat array. */
static void tensors_bind(const Model *m, Weights *w, real *flat)
{
    for (const Tensor *t = m->tensors; t < m->tensors + m->tensor_count; t++) {
        if (t->field == JOINED) continue;
        char *owner = t->block < 0 ? (char *)w : (char *)&w->blocks[t->block];
        *(real **)(void *)(owner + t->field) = flat + t->offset;
    }
    if (!m->config.untied) w->head = w->wte;
}

void model_use(Model *m, real *flat) { tensors_bind(m, &m->w, flat); }

void model_init(Model *m, uint64_t seed)
{
    uint64_t key = rng_key(seed, 0, 0, RNG_INIT);
    for (const Tensor *t = m->tensors; t < m->tensors + m->tensor_count; t++)
        for (size_t i = t->offset; i < t->offset + tensor_size(t); i++)
            m->params[i] = t->start + (t->deviation > 0 ? (real)(t->deviation * rng_normal(key, i)) : 0);
}

/* ================================================================ layers
 *
 * Each is a forward and a backward function, one below the other; the formulas stand above the pair.
 * One rule for gradients: those of parameters accumulate, those of inputs are overwritten, except on the residual
 * stream `dres`, which accumulates. Rows are independent, so threads share them; a sum over rows is one
 * chain in the order of the rows, so threads share its columns instead. Each charges its time to s->profile. */

typedef struct {            /* what every layer of one pass needs to know */
    const Config *c;
    const Gemm *g;
    const Kernels *K;
    int n, T, N;
    int first;              /* index of the slice's first sequence within the batch */
    uint64_t key;           /* of dropout */
    Dropout dropout;
    HeadSpace *heads;
    const real *cosine, *sine;
    Profile *profile;
} Pass;

enum { SITE_EMBEDDING, SITE_ATTENTION, SITE_PROJECTION, SITE_MLP, SITES };

/* The key of one row's dropout: a function of the step, the place in the network and the row within the batch. */
static uint64_t dropout_key(const Pass *s, int layer, int site, size_t row)
{
    return rng_bits(rng_bits(s->key, (uint64_t)(layer * SITES + site)), row);
}

static void dropout_rows(const Pass *s, real *y, const real *x /* (N,C); may be y */, int layer, int site)
{
    size_t first = (size_t)s->first * (size_t)s->T, C = (size_t)s->c->channels;
    if (s->dropout.threshold == 0) return;
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++)
        s->K->dropout(y + (size_t)r * C, x + (size_t)r * C, (int)C, dropout_key(s, layer, site, first + (size_t)r), s->dropout);
}

enum { COLUMNS = 64 };      /* a thread's share when columns are summed over rows */

static int min_dim(int a, int b) { return a < b ? a : b; }

/* ---------------------------------------------------------------- embedding
 * res_r = dropout(wte[id_r] + wpe[t_r]);  qwen3: res_r = wte[id_r]
 * dwte[id_r] += dropout(dres_r),  dwpe[t_r] += dropout(dres_r) */

static void embedding_forward(const Pass *s, real *res /* (N,C) */, const int32_t *ids /* (N) */,
                              const real *wte /* (V,C) */, const real *wpe /* (context,C) */)
{
    size_t C = (size_t)s->c->channels;
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++) {
        memcpy(res + (size_t)r * C, wte + (size_t)ids[r] * C, C * sizeof *res);
        if (wpe != NULL) s->K->add(res + (size_t)r * C, wpe + (size_t)(r % s->T) * C, (int)C);
    }
    if (wpe != NULL) dropout_rows(s, res, res, 0, SITE_EMBEDDING);
    profile_mark(s->profile, PHASE_EMBEDDING);
}

static void embedding_backward(const Pass *s, real *dwte /* (V,C) */, real *dwpe /* (context,C) */,
                               real *dres /* (N,C) */, const int32_t *ids /* (N) */)
{
    int C = s->c->channels;
    if (dwpe != NULL) dropout_rows(s, dres, dres, 0, SITE_EMBEDDING);
    OMP(parallel for schedule(static))
    for (int j = 0; j < C; j += COLUMNS)
        for (int r = 0; r < s->N; r++) {
            const real *d = dres + (size_t)r * (size_t)C + j;
            s->K->add(dwte + (size_t)ids[r] * (size_t)C + j, d, min_dim(COLUMNS, C - j));
            if (dwpe != NULL) s->K->add(dwpe + (size_t)(r % s->T) * (size_t)C + j, d, min_dim(COLUMNS, C - j));
        }
    profile_mark(s->profile, PHASE_EMBEDDING);
}

/* ---------------------------------------------------------------- norm
 * gpt2, layer norm (Ba et al. 2016):               xhat = (x - mean) rstd,  y = xhat w + b
 *     dx += rstd (d - mean(d) - xhat mean(d xhat)),  d = dy w
 * qwen3, RMS norm (Zhang and Sennrich 2019):       xhat = x rstd,  y = xhat w
 *     dx += rstd (d - xhat mean(d xhat))
 * dw += sum dy xhat,  db += sum dy */

static const double layernorm_eps = 1e-5, rmsnorm_eps = 1e-6;

/* One row; returns rstd. */
static real norm_row(const Config *c, const Kernels *K, real *y, real *xhat, const real *x, const real *w, const real *b)
{
    if (c->family == FAMILY_GPT2) return K->layernorm(y, xhat, x, w, b, c->channels, (real)layernorm_eps);
    return K->rmsnorm(y, xhat, x, w, c->channels, (real)rmsnorm_eps);
}

static void norm_forward(const Pass *s, real *y /* (N,C) */, Normed *saved, const real *x /* (N,C) */,
                         const real *w, const real *b /* (C) */)
{
    size_t C = (size_t)s->c->channels;
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++) {
        size_t at = (size_t)r * C;
        saved->rstd[r] = norm_row(s->c, s->K, y + at, saved->xhat + at, x + at, w, b);
    }
    profile_mark(s->profile, PHASE_NORM);
}

static void norm_backward(const Pass *s, real *dx /* (N,C) += */, real *dw, real *db /* (C) */,
                          const real *dy /* (N,C) */, const Normed *saved, const real *w /* (C) */)
{
    int C = s->c->channels;
    void (*row)(real *, const real *, const real *, const real *, real, int) =
        s->c->family == FAMILY_GPT2 ? s->K->layernorm_back : s->K->rmsnorm_back;
    OMP(parallel for schedule(static))
    for (int j = 0; j < C; j += COLUMNS) {
        int count = min_dim(COLUMNS, C - j);
        s->K->sum_rows_product(dw + j, dy + j, saved->xhat + j, C, s->N, count);
        if (db != NULL) s->K->sum_rows(db + j, dy + j, C, s->N, count);
    }
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++) {
        size_t at = (size_t)r * (size_t)C;
        row(dx + at, dy + at, saved->xhat + at, w, saved->rstd[r], C);
    }
    profile_mark(s->profile, PHASE_NORM);
}

/* ---------------------------------------------------------------- linear
 * y (N,O) = x (N,I) w^T + b     w is (O,I), b is (O)
 * dx = dy w      dw += dy^T x      db += column sums of dy */

static void linear_forward(const Pass *s, real *y, const real *x, const real *w, const real *b, int N, int I, int O)
{
    gemm(s->g, y, O, view(x, N, I), transposed(view(w, O, I)), false);
    if (b != NULL) {
        OMP(parallel for schedule(static))
        for (int r = 0; r < N; r++)
            s->K->add(y + (size_t)r * (size_t)O, b, O);
    }
    profile_mark(s->profile, PHASE_LINEAR);
}

static void linear_backward(const Pass *s, real *dx, real *dw, real *db, const real *dy, const real *x, const real *w,
                            int N, int I, int O)
{
    gemm(s->g, dx, I, view(dy, N, O), view(w, O, I), false);
    gemm(s->g, dw, I, transposed(view(dy, N, O)), view(x, N, I), true);
    if (db != NULL) {
        OMP(parallel for schedule(static))
        for (int j = 0; j < O; j += COLUMNS)
            s->K->sum_rows(db + j, dy + j, O, N, min_dim(COLUMNS, O - j));
    }
    profile_mark(s->profile, PHASE_LINEAR);
}

/* ---------------------------------------------------------------- queries and keys of qwen3
 * For each head: xhat = x rstd,  y = rotate(xhat w, angle of t), in place in qkv (Dehghani et al. 2023; Su et al. 2021)
 * d = rotate(dy, - angle),  dw += sum d xhat,  dx = rstd (d w - xhat mean(d w xhat)), in place in dqkv */

static void qk_forward(const Pass *s, real *qkv /* (N,3A) */, Normed *saved, const real *qnw, const real *knw /* (D) */)
{
    int H = s->c->heads, D = s->c->head_size;
    size_t A = (size_t)config_attention(s->c), half = (size_t)D / 2;
    if (qnw == NULL) return;
    OMP(parallel for schedule(static) if (s->N > 1))
    for (int r = 0; r < s->N; r++)
        for (int h = 0; h < 2 * H; h++) {
            real *x = qkv + (size_t)r * 3 * A + h * D;
            saved->rstd[(size_t)r * 2 * (size_t)H + (size_t)h] =
                s->K->rmsnorm(x, saved->xhat + (size_t)r * 2 * A + h * D, x, h < H ? qnw : knw, D, (real)rmsnorm_eps);
            s->K->rotate(x, s->cosine + (size_t)(r % s->T) * half, s->sine + (size_t)(r % s->T) * half, D, false);
        }
    profile_mark(s->profile, PHASE_QK);
}

static void qk_backward(const Pass *s, real *dqkv /* (N,3A) */, real *dqnw, real *dknw, const Normed *saved,
                        const real *qnw, const real *knw)
{
    int H = s->c->heads, D = s->c->head_size;
    size_t A = (size_t)config_attention(s->c), half = (size_t)D / 2;
    if (qnw == NULL) return;
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++)
        for (int h = 0; h < 2 * H; h++)
            s->K->rotate(dqkv + (size_t)r * 3 * A + h * D, s->cosine + (size_t)(r % s->T) * half,
                         s->sine + (size_t)(r % s->T) * half, D, true);
    for (int r = 0; r < s->N; r++) {
        s->K->sum_rows_product(dqnw, dqkv + (size_t)r * 3 * A, saved->xhat + (size_t)r * 2 * A, D, H, D);
        s->K->sum_rows_product(dknw, dqkv + (size_t)r * 3 * A + A, saved->xhat + (size_t)r * 2 * A + A, D, H, D);
    }
    OMP(parallel for schedule(static) num_threads(s->g->threads))
    for (int r = 0; r < s->N; r++)
        for (int h = 0; h < 2 * H; h++) {
            real *dx = dqkv + (size_t)r * 3 * A + h * D, *dy = s->heads[omp_get_thread_num()].row;
            memcpy(dy, dx, (size_t)D * sizeof *dy);
            memset(dx, 0, (size_t)D * sizeof *dx);
            s->K->rmsnorm_back(dx, dy, saved->xhat + (size_t)r * 2 * A + h * D, h < H ? qnw : knw,
                               saved->rstd[(size_t)r * 2 * (size_t)H + (size_t)h], D);
        }
    profile_mark(s->profile, PHASE_QK);
}

/* ---------------------------------------------------------------- causal self-attention (Vaswani et al. 2017), one head
 * p_t = softmax(q_t . k_u / sqrt D over u <= t),   o_t = sum_{u <= t} dropout(p_t)_u v_u
 * dv += dropout(p)^T do,   dp = dropout(do v^T),   ds = p (dp - sum p dp) / sqrt D,   dq = ds k,   dk += ds^T q
 * Queries go in blocks of QUERIES, each against the keys up to its own end, so no T x T matrix exists, and products leave out the
 * masked half; dk and dv are one chain over the blocks. */

enum { QUERIES = 48 };      /* a multiple of every table's tile */

/* p (m, end) of the queries t0 .. t0+m-1 from their scores; zero above the diagonal. */
static void attention_mask(real *p, int T, int t0, int m)
{
    for (int i = 0; i < m; i++)
        memset(p + (size_t)i * (size_t)T + t0 + i + 1, 0, (size_t)(m - i - 1) * sizeof *p);
}

/* qwen3 drops none of the probabilities. */
static bool attention_drops(const Pass *s) { return s->dropout.threshold != 0 && s->c->family == FAMILY_GPT2; }

static void attention_dropout(const Pass *s, real *out, const real *p, int layer, size_t head, int t0, int m)
{
    for (int i = 0; i < m; i++) {
        uint64_t key = dropout_key(s, layer, SITE_ATTENTION, head * (size_t)s->T + (size_t)(t0 + i));
        s->K->dropout(out + (size_t)i * (size_t)s->T, p + (size_t)i * (size_t)s->T, t0 + i + 1, key, s->dropout);
    }
    if (out != p) attention_mask(out, s->T, t0, m);
}

static void head_forward(const Pass *s, real *o /* (T,D) in (N,A) */, real *lse /* (T) */, const real *qkv /* (T,D) in (N,3A) */,
                         int layer, size_t head)
{
    HeadSpace *h = &s->heads[omp_get_thread_num()];
    int T = s->T, A = config_attention(s->c), D = s->c->head_size;
    real scale = (real)(1.0 / sqrt((double)D));
    Packed kt = gemm_pack(s->K, h->kt, transposed(view_ld(qkv + A, T, D, 3 * A)));
    Packed v = gemm_pack(s->K, h->v, view_ld(qkv + 2 * A, T, D, 3 * A));
    for (int t0 = 0; t0 < T; t0 += QUERIES) {
        int m = min_dim(QUERIES, T - t0), end = t0 + m;
        Causal output = { CAUSAL_OUTPUT, t0 }, lower = { CAUSAL_LOWER, t0 };
        gemm_packed(s->g, h->p, T, view_ld(qkv + (size_t)t0 * 3 * (size_t)A, m, D, 3 * A), kt, end, output, false);
        for (int i = 0; i < m; i++) {
            real *row = h->p + (size_t)i * (size_t)T;
            lse[t0 + i] = s->K->softmax(row, row, t0 + i + 1, scale);
        }
        attention_mask(h->p, T, t0, m);
        if (attention_drops(s)) attention_dropout(s, h->p, h->p, layer, head, t0, m);
        gemm_packed(s->g, o + (size_t)t0 * (size_t)A, A, view_ld(h->p, m, end, T), v, D, lower, false);
    }
}

static void head_backward(const Pass *s, real *dqkv /* (T,D) in (N,3A) */, const real *dout /* (T,D) in (N,A) */,
                          const real *lse /* (T) */, const real *qkv /* (T,D) in (N,3A) */, int layer, size_t head)
{
    HeadSpace *h = &s->heads[omp_get_thread_num()];
    int T = s->T, A = config_attention(s->c), D = s->c->head_size;
    real scale = (real)(1.0 / sqrt((double)D));
    View k = view_ld(qkv + A, T, D, 3 * A), v = view_ld(qkv + 2 * A, T, D, 3 * A);
    Packed kt = gemm_pack(s->K, h->kt, transposed(k)), vt = gemm_pack(s->K, h->vt, transposed(v));
    Packed keys = gemm_pack(s->K, h->k, k);
    for (int t0 = 0; t0 < T; t0 += QUERIES) {
        int m = min_dim(QUERIES, T - t0), end = t0 + m;
        Causal output = { CAUSAL_OUTPUT, t0 }, lower = { CAUSAL_LOWER, t0 }, upper = { CAUSAL_UPPER, -t0 };
        View q = view_ld(qkv + (size_t)t0 * 3 * (size_t)A, m, D, 3 * A), d = view_ld(dout + (size_t)t0 * (size_t)A, m, D, A);
        real *dq = dqkv + (size_t)t0 * 3 * (size_t)A, *pd = h->p;

        gemm_packed(s->g, h->p, T, q, kt, end, output, false);
        for (int i = 0; i < m; i++)
            s->K->softmax_again(h->p + (size_t)i * (size_t)T, h->p + (size_t)i * (size_t)T, t0 + i + 1, scale, lse[t0 + i]);
        attention_mask(h->p, T, t0, m);
        if (attention_drops(s)) attention_dropout(s, pd = h->pd, h->p, layer, head, t0, m);
        gemm_packed(s->g, dqkv + 2 * A, 3 * A, transposed(view_ld(pd, m, end, T)), gemm_pack(s->K, h->block, d), D, upper, true);
        gemm_packed(s->g, h->dp, T, d, vt, end, output, false);
        if (attention_drops(s)) attention_dropout(s, h->dp, h->dp, layer, head, t0, m);
        for (int i = 0; i < m; i++)
            s->K->softmax_back(h->dp + (size_t)i * (size_t)T, h->dp + (size_t)i * (size_t)T, h->p + (size_t)i * (size_t)T,
                               t0 + i + 1, scale);
        attention_mask(h->dp, T, t0, m);
        gemm_packed(s->g, dq, 3 * A, view_ld(h->dp, m, end, T), keys, D, lower, false);
        gemm_packed(s->g, dqkv + A, 3 * A, transposed(view_ld(h->dp, m, end, T)), gemm_pack(s->K, h->block, q), D, upper, true);
    }
}

/* All heads of all sequences: qkv (N,3A) holds queries, keys and values side by side, head after head in each. */
static void attention_forward(const Pass *s, real *att /* (N,A) */, real *lse /* (n,H,T) */, const real *qkv, int layer)
{
    int H = s->c->heads, T = s->T, A = config_attention(s->c), D = s->c->head_size;
    OMP(parallel for schedule(static) num_threads(s->g->threads))
    for (int i = 0; i < s->n * H; i++) {
        size_t row = (size_t)(i / H) * (size_t)T, at = (size_t)(i % H) * (size_t)D;
        head_forward(s, att + row * (size_t)A + at, lse + (size_t)i * (size_t)T, qkv + row * 3 * (size_t)A + at, layer,
                     (size_t)s->first * (size_t)H + (size_t)i);
    }
    profile_mark(s->profile, PHASE_ATTENTION);
}

static void attention_backward(const Pass *s, real *dqkv /* (N,3A) */, const real *datt /* (N,A) */, const real *lse,
                               const real *qkv, int layer)
{
    int H = s->c->heads, T = s->T, A = config_attention(s->c), D = s->c->head_size;
    OMP(parallel for schedule(static) num_threads(s->g->threads))
    for (int i = 0; i < s->n * H; i++) {
        size_t row = (size_t)(i / H) * (size_t)T, at = (size_t)(i % H) * (size_t)D;
        for (int t = 0; t < T; t++)                         /* dk and dv of this head start from zero */
            for (int part = 1; part < 3; part++)
                memset(dqkv + (row + (size_t)t) * 3 * (size_t)A + (size_t)(part * A) + at, 0, (size_t)D * sizeof *dqkv);
        head_backward(s, dqkv + row * 3 * (size_t)A + at, datt + row * (size_t)A + at, lse + (size_t)i * (size_t)T,
                      qkv + row * 3 * (size_t)A + at, layer, (size_t)s->first * (size_t)H + (size_t)i);
    }
    profile_mark(s->profile, PHASE_ATTENTION);
}

/* ---------------------------------------------------------------- activation of the MLP
 * gpt2:   hid = gelu(pre)                         dpre = dhid gelu'(pre), may be dhid itself
 * qwen3:  hid = silu(gate) up, pre = gate | up    dgate = dhid up silu'(gate),  dup = dhid silu(gate)  (Shazeer 2020) */

static void activation_row(const Config *c, const Kernels *K, real *hid, const real *pre)
{
    if (config_gated(c)) K->swiglu(hid, pre, pre + c->hidden, c->hidden);
    else K->gelu(hid, pre, c->hidden, c->gelu_tanh != 0);
}

static void activation_forward(const Pass *s, real *hid /* (N,F) */, const real *pre /* (N,G) */)
{
    size_t F = (size_t)s->c->hidden, G = (size_t)config_pre(s->c);
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++)
        activation_row(s->c, s->K, hid + (size_t)r * F, pre + (size_t)r * G);
    profile_mark(s->profile, PHASE_ACTIVATION);
}

static void activation_backward(const Pass *s, real *dpre /* (N,G) */, const real *dhid /* (N,F) */, const real *pre /* (N,G) */)
{
    size_t F = (size_t)s->c->hidden, G = (size_t)config_pre(s->c);
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++) {
        const real *d = dhid + (size_t)r * F, *x = pre + (size_t)r * G;
        real *out = dpre + (size_t)r * G;
        if (config_gated(s->c)) s->K->swiglu_back(out, out + F, d, x, x + F, (int)F);
        else s->K->gelu_back(out, d, x, (int)F, s->c->gelu_tanh != 0);
    }
    profile_mark(s->profile, PHASE_ACTIVATION);
}

/* ---------------------------------------------------------------- residual
 * res += dropout(branch)          dbranch = dropout(dres); dres itself goes on unchanged */

static void residual_forward(const Pass *s, real *res /* (N,C) */, real *branch /* (N,C) */, int layer, int site)
{
    size_t C = (size_t)s->c->channels;
    dropout_rows(s, branch, branch, layer, site);
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++)
        s->K->add(res + (size_t)r * C, branch + (size_t)r * C, (int)C);
    profile_mark(s->profile, PHASE_RESIDUAL);
}

/* Returns dbranch (N,C): `dropped`, or dres itself if nothing is dropped. */
static const real *residual_backward(const Pass *s, real *dropped, const real *dres /* (N,C) */, int layer, int site)
{
    if (s->dropout.threshold == 0) return dres;
    dropout_rows(s, dropped, dres, layer, site);
    profile_mark(s->profile, PHASE_RESIDUAL);
    return dropped;
}

/* ---------------------------------------------------------------- cross-entropy
 * loss_r = log sum exp(logits_r) - logits_r[target_r],   p = softmax(logits), in place
 * dlogits = (p - onehot(target)) / (B T), in place */

static void cross_entropy_forward(const Pass *s, real *losses /* (rows) */, real *p /* (rows,V) */, const int32_t *targets,
                                  int rows)
{
    size_t V = (size_t)s->c->vocab;
    OMP(parallel for schedule(static))
    for (int r = 0; r < rows; r++) {
        real *row = p + (size_t)r * V, wanted = row[targets[r]];
        losses[r] = s->K->softmax(row, row, (int)V, 1) - wanted;
    }
    profile_mark(s->profile, PHASE_LOSS);
}

static void cross_entropy_backward(const Pass *s, real *d /* (rows,V) */, const int32_t *targets, int rows, real scale)
{
    size_t V = (size_t)s->c->vocab;
    OMP(parallel for schedule(static))
    for (int r = 0; r < rows; r++) {
        real *row = d + (size_t)r * V;
        row[targets[r]] -= 1;
        for (size_t i = 0; i < V; i++) row[i] *= scale;
    }
    profile_mark(s->profile, PHASE_LOSS);
}

/* ================================================================ the network */

static void block_forward(const Pass *s, real *res, real *branch, const Block *w, BlockActs *a, int layer)
{
    int C = s->c->channels, A = config_attention(s->c), F = s->c->hidden, G = config_pre(s->c), N = s->N;
    norm_forward      (s, a->n1, &a->ln1, res, w->ln1w, w->ln1b);
    linear_forward    (s, a->qkv, a->n1, w->qkvw, w->qkvb, N, C, 3 * A);
    qk_forward        (s, a->qkv, &a->qk, w->qnw, w->knw);
    attention_forward (s, a->att, a->lse, a->qkv, layer);
    linear_forward    (s, branch, a->att, w->projw, w->projb, N, A, C);
    residual_forward  (s, res, branch, layer, SITE_PROJECTION);
    norm_forward      (s, a->n2, &a->ln2, res, w->ln2w, w->ln2b);
    linear_forward    (s, a->pre, a->n2, w->fcw, w->fcb, N, C, G);
    activation_forward(s, a->hid, a->pre);
    linear_forward    (s, branch, a->hid, w->outw, w->outb, N, F, C);
    residual_forward  (s, res, branch, layer, SITE_MLP);
}

/* The same lines from bottom to top. */
static void block_backward(const Pass *s, const Acts *t, const Block *w, const Block *g, const BlockActs *a, int layer)
{
    int C = s->c->channels, A = config_attention(s->c), F = s->c->hidden, G = config_pre(s->c), N = s->N;
    const real *dbranch = residual_backward(s, t->branch, t->dres, layer, SITE_MLP);
    linear_backward    (s, t->dhid, g->outw, g->outb, dbranch, a->hid, w->outw, N, F, C);
    activation_backward(s, t->dpre, t->dhid, a->pre);
    linear_backward    (s, t->dx, g->fcw, g->fcb, t->dpre, a->n2, w->fcw, N, C, G);
    norm_backward      (s, t->dres, g->ln2w, g->ln2b, t->dx, &a->ln2, w->ln2w);
    dbranch = residual_backward(s, t->branch, t->dres, layer, SITE_PROJECTION);
    linear_backward    (s, t->datt, g->projw, g->projb, dbranch, a->att, w->projw, N, A, C);
    attention_backward (s, t->dqkv, t->datt, a->lse, a->qkv, layer);
    qk_backward        (s, t->dqkv, g->qnw, g->knw, &a->qk, w->qnw, w->knw);
    linear_backward    (s, t->dx, g->qkvw, g->qkvb, t->dqkv, a->n1, w->qkvw, N, C, 3 * A);
    norm_backward      (s, t->dres, g->ln1w, g->ln1b, t->dx, &a->ln1, w->ln1w);
}

/* Embedding, blocks and last norm: m->acts.final (N,C). */
static void network_forward(Model *m, const Pass *s, const int32_t *x /* (n,T) */)
{
    Acts *a = &m->acts;
    embedding_forward(s, a->res, x, m->w.wte, m->w.wpe);
    for (int l = 0; l < m->config.layers; l++)
        block_forward(s, a->res, a->branch, &m->w.blocks[l], &a->blocks[l], l);
    norm_forward(s, a->final, &a->lnf, a->res, m->w.lnfw, m->w.lnfb);
}

enum { LOGITS = 1 << 20 };  /* elements of the logits worked on at once, so that a large V takes no more memory */

static int head_rows(const Config *c, int N)
{
    int rows = LOGITS / c->vocab;
    return min_dim(N, rows < QUERIES ? QUERIES : rows);
}

/* Head and loss, a block of rows at a time: losses (N); when training also m->acts.dx = d(final) and d(head). */
static void head_loss(Model *m, const Pass *s, const int32_t *y /* (n,T) */, bool train, real scale)
{
    Acts *a = &m->acts;
    int C = m->config.channels, V = m->config.vocab, step = head_rows(&m->config, s->N);
    for (int r = 0; r < s->N; r += step) {
        int rows = min_dim(step, s->N - r);
        const real *final = a->final + (size_t)r * (size_t)C;
        linear_forward(s, a->logits, final, m->w.head, NULL, rows, C, V);
        cross_entropy_forward(s, a->losses + r, a->logits, y + r, rows);
        if (!train) continue;
        cross_entropy_backward(s, a->logits, y + r, rows, scale);
        linear_backward(s, a->dx + (size_t)r * (size_t)C, m->g.head, NULL, a->logits, final, m->w.head, rows, C, V);
    }
}

static Pass pass_make(Model *m, int n, int T)
{
    return (Pass){ .c = &m->config, .g = &m->gemm, .K = m->gemm.K, .n = n, .T = T, .N = n * T,
                   .dropout = { 0, 1 }, .heads = m->acts.heads,
                   .cosine = m->cosine, .sine = m->sine, .profile = m->profile };
}

void model_zero_grads(Model *m)
{
    OMP(parallel for schedule(static))
    for (size_t i = 0; i < m->size; i++) m->grads[i] = 0;
    memset(m->dwte_input, 0, (size_t)m->config.vocab * (size_t)m->config.channels * sizeof(real));
}

void model_train_slice(Model *m, const Slice *in, double *sum)
{
    Acts *a = &m->acts;
    Pass s = pass_make(m, in->n, in->T);
    s.first = in->first;
    s.key = in->dropout_key;
    if (m->config.dropout > 0)
        s.dropout = (Dropout){ (uint32_t)(m->config.dropout * 4294967296.0), (real)(1 / (1 - m->config.dropout)) };

    network_forward(m, &s, in->x);
    head_loss(m, &s, in->y, true, (real)(1.0 / ((double)in->batch * in->T)));
    for (int r = 0; r < s.N; r++) *sum += (double)a->losses[r];

    memset(a->dres, 0, (size_t)s.N * (size_t)m->config.channels * sizeof(real));
    norm_backward(&s, a->dres, m->g.lnfw, m->g.lnfb, a->dx, &a->lnf, m->w.lnfw);
    for (int l = m->config.layers - 1; l >= 0; l--)
        block_backward(&s, a, &m->w.blocks[l], &m->g.blocks[l], &a->blocks[l], l);
    embedding_backward(&s, m->dwte_input, m->g.wpe, a->dres, in->x);
}

/* A tied wte is both head and input. Each part is one chain over the batch; joining them per slice would make the sum
 * depend on the slices. */
void model_finish_grads(Model *m)
{
    for (int id = 0; id < m->config.vocab; id++) {
        size_t at = (size_t)id * (size_t)m->config.channels;
        m->gemm.K->add(m->g.wte + at, m->dwte_input + at, m->config.channels);
    }
}

void model_losses(Model *m, const int32_t *x, const int32_t *y, int n, int T, real *losses)
{
    Pass s = pass_make(m, n, T);
    network_forward(m, &s, x);
    head_loss(m, &s, y, false, 0);
    memcpy(losses, m->acts.losses, (size_t)s.N * sizeof *losses);
}

void model_logits(Model *m, const int32_t *x, int T, real *logits)
{
    Pass s = pass_make(m, 1, T);
    network_forward(m, &s, x);
    linear_forward(&s, logits, m->acts.final, m->w.head, NULL, T, m->config.channels, m->config.vocab);
}

/* ================================================================ memory
 * Each layout function runs twice: once to measure, once to hand out pointers. */

static void layout_weights(Model *m, Arena *a)
{
    m->tensors = arena_take(a, (size_t)m->tensor_count, sizeof *m->tensors);
    m->w.blocks = arena_take(a, (size_t)m->config.layers, sizeof(Block));
    m->params = arena_reals(a, m->size);
    if (m->config.family != FAMILY_QWEN3) return;
    size_t angles = (size_t)m->config.context * (size_t)(m->config.head_size / 2);
    m->cosine = arena_reals(a, angles);
    m->sine = arena_reals(a, angles);
}

static void layout_training(Model *m, Arena *a)
{
    m->g.blocks = arena_take(a, (size_t)m->config.layers, sizeof(Block));
    m->grads = arena_reals(a, m->size);
    m->dwte_input = arena_reals(a, (size_t)m->config.vocab * (size_t)m->config.channels);
}

static void layout_norm(Normed *n, Arena *a, size_t N, size_t C)
{
    n->xhat = arena_reals(a, N * C);
    n->rstd = arena_reals(a, N);
}

static void layout_block(BlockActs *b, Arena *a, const Config *c, size_t N)
{
    size_t C = (size_t)c->channels, A = (size_t)config_attention(c), H = (size_t)c->heads;
    layout_norm(&b->ln1, a, N, C);
    layout_norm(&b->ln2, a, N, C);
    b->n1 = arena_reals(a, N * C);
    b->n2 = arena_reals(a, N * C);
    b->qkv = arena_reals(a, N * 3 * A);
    if (c->family == FAMILY_QWEN3) {
        b->qk.xhat = arena_reals(a, N * 2 * A);
        b->qk.rstd = arena_reals(a, N * 2 * H);
    }
    b->lse = arena_reals(a, N * H);
    b->att = arena_reals(a, N * A);
    b->pre = arena_reals(a, N * (size_t)config_pre(c));
    b->hid = arena_reals(a, N * (size_t)c->hidden);
}

static void layout_head(HeadSpace *h, Arena *a, const Kernels *K, int T, int D)
{
    h->kt = arena_take(a, packed_bytes(K, D, T), 1);
    h->v = arena_take(a, packed_bytes(K, T, D), 1);
    h->vt = arena_take(a, packed_bytes(K, D, T), 1);
    h->k = arena_take(a, packed_bytes(K, T, D), 1);
    h->block = arena_take(a, packed_bytes(K, QUERIES, D), 1);
    h->p = arena_reals(a, (size_t)QUERIES * (size_t)T);
    h->pd = arena_reals(a, (size_t)QUERIES * (size_t)T);
    h->dp = arena_reals(a, (size_t)QUERIES * (size_t)T);
    h->row = arena_reals(a, (size_t)D);
}

static void layout_activations(Model *m, Arena *a, const Kernels *K)
{
    const Config *c = &m->config;
    Acts *t = &m->acts;
    size_t N = (size_t)m->slice * (size_t)c->context, C = (size_t)c->channels, A = (size_t)config_attention(c);
    int threads = omp_get_max_threads();
    bool train = m->use == MODEL_TRAIN;

    gemm_layout(&m->gemm, a, K, threads);
    t->blocks = arena_take(a, (size_t)c->layers, sizeof(BlockActs));
    t->heads = arena_take(a, (size_t)threads, sizeof(HeadSpace));
    BlockActs one = { 0 };
    HeadSpace head = { 0 };
    for (int l = 0; l < c->layers; l++) {
        if (train || l == 0) layout_block(&one, a, c, N);
        if (a->base != NULL) t->blocks[l] = one;
    }
    for (int i = 0; i < threads; i++) {
        layout_head(&head, a, K, c->context, c->head_size);
        if (a->base != NULL) t->heads[i] = head;
    }
    layout_norm(&t->lnf, a, N, C);
    t->res = arena_reals(a, N * C);
    t->branch = arena_reals(a, N * C);
    t->final = arena_reals(a, N * C);
    t->logits = arena_reals(a, (size_t)head_rows(c, (int)N) * (size_t)c->vocab);
    t->losses = arena_reals(a, N);
    if (!train) return;
    t->dres = arena_reals(a, N * C);
    t->dx = arena_reals(a, N * C);
    t->datt = arena_reals(a, N * A);
    size_t hidden = (size_t)c->hidden;
    t->dhid = arena_reals(a, N * (hidden > 3 * A ? hidden : 3 * A));
    t->dqkv = t->dhid;                                      /* wanted when dhid no longer is */
    t->dpre = config_gated(c) ? arena_reals(a, N * (size_t)config_pre(c)) : t->dhid;
}

/* Measures the model's arenas into m->weights, m->training and m->activations. */
static void model_measure(Model *m, const Config *c, const Kernels *K, ModelUse use, int slice)
{
    *m = (Model){ .config = *c, .use = use, .slice = slice };
    m->tensor_count = model_tensors(c, NULL, &m->size);
    layout_weights(m, &m->weights);
    if (use == MODEL_TRAIN) layout_training(m, &m->training);
    layout_activations(m, &m->activations, K);
}

size_t model_bytes(const Config *c, const Kernels *K, ModelUse use, int slice)
{
    Model m;
    model_measure(&m, c, K, use, slice);
    return m.weights.used + m.training.used + m.activations.used;
}

int model_slice(const Config *c, size_t cache_bytes, int batch)
{
    enum { ROWS = 1024 };                                   /* fewer, and packing the weights shows */
    double block = 4.0 * c->channels + 4.0 * config_attention(c) + c->hidden + config_pre(c);
    double kept = c->layers * block + 16.0 * c->channels;
    double sequences = (double)cache_bytes / (kept * sizeof(real) * c->context);
    double least = (double)((ROWS + c->context - 1) / c->context);
    double n = sequences > least ? sequences : least;
    return n < batch ? (int)n : batch;
}

/* cos and sin of t / rope_base^(2 j / D), for position t and pair j. */
static void rotary_angles(Model *m)
{
    int half = m->config.head_size / 2;
    for (int t = 0; m->cosine != NULL && t < m->config.context; t++)
        for (int j = 0; j < half; j++) {
            double angle = t * pow(m->config.rope_base, -(double)j / half);
            m->cosine[(size_t)t * (size_t)half + (size_t)j] = (real)cos(angle);
            m->sine[(size_t)t * (size_t)half + (size_t)j] = (real)sin(angle);
        }
}

int model_open(Model *m, const Config *c, const Kernels *K, ModelUse use, int slice, Err *err)
{
    if (config_check(c, err)) return -1;
    model_measure(m, c, K, use, slice);
    if (arena_open(&m->weights, "weights", err) ||
        (use == MODEL_TRAIN && arena_open(&m->training, "gradients", err)) ||
        arena_open(&m->activations, "activations", err)) {
        model_close(m);
        return -1;
    }
    layout_weights(m, &m->weights);
    layout_activations(m, &m->activations, K);
    model_tensors(c, m->tensors, NULL);
    tensors_bind(m, &m->w, m->params);
    rotary_angles(m);
    if (use == MODEL_TRAIN) {
        layout_training(m, &m->training);
        tensors_bind(m, &m->g, m->grads);
    }
    return 0;
}

void model_close(Model *m)
{
    arena_close(&m->weights);
    arena_close(&m->training);
    arena_close(&m->activations);
}

/* ================================================================ decoding: a character of each stream, with a cache */

enum { SERIAL = 1 << 15 };  /* fewer multiply-adds are not worth waking the threads for */

/* linear_forward for few rows */
static void linear_streams(const Pass *s, real *y, const real *x, const real *w, const real *b, int I, int O)
{
    int parts = s->g->threads;
    OMP(parallel for schedule(static) num_threads(parts) if ((size_t)s->N * (size_t)I * (size_t)O >= SERIAL))
    for (int part = 0; part < parts; part++) {
        int o = part * O / parts, end = (part + 1) * O / parts;
        s->K->gemv(y + o, O, w + (size_t)o * (size_t)I, I, x, end - o, I, s->N);
    }
    for (int r = 0; r < s->N && b != NULL; r++)
        s->K->add(y + (size_t)r * (size_t)O, b, O);
}

/* d->norm from d->x */
static void norm_streams(Decoder *d, const Pass *s, const real *w, const real *b)
{
    size_t C = (size_t)s->c->channels;
    for (int r = 0; r < s->N; r++)
        norm_row(s->c, s->K, d->norm + (size_t)r * C, d->xhat, d->x + (size_t)r * C, w, b);
}

/* Attention of the s->T newest positions, each over all before it, for one head of one stream. */
static void attention_newest(Decoder *d, const Pass *s, int layer, int stream, int h)
{
    const Config *c = s->c;
    size_t H = (size_t)c->heads, A = (size_t)config_attention(c), D = (size_t)c->head_size, T = (size_t)c->context;
    size_t cache = (((size_t)stream * (size_t)c->layers + (size_t)layer) * H + (size_t)h) * T * D;
    real *k = d->k + cache, *v = d->v + cache, *scores = d->scores + ((size_t)stream * H + (size_t)h) * T;
    for (int t = 0; t < s->T; t++) {
        size_t row = (size_t)(stream * s->T + t), pos = (size_t)(d->pos + t);
        const real *q = d->qkv + row * 3 * A + (size_t)h * D;
        int seen = (int)pos + 1;
        memcpy(k + pos * D, q + A, D * sizeof *k);
        memcpy(v + pos * D, q + 2 * A, D * sizeof *v);
        s->K->gemv(scores, seen, k, (ptrdiff_t)D, q, seen, (int)D, 1);
        s->K->softmax(scores, scores, seen, (real)(1.0 / sqrt((double)D)));
        s->K->weighted_rows(d->att + row * A + (size_t)h * D, scores, v, (ptrdiff_t)D, seen, (int)D);
    }
}

static void attention_streams(Decoder *d, const Pass *s, int layer)
{
    int H = s->c->heads;
    OMP(parallel for schedule(static) if ((double)s->N * config_attention(s->c) * (d->pos + s->T) >= SERIAL))
    for (int i = 0; i < d->n * H; i++)
        attention_newest(d, s, layer, i / H, i % H);
}

/* block_forward for the newest rows of each stream. */
static void block_streams(Decoder *d, const Pass *s, const Block *w, int layer)
{
    const Config *c = s->c;
    int C = c->channels, A = config_attention(c), F = c->hidden, G = config_pre(c);
    norm_streams(d, s, w->ln1w, w->ln1b);
    linear_streams(s, d->qkv, d->norm, w->qkvw, w->qkvb, C, 3 * A);
    qk_forward(s, d->qkv, &(Normed){ d->qk, d->rstd }, w->qnw, w->knw);
    attention_streams(d, s, layer);
    linear_streams(s, d->norm, d->att, w->projw, w->projb, A, C);
    s->K->add(d->x, d->norm, s->N * C);
    norm_streams(d, s, w->ln2w, w->ln2b);
    linear_streams(s, d->pre, d->norm, w->fcw, w->fcb, C, G);
    for (int r = 0; r < s->N; r++)
        activation_row(c, s->K, d->hid + (size_t)r * (size_t)F, d->pre + (size_t)r * (size_t)G);
    linear_streams(s, d->norm, d->hid, w->outw, w->outb, F, C);
    s->K->add(d->x, d->norm, s->N * C);
}

/* `count` characters from pos on, of each stream: row i count + t is that at pos + t of stream i. */
static void decoder_feed(Decoder *d, int count)
{
    Model *m = d->m;
    size_t C = (size_t)m->config.channels, T = (size_t)m->config.context;
    Pass s = pass_make(m, d->n, count);
    if (m->cosine != NULL) {
        s.cosine += (size_t)d->pos * (size_t)(m->config.head_size / 2);
        s.sine += (size_t)d->pos * (size_t)(m->config.head_size / 2);
    }
    for (int r = 0; r < s.N; r++) {
        size_t at = (size_t)r * C, pos = (size_t)(d->pos + r % count);
        memcpy(d->x + at, m->w.wte + (size_t)d->ids[(size_t)(r / count) * T + pos] * C, C * sizeof *d->x);
        if (m->w.wpe != NULL) s.K->add(d->x + at, m->w.wpe + pos * C, (int)C);
    }
    for (int l = 0; l < m->config.layers; l++)
        block_streams(d, &s, &m->w.blocks[l], l);
    d->pos += count;
}

const real *decoder_step(Decoder *d, const int32_t *ids)
{
    const Model *m = d->m;
    size_t T = (size_t)m->config.context;
    int keep = m->config.context / 2;
    if ((size_t)d->pos == T) {
        for (size_t i = 0; i < (size_t)d->n; i++)
            memmove(d->ids + i * T, d->ids + (i + 1) * T - keep, (size_t)keep * sizeof *ids);
        for (d->pos = 0; d->pos < keep;) decoder_feed(d, min_dim(d->rows / d->n, keep - d->pos));
    }
    for (size_t i = 0; i < (size_t)d->n; i++) d->ids[i * T + (size_t)d->pos] = ids[i];
    decoder_feed(d, 1);
    Pass s = pass_make(d->m, d->n, 1);
    norm_streams(d, &s, m->w.lnfw, m->w.lnfb);
    linear_streams(&s, d->logits, d->norm, m->w.head, NULL, m->config.channels, m->config.vocab);
    return d->logits;
}

void decoder_copy(Decoder *d, int to, int from)
{
    const Config *c = &d->m->config;
    size_t T = (size_t)c->context, V = (size_t)c->vocab, a = (size_t)to, b = (size_t)from, pos = (size_t)d->pos;
    size_t heads = (size_t)c->layers * (size_t)c->heads, head = T * (size_t)c->head_size;
    if (to == from) return;
    memcpy(d->ids + a * T, d->ids + b * T, pos * sizeof *d->ids);
    memcpy(d->logits + a * V, d->logits + b * V, V * sizeof *d->logits);
    for (size_t h = 0; h < heads; h++) {
        size_t seen = pos * (size_t)c->head_size * sizeof(real);
        memcpy(d->k + (a * heads + h) * head, d->k + (b * heads + h) * head, seen);
        memcpy(d->v + (a * heads + h) * head, d->v + (b * heads + h) * head, seen);
    }
}

void decoder_reset(Decoder *d) { d->pos = 0; }

static void layout_decoder(Decoder *d, Arena *a)
{
    const Config *c = &d->m->config;
    size_t n = (size_t)d->n, R = (size_t)d->rows, C = (size_t)c->channels, A = (size_t)config_attention(c), H = (size_t)c->heads;
    size_t T = (size_t)c->context, cache = n * (size_t)c->layers * T * A;
    d->ids = arena_take(a, n * T, sizeof *d->ids);
    d->k = arena_reals(a, cache);
    d->v = arena_reals(a, cache);
    d->x = arena_reals(a, R * C);
    d->norm = arena_reals(a, R * C);
    d->xhat = arena_reals(a, C);
    d->qk = arena_reals(a, R * 2 * A);
    d->rstd = arena_reals(a, R * 2 * H);
    d->qkv = arena_reals(a, R * 3 * A);
    d->att = arena_reals(a, R * A);
    d->pre = arena_reals(a, R * (size_t)config_pre(c));
    d->hid = arena_reals(a, R * (size_t)c->hidden);
    d->scores = arena_reals(a, n * H * T);
    d->logits = arena_reals(a, n * (size_t)c->vocab);
}

static Decoder decoder_measure(Model *m, int streams)
{
    enum { ROWS = 16 };                                     /* as many read the weights once for all of them */
    Decoder d = { .m = m, .n = streams, .rows = streams > ROWS ? streams : ROWS };
    layout_decoder(&d, &d.arena);
    return d;
}

size_t decoder_bytes(Model *m, int streams)
{
    Decoder d = decoder_measure(m, streams);
    return d.arena.used;
}

int decoder_open(Decoder *d, Model *m, int streams, Err *err)
{
    *d = decoder_measure(m, streams);
    if (arena_open(&d->arena, "decoder", err)) return -1;
    layout_decoder(d, &d->arena);
    return 0;
}

void decoder_close(Decoder *d) { arena_close(&d->arena); }

#endif
