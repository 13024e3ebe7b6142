/* config.h: what a model is made of: its configuration and the table of its tensors.
 *
 * Everything that depends on the family or the sizes follows from here: options, memory, initialisation, what the
 * optimizer decays, what a checkpoint holds. A tensor is named in one line of one table.
 *
 *     Config c = { .family = FAMILY_GPT2, .layers = 4, .heads = 4, .channels = 128, .context = 64, .vocab = 65 };
 *     config_complete(&c);
 *     if (config_check(&c, &err)) ...;
 *     int n = model_tensors(&c, NULL, &size);
 *
 * The dimension letters are model.h's.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "base.h"

/* ================================================================ configuration */

/* gpt2: learned positions, layer norm, GELU; dropout on embeddings, attention and both branches. What nanoGPT trains.
 * qwen3: rotary positions, RMS norm, RMS-normed queries and keys, SwiGLU; dropout on both branches. A dense Qwen3. */
typedef enum { FAMILY_GPT2, FAMILY_QWEN3 } Family;

typedef struct {
    int family;             /* Family */
    int layers;             /* L */
    int heads;              /* H */
    int channels;           /* C */
    int hidden;             /* F */
    int head_size;          /* D; gpt2: C / H, qwen3: any even number */
    int context;            /* the largest T */
    int vocab;              /* V */
    int bias;               /* gpt2: 1: linear layers and norms have biases */
    int gelu_tanh;          /* gpt2: 1: the tanh form of GELU */
    int untied;             /* qwen3: 1: the head has a matrix of its own; 0: it is wte */
    double rope_base;       /* qwen3: rotary angles are position / rope_base^(2 j / D) */
    double dropout;         /* probability, in training only */
} Config;

/* One line per field: its name in options, checkpoints and ./inspect, its range or its words. */
typedef enum { FIELD_INT, FIELD_REAL, FIELD_WORD } FieldKind;

typedef struct {
    const char *name;
    FieldKind kind;
    size_t offset;          /* of an int, or of a double for FIELD_REAL */
    double low, high;
    bool younger;           /* checkpoints of the first release lack it: 0, or what config_complete says */
    const char *words[3];   /* word i stands for the value i; NULL after the last */
} ConfigField;

enum { HEADS_MAX = 1024, CONTEXT_MAX = 65536, VOCAB_MAX = 1 << 21 };

#define AT(field) offsetof(Config, field)
static const ConfigField config_fields[] = {
    /* name        kind        where           low  high           younger words */
    { "family",    FIELD_WORD, AT(family),     0,   1,             false,  { "gpt2", "qwen3" } },
    { "layers",    FIELD_INT,  AT(layers),     0,   1000,          false,  { 0 } },
    { "heads",     FIELD_INT,  AT(heads),      1,   HEADS_MAX,     false,  { 0 } },
    { "channels",  FIELD_INT,  AT(channels),   1,   65536,         false,  { 0 } },
    { "hidden",    FIELD_INT,  AT(hidden),     0,   262144,        true,   { 0 } },
    { "head-size", FIELD_INT,  AT(head_size),  0,   65536,         true,   { 0 } },
    { "context",   FIELD_INT,  AT(context),    1,   CONTEXT_MAX,   false,  { 0 } },
    { "vocab",     FIELD_INT,  AT(vocab),      1,   VOCAB_MAX,     false,  { 0 } },
    { "bias",      FIELD_WORD, AT(bias),       0,   1,             false,  { "off", "on" } },
    { "gelu",      FIELD_WORD, AT(gelu_tanh),  0,   1,             false,  { "erf", "tanh" } },
    { "head",      FIELD_WORD, AT(untied),     0,   1,             true,   { "tied", "untied" } },
    { "rope-base", FIELD_REAL, AT(rope_base),  1,   1e12,          true,   { 0 } },
    { "dropout",   FIELD_REAL, AT(dropout),    0,   0.99,          false,  { 0 } },
};
#undef AT

