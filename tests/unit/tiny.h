/* tiny.h: what test_gradients and test_model share: inputs for tiny models, and each family a
 * second time.
 *
 * The second networks follow the published formulas in plain double loops: one sequence at a time,
 * the full T x T matrix of attention, libm's exp, erf, tanh, cos and sin, every tensor found by its
 * name. They share nothing with model.h but the table of tensors, and with the kernels, so that
 * dropout can be compared, which elements of a row its key drops; the keys, where dropout applies
 * and what it scales are decided here.
 *
 *     Tiny *o = tiny_open(&model, dropout_key);
 *     double mean = tiny_mean_loss(o, x, y, B, T);
 *     o->params[i] += 1e-5;                                      parameters may be changed
 *
 */
#ifndef TINY_H
#define TINY_H

#include "../../base.h"
#include "../../config.h"
#include "../../kernels/kernels.h"
#include "gpt.h"

enum { TINY_T = 128, TINY_C = 80, TINY_F = 4 * TINY_C, TINY_V = 128 };

/* Size that model.h works on at once: a test of more positions than QUERIES has several blocks of
 * queries, as one of more channels than COLUMNS has several shares of columns. It must not be less
 * than model.h's own. */
enum { QUERIES = 48 };

/* The places of a network where dropout applies, in the order that numbers their keys. */
enum { SITE_EMBEDDING, SITE_ATTENTION, SITE_PROJECTION, SITE_MLP, SITES };

typedef struct {
    Config config;
    const Kernels *K;
    const Tensor *tensors;
    int tensor_count;
    uint64_t dropout_key;
    double dropout;                     /* 0: none, whatever config says */
    double *params;
    double res[TINY_T][TINY_C], norm[TINY_T][TINY_C], att[TINY_T][TINY_C], branch[TINY_T][TINY_C];
    double qkv[TINY_T][3 * TINY_C], hid[TINY_T][TINY_F], up[TINY_T][TINY_F], p[TINY_T][TINY_T];
    double logits[TINY_T][TINY_V];
} Tiny;

/* The larger of two errors; unlike fmax it keeps a NaN. */
static inline double tiny_larger(double a, double b) { return isnan(a) || a >= b ? a : b; }

/* ---------------------------------------------------------------- inputs */

/* A completed Config of each family; what is not a parameter keeps its default. */
static inline Config gpt2(int layers, int heads, int channels, int context, int vocab, int bias,
                          int gelu_tanh, double dropout)
{
    Config c = { .family = FAMILY_GPT2, .layers = layers, .heads = heads, .channels = channels,
                 .context = context, .vocab = vocab, .bias = bias, .gelu_tanh = gelu_tanh,
                 .dropout = dropout };
    gpt_complete(&c);
    return c;
}

static inline Config qwen3(int layers, int heads, int head_size, int channels, int hidden,
                           int context, int vocab, double dropout)
{
    Config c = { .family = FAMILY_QWEN3, .layers = layers, .heads = heads, .head_size = head_size,
                 .channels = channels, .hidden = hidden, .context = context, .vocab = vocab,
                 .dropout = dropout };
    gpt_complete(&c);
    return c;
}

/* What a verdict calls a configuration. */
static inline void tiny_name(char *out, size_t room, const Config *c, int T)
{
    if (c->family == FAMILY_GPT2)
        snprintf(out, room, "gpt2 L=%d H=%d C=%d T=%d bias=%d tanh=%d dropout=%g", c->layers,
                 c->heads, c->channels, T, c->bias, c->gelu_tanh, c->dropout);
    else
        snprintf(out, room, "qwen3 L=%d H=%d D=%d C=%d F=%d T=%d untied=%d base=%g dropout=%g",
                 c->layers, c->heads, c->head_size, c->channels, c->hidden, T, c->untied,
                 c->rope_base, c->dropout);
}

/* Every parameter random and large, so that no term of a gradient is too small to be seen. */
static inline void tiny_fill(Model *m, uint64_t seed)
{
    for (int t = 0; t < m->tensor_count; t++) {
        const Tensor *tensor = &m->tensors[t];
        for (size_t i = tensor->offset; i < tensor->offset + tensor_size(tensor); i++)
            m->params[i] = (real)(0.5 * rng_normal(seed, i));
    }
}

/* x and y (count) = random characters, y shifted by one against x as in a text. */
static inline void tiny_text(int32_t *x, int32_t *y, int count, int V, uint64_t seed)
{
    for (int i = 0; i < count; i++) {
        x[i] = (int32_t)rng_below(seed, (uint64_t)i, (uint64_t)V);
        y[i] = (int32_t)rng_below(seed, (uint64_t)i + 1, (uint64_t)V);
    }
}

