/* config.h: what a GPT is made of: its configuration, and where its parameters are.
 *
 * Everything that depends on the sizes and switches follows from the tables of config.c: options,
 * memory, initialisation, what the optimizer decays, what a checkpoint holds. A tensor is named in
 * one line there.
 *
 *     Config c = { .layers = 4, .heads = 4, .channels = 128, .context = 64, .dropout = 0.1 };
 *     if (family_check(&family_gpt2, &c, vocab, &err)) ...;     fills in what is 0, checks the rest
 *
 * The dimension letters are model.h's.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "base.h"
#include "networks/family.h"

/* gpt2: learned positions, layer norm, GELU; dropout on embeddings, attention and both branches.
 * What nanoGPT trains.
 * qwen3: rotary positions, RMS norm, RMS-normed queries and keys, SwiGLU; dropout on both branches.
 * A dense Qwen3. */
extern const Family family_gpt2, family_qwen3;

enum { FAMILY_GPT2, FAMILY_QWEN3, HEADS_MAX = 1024 };

typedef struct {
    int family;             /* which of the two */
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

/* Tensor.field of one that follows the tensor before it without a gap, as one matrix */
#define JOINED SIZE_MAX

static inline bool config_gated(const Config *c) { return c->family == FAMILY_QWEN3; }
/* A and G */
static inline int config_attention(const Config *c) { return c->heads * c->head_size; }
static inline int config_pre(const Config *c)
{
    return config_gated(c) ? 2 * c->hidden : c->hidden;
}

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

#endif