enum { CONFIG_FIELDS = sizeof config_fields / sizeof config_fields[0] };

/* Field i; NULL after the last. */
static inline const ConfigField *config_field(int i) { return i < CONFIG_FIELDS ? &config_fields[i] : NULL; }

static inline int *config_int(const Config *c, const ConfigField *f) { return (int *)(void *)((char *)(uintptr_t)c + f->offset); }
static inline double *config_real(const Config *c, const ConfigField *f)
{
    return (double *)(void *)((char *)(uintptr_t)c + f->offset);
}

/* A field's value as text: "6", "on", "0.20000000000000001". */
static inline void config_get(const Config *c, const ConfigField *f, char *out, size_t room)
{
    if (f->kind == FIELD_REAL) snprintf(out, room, "%.17g", *config_real(c, f));
    else if (f->kind == FIELD_INT) snprintf(out, room, "%d", *config_int(c, f));
    else snprintf(out, room, "%s", f->words[*config_int(c, f)]);
}

/* -1: not a value of the field, or out of its range. */
static inline int config_set(Config *c, const ConfigField *f, const char *value)
{
    if (f->kind == FIELD_WORD) {
        for (int i = 0; i < 3 && f->words[i] != NULL; i++)
            if (strcmp(value, f->words[i]) == 0) {
                *config_int(c, f) = i;
                return 0;
            }
        return -1;
    }
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end != '\0' || !(x >= f->low && x <= f->high)) return -1;
    if (f->kind == FIELD_REAL) {
        *config_real(c, f) = x;
        return 0;
    }
    if (x != floor(x)) return -1;
    *config_int(c, f) = (int)x;
    return 0;
}

/* Fills in what is 0: hidden, head_size, rope_base. */
static inline void config_complete(Config *c)
{
    bool gated = c->family == FAMILY_QWEN3;                 /* three matrices instead of two: 2/3 of the width */
    if (c->hidden == 0) c->hidden = gated ? ((int)(8.0 / 3 * c->channels) + 63) / 64 * 64 : 4 * c->channels;
    if (c->head_size == 0 && c->heads > 0) c->head_size = c->channels / c->heads;
    if (c->rope_base <= 0) c->rope_base = 10000;
}

/* Ranges, what the family allows, a size that memory can hold. EXIT_USAGE. */
static inline int config_check(const Config *c, Err *err)
{
    for (int i = 0; i < CONFIG_FIELDS; i++) {
        const ConfigField *f = &config_fields[i];
        double x = f->kind == FIELD_REAL ? *config_real(c, f) : *config_int(c, f);
        if (!(x >= f->low && x <= f->high))
            return fail(err, EXIT_USAGE, "%s %g: must be %g to %g", f->name, x, f->low, f->high);
    }
    if (c->hidden < 1 || c->head_size < 1)
        return fail(err, EXIT_USAGE, "hidden %d, head-size %d: must be 1 at least", c->hidden, c->head_size);
    if (c->family == FAMILY_GPT2 && c->heads * c->head_size != c->channels)
        return fail(err, EXIT_USAGE, "channels %d: must be heads %d times head-size %d in the gpt2 family", c->channels,
                    c->heads, c->head_size);
    if (c->family == FAMILY_GPT2 && c->untied)
        return fail(err, EXIT_USAGE, "head untied: the gpt2 family has a tied head");
    if (c->family == FAMILY_QWEN3 && c->head_size % 2 != 0)
        return fail(err, EXIT_USAGE, "head-size %d: must be even in the qwen3 family", c->head_size);
    if (c->family == FAMILY_QWEN3 && c->bias)
        return fail(err, EXIT_USAGE, "bias on: the qwen3 family has no biases");
    if (c->family == FAMILY_QWEN3 && c->gelu_tanh)
        return fail(err, EXIT_USAGE, "gelu tanh: the qwen3 family has SwiGLU");
    double params = c->layers * (4.0 * c->heads * c->head_size + 3.0 * c->hidden) * c->channels
                  + (2.0 * c->vocab + c->context) * c->channels;
    if (params * 8 > (double)(SIZE_MAX / 16))
        return fail(err, EXIT_USAGE, "a model of %.0f million parameters is too large for this machine", params / 1e6);
    return 0;
}