/* NULL: no memory, or a model that is not tiny. */
static inline Tiny *tiny_open(const Model *m, uint64_t dropout_key)
{
    const Config *c = gpt_sizes(m);
    Tiny *o = NULL;
    if (c->context <= TINY_T && c->channels <= TINY_C && c->heads * c->head_size <= TINY_C
        && c->hidden <= TINY_F && c->vocab <= TINY_V)
        o = calloc(1, sizeof *o);
    if (o == NULL) return NULL;
    *o = (Tiny){ .config = *c, .K = m->gemm.K, .tensors = m->tensors,
                 .tensor_count = m->tensor_count, .dropout_key = dropout_key,
                 .dropout = c->dropout };
    o->params = malloc(m->size * sizeof *o->params);
    if (o->params == NULL) {
        free(o);
        return NULL;
    }
    for (size_t i = 0; i < m->size; i++) o->params[i] = (double)m->params[i];
    return o;
}

static inline void tiny_close(Tiny *o)
{
    free(o->params);
    free(o);
}

/* ---------------------------------------------------------------- dropout */

/* The key of one row: draw `row` of the stream that is draw SITES layer + site of the step's. */
static inline uint64_t tiny_dropout_key(uint64_t step_key, int layer, int site, size_t row)
{
    uint64_t place = (uint64_t)SITES * (uint64_t)layer + (uint64_t)site;
    return rng_bits(rng_bits(step_key, place), row);
}

/* y_i = x_i / (1 - p) where the draw keeps element i, else 0. */
static inline void tiny_drop(const Tiny *o, double *x, int n, int layer, int site, size_t row)
{
    real ones[TINY_T], kept[TINY_T];
    Dropout d = { (uint32_t)(o->dropout * 0x1p32), 1 };
    if (o->dropout <= 0) return;
    for (int i = 0; i < TINY_T; i++) ones[i] = 1;
    o->K->dropout(kept, ones, n, tiny_dropout_key(o->dropout_key, layer, site, row), d);
    for (int i = 0; i < n; i++) x[i] = kept[i] > 0 ? x[i] / (1 - o->dropout) : 0;
}

/* ---------------------------------------------------------------- layers */

/* The tensor of this name. NULL: the model has none. */
static inline const double *tiny_named(const Tiny *o, const char *name)
{
    for (int t = 0; t < o->tensor_count; t++)
        if (strcmp(o->tensors[t].name, name) == 0) return o->params + o->tensors[t].offset;
    return NULL;
}

/* The tensor "transformer." (or "model.") + name, or of block `layer` if that is not negative. */
static inline const double *tiny_tensor(const Tiny *o, int layer, const char *name)
{
    bool gpt = o->config.family == FAMILY_GPT2;
    char full[120];
    if (layer < 0) snprintf(full, sizeof full, "%s.%s", gpt ? "transformer" : "model", name);
    else
        snprintf(full, sizeof full, "%s.%d.%s", gpt ? "transformer.h" : "model.layers", layer,
                 name);
    return tiny_named(o, full);
}

/* y (O) = w (O,I) x (I) + b */
static inline void tiny_linear(double *y, const double *x, const double *w, const double *b, int I,
                               int O)
{
    for (int i = 0; i < O; i++) {
        y[i] = b != NULL ? b[i] : 0;
        for (int j = 0; j < I; j++) y[i] += w[i * I + j] * x[j];
    }
}

/* y = (x - mean) / sqrt(variance + 1e-5) w + b */
static inline void tiny_layernorm(double *y, const double *x, const double *w, const double *b,
                                  int C)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < C; i++) mean += x[i] / C;
    for (int i = 0; i < C; i++) variance += (x[i] - mean) * (x[i] - mean) / C;
    for (int i = 0; i < C; i++)
        y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * w[i] + (b != NULL ? b[i] : 0);
}

/* y = x / sqrt(mean of x^2 + 1e-6) w */
static inline void tiny_rmsnorm(double *y, const double *x, const double *w, int C)
{
    double square = 0;
    for (int i = 0; i < C; i++) square += x[i] * x[i] / C;
    double root = sqrt(square + 1e-6);
    for (int i = 0; i < C; i++) y[i] = x[i] / root * w[i];
}

/* Turns each pair (x_j, x_{j + D/2}) of a head at position t by the angle t base^(-2 j / D), in
 * place. */
static inline void tiny_rotate(double *x, int D, int t, double base)
{
    for (int j = 0; j < D / 2; j++) {
        double angle = t * pow(base, -2.0 * j / D), a = x[j], b = x[j + D / 2];
        x[j] = a * cos(angle) - b * sin(angle);
        x[j + D / 2] = b * cos(angle) + a * sin(angle);
    }
}

static inline double tiny_gelu(double x, bool tanh_form)
{
    double pi = acos(-1.0);
    if (tanh_form) return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    return 0.5 * x * (1 + erf(x / sqrt(2.0)));
}

