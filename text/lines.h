/* lines.h: a text line by line, as it comes from a file, a pipe or a terminal.
 *
 * Owns: what has been read of the text and not yet been given out. A line is there as soon as the
 * first character of its end has come: nothing waits for the line feed that may follow a carriage
 * return.
 *
 *     Lines l;
 *     Line line;
 *     if (lines_open(&l, path, tokenizer, "./eval CKPT -", &err)) ...;
 *     while ((got = lines_next(&l, &line, &err)) > 0) ... line.bytes, line.size ...
 *     lines_close(&l);
 */
#ifndef LINES_H
#define LINES_H

#include "../base.h"
#include "../corpus.h"
#include "../tokenizer.h"

enum { LINE_BYTES = 1 << 28 };      /* of the longest line */

typedef struct {
    const char *bytes;      /* (size) without its end; until the next call */
    size_t size;
    bool returned;          /* it ended at a carriage return; without an end: the line before did */
} Line;

typedef struct {
    Text text;              /* what is held */
    size_t at, room;        /* where the next line begins; bytes that `text` has room for */
    int fd;
    bool checked;           /* the text is one, and a byte order mark is off */
    bool ended;             /* nothing more comes */
    bool returned;          /* of the last line */
    bool feed;              /* a line feed at `at` is the rest of the last line's end */
    const Tokenizer *tokenizer;
    const char *reader;     /* for text_check */
    TextNote note;          /* of text_check and text_drop_mark, from the first line on */
} Lines;

/* Finds the text as text_open does, and opens it. EXIT_RUNTIME: cannot be opened, memory. */
int lines_open(Lines *l, const char *path, const Tokenizer *t, const char *reader, Err *err);
void lines_close(Lines *l);

/* 1: *line is the next one; 0: there are no more; -1: EXIT_RUNTIME (cannot be read, memory, a line
 * of more than LINE_BYTES) or EXIT_TEXT (text_check). Lines may be ill-formed. */
int lines_next(Lines *l, Line *line, Err *err);

#endif
