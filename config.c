/* config.c: the GPT's fields, its tensors, and what suits a time budget, as tables. */
#include "config.h"

/* ---------------------------------------------------------------- fields */

#define AT(field) offsetof(Config, field)
#define SIZE(name, field, low, high, text, change, help) \
    { name, "--" name, FIELD_INT, AT(field), low, high, NULL, text, change, help }
#define REAL(name, field, low, high, text, change, help) \
    { name, "--" name, FIELD_REAL, AT(field), low, high, NULL, text, change, help }
#define WORD(name, field, words, text, help) \
    { name, "--" name, FIELD_WORD, AT(field), 0, 1, words, text, FIELD_FIXED, help }
static const Field fields[] = {
    SIZE("layers", layers, 0, 1000, "4", FIELD_FIXED, "blocks"),
    SIZE("heads", heads, 1, HEADS_MAX, "4", FIELD_FIXED, "attention heads of a block"),
    SIZE("channels", channels, 1, 65536, "128", FIELD_FIXED, "width; a multiple of the heads"),
    SIZE("hidden", hidden, 0, 262144, "0", FIELD_FIXED,
         "width of the MLP; 0: 4 times the channels, with qwen3 8/3 times"),
    SIZE("head-size", head_size, 0, 65536, "0", FIELD_FIXED,
         "channels of a head; 0: --channels / --heads"),
    SIZE(FIELD_CONTEXT, context, 1, CONTEXT_MAX, "64", FIELD_SHRINKS,
         "characters the model looks back at"),
    SIZE(FIELD_VOCAB, vocab, 1, VOCAB_MAX, NULL, FIELD_FIXED, NULL),
    WORD("bias", bias, "off|on", "off", "biases in linear layers and norms"),
    WORD("gelu", gelu_tanh, "erf|tanh", "erf", "exact GELU, or its tanh form"),
    WORD("head", untied, "tied|untied", "tied", "qwen3: the head is the embedding, or its own"),
    REAL("rope-base", rope_base, 1, 1e12, "10000", FIELD_FIXED, "qwen3: base of the rotary angles"),
    REAL("dropout", dropout, 0, 0.99, "0", FIELD_FREE, "probability of dropping an activation"),
};
#undef AT
#undef SIZE
#undef REAL
#undef WORD

enum { FIELDS = sizeof fields / sizeof fields[0] };

/* Fills in what is 0: hidden, head_size, rope_base. */
static void config_complete(Config *c)
{
    int gated = ((int)(8.0 / 3 * c->channels) + 63) / 64 * 64;   /* 3 matrices, 2/3 of the width */
    if (c->hidden == 0) c->hidden = config_gated(c) ? gated : 4 * c->channels;
    if (c->head_size == 0 && c->heads > 0) c->head_size = c->channels / c->heads;
    if (c->rope_base <= 0) c->rope_base = 10000;
}

/* What both families need: sizes of 1 at least, and a size that memory can hold. */
static int check_sizes(const Config *c, Err *err)
{
    if (c->hidden < 1 || c->head_size < 1)
        return fail(err, EXIT_USAGE, "hidden %d, head-size %d: must be 1 at least", c->hidden,
                    c->head_size);
    double block = (4.0 * c->heads * c->head_size + 3.0 * c->hidden) * c->channels;
    double params = c->layers * block + (2.0 * c->vocab + c->context) * c->channels;
    if (params * 8 > (double)(SIZE_MAX / 16))
        return fail(err, EXIT_USAGE,
                    "a model of %.0f million parameters is too large for this machine",
                    params / 1e6);
    return 0;
}

static int gpt2_check(void *config, Err *err)
{
    Config *c = config;
    c->family = FAMILY_GPT2;
    config_complete(c);
    if (check_sizes(c, err)) return -1;
    if (c->heads * c->head_size != c->channels)
        return fail(err, EXIT_USAGE,
                    "channels %d: must be heads %d times head-size %d in the gpt2 family",
                    c->channels, c->heads, c->head_size);
    if (c->untied) return fail(err, EXIT_USAGE, "head untied: the gpt2 family has a tied head");
    return 0;
}

