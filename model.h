/* model.h: the GPT decoder in one file.
 *
 * A text x_1 .. x_n is modelled by the chain rule, p(x) = prod_t p(x_t | x_1 .. x_{t-1}), and one
 * network, a decoder-only Transformer (Vaswani et al. 2017; Radford et al. 2019), computes every
 * conditional. Training maximises the log-likelihood: the loss is -log p of each character, in
 * nats, averaged. Sampling draws one character at a time.
 *
 * Owns: each layer forward and backward, the loss, decoding with a cache. It ends with the two
 * tables that networks/network.h asks for (the example of their use is there); config.h has the
 * sizes and the tensors. model.c compiles it, once:
 *
 *     #define MODEL_IMPLEMENTATION
 *     #include "model.h"
 *
 * Dimension letters, the same everywhere; every pointer's comment ends with its shape:
 *     B sequences of a batch    n sequences of a slice    T positions    N = n T rows    V symbols
 *     L blocks    C channels    H heads of size D    A = H D
 *     F width of the MLP    G = F, or 2 F with a gate
 */
#ifndef MODEL_H
#define MODEL_H

#include "base.h"
#include "config.h"
#include "kernels/kernels.h"
#include "networks/layers.h"
#include "networks/network.h"
#include "system/profile.h"

extern const Network network_gpt2, network_qwen3;

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
    real *dres, *dx;        /* (N,C) gradients */
    real *datt, *dqkv;      /* (N,A), (N,3A) */
    real *dhid, *dpre;      /* (N,F), (N,G) */
    HeadSpace *heads;       /* (threads) */
} Acts;

/* A GPT's own memory. */
typedef struct {
    Weights w, g;           /* parameters, gradients */
    real *dwte_input;       /* (V,C) gradient of wte as the input; finish() joins the head's */
    real *cosine, *sine;    /* (context,D/2) of the rotary angles */
    Acts acts;
} Gpt;

/* The memory of its decoder. R: characters that can be fed together, of all streams; n: streams. */
typedef struct {
    real *k, *v;            /* (n,L,H,context,D) */
    real *x, *norm;         /* (R,C) */
    real *xhat;             /* (C) */
    real *qk, *rstd;        /* (R,2A), (R,2H) */
    real *qkv, *att;        /* (R,3A), (R,A) */
    real *pre, *hid;        /* (R,G), (R,F) */
    real *scores;           /* (n,H,context) */
} GptDecoder;

typedef char gpt_fits[sizeof(Gpt) <= sizeof(Space) && sizeof(GptDecoder) <= sizeof(Space) ? 1 : -1];

#endif

#ifdef MODEL_IMPLEMENTATION

/* ================================================================ parameters */

static Gpt *gpt(Model *m) { return (Gpt *)(void *)m->state.bytes; }
static GptDecoder *gpt_decoder(Decoder *d) { return (GptDecoder *)(void *)d->state.bytes; }
static const Config *gpt_config(const Model *m)
{
    return (const Config *)(const void *)m->config.bytes;
}

/* Points the fields of w at their tensors within a flat array. */
static void tensors_bind(const Model *m, Weights *w, real *flat)
{
    for (const Tensor *t = m->tensors; t < m->tensors + m->tensor_count; t++) {
        if (t->field == JOINED) continue;
        char *owner = t->block < 0 ? (char *)w : (char *)&w->blocks[t->block];
        *(real **)(void *)(owner + t->field) = flat + t->offset;
    }
    if (!gpt_config(m)->untied) w->head = w->wte;
}

static void bind(Model *m, real *params)
{
    tensors_bind(m, &gpt(m)->w, params);
    if (m->use == MODEL_TRAIN) tensors_bind(m, &gpt(m)->g, m->grads);
}

/* ================================================================ layers
 *
 * Each is a forward and a backward function, one below the other; the formulas are above the pair.
 * Those that other networks have too are in networks/layers.c: the linear layer, and the head with
 * the cross-entropy. One rule for gradients: those of parameters accumulate, those of inputs are
 * overwritten, except on the residual stream `dres`, which accumulates. Rows are independent, so
 * threads share them; a sum over rows is one chain in the order of the rows, so threads share its
 * columns instead. Each charges its time to s->profile. */

