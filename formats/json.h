/* json.h: a strict reader for the JSON of a file's header, which may come from a stranger.
 *
 * Owns: strings, numbers, objects and lists as RFC 8259 has them, checked byte by byte. There is no
 * tree: the caller walks the structure that it expects, and anything else is an error.
 *
 *     Json j = json_over(text);
 *     bool first = true;
 *     json_take(&j, '{', "it is not an object");
 *     while (json_member(&j, &first, key, sizeof key) && json_whole(&j, &value)) ...;
 *     if (!json_end(&j)) puts(j.wrong);
 */
#ifndef JSON_H
#define JSON_H

#include "../base.h"

/* A reader for what a header may hold. The first thing wrong is kept, and everything after it
 * fails; each function below that returns a bool is false then. */
typedef struct {
    const char *p, *end;
    const char *wrong;          /* NULL: nothing yet */
} Json;

/* A reader at the start of a text that ends with a NUL. */
Json json_over(const char *text);
/* Notes what is wrong, if nothing was before; returns false. */
bool json_wrong(Json *j, const char *what);

bool json_is_space(char c);
void json_space(Json *j);
/* Skips space; is `c` next? */
bool json_at(Json *j, char c);
/* Skips space and takes `c`; `otherwise` says what is wrong where something else is next. */
bool json_take(Json *j, char c, const char *otherwise);

/* A string, as UTF-8 with a NUL, in `room` bytes. A longer one is wrong, and so is one that holds
 * a NUL. */
bool json_string(Json *j, char *out, size_t room);
/* A string that may be shown on a terminal: no control characters, C1 (two bytes from C2 80 on)
 * included. */
bool json_word(Json *j, char *out, size_t room);
/* `"key":` of the next member of an object; false also at the brace that ends it, which is taken.
 * *first: true before the first member. */
bool json_member(Json *j, bool *first, char *key, size_t room);

/* A number, as text with a NUL, in `room` bytes. */
bool json_number(Json *j, char *out, size_t room);
/* A whole number from 0 to 2^64 - 1. */
bool json_whole(Json *j, uint64_t *value);
/* [a, b, ...]: at most `most` whole numbers; returns how many, or -1. */
int json_wholes(Json *j, uint64_t *out, int most);

/* Nothing but space may follow. */
bool json_end(Json *j);

#endif