static int qwen3_check(void *config, Err *err)
{
    Config *c = config;
    c->family = FAMILY_QWEN3;
    config_complete(c);
    if (check_sizes(c, err)) return -1;
    if (c->head_size % 2 != 0)
        return fail(err, EXIT_USAGE, "head-size %d: must be even in the qwen3 family",
                    c->head_size);
    if (c->bias) return fail(err, EXIT_USAGE, "bias on: the qwen3 family has no biases");
    if (c->gelu_tanh) return fail(err, EXIT_USAGE, "gelu tanh: the qwen3 family has SwiGLU");
    return 0;
}

static void describe(const void *config, char *out, size_t room)
{
    const Config *c = config;
    snprintf(out, room, "%d layers, %d heads, %d channels, context %d", c->layers, c->heads,
             c->channels, c->context);
}

/* ---------------------------------------------------------------- tensors */

typedef enum { INIT_ZERO, INIT_ONE, INIT_NORMAL, INIT_RESIDUAL, INIT_FAN_IN } Init;
typedef enum { DIM_1, DIM_C, DIM_A, DIM_3A, DIM_D, DIM_F, DIM_V, DIM_T } Dim;
enum {
    TRANSPOSED = 1,         /* Hugging Face's Conv1D stores (cols, rows) */
    IF_BIAS = 2, IF_UNTIED = 4                              /* there only then */
};

/* Layout, initial values, decay, optimizer, saving, inspecting and the gradient check follow. */
typedef struct {
    const char *name;       /* Hugging Face's; %d is the block */
    size_t field;           /* of Weights, or of Block; JOINED: one matrix with the tensor above */
    Dim rows, cols;         /* (rows, cols) row-major; y = x w^T + b for matrices */
    Init init;
    int flags;
} TensorSpec;

#define W(field) offsetof(Weights, field)
#define K(field) offsetof(Block, field)
static const TensorSpec gpt2_first[] = {
    { "transformer.wte.weight",              W(wte),   DIM_V,  DIM_C,  INIT_NORMAL,  0 },
    { "transformer.wpe.weight",              W(wpe),   DIM_T,  DIM_C,  INIT_NORMAL,  0 },
};
static const TensorSpec gpt2_block[] = {
    { "transformer.h.%d.ln_1.weight",        K(ln1w),  DIM_1,  DIM_C,  INIT_ONE,     0 },
    { "transformer.h.%d.ln_1.bias",          K(ln1b),  DIM_1,  DIM_C,  INIT_ZERO,    IF_BIAS },
    { "transformer.h.%d.attn.c_attn.weight", K(qkvw),  DIM_3A, DIM_C,  INIT_NORMAL,  TRANSPOSED },
    { "transformer.h.%d.attn.c_attn.bias",   K(qkvb),  DIM_1,  DIM_3A, INIT_ZERO,    IF_BIAS },
    { "transformer.h.%d.attn.c_proj.weight", K(projw), DIM_C,  DIM_A,  INIT_RESIDUAL, TRANSPOSED },
    { "transformer.h.%d.attn.c_proj.bias",   K(projb), DIM_1,  DIM_C,  INIT_ZERO,    IF_BIAS },
    { "transformer.h.%d.ln_2.weight",        K(ln2w),  DIM_1,  DIM_C,  INIT_ONE,     0 },
    { "transformer.h.%d.ln_2.bias",          K(ln2b),  DIM_1,  DIM_C,  INIT_ZERO,    IF_BIAS },
    { "transformer.h.%d.mlp.c_fc.weight",    K(fcw),   DIM_F,  DIM_C,  INIT_NORMAL,  TRANSPOSED },
    { "transformer.h.%d.mlp.c_fc.bias",      K(fcb),   DIM_1,  DIM_F,  INIT_ZERO,    IF_BIAS },
    { "transformer.h.%d.mlp.c_proj.weight",  K(outw),  DIM_C,  DIM_F,  INIT_RESIDUAL, TRANSPOSED },
    { "transformer.h.%d.mlp.c_proj.bias",    K(outb),  DIM_1,  DIM_C,  INIT_ZERO,    IF_BIAS },
};
static const TensorSpec gpt2_last[] = {
    { "transformer.ln_f.weight",             W(lnfw),  DIM_1,  DIM_C,  INIT_ONE,     0 },
    { "transformer.ln_f.bias",               W(lnfb),  DIM_1,  DIM_C,  INIT_ZERO,    IF_BIAS },
};
static const TensorSpec qwen3_first[] = {
    { "model.embed_tokens.weight",                       W(wte),   DIM_V, DIM_C, INIT_NORMAL, 0 },
};
static const TensorSpec qwen3_block[] = {
    { "model.layers.%d.input_layernorm.weight",          K(ln1w),  DIM_1, DIM_C, INIT_ONE,    0 },
    { "model.layers.%d.self_attn.q_proj.weight",         K(qkvw),  DIM_A, DIM_C, INIT_FAN_IN, 0 },
    { "model.layers.%d.self_attn.k_proj.weight",         JOINED,   DIM_A, DIM_C, INIT_FAN_IN, 0 },
    { "model.layers.%d.self_attn.v_proj.weight",         JOINED,   DIM_A, DIM_C, INIT_FAN_IN, 0 },
    { "model.layers.%d.self_attn.q_norm.weight",         K(qnw),   DIM_1, DIM_D, INIT_ONE,    0 },
    { "model.layers.%d.self_attn.k_norm.weight",         K(knw),   DIM_1, DIM_D, INIT_ONE,    0 },
    { "model.layers.%d.self_attn.o_proj.weight",         K(projw), DIM_C, DIM_A, INIT_ZERO,   0 },
    { "model.layers.%d.post_attention_layernorm.weight", K(ln2w),  DIM_1, DIM_C, INIT_ONE,    0 },
    { "model.layers.%d.mlp.gate_proj.weight",            K(fcw),   DIM_F, DIM_C, INIT_FAN_IN, 0 },
    { "model.layers.%d.mlp.up_proj.weight",              JOINED,   DIM_F, DIM_C, INIT_FAN_IN, 0 },
    { "model.layers.%d.mlp.down_proj.weight",            K(outw),  DIM_C, DIM_F, INIT_ZERO,   0 },
};
static const TensorSpec qwen3_last[] = {
    { "model.norm.weight", W(lnfw),  DIM_1, DIM_C, INIT_ONE,    0 },
    { "lm_head.weight",    W(head),  DIM_V, DIM_C, INIT_NORMAL, IF_UNTIED },
};
#undef W
#undef K

