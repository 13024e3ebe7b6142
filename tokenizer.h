/* tokenizer.h: characters <-> ids.
 *
 * A vocabulary is the sorted list of the values that occur: Unicode code points of well-formed
 * UTF-8, or bytes. With a separator, id 0 is <|endoftext|>: it is between documents and is
 * never printed. Of a text of numbers the ids are those of numbers.h, and there is no list.
 *
 *     Tokenizer t = { 0 };
 *     if (tokenizer_start(&t, false, true, &err) || tokenizer_add(&t, text, size, "text.txt", &err)
 *         || tokenizer_finish(&t, &err)) ...;
 *     Encoding e = { .ids = ids };
 *     if (tokenizer_encode(&t, text, size, "text.txt", UNKNOWN_FAILS, EXIT_TEXT, &e, &err)) ...;
 *     tokenizer_close(&t);
 */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include "base.h"
#include "numbers.h"

#define SEPARATOR_NAME "<|endoftext|>"

/* Words of --split-documents; any other one is a delimiter (documents.c says what each means). */
#define SPLIT_OFF "off"
#define SPLIT_LINE "LINE"
#define SPLIT_BLANK "BLANK"

enum {
    CODE_POINTS = 0x110000,
    UTF8_MAX = 4,
    TOKEN_ROOM = NUMBER_ROOM,    /* bytes of an id as text */
    SEPARATOR_ID = 0,
    SEPARATORS_ENOUGH = 100     /* in a training part, for a model to know what one means */
};

typedef struct {
    bool bytes;             /* the values are bytes; otherwise Unicode code points */
    bool separator;         /* id 0 is <|endoftext|> */
    int count;              /* V: number of ids, with the separator; 0: it is empty */
    uint32_t *values;       /* (V) id -> value, ascending; entry 0 means nothing with a separator */
    int32_t *ids;           /* (256 or CODE_POINTS) value -> id, -1 where there is none */
    Numbers numbers;        /* scale > 0: ids are numbers, count is NUMBER_OUTPUTS, with a
                             * separator; values and ids have nothing */
} Tokenizer;

typedef enum {
    UNKNOWN_FAILS,
    UNKNOWN_SKIPPED,
    ILL_FORMED_SKIPPED      /* and each byte of ill-formed UTF-8 is an unknown character */
} Unknown;

typedef struct {
    int32_t *ids;           /* the caller's: one a character; as many as bytes will do */
    size_t count;           /* ids written */
    size_t skipped;         /* characters left out because the tokenizer lacks them */
} Encoding;

/* Decodes one code point of well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most
 * 10FFFF). Returns its length in bytes, 1 to 4, or 0 where the bytes are ill-formed or cut short.
 * size > 0. */
int utf8_decode(const char *text, size_t size, uint32_t *value);
/* Writes the 1 to 4 bytes of a code point; returns how many. */
int utf8_encode(uint32_t value, char out[UTF8_MAX]);

/* Vocabulary of one text, or of several: start an empty tokenizer, add each text, finish. `name`
 * is for messages. EXIT_TEXT: ill-formed UTF-8 (with the byte offset and a hint at --bytes), or
 * no character at all. EXIT_RUNTIME: memory. A step that fails leaves the tokenizer empty. */
int tokenizer_start(Tokenizer *t, bool bytes, bool separator, Err *err);
int tokenizer_add(Tokenizer *t, const char *text, size_t size, const char *name, Err *err);
int tokenizer_finish(Tokenizer *t, Err *err);

/* From the (count) values of a Tokenizer, as a checkpoint holds them: ascending, in range, no
 * surrogates, at least one; otherwise EXIT_CHECKPOINT. With a separator, values[0] stands for it
 * and is not looked at. A failure leaves the tokenizer empty. */
int tokenizer_from_values(Tokenizer *t, const uint32_t *values, int count, bool bytes,
                          bool separator, Err *err);

/* Of numbers. EXIT_RUNTIME: memory; *t is empty then. */
int tokenizer_from_numbers(Tokenizer *t, Numbers numbers, Err *err);
static inline bool tokenizer_has_numbers(const Tokenizer *t) { return t->numbers.scale > 0; }

/* The vocabulary of both, whose values are of the same kind; with the separator of `a`.
 * EXIT_RUNTIME: memory; *out is empty then. */
int tokenizer_join(Tokenizer *out, const Tokenizer *a, const Tokenizer *b, Err *err);
/* The id in `now` of what has `id` in `before`; -1: none. */
int32_t tokenizer_translate(const Tokenizer *now, const Tokenizer *before, int32_t id);

/* Encodes a text into out->ids. Characters without an id are left out, or with UNKNOWN_FAILS are
 * an error that names the first few of them. That error and ill-formed UTF-8 have `status`
 * (EXIT_TEXT for a text, EXIT_USAGE for a prompt). */
int tokenizer_encode(const Tokenizer *t, const char *text, size_t size, const char *name,
                     Unknown unknown, int status, Encoding *out, Err *err);

/* Whether a text is well-formed UTF-8, with the error of tokenizer_add (learnt) or of
 * tokenizer_encode. */
int tokenizer_check(const char *text, size_t size, const char *name, bool learnt, Err *err);

/* The bytes of the byte order mark (U+FEFF) that a text begins with and the vocabulary lacks, or
 * 0: programs leave such a mark behind, and it is no part of the text. */
size_t tokenizer_unknown_mark(const Tokenizer *t, const char *text, size_t size);

/* Writes the bytes of one id (none for the separator) to out; returns how many. */
int tokenizer_decode(const Tokenizer *t, int32_t id, char out[TOKEN_ROOM]);

/* A printable name of an id for messages and tables: 'a', '\n', U+00E9, 0x80, <|endoftext|>. */
void tokenizer_name(const Tokenizer *t, int32_t id, char *out, size_t room);

/* Bytes that it has taken. */
size_t tokenizer_bytes(const Tokenizer *t);
/* Frees everything and leaves the tokenizer empty. */
void tokenizer_close(Tokenizer *t);

#endif