/* ================================================================ tensors */

typedef struct {            /* one block's parameters, or their gradients */
    real *ln1w, *ln1b;      /* (C)              */
    real *qkvw, *qkvb;      /* (3A,C)  (3A)     */
    real *qnw, *knw;        /* (D)              */
    real *projw, *projb;    /* (C,A)   (C)      */
    real *ln2w, *ln2b;      /* (C)              */
    real *fcw, *fcb;        /* (G,C)   (G)      */
    real *outw, *outb;      /* (C,F)   (C)      */
} Block;

typedef struct {
    real *wte;              /* (V,C) characters */
    real *wpe;              /* (context,C) positions; NULL with rotary ones */
    real *lnfw, *lnfb;      /* (C) */
    real *head;             /* (V,C); tied: wte itself */
    Block *blocks;          /* (L) */
} Weights;

typedef enum { INIT_ZERO, INIT_ONE, INIT_NORMAL, INIT_RESIDUAL, INIT_FAN_IN } Init;
typedef enum { DIM_1, DIM_C, DIM_A, DIM_3A, DIM_D, DIM_F, DIM_V, DIM_T } Dim;
typedef enum { ALWAYS, IF_BIAS, IF_UNTIED } Presence;

/* The tables of tensors: layout, initialisation, decay, optimizer, saving, inspecting and the gradient check follow from them. */
typedef struct {
    const char *name;       /* Hugging Face's; %d is the block */
    size_t field;           /* of Weights, or of Block; JOINED: follows the tensor above without a gap, as one matrix */
    Dim rows, cols;         /* (rows, cols) row-major; y = x w^T + b for matrices */
    Init init;
    bool transposed;        /* Hugging Face's Conv1D stores (cols, rows) */
    Presence when;
} TensorSpec;

