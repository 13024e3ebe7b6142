/* documents.h: what of the texts is trained on, and what is held out.
 *
 * Owns: where a document ends, and the split. A text without documents is cut by characters; of
 * documents each is trained on or held out as a whole. corpus.c encodes what comes of it.
 *
 *     Pieces p;
 *     if (pieces_open(&p, &options, texts, n, &err)) ...;
 *     for (size_t i = 0; i < p.count; i++) ... p.items[i].bytes, p.items[i].held_out ...
 *     pieces_close(&p);
 */
#ifndef DOCUMENTS_H
#define DOCUMENTS_H

#include "../base.h"
#include "../corpus.h"

/* Some characters of a text that stay together: a document, or a stretch of one without any. */
typedef struct {
    const char *bytes;      /* (size) in its text */
    size_t size;
    bool held_out;
} Piece;

typedef struct {
    Piece *items;           /* (count) in the order of the texts; none is empty */
    size_t count;
    bool separate;          /* a separator comes before each */
} Pieces;

/* The length of the line at `text` without its end. */
size_t line_length(const char *text, size_t size);
/* The line at `text`, its end included: CR LF, CR or LF. *blank: nothing but white space is in
 * it. */
size_t line_size(const char *text, size_t size, bool *blank);

/* Cuts the texts, which are well-formed. EXIT_RUNTIME: memory; EXIT_TEXT: no document in them. */
int pieces_open(Pieces *p, const CorpusOptions *o, const Text *texts, int n, Err *err);
void pieces_close(Pieces *p);

#endif