static int dim(const Config *c, Dim d)
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

/* gpt2: normal 0.02; matrices whose outputs are summed into the residual stream 0.02 / sqrt(2 L).
 * qwen3: those matrices zero, the others normal 0.5 / sqrt(inputs); embedding and head normal 0.02.
 * Norms one, biases zero. */
static double deviation(const Config *c, Init init, int cols)
{
    switch (init) {
    case INIT_NORMAL:   return 0.02;
    case INIT_RESIDUAL: return 0.02 / sqrt(2.0 * c->layers);
    case INIT_FAN_IN:   return 0.5 / sqrt((double)cols);
    default:            return 0;
    }
}

/* "model.layers.%d.x" -> "model.layers.3.x" */
static void name_tensor(Tensor *t, const char *name, int block)
{
    const char *number = strstr(name, "%d");
    int before = number != NULL ? (int)(number - name) : 0;
    if (number == NULL) snprintf(t->name, sizeof t->name, "%s", name);
    else snprintf(t->name, sizeof t->name, "%.*s%d%s", before, name, block, number + 2);
}

/* Appends the tensors of one table that the configuration has. */
static void add_table(TensorTable *t, const Config *c, const TensorSpec *specs, size_t n, int block)
{
    for (const TensorSpec *s = specs; s < specs + n; s++) {
        if ((s->flags & IF_BIAS && !c->bias) || (s->flags & IF_UNTIED && !c->untied)) continue;
        bool matrix = s->rows != DIM_1;
        Tensor one = { .rows = dim(c, s->rows), .cols = dim(c, s->cols), .rank = matrix ? 2 : 1,
                       .stored_transposed = (s->flags & TRANSPOSED) != 0, .decay = matrix,
                       .hidden = block >= 0 && matrix, .by_symbol = s->rows == DIM_V,
                       .start = s->init == INIT_ONE ? 1 : 0, .block = block, .field = s->field };
        one.deviation = deviation(c, s->init, one.cols);
        if (t->list != NULL) name_tensor(&one, s->name, block);
        tensors_add(t, one, s->field == JOINED);
    }
}

