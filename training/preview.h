/* preview.h: samples of a model that is being trained (--sample-every).
 *
 *     Preview p;
 *     if (preview_open(&p, &model, &tokenizer, start, &err)) ...;      the only allocation
 *     size_t size = preview_write(&p, weights, key);                  p.text
 */
#ifndef PREVIEW_H
#define PREVIEW_H

#include "../inference/sampling.h"
#include "../networks/network.h"

enum { PREVIEW_LENGTH = 200 };  /* characters */

typedef struct {
    const Tokenizer *tokenizer;
    Decoder decoder;
    Chooser chooser;
    int32_t start;              /* the symbol that a text starts from */
    char text[PREVIEW_LENGTH * TOKEN_ROOM];
} Preview;

/* Bytes that preview_open takes. */
size_t preview_bytes(const Family *f, const void *config);
/* start: SEPARATOR_ID if the model may also end a text with it. EXIT_RUNTIME: memory. */
int preview_open(Preview *p, Model *m, const Tokenizer *t, int32_t start, Err *err);
void preview_close(Preview *p);
/* Fills p->text with what the model writes with these weights; where a text ends the next one
 * begins. Returns its size. */
size_t preview_write(Preview *p, real *weights, uint64_t key);

#endif