/* o->att (T,A) from o->qkv (T,3A): softmax(Q K^T / sqrt D + mask) V, head by head. Only gpt2 drops
 * probabilities. */
static inline void tiny_attention(Tiny *o, int T, int layer, size_t sequence)
{
    int H = o->config.heads, D = o->config.head_size, A = H * D;
    for (int h = 0; h < H; h++) {
        for (int t = 0; t < T; t++) {
            double total = 0;
            for (int u = 0; u < T; u++) {
                double score = u <= t ? 0 : (double)-INFINITY;
                for (int i = 0; i < D && u <= t; i++)
                    score += o->qkv[t][h * D + i] * o->qkv[u][A + h * D + i] / sqrt((double)D);
                o->p[t][u] = exp(score);
                total += o->p[t][u];
            }
            for (int u = 0; u < T; u++) o->p[t][u] /= total;
            size_t row = (sequence * (size_t)H + (size_t)h) * (size_t)T + (size_t)t;
            if (o->config.family == FAMILY_GPT2)
                tiny_drop(o, o->p[t], t + 1, layer, SITE_ATTENTION, row);
        }
        for (int t = 0; t < T; t++)
            for (int i = 0; i < D; i++) {
                o->att[t][h * D + i] = 0;
                for (int u = 0; u < T; u++)
                    o->att[t][h * D + i] += o->p[t][u] * o->qkv[u][2 * A + h * D + i];
            }
    }
}

/* res_t += dropout(branch_t) */
static inline void tiny_join(Tiny *o, int T, int layer, int site, size_t sequence)
{
    for (int t = 0; t < T; t++) {
        tiny_drop(o, o->branch[t], o->config.channels, layer, site,
                  sequence * (size_t)T + (size_t)t);
        for (int i = 0; i < o->config.channels; i++) o->res[t][i] += o->branch[t][i];
    }
}

static inline void tiny_gpt2_block(Tiny *o, int T, int l, size_t sequence)
{
    int C = o->config.channels, F = 4 * C;
    const double *w1 = tiny_tensor(o, l, "ln_1.weight"), *b1 = tiny_tensor(o, l, "ln_1.bias");
    const double *w2 = tiny_tensor(o, l, "ln_2.weight"), *b2 = tiny_tensor(o, l, "ln_2.bias");
    const double *qkvw = tiny_tensor(o, l, "attn.c_attn.weight");
    const double *qkvb = tiny_tensor(o, l, "attn.c_attn.bias");
    const double *projw = tiny_tensor(o, l, "attn.c_proj.weight");
    const double *projb = tiny_tensor(o, l, "attn.c_proj.bias");
    const double *fcw = tiny_tensor(o, l, "mlp.c_fc.weight");
    const double *fcb = tiny_tensor(o, l, "mlp.c_fc.bias");
    const double *outw = tiny_tensor(o, l, "mlp.c_proj.weight");
    const double *outb = tiny_tensor(o, l, "mlp.c_proj.bias");

    for (int t = 0; t < T; t++) {
        tiny_layernorm(o->norm[t], o->res[t], w1, b1, C);
        tiny_linear(o->qkv[t], o->norm[t], qkvw, qkvb, C, 3 * C);
    }
    tiny_attention(o, T, l, sequence);
    for (int t = 0; t < T; t++) tiny_linear(o->branch[t], o->att[t], projw, projb, C, C);
    tiny_join(o, T, l, SITE_PROJECTION, sequence);
    for (int t = 0; t < T; t++) {
        tiny_layernorm(o->norm[t], o->res[t], w2, b2, C);
        tiny_linear(o->hid[t], o->norm[t], fcw, fcb, C, F);
        for (int i = 0; i < F; i++)
            o->hid[t][i] = tiny_gelu(o->hid[t][i], o->config.gelu_tanh != 0);
        tiny_linear(o->branch[t], o->hid[t], outw, outb, F, C);
    }
    tiny_join(o, T, l, SITE_MLP, sequence);
}