#define TABLE(specs) specs, sizeof specs / sizeof specs[0]
static void gpt2_tensors(TensorTable *t, const void *config)
{
    const Config *c = config;
    add_table(t, c, TABLE(gpt2_first), -1);
    for (int block = 0; block < c->layers; block++) add_table(t, c, TABLE(gpt2_block), block);
    add_table(t, c, TABLE(gpt2_last), -1);
}

static void qwen3_tensors(TensorTable *t, const void *config)
{
    const Config *c = config;
    add_table(t, c, TABLE(qwen3_first), -1);
    for (int block = 0; block < c->layers; block++) add_table(t, c, TABLE(qwen3_block), block);
    add_table(t, c, TABLE(qwen3_last), -1);
}
#undef TABLE

/* ---------------------------------------------------------------- what a model costs */

/* The matrix products; the masked half of attention is not counted. */
static double flops(const void *config, int T)
{
    const Config *c = config;
    double C = c->channels, A = config_attention(c), F = c->hidden;
    double linear = 2 * (c->layers * C * (4 * A + F + config_pre(c)) + (double)c->vocab * C);
    double attention = 2.0 * c->layers * A * (T + 1);   /* (T+1)/2 earlier positions on average */
    return 3 * (linear + attention);
}

static double kept(const void *config)
{
    const Config *c = config;
    double block = 4.0 * c->channels + 4.0 * config_attention(c) + c->hidden + config_pre(c);
    return c->layers * block + 16.0 * c->channels;
}

/* ---------------------------------------------------------------- what suits a time budget */

static const Choice always[] = {
    { "optimizer", "muon" }, { "lr", "0.02" }, { "min-lr", "0" }, { "warmup", "20" },
    { "schedule", "wsd" }, { "sampling", "epoch" }, { NULL, NULL }
};

#define SIZES(layers, heads, channels, context, batch) \
    { { "layers", layers }, { "heads", heads }, { "channels", channels }, { "context", context }, \
      { "batch", batch }, { NULL, NULL } }
static const Budget budgets[] = {
    { 0, 0, SIZES("3", "2", "64", "128", "8") },
    { 3e12, 100000, SIZES("4", "3", "96", "128", "24") },
    { 1.2e13, 200000, SIZES("4", "4", "128", "256", "16") },
    { 2.5e13, 300000, SIZES("5", "5", "160", "256", "16") },
    { 1e14, 500000, SIZES("6", "6", "192", "256", "16") },
    { 1e15, 5000000, SIZES("6", "6", "384", "256", "32") },
};
static const Choice probe[] = SIZES("4", "4", "128", "128", "8");
#undef SIZES

enum { BUDGETS = sizeof budgets / sizeof budgets[0], HEAD_CHANNELS = 32 };

/* Heads that suit the channels, or channels that suit the heads, where only one of them is settled;
 * a head has HEAD_CHANNELS channels at least. */
static void suit(void *config, Settled *settled, const void *context)
{
    Config *c = config;
    bool heads = settled(context, "heads"), channels = settled(context, "channels");
    if (c->head_size > 0 || heads == channels) return;
    if (heads) {
        c->channels = (c->channels + 2 * c->heads - 1) / (2 * c->heads) * (2 * c->heads);
        return;
    }
    c->heads = c->channels >= HEAD_CHANNELS ? c->channels / HEAD_CHANNELS : 1;
    if (c->heads > HEADS_MAX) c->heads = HEADS_MAX;
    while (c->heads > 1 && c->channels % (2 * c->heads) != 0) c->heads--;
}

/* ---------------------------------------------------------------- the families */

const Family family_gpt2 = {
    "gpt2", "learned positions, layer norm, GELU", fields, FIELDS, sizeof(Config), gpt2_check,
    gpt2_tensors, flops, kept, describe, always, budgets, BUDGETS, probe, suit, NULL,
    NULL
};

const Family family_qwen3 = {
    "qwen3", "rotary positions, RMS norm, SwiGLU", fields, FIELDS, sizeof(Config), qwen3_check,
    qwen3_tensors, flops, kept, describe, always, budgets, BUDGETS, probe, suit, NULL,
    NULL
};
