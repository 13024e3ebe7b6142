/* stops.h: strings that end a text, looked for while it is written.
 *
 * Owns: which bytes can be shown already, and which are held back because a stop string may begin
 * with them. A text ends before the stop string that is complete first; if several are complete at
 * the same byte, before the longest.
 *
 *     Stops s;
 *     if (stops_open(&s, (const char *[]){ "\n\n", "THE END" }, 2, &err)) ...;
 *     Watch w = { 0 };                                    one for each text
 *     Released r = stops_add(&s, &w, byte);               ... r.bytes, r.size, r.passes ...
 *     if (w.complete) ...;
 *     r = stops_rest(&s, &w);                             the text ended otherwise
 *     stops_close(&s);
 */
#ifndef STOPS_H
#define STOPS_H

#include "../base.h"

enum { STOPS_MAX = 16 };

typedef struct {
    const char *string;     /* the caller's */
    size_t length;          /* at least 1 */
    size_t *back;           /* (length + 1) back[n]: the longest shorter beginning that the first n
                             * bytes end with */
} StopString;

typedef struct {
    StopString strings[STOPS_MAX];
    int count;
} Stops;

/* How far one text is. Zeroed at its start. */
typedef struct {
    size_t matched[STOPS_MAX];  /* the longest beginning of each string that the text ends with */
    int holder;             /* the string with the longest: these bytes are held back */
    bool complete;          /* a stop string has come: its bytes are never released */
} Watch;

/* What belongs to the text for certain: bytes that were held back, then the new one if it passes.
 * They are the stop string's own and stay until stops_close. */
typedef struct {
    const char *bytes;
    size_t size;
    bool passes;
} Released;

/* Empty strings are left out. EXIT_USAGE: more than STOPS_MAX; EXIT_RUNTIME: memory. On failure *s
 * is empty. */
int stops_open(Stops *s, const char *const *strings, int count, Err *err);
void stops_close(Stops *s);

/* The text goes on with a byte; not after it is complete. */
Released stops_add(const Stops *s, Watch *w, char byte);
/* What is held back where the text ends without a stop string; nothing after one. */
Released stops_rest(const Stops *s, const Watch *w);

#endif