#define W(field) offsetof(Weights, field)
#define K(field) offsetof(Block, field)
#define JOINED SIZE_MAX
static const TensorSpec gpt2_first[] = {
    /* name                                  field      rows    cols    init           transp. when */
    { "transformer.wte.weight",              W(wte),    DIM_V,  DIM_C,  INIT_NORMAL,   false,  ALWAYS },
    { "transformer.wpe.weight",              W(wpe),    DIM_T,  DIM_C,  INIT_NORMAL,   false,  ALWAYS },
};
static const TensorSpec gpt2_block[] = {
    { "transformer.h.%d.ln_1.weight",        K(ln1w),   DIM_1,  DIM_C,  INIT_ONE,      false,  ALWAYS },
    { "transformer.h.%d.ln_1.bias",          K(ln1b),   DIM_1,  DIM_C,  INIT_ZERO,     false,  IF_BIAS },
    { "transformer.h.%d.attn.c_attn.weight", K(qkvw),   DIM_3A, DIM_C,  INIT_NORMAL,   true,   ALWAYS },
    { "transformer.h.%d.attn.c_attn.bias",   K(qkvb),   DIM_1,  DIM_3A, INIT_ZERO,     false,  IF_BIAS },
    { "transformer.h.%d.attn.c_proj.weight", K(projw),  DIM_C,  DIM_A,  INIT_RESIDUAL, true,   ALWAYS },
    { "transformer.h.%d.attn.c_proj.bias",   K(projb),  DIM_1,  DIM_C,  INIT_ZERO,     false,  IF_BIAS },
    { "transformer.h.%d.ln_2.weight",        K(ln2w),   DIM_1,  DIM_C,  INIT_ONE,      false,  ALWAYS },
    { "transformer.h.%d.ln_2.bias",          K(ln2b),   DIM_1,  DIM_C,  INIT_ZERO,     false,  IF_BIAS },
    { "transformer.h.%d.mlp.c_fc.weight",    K(fcw),    DIM_F,  DIM_C,  INIT_NORMAL,   true,   ALWAYS },
    { "transformer.h.%d.mlp.c_fc.bias",      K(fcb),    DIM_1,  DIM_F,  INIT_ZERO,     false,  IF_BIAS },
    { "transformer.h.%d.mlp.c_proj.weight",  K(outw),   DIM_C,  DIM_F,  INIT_RESIDUAL, true,   ALWAYS },
    { "transformer.h.%d.mlp.c_proj.bias",    K(outb),   DIM_1,  DIM_C,  INIT_ZERO,     false,  IF_BIAS },
};
static const TensorSpec gpt2_last[] = {
    { "transformer.ln_f.weight",             W(lnfw),   DIM_1,  DIM_C,  INIT_ONE,      false,  ALWAYS },
    { "transformer.ln_f.bias",               W(lnfb),   DIM_1,  DIM_C,  INIT_ZERO,     false,  IF_BIAS },
};
static const TensorSpec qwen3_first[] = {
    { "model.embed_tokens.weight",           W(wte),    DIM_V,  DIM_C,  INIT_NORMAL,   false,  ALWAYS },
};
static const TensorSpec qwen3_block[] = {
    { "model.layers.%d.input_layernorm.weight",          K(ln1w),  DIM_1, DIM_C, INIT_ONE,    false, ALWAYS },
    { "model.layers.%d.self_attn.q_proj.weight",         K(qkvw),  DIM_A, DIM_C, INIT_FAN_IN, false, ALWAYS },
    { "model.layers.%d.self_attn.k_proj.weight",         JOINED,   DIM_A, DIM_C, INIT_FAN_IN, false, ALWAYS },
    { "model.layers.%d.self_attn.v_proj.weight",         JOINED,   DIM_A, DIM_C, INIT_FAN_IN, false, ALWAYS },
    { "model.layers.%d.self_attn.q_norm.weight",         K(qnw),   DIM_1, DIM_D, INIT_ONE,    false, ALWAYS },
    { "model.layers.%d.self_attn.k_norm.weight",         K(knw),   DIM_1, DIM_D, INIT_ONE,    false, ALWAYS },
    { "model.layers.%d.self_attn.o_proj.weight",         K(projw), DIM_C, DIM_A, INIT_ZERO,   false, ALWAYS },
    { "model.layers.%d.post_attention_layernorm.weight", K(ln2w),  DIM_1, DIM_C, INIT_ONE,    false, ALWAYS },
    { "model.layers.%d.mlp.gate_proj.weight",            K(fcw),   DIM_F, DIM_C, INIT_FAN_IN, false, ALWAYS },
    { "model.layers.%d.mlp.up_proj.weight",              JOINED,   DIM_F, DIM_C, INIT_FAN_IN, false, ALWAYS },
    { "model.layers.%d.mlp.down_proj.weight",            K(outw),  DIM_C, DIM_F, INIT_ZERO,   false, ALWAYS },
};
static const TensorSpec qwen3_last[] = {
    { "model.norm.weight",                   W(lnfw),   DIM_1,  DIM_C,  INIT_ONE,      false,  ALWAYS },
    { "lm_head.weight",                      W(head),   DIM_V,  DIM_C,  INIT_NORMAL,   false,  IF_UNTIED },
};
#undef W
#undef K

#define ROWS(table) { table, sizeof table / sizeof table[0] }
static const struct {
    struct { const TensorSpec *specs; size_t count; } first, block, last;
} family_tensors[] = {      /* by Family */
    { ROWS(gpt2_first), ROWS(gpt2_block), ROWS(gpt2_last) },
    { ROWS(qwen3_first), ROWS(qwen3_block), ROWS(qwen3_last) },
};
#undef ROWS

static inline bool config_gated(const Config *c) { return c->family == FAMILY_QWEN3; }
static inline int config_attention(const Config *c) { return c->heads * c->head_size; }                       /* A */
static inline int config_pre(const Config *c) { return config_gated(c) ? 2 * c->hidden : c->hidden; }         /* G */