typedef struct {            /* what every layer of one pass needs to know */
    const Model *m;
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

/* The key of a layer's dropout: a function of step and place in the network. */
static uint64_t dropout_key(const Pass *s, int layer, int site)
{
    return rng_bits(s->key, (uint64_t)(layer * SITES + site));
}

static void dropout(const Pass *s, real *y, const real *x /* (N,C); may be y */, int layer,
                    int site)
{
    dropout_rows(s->m, s->dropout, dropout_key(s, layer, site), (size_t)s->first * (size_t)s->T, y,
                 x, s->N, s->c->channels);
}

/* ---------------------------------------------------------------- input
 * res_r = dropout(wte[id_r] + wpe[t_r]);  qwen3: res_r = wte[id_r]
 * dwte[id_r] += dropout(dres_r),  dwpe[t_r] += dropout(dres_r) */

static void input_forward(const Pass *s, real *res /* (N,C) */, const int32_t *ids /* (N) */,
                          const real *wte /* (V,C) */, const real *wpe /* (context,C) */)
{
    int C = s->c->channels;
    embedding_forward(s->m, res, wte, ids, s->N, C);
    if (wpe == NULL) return;
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++)
        s->K->add(res + (size_t)r * (size_t)C, wpe + (size_t)(r % s->T) * (size_t)C, C);
    dropout(s, res, res, 0, SITE_EMBEDDING);
    profile_mark(s->profile, PHASE_EMBEDDING);
}

