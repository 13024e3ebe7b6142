/* output.h: the way to standard output.
 *
 * Owns: results on their way out, whose first failure is kept; JSON strings and numbers; the width
 * of a line; what the terminal may be given.
 *
 *     Output out = { stdout, 0 };
 *     cli_streams();
 *     output_print(&out, "{\"path\":");
 *     output_json_text(&out, path);
 *     output_print(&out, "}\n");
 *     if (output_close(&out, &err)) ...;
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "../base.h"

enum {
    OUTPUT_WIDTH = 80,          /* columns of what a program prints */
    VISIBLE_HELD = 4,           /* bytes of a character at most */
    VISIBLE_MAX = 16            /* bytes that one more byte may show: \xNN for each that is held */
};

/* What follows the first failure is dropped. */
typedef struct {
    FILE *file;
    int error;                  /* errno of the first failure, or 0 */
} Output;

void output_bytes(Output *o, const char *bytes, size_t size);

/* Returns the number of bytes, 0 after a failure. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
int output_print(Output *o, const char *format, ...);

/* The words of text from `column` on; lines that would pass OUTPUT_WIDTH continue at `indent`. */
void output_wrap(Output *o, const char *text, int column, int indent);

/* A text on its way to a terminal, byte by byte. Control characters but tab and newline (C0, DEL,
 * C1) become \x1b or \u009b, bytes that are no UTF-8 \xff; every other character stays. */
typedef struct {
    char held[VISIBLE_HELD];    /* (size) the beginning of a character */
    int size;
} Visible;

/* Writes what one more byte lets be shown to out; returns how many bytes, perhaps 0. */
size_t visible_add(Visible *v, char byte, char out[VISIBLE_MAX]);
/* The same for what is still held at the end. */
size_t visible_end(Visible *v, char out[VISIBLE_MAX]);

/* A string, or bytes, in this form. */
void output_visible(Output *o, const char *text);
void output_visible_bytes(Output *o, const char *bytes, size_t size);

void output_flush(Output *o);

/* A JSON string. utf8: the bytes are well-formed UTF-8 and stay; otherwise a byte above 7F becomes
 * \u00XX, as control characters always do. */
void output_json(Output *o, const char *bytes, size_t size, bool utf8);

/* A JSON string of text that may be well-formed UTF-8 or not. */
void output_json_text(Output *o, const char *text);

/* A JSON number with 17 significant digits; null for what JSON cannot write. */
void output_json_real(Output *o, double x);

/* Flushes and closes. A reader that has gone away is no failure; anything else is EXIT_RUNTIME. */
int output_close(Output *o, Err *err);

/* Before anything else in main: a reader that goes away is an error of a write, not a signal, and
 * so is a file that reaches its size limit. Descriptors 0 to 2 that are closed are opened the wrong
 * way round: using them then fails, and no other file gets their number. */
void cli_streams(void);

/* Whether a stream must do without colour, a moving line and characters beyond ASCII. */
bool terminal_is_dumb(void);

/* Whether a line on this descriptor may move. */
bool terminal_moves(int fd);

/* Whether text on this descriptor may be coloured. */
bool terminal_has_colour(int fd);

#endif