static inline void tiny_qwen3_block(Tiny *o, int T, int l, size_t sequence)
{
    int C = o->config.channels, F = o->config.hidden, H = o->config.heads, D = o->config.head_size;
    int A = H * D;
    const double *w1 = tiny_tensor(o, l, "input_layernorm.weight");
    const double *w2 = tiny_tensor(o, l, "post_attention_layernorm.weight");
    const double *proj[3] = { tiny_tensor(o, l, "self_attn.q_proj.weight"),
                              tiny_tensor(o, l, "self_attn.k_proj.weight"),
                              tiny_tensor(o, l, "self_attn.v_proj.weight") };
    const double *norms[2] = { tiny_tensor(o, l, "self_attn.q_norm.weight"),
                               tiny_tensor(o, l, "self_attn.k_norm.weight") };
    const double *back = tiny_tensor(o, l, "self_attn.o_proj.weight");
    const double *gate = tiny_tensor(o, l, "mlp.gate_proj.weight");
    const double *up = tiny_tensor(o, l, "mlp.up_proj.weight");
    const double *down = tiny_tensor(o, l, "mlp.down_proj.weight");

    for (int t = 0; t < T; t++) {
        tiny_rmsnorm(o->norm[t], o->res[t], w1, C);
        for (int i = 0; i < 3; i++) tiny_linear(o->qkv[t] + i * A, o->norm[t], proj[i], NULL, C, A);
        for (int i = 0; i < 2; i++)
            for (int h = 0; h < H; h++) {
                double *x = o->qkv[t] + i * A + h * D;
                tiny_rmsnorm(x, x, norms[i], D);
                tiny_rotate(x, D, t, o->config.rope_base);
            }
    }
    tiny_attention(o, T, l, sequence);
    for (int t = 0; t < T; t++) tiny_linear(o->branch[t], o->att[t], back, NULL, A, C);
    tiny_join(o, T, l, SITE_PROJECTION, sequence);
    for (int t = 0; t < T; t++) {
        tiny_rmsnorm(o->norm[t], o->res[t], w2, C);
        tiny_linear(o->hid[t], o->norm[t], gate, NULL, C, F);
        tiny_linear(o->up[t], o->norm[t], up, NULL, C, F);
        for (int i = 0; i < F; i++) o->hid[t][i] *= o->up[t][i] / (1 + exp(-o->hid[t][i]));
        tiny_linear(o->branch[t], o->hid[t], down, NULL, F, C);
    }
    tiny_join(o, T, l, SITE_MLP, sequence);
}

/* ---------------------------------------------------------------- the network */

static inline void tiny_gpt2_logits(Tiny *o, const int32_t *x, int T, size_t sequence)
{
    int C = o->config.channels;
    const double *wte = tiny_tensor(o, -1, "wte.weight"), *wpe = tiny_tensor(o, -1, "wpe.weight");
    const double *lnfw = tiny_tensor(o, -1, "ln_f.weight"), *lnfb = tiny_tensor(o, -1, "ln_f.bias");
    for (int t = 0; t < T; t++) {
        for (int i = 0; i < C; i++) o->res[t][i] = wte[x[t] * C + i] + wpe[t * C + i];
        tiny_drop(o, o->res[t], C, 0, SITE_EMBEDDING, sequence * (size_t)T + (size_t)t);
    }
    for (int l = 0; l < o->config.layers; l++) tiny_gpt2_block(o, T, l, sequence);
    for (int t = 0; t < T; t++) {
        tiny_layernorm(o->norm[t], o->res[t], lnfw, lnfb, C);
        tiny_linear(o->logits[t], o->norm[t], wte, NULL, C, o->config.vocab);
    }
}

static inline void tiny_qwen3_logits(Tiny *o, const int32_t *x, int T, size_t sequence)
{
    int C = o->config.channels;
    const double *embed = tiny_tensor(o, -1, "embed_tokens.weight");
    const double *norm = tiny_tensor(o, -1, "norm.weight");
    const double *head = o->config.untied ? tiny_named(o, "lm_head.weight") : embed;
    for (int t = 0; t < T; t++)
        for (int i = 0; i < C; i++) o->res[t][i] = embed[x[t] * C + i];
    for (int l = 0; l < o->config.layers; l++) tiny_qwen3_block(o, T, l, sequence);
    for (int t = 0; t < T; t++) {
        tiny_rmsnorm(o->norm[t], o->res[t], norm, C);
        tiny_linear(o->logits[t], o->norm[t], head, NULL, C, o->config.vocab);
    }
}

/* o->logits (T,V) of sequence number `sequence` of the batch. */
static inline void tiny_logits(Tiny *o, const int32_t *x, int T, size_t sequence)
{
    if (o->config.family == FAMILY_GPT2) tiny_gpt2_logits(o, x, T, sequence);
    else tiny_qwen3_logits(o, x, T, sequence);
}

/* -log softmax(logits)_target of V logits */
static inline double tiny_loss(const double *logits, int target, int V)
{
    double total = 0;
    for (int i = 0; i < V; i++) total += exp(logits[i]);
    return log(total) - logits[target];
}

/* The mean loss of a batch x, y (B,T). */
static inline double tiny_mean_loss(Tiny *o, const int32_t *x, const int32_t *y, int B, int T)
{
    double sum = 0;
    for (int b = 0; b < B; b++) {
        tiny_logits(o, x + b * T, T, (size_t)b);
        for (int t = 0; t < T; t++) sum += tiny_loss(o->logits[t], y[b * T + t], o->config.vocab);
    }
    return sum / B / T;
}

#endif