static inline int config_dim(const Config *c, Dim d)
{
    switch (d) {
    case DIM_C:  return c->channels;
    case DIM_A:  return config_attention(c);
    case DIM_3A: return 3 * config_attention(c);
    case DIM_D:  return c->head_size;
    case DIM_F:  return c->hidden;
    case DIM_V:  return c->vocab;
    case DIM_T:  return c->context;
    default:     return 1;
    }
}

static inline double init_deviation(const Config *c, Init init, int cols)
{
    switch (init) {
    case INIT_NORMAL:   return 0.02;
    case INIT_RESIDUAL: return 0.02 / sqrt(2.0 * c->layers);
    case INIT_FAN_IN:   return 0.5 / sqrt((double)cols);
    default:            return 0;
    }
}

/* Appends the tensors of one table that the Config has to *list; counts and measures without a list. */
typedef struct {
    Tensor *list;           /* NULL: only count */
    int count;
    size_t size, parameters;
} TensorTable;

static inline void tensors_of(TensorTable *t, const Config *c, const TensorSpec *specs, size_t n, int block)
{
    enum { LINE = CACHE_LINE / sizeof(float) };             /* every tensor that is not joined starts on a cache line */
    for (const TensorSpec *s = specs; s < specs + n; s++) {
        if ((s->when == IF_BIAS && !c->bias) || (s->when == IF_UNTIED && !c->untied)) continue;
        if (s->field != JOINED) t->size = (t->size + LINE - 1) / LINE * LINE;
        Tensor one = { .offset = t->size, .rows = config_dim(c, s->rows), .cols = config_dim(c, s->cols),
                       .rank = s->rows == DIM_1 ? 1 : 2, .stored_transposed = s->transposed, .decay = s->rows != DIM_1,
                       .hidden = block >= 0 && s->rows != DIM_1, .by_symbol = s->rows == DIM_V,
                       .start = s->init == INIT_ONE ? 1 : 0,
                       .block = block, .field = s->field };
        one.deviation = init_deviation(c, s->init, one.cols);
        size_t count = tensor_size(&one);
        if (t->list != NULL) {
            const char *number = strstr(s->name, "%d");
            if (number == NULL) snprintf(one.name, sizeof one.name, "%s", s->name);
            else snprintf(one.name, sizeof one.name, "%.*s%d%s", (int)(number - s->name), s->name, block, number + 2);
            t->list[t->count] = one;
        }
        t->count++;
        t->parameters += count;
        t->size += count;
    }
}

static inline TensorTable tensor_table(const Config *c, Tensor *list)
{
    TensorTable t = { .list = list };
    tensors_of(&t, c, family_tensors[c->family].first.specs, family_tensors[c->family].first.count, -1);
    for (int block = 0; block < c->layers; block++)
        tensors_of(&t, c, family_tensors[c->family].block.specs, family_tensors[c->family].block.count, block);
    tensors_of(&t, c, family_tensors[c->family].last.specs, family_tensors[c->family].last.count, -1);
    return t;
}

/* Fills out[] (NULL: only counts) with every tensor; returns how many. *size: elements of a flat array of all. */
static inline int model_tensors(const Config *c, Tensor *out, size_t *size)
{
    TensorTable t = tensor_table(c, out);
    if (size != NULL) *size = t.size;
    return t.count;
}

static inline size_t model_parameters(const Config *c) { return tensor_table(c, NULL).parameters; }

/* 2 per multiply-add of one token's matrix products, forward and backward; the masked half of attention not counted. */
static inline double model_flops_per_token(const Config *c, int T)
{
    double C = c->channels, A = config_attention(c), F = c->hidden;
    double linear = 2 * (c->layers * C * (4 * A + F + config_pre(c)) + (double)c->vocab * C);
    double attention = 2.0 * c->layers * A * (T + 1);       /* (T+1)/2 earlier positions on average, for scores and values */
    return 3 * (linear + attention);
}

#endif
