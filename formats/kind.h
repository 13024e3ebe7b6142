/* kind.h: what a file looks like, from its first bytes.
 *
 *     const Kind *kind = kind_of(bytes, size);
 *     if (kind_is_no_text(kind)) return kind_refuse(kind, "play.txt.gz", "./train -", &err);
 */
#ifndef KIND_H
#define KIND_H

#include "../base.h"

enum { KIND_BYTES = 4096 };     /* as many as are looked at */

typedef enum {
    KIND_TEXT,                  /* with HTML and the like: not refused where a text is wanted */
    KIND_CODED,                 /* letters in another coding */
    KIND_PACKED,                /* compressed: nothing can be learnt about its bytes */
    KIND_DATA,
    KIND_SAFETENSORS,
    KIND_FOLIO                  /* a checkpoint */
} KindGroup;

typedef struct {
    KindGroup group;
    const char *what;           /* "a gzip archive" */
    const char *command, *rest; /* `command FILE rest` writes its text; NULL: nothing does */
    const char *advice;         /* what else makes a text of it, or NULL */
    const char *remark;         /* goes on after `what` where a checkpoint is wanted, or NULL */
} Kind;

/* NULL: it is of no known kind. */
const Kind *kind_of(const char *bytes, size_t size);

/* Whether it cannot be meant as a text. */
bool kind_is_no_text(const Kind *kind);

/* EXIT_TEXT with what the file looks like and the command that makes a text of it. `name` is its
 * path or "standard input"; `reader` the command that reads a text from a pipe. */
int kind_refuse(const Kind *kind, const char *name, const char *reader, Err *err);

#endif
