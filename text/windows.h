/* windows.h: which windows of a part a step reads: anywhere with replacement, by epochs, or one for
 * each document.
 *
 * Owns: the draws, and the order of documents. Both are pure functions of a key (base.h).
 *
 *     Part train = corpus_part(&corpus, PART_TRAIN);
 *     windows_random(train, key, batch, context, x, y);       x and y (batch, context)
 *
 * y is x moved on by one character. Needs 1 <= context <= part.count - 1.
 */
#ifndef WINDOWS_H
#define WINDOWS_H

#include "../base.h"

enum { NO_TARGET = -1 };    /* a y that does not count */

/* The documents of a part. Each epoch visits them in another order, so that what follows a document
 * is never its neighbour in a sorted list. */
typedef struct {
    size_t count;
    size_t *begins;         /* (count + 1) where each begins, its separator included */
    size_t *order, *ends;   /* (count) an epoch's order, and where each ends in it */
    uint64_t epoch;         /* the key that these two are of */
    bool ordered;
} Documents;

typedef struct {
    const int32_t *ids;
    size_t count;
    bool separator;         /* id 0 is one */
    Documents *documents;   /* NULL: none */
} Part;

/* The last `most` ids of a part, or all; without its documents. */
Part part_end(Part part, size_t most);

/* Windows that start uniformly in [0, count - context - 1]; window b uses draw b of the stream
 * `key`. nanoGPT draws from the same distribution. With documents: anywhere, and after the end of a
 * document another one follows, drawn for this window. */
void windows_random(Part part, uint64_t key, int batch, int context, int32_t *x, int32_t *y);

/* Windows first .. first + batch - 1 of an endless sequence of epochs. In an epoch the part is a
 * ring, with a separator between its end and its start if there is one; floor(length / context)
 * windows are side by side on it from a random place on, and each comes once, in random order. So
 * every target is drawn equally often, the first and the last included, and an epoch leaves out
 * less than a context. */
void windows_epoch(Part part, uint64_t key, uint64_t first, int batch, int context, int32_t *x,
                   int32_t *y);

/* Windows first .. first + batch - 1 of an endless sequence of epochs, each of which has every
 * document once, in random order: the separator before it, its characters, and where there is room
 * the separator after it as the last target; then no target counts. Of a document longer than the
 * context the beginning. Needs part.documents; returns how many targets count. */
size_t windows_documents(Part part, uint64_t key, uint64_t first, int batch, int context,
                         int32_t *x, int32_t *y);

#endif