static void input_backward(const Pass *s, real *dwte /* (V,C) */, real *dwpe /* (context,C) */,
                           real *dres /* (N,C) */, const int32_t *ids /* (N) */)
{
    int C = s->c->channels;
    if (dwpe != NULL) dropout(s, dres, dres, 0, SITE_EMBEDDING);
    embedding_backward(s->m, dwte, dres, ids, s->N, C);
    if (dwpe == NULL) return;
    OMP(parallel for schedule(static))
    for (int j = 0; j < C; j += COLUMNS)
        for (int r = 0; r < s->N; r++)
            s->K->add(dwpe + (size_t)(r % s->T) * (size_t)C + j, dres + (size_t)r * (size_t)C + j,
                      min_dim(COLUMNS, C - j));
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
static real norm_row(const Config *c, const Kernels *K, real *y, real *xhat, const real *x,
                     const real *w, const real *b)
{
    if (c->family == FAMILY_GPT2)
        return K->layernorm(y, xhat, x, w, b, c->channels, (real)layernorm_eps);
    return K->rmsnorm(y, xhat, x, w, c->channels, (real)rmsnorm_eps);
}

static void norm_forward(const Pass *s, real *y /* (N,C) */, Normed *saved,
                         const real *x /* (N,C) */, const real *w, const real *b /* (C) */)
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

/* ---------------------------------------------------------------- queries and keys of qwen3
 * For each head: xhat = x rstd,  y = rotate(xhat w, angle of t), in place in qkv (Dehghani et al.
 * 2023; Su et al. 2021)
 * d = rotate(dy, - angle),  dw += sum d xhat,  dx = rstd (d w - xhat mean(d w xhat)), in place */

static void qk_forward(const Pass *s, real *qkv /* (N,3A) */, Normed *saved, const real *qnw,
                       const real *knw /* (D) */)
{
    int H = s->c->heads, D = s->c->head_size;
    size_t A = (size_t)config_attention(s->c), half = (size_t)D / 2;
    if (qnw == NULL) return;
    OMP(parallel for schedule(static) if (s->N > 1))
    for (int r = 0; r < s->N; r++)
        for (int h = 0; h < 2 * H; h++) {
            real *x = qkv + (size_t)r * 3 * A + h * D;
            saved->rstd[(size_t)r * 2 * (size_t)H + (size_t)h] =
                s->K->rmsnorm(x, saved->xhat + (size_t)r * 2 * A + h * D, x, h < H ? qnw : knw, D,
                              (real)rmsnorm_eps);
            s->K->rotate(x, s->cosine + (size_t)(r % s->T) * half,
                         s->sine + (size_t)(r % s->T) * half, D, false);
        }
    profile_mark(s->profile, PHASE_QK);
}

static void qk_backward(const Pass *s, real *dqkv /* (N,3A) */, real *dqnw, real *dknw,
                        const Normed *saved, const real *qnw, const real *knw)
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
        size_t q = (size_t)r * 3 * A, x = (size_t)r * 2 * A;
        s->K->sum_rows_product(dqnw, dqkv + q, saved->xhat + x, D, H, D);
        s->K->sum_rows_product(dknw, dqkv + q + A, saved->xhat + x + A, D, H, D);
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

/* ---------------------------------------------------------------- causal self-attention
 * One head (Vaswani et al. 2017):
 * p_t = softmax(q_t . k_u / sqrt D over u <= t),   o_t = sum_{u <= t} dropout(p_t)_u v_u
 * dv += dropout(p)^T do,   dp = dropout(do v^T),   ds = p (dp - sum p dp) / sqrt D,
 * dq = ds k,   dk += ds^T q
 * Queries go in blocks of QUERIES, each against the keys up to its own end, so no T x T matrix
 * exists, and products leave out the masked half; dk and dv are one chain over the blocks. */

enum { QUERIES = 48 };      /* a multiple of every table's tile */

/* p (m, end) of the queries t0 .. t0+m-1 from their scores; zero above the diagonal. */
static void attention_mask(real *p, int T, int t0, int m)
{
    for (int i = 0; i < m; i++)
        memset(p + (size_t)i * (size_t)T + t0 + i + 1, 0, (size_t)(m - i - 1) * sizeof *p);
}

/* qwen3 drops none of the probabilities. */
static bool attention_drops(const Pass *s)
{
    return s->dropout.threshold != 0 && s->c->family == FAMILY_GPT2;
}

static void attention_dropout(const Pass *s, real *out, const real *p, int layer, size_t head,
                              int t0, int m)
{
    for (int i = 0; i < m; i++) {
        size_t row = head * (size_t)s->T + (size_t)(t0 + i);
        uint64_t key = rng_bits(dropout_key(s, layer, SITE_ATTENTION), row);
        s->K->dropout(out + (size_t)i * (size_t)s->T, p + (size_t)i * (size_t)s->T, t0 + i + 1,
                      key, s->dropout);
    }
    if (out != p) attention_mask(out, s->T, t0, m);
}

static void head_forward(const Pass *s, real *o /* (T,D) in (N,A) */, real *lse /* (T) */,
                         const real *qkv /* (T,D) in (N,3A) */, int layer, size_t head)
{
    HeadSpace *h = &s->heads[omp_get_thread_num()];
    int T = s->T, A = config_attention(s->c), D = s->c->head_size;
    real scale = (real)(1.0 / sqrt((double)D));
    Packed kt = gemm_pack(s->K, h->kt, transposed(view_ld(qkv + A, T, D, 3 * A)));
    Packed v = gemm_pack(s->K, h->v, view_ld(qkv + 2 * A, T, D, 3 * A));
    for (int t0 = 0; t0 < T; t0 += QUERIES) {
        int m = min_dim(QUERIES, T - t0), end = t0 + m;
        Causal output = { CAUSAL_OUTPUT, t0 }, lower = { CAUSAL_LOWER, t0 };
        gemm_packed(s->g, h->p, T, view_ld(qkv + (size_t)t0 * 3 * (size_t)A, m, D, 3 * A), kt, end,
                    output, false);
        for (int i = 0; i < m; i++) {
            real *row = h->p + (size_t)i * (size_t)T;
            lse[t0 + i] = s->K->softmax(row, row, t0 + i + 1, scale);
        }
        attention_mask(h->p, T, t0, m);
        if (attention_drops(s)) attention_dropout(s, h->p, h->p, layer, head, t0, m);
        gemm_packed(s->g, o + (size_t)t0 * (size_t)A, A, view_ld(h->p, m, end, T), v, D, lower,
                    false);
    }
}

static void head_backward(const Pass *s, real *dqkv /* (T,D) in (N,3A) */,
                          const real *dout /* (T,D) in (N,A) */, const real *lse /* (T) */,
                          const real *qkv /* (T,D) in (N,3A) */, int layer, size_t head)
{
    HeadSpace *h = &s->heads[omp_get_thread_num()];
    int T = s->T, A = config_attention(s->c), D = s->c->head_size;
    real scale = (real)(1.0 / sqrt((double)D));
    View k = view_ld(qkv + A, T, D, 3 * A), v = view_ld(qkv + 2 * A, T, D, 3 * A);
    Packed kt = gemm_pack(s->K, h->kt, transposed(k)), vt = gemm_pack(s->K, h->vt, transposed(v));
    Packed keys = gemm_pack(s->K, h->k, k);
    for (int t0 = 0; t0 < T; t0 += QUERIES) {
        int m = min_dim(QUERIES, T - t0), end = t0 + m;
        Causal output = { CAUSAL_OUTPUT, t0 }, lower = { CAUSAL_LOWER, t0 };
        Causal upper = { CAUSAL_UPPER, -t0 };
        View q = view_ld(qkv + (size_t)t0 * 3 * (size_t)A, m, D, 3 * A);
        View d = view_ld(dout + (size_t)t0 * (size_t)A, m, D, A);
        real *dq = dqkv + (size_t)t0 * 3 * (size_t)A, *pd = h->p;

        gemm_packed(s->g, h->p, T, q, kt, end, output, false);
        for (int i = 0; i < m; i++)
            s->K->softmax_again(h->p + (size_t)i * (size_t)T, h->p + (size_t)i * (size_t)T,
                                t0 + i + 1, scale, lse[t0 + i]);
        attention_mask(h->p, T, t0, m);
        if (attention_drops(s)) attention_dropout(s, pd = h->pd, h->p, layer, head, t0, m);
        gemm_packed(s->g, dqkv + 2 * A, 3 * A, transposed(view_ld(pd, m, end, T)),
                    gemm_pack(s->K, h->block, d), D, upper, true);
        gemm_packed(s->g, h->dp, T, d, vt, end, output, false);
        if (attention_drops(s)) attention_dropout(s, h->dp, h->dp, layer, head, t0, m);
        for (int i = 0; i < m; i++)
            s->K->softmax_back(h->dp + (size_t)i * (size_t)T, h->dp + (size_t)i * (size_t)T,
                               h->p + (size_t)i * (size_t)T, t0 + i + 1, scale);
        attention_mask(h->dp, T, t0, m);
        gemm_packed(s->g, dq, 3 * A, view_ld(h->dp, m, end, T), keys, D, lower, false);
        gemm_packed(s->g, dqkv + A, 3 * A, transposed(view_ld(h->dp, m, end, T)),
                    gemm_pack(s->K, h->block, q), D, upper, true);
    }
}

/* All heads of all sequences: qkv (N,3A) holds queries, keys, values, head after head in each. */
static void attention_forward(const Pass *s, real *att /* (N,A) */, real *lse /* (n,H,T) */,
                              const real *qkv, int layer)
{
    int H = s->c->heads, T = s->T, A = config_attention(s->c), D = s->c->head_size;
    OMP(parallel for schedule(static) num_threads(s->g->threads))
    for (int i = 0; i < s->n * H; i++) {
        size_t row = (size_t)(i / H) * (size_t)T, at = (size_t)(i % H) * (size_t)D;
        head_forward(s, att + row * (size_t)A + at, lse + (size_t)i * (size_t)T,
                     qkv + row * 3 * (size_t)A + at, layer,
                     (size_t)s->first * (size_t)H + (size_t)i);
    }
    profile_mark(s->profile, PHASE_ATTENTION);
}

static void attention_backward(const Pass *s, real *dqkv /* (N,3A) */, const real *datt /* (N,A) */,
                               const real *lse, const real *qkv, int layer)
{
    int H = s->c->heads, T = s->T, A = config_attention(s->c), D = s->c->head_size;
    OMP(parallel for schedule(static) num_threads(s->g->threads))
    for (int i = 0; i < s->n * H; i++) {
        size_t row = (size_t)(i / H) * (size_t)T, at = (size_t)(i % H) * (size_t)D;
        for (int t = 0; t < T; t++)                     /* dk and dv of this head start from zero */
            for (int part = 1; part < 3; part++)
                memset(dqkv + (row + (size_t)t) * 3 * (size_t)A + (size_t)(part * A) + at, 0,
                       (size_t)D * sizeof *dqkv);
        head_backward(s, dqkv + row * 3 * (size_t)A + at, datt + row * (size_t)A + at,
                      lse + (size_t)i * (size_t)T, qkv + row * 3 * (size_t)A + at, layer,
                      (size_t)s->first * (size_t)H + (size_t)i);
    }
    profile_mark(s->profile, PHASE_ATTENTION);
}

/* ---------------------------------------------------------------- activation of the MLP
 * gpt2:   hid = gelu(pre)                         dpre = dhid gelu'(pre), may be dhid itself
 * qwen3:  hid = silu(gate) up, pre = gate | up    dgate = dhid up silu'(gate)  (Shazeer 2020)
 *                                                 dup = dhid silu(gate) */

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

static void activation_backward(const Pass *s, real *dpre /* (N,G) */,
                                const real *dhid /* (N,F) */, const real *pre /* (N,G) */)
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

static void residual_forward(const Pass *s, real *res /* (N,C) */, real *branch /* (N,C) */,
                             int layer, int site)
{
    size_t C = (size_t)s->c->channels;
    dropout(s, branch, branch, layer, site);
    OMP(parallel for schedule(static))
    for (int r = 0; r < s->N; r++)
        s->K->add(res + (size_t)r * C, branch + (size_t)r * C, (int)C);
    profile_mark(s->profile, PHASE_RESIDUAL);
}

/* Returns dbranch (N,C): `dropped`, or dres itself if nothing is dropped. */
static const real *residual_backward(const Pass *s, real *dropped, const real *dres /* (N,C) */,
                                     int layer, int site)
{
    if (s->dropout.threshold == 0) return dres;
    dropout(s, dropped, dres, layer, site);
    profile_mark(s->profile, PHASE_RESIDUAL);
    return dropped;
}

/* ================================================================ the network */

static void block_forward(const Pass *s, real *res, real *branch, const Block *w, BlockActs *a,
                          int layer)
{
    int C = s->c->channels, A = config_attention(s->c), F = s->c->hidden, G = config_pre(s->c);
    int N = s->N;
    norm_forward      (s, a->n1, &a->ln1, res, w->ln1w, w->ln1b);
    linear_forward    (s->m, a->qkv, a->n1, w->qkvw, w->qkvb, N, C, 3 * A);
    qk_forward        (s, a->qkv, &a->qk, w->qnw, w->knw);
    attention_forward (s, a->att, a->lse, a->qkv, layer);
    linear_forward    (s->m, branch, a->att, w->projw, w->projb, N, A, C);
    residual_forward  (s, res, branch, layer, SITE_PROJECTION);
    norm_forward      (s, a->n2, &a->ln2, res, w->ln2w, w->ln2b);
    linear_forward    (s->m, a->pre, a->n2, w->fcw, w->fcb, N, C, G);
    activation_forward(s, a->hid, a->pre);
    linear_forward    (s->m, branch, a->hid, w->outw, w->outb, N, F, C);
    residual_forward  (s, res, branch, layer, SITE_MLP);
}

/* The same lines from bottom to top. */
static void block_backward(const Pass *s, const Acts *t, const Block *w, const Block *g,
                           const BlockActs *a, int layer)
{
    int C = s->c->channels, A = config_attention(s->c), F = s->c->hidden, G = config_pre(s->c);
    int N = s->N;
    const real *dbranch = residual_backward(s, t->branch, t->dres, layer, SITE_MLP);
    linear_backward    (s->m, t->dhid, g->outw, g->outb, dbranch, a->hid, w->outw, N, F, C);
    activation_backward(s, t->dpre, t->dhid, a->pre);
    linear_backward    (s->m, t->dx, g->fcw, g->fcb, t->dpre, a->n2, w->fcw, N, C, G);
    norm_backward      (s, t->dres, g->ln2w, g->ln2b, t->dx, &a->ln2, w->ln2w);
    dbranch = residual_backward(s, t->branch, t->dres, layer, SITE_PROJECTION);
    linear_backward    (s->m, t->datt, g->projw, g->projb, dbranch, a->att, w->projw, N, A, C);
    attention_backward (s, t->dqkv, t->datt, a->lse, a->qkv, layer);
    qk_backward        (s, t->dqkv, g->qnw, g->knw, &a->qk, w->qnw, w->knw);
    linear_backward    (s->m, t->dx, g->qkvw, g->qkvb, t->dqkv, a->n1, w->qkvw, N, C, 3 * A);
    norm_backward      (s, t->dres, g->ln1w, g->ln1b, t->dx, &a->ln1, w->ln1w);
}

/* Embedding, blocks and last norm: acts.final (N,C). */
static void network_forward(Gpt *m, const Pass *s, const int32_t *x /* (n,T) */)
{
    Acts *a = &m->acts;
    input_forward(s, a->res, x, m->w.wte, m->w.wpe);
    for (int l = 0; l < s->c->layers; l++)
        block_forward(s, a->res, a->branch, &m->w.blocks[l], &a->blocks[l], l);
    norm_forward(s, a->final, &a->lnf, a->res, m->w.lnfw, m->w.lnfb);
}

static Head head_of(const Gpt *m, const Config *c)
{
    return (Head){ .w = m->w.head, .dw = m->g.head, .logits = m->acts.logits, .I = c->channels };
}

static Pass pass_make(Model *m, int n, int T)
{
    const Gpt *g = gpt(m);
    return (Pass){ .m = m, .c = gpt_config(m), .g = &m->gemm, .K = m->gemm.K, .n = n, .T = T,
                   .N = n * T, .dropout = dropout_of(0), .heads = g->acts.heads,
                   .cosine = g->cosine, .sine = g->sine, .profile = m->profile };
}

static void begin(Model *m)
{
    size_t C = (size_t)gpt_config(m)->channels;
    memset(gpt(m)->dwte_input, 0, (size_t)m->vocab * C * sizeof(real));
}

static void gradients(Model *model, const Slice *in, real *nats /* (n,T) */)
{
    Gpt *m = gpt(model);
    Acts *a = &m->acts;
    Pass s = pass_make(model, in->n, in->T);
    s.first = in->first;
    s.key = in->dropout_key;
    s.dropout = dropout_of(s.c->dropout);

    network_forward(m, &s, in->x);
    Head head = head_of(m, s.c);
    head_gradients(model, &head, nats, a->dx, a->final, in->y, s.N, slice_scale(in));

    memset(a->dres, 0, (size_t)s.N * (size_t)s.c->channels * sizeof(real));
    norm_backward(&s, a->dres, m->g.lnfw, m->g.lnfb, a->dx, &a->lnf, m->w.lnfw);
    for (int l = s.c->layers - 1; l >= 0; l--)
        block_backward(&s, a, &m->w.blocks[l], &m->g.blocks[l], &a->blocks[l], l);
    input_backward(&s, m->dwte_input, m->g.wpe, a->dres, in->x);
}

/* A tied wte is both head and input. Each part is one chain over the batch; joining them per slice
 * would make the sum depend on the slices. */
static void finish(Model *model)
{
    const Gpt *m = gpt(model);
    int C = gpt_config(model)->channels;
    for (int id = 0; id < model->vocab; id++) {
        size_t at = (size_t)id * (size_t)C;
        model->gemm.K->add(m->g.wte + at, m->dwte_input + at, C);
    }
}

static void losses(Model *m, const Slice *in, real *nats /* (n,T) */)
{
    Pass s = pass_make(m, in->n, in->T);
    network_forward(gpt(m), &s, in->x);
    Head head = head_of(gpt(m), s.c);
    head_losses(m, &head, nats, gpt(m)->acts.final, in->y, s.N);
}

static void logits(Model *m, const int32_t *x, int T, real *out /* (T,V) */)
{
    Pass s = pass_make(m, 1, T);
    network_forward(gpt(m), &s, x);
    linear_forward(m, out, gpt(m)->acts.final, gpt(m)->w.head, NULL, T, s.c->channels, m->vocab);
}

/* ================================================================ memory
 * Each layout function runs twice: once to measure, once to hand out pointers. */

static void layout_tables(Model *m, Arena *a)
{
    Gpt *t = gpt(m);
    const Config *c = gpt_config(m);
    size_t L = (size_t)c->layers, angles = (size_t)c->context * (size_t)(c->head_size / 2);
    t->w.blocks = arena_take(a, L, sizeof(Block));
    if (c->family == FAMILY_QWEN3) {
        t->cosine = arena_reals(a, angles);
        t->sine = arena_reals(a, angles);
    }
    if (m->use != MODEL_TRAIN) return;
    t->g.blocks = arena_take(a, L, sizeof(Block));
    t->dwte_input = arena_reals(a, (size_t)c->vocab * (size_t)c->channels);
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

static void layout(Model *m, Arena *a)
{
    const Config *c = gpt_config(m);
    const Kernels *K = m->gemm.K;
    Acts *t = &gpt(m)->acts;
    size_t N = (size_t)m->slice * (size_t)c->context;
    size_t C = (size_t)c->channels, A = (size_t)config_attention(c);
    int threads = m->gemm.threads;
    bool train = m->use == MODEL_TRAIN;

    layout_tables(m, a);
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
    t->logits = arena_reals(a, (size_t)head_rows((int)N, c->vocab) * (size_t)c->vocab);
    if (!train) return;
    t->dres = arena_reals(a, N * C);
    t->dx = arena_reals(a, N * C);
    t->datt = arena_reals(a, N * A);
    size_t hidden = (size_t)c->hidden;
    t->dhid = arena_reals(a, N * (hidden > 3 * A ? hidden : 3 * A));
    t->dqkv = t->dhid;                                      /* needed when dhid no longer is */
    t->dpre = config_gated(c) ? arena_reals(a, N * (size_t)config_pre(c)) : t->dhid;
}

/* cos and sin of t / rope_base^(2 j / D), for position t and pair j. */
static void rotary_angles(Model *m)
{
    const Gpt *g = gpt(m);
    const Config *c = gpt_config(m);
    int half = c->head_size / 2;
    for (int t = 0; g->cosine != NULL && t < c->context; t++)
        for (int j = 0; j < half; j++) {
            double angle = t * pow(c->rope_base, -(double)j / half);
            g->cosine[(size_t)t * (size_t)half + (size_t)j] = (real)cos(angle);
            g->sine[(size_t)t * (size_t)half + (size_t)j] = (real)sin(angle);
        }
}

/* ================================================================ decoding with a cache */

/* d->norm from d->x */
static void norm_streams(GptDecoder *d, const Pass *s, const real *w, const real *b)
{
    size_t C = (size_t)s->c->channels;
    for (int r = 0; r < s->N; r++)
        norm_row(s->c, s->K, d->norm + (size_t)r * C, d->xhat, d->x + (size_t)r * C, w, b);
}

/* Attention of the s->T newest positions, which follow `before` others, each over all up to it, for
 * one head of one stream. */
static void attention_newest(GptDecoder *d, const Pass *s, int before, int layer, int stream, int h)
{
    const Config *c = s->c;
    size_t H = (size_t)c->heads, A = (size_t)config_attention(c), D = (size_t)c->head_size;
    size_t T = (size_t)c->context;
    size_t cache = (((size_t)stream * (size_t)c->layers + (size_t)layer) * H + (size_t)h) * T * D;
    real *k = d->k + cache, *v = d->v + cache;
    real *scores = d->scores + ((size_t)stream * H + (size_t)h) * T;
    for (int t = 0; t < s->T; t++) {
        size_t row = (size_t)(stream * s->T + t), pos = (size_t)(before + t);
        const real *q = d->qkv + row * 3 * A + (size_t)h * D;
        int seen = (int)pos + 1;
        memcpy(k + pos * D, q + A, D * sizeof *k);
        memcpy(v + pos * D, q + 2 * A, D * sizeof *v);
        s->K->gemv(scores, seen, k, (ptrdiff_t)D, q, seen, (int)D, 1);
        s->K->softmax(scores, scores, seen, (real)(1.0 / sqrt((double)D)));
        s->K->weighted_rows(d->att + row * A + (size_t)h * D, scores, v, (ptrdiff_t)D, seen,
                            (int)D);
    }
}

static void attention_streams(GptDecoder *d, const Pass *s, int before, int layer)
{
    int H = s->c->heads;
    OMP(parallel for schedule(static)
        if ((double)s->N * config_attention(s->c) * (before + s->T) >= SERIAL))
    for (int i = 0; i < s->n * H; i++)
        attention_newest(d, s, before, layer, i / H, i % H);
}

/* block_forward for the newest rows of each stream. */
static void block_streams(GptDecoder *d, const Pass *s, int before, const Block *w, int layer)
{
    const Config *c = s->c;
    int C = c->channels, A = config_attention(c), F = c->hidden, G = config_pre(c);
    norm_streams(d, s, w->ln1w, w->ln1b);
    linear_streams(s->m, d->qkv, d->norm, w->qkvw, w->qkvb, s->N, C, 3 * A);
    qk_forward(s, d->qkv, &(Normed){ d->qk, d->rstd }, w->qnw, w->knw);
    attention_streams(d, s, before, layer);
    linear_streams(s->m, d->norm, d->att, w->projw, w->projb, s->N, A, C);
    s->K->add(d->x, d->norm, s->N * C);
    norm_streams(d, s, w->ln2w, w->ln2b);
    linear_streams(s->m, d->pre, d->norm, w->fcw, w->fcb, s->N, C, G);
    for (int r = 0; r < s->N; r++)
        activation_row(c, s->K, d->hid + (size_t)r * (size_t)F, d->pre + (size_t)r * (size_t)G);
    linear_streams(s->m, d->norm, d->hid, w->outw, w->outb, s->N, F, C);
    s->K->add(d->x, d->norm, s->N * C);
}

/* Row i count + t is the character at pos + t of stream i. */
static void decoder_feed(Decoder *d, int count)
{
    Gpt *m = gpt(d->model);
    GptDecoder *t = gpt_decoder(d);
    Pass s = pass_make(d->model, d->n, count);
    size_t C = (size_t)s.c->channels, T = (size_t)s.c->context, half = (size_t)(s.c->head_size / 2);
    if (m->cosine != NULL) {
        s.cosine += (size_t)d->pos * half;
        s.sine += (size_t)d->pos * half;
    }
    for (int r = 0; r < s.N; r++) {
        size_t at = (size_t)r * C, pos = (size_t)(d->pos + r % count);
        int32_t id = d->ids[(size_t)(r / count) * T + pos];
        symbol_set(s.m, t->x + at, m->w.wte, C, id, (int)C);
        if (m->w.wpe != NULL) s.K->add(t->x + at, m->w.wpe + pos * C, (int)C);
    }
    for (int l = 0; l < s.c->layers; l++)
        block_streams(t, &s, d->pos, &m->w.blocks[l], l);
}

static void decoder_logits(Decoder *d)
{
    const Gpt *m = gpt(d->model);
    Pass s = pass_make(d->model, d->n, 1);
    norm_streams(gpt_decoder(d), &s, m->w.lnfw, m->w.lnfb);
    linear_streams(s.m, d->logits, gpt_decoder(d)->norm, m->w.head, NULL, s.N, s.c->channels,
                   s.c->vocab);
}

static void decoder_copy_cache(Decoder *d, int to, int from)
{
    const Config *c = gpt_config(d->model);
    GptDecoder *t = gpt_decoder(d);
    size_t a = (size_t)to, b = (size_t)from, D = (size_t)c->head_size;
    size_t heads = (size_t)c->layers * (size_t)c->heads, head = (size_t)c->context * D;
    for (size_t h = 0; h < heads; h++) {
        size_t seen = (size_t)d->pos * D * sizeof(real);
        memcpy(t->k + (a * heads + h) * head, t->k + (b * heads + h) * head, seen);
        memcpy(t->v + (a * heads + h) * head, t->v + (b * heads + h) * head, seen);
    }
}

static void decoder_layout(Decoder *decoder, Arena *a)
{
    GptDecoder *d = gpt_decoder(decoder);
    const Config *c = gpt_config(decoder->model);
    size_t n = (size_t)decoder->room, R = (size_t)decoder->rows, C = (size_t)c->channels;
    size_t A = (size_t)config_attention(c), H = (size_t)c->heads, T = (size_t)c->context;
    size_t cache = n * (size_t)c->layers * T * A;
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
}

/* ================================================================ the two families */

const Network network_gpt2 = {
    &family_gpt2, layout, NULL, bind, begin, finish, gradients, losses, logits,
    decoder_layout, decoder_feed, decoder_logits, decoder_copy_cache, NULL, NULL
};

const Network network_qwen3 = {
    &family_qwen3, layout, rotary_angles, bind, begin, finish, gradients, losses, logits,
    decoder_layout, decoder_feed, decoder_logits, decoder_copy_cache, NULL, NULL
};

#endif
