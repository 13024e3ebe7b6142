/* gpt.h: the decoder of model.h as tests ask for it: by a Config whose `family` says which network
 * it is.
 *
 *     Config c = { .family = FAMILY_QWEN3, .layers = 1, .heads = 2, .channels = 8, .context = 9,
 *                  .vocab = 11 };
 *     gpt_complete(&c);
 *     if (gpt_open(&m, &c, K, MODEL_TRAIN, 1, &err)) ...;
 */
#ifndef GPT_H
#define GPT_H

#include "../../config.h"
#include "../../model.h"

static inline const Family *gpt_family(const Config *c)
{
    return c->family == FAMILY_GPT2 ? &family_gpt2 : &family_qwen3;
}

static inline int gpt_check(const Config *c, Err *err)
{
    Config checked = *c;
    return family_check(gpt_family(c), &checked, c->vocab, err);
}

/* Fills in what is 0, whether or not the rest is sound. */
static inline void gpt_complete(Config *c)
{
    Err unused = { 0 };
    gpt_family(c)->check(c, &unused);
}

static inline int gpt_open(Model *m, const Config *c, const Kernels *K, ModelUse use, int slice,
                           Err *err)
{
    Config checked = *c;
    *m = (Model){ 0 };
    if (family_check(gpt_family(c), &checked, c->vocab, err)) return -1;
    return model_open(m, network_of(gpt_family(c)), &checked, K, use, slice, err);
}

static inline const Config *gpt_sizes(const Model *m)
{
    return (const Config *)(const void *)m->config.bytes;
}
static inline const Gpt *gpt_memory(const Model *m)
{
    return (const Gpt *)(const void *)m->state.bytes;
}

#endif
