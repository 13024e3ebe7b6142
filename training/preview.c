/* preview.c: samples of a model that is being trained. */
#include "preview.h"

size_t preview_bytes(const Family *f, const void *config)
{
    size_t choice = sizeof(double) + sizeof(Ranked);
    return decoder_bytes(network_of(f), config, 1) + (size_t)family_vocab(f, config) * choice;
}

int preview_open(Preview *p, Model *m, const Tokenizer *t, int32_t start, Err *err)
{
    *p = (Preview){ .tokenizer = t, .start = start };
    if (decoder_open(&p->decoder, m, 1, err)) return -1;
    if (chooser_open(&p->chooser, t, err)) {
        decoder_close(&p->decoder);
        return -1;
    }
    if (t->separator && start == SEPARATOR_ID) p->chooser.first = SEPARATOR_ID;
    return 0;
}

void preview_close(Preview *p)
{
    chooser_close(&p->chooser);
    decoder_close(&p->decoder);
}

size_t preview_write(Preview *p, real *weights, uint64_t key)
{
    size_t size = 0;
    int32_t id = p->start;
    Model *m = p->decoder.model;
    decoder_reset(&p->decoder);
    model_use(m, weights);
    bool numbers = tokenizer_has_numbers(p->tokenizer);
    uint64_t length = numbers && m->context < PREVIEW_LENGTH ? (uint64_t)m->context
                                                             : PREVIEW_LENGTH;
    for (uint64_t i = 0; i < length && id >= 0; i++) {
        id = chooser_pick(&p->chooser, decoder_step(&p->decoder, &id), key, i);
        if (numbers && i > 0) p->text[size++] = ' ';
        if (id >= 0) size += (size_t)tokenizer_decode(p->tokenizer, id, p->text + size);
    }
    model_use(m, m->params);
    return size;
}
