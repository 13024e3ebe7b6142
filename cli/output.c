/* output.c: results on their way to standard output, and what the terminal may be given. */
#include "output.h"
#include "../tokenizer.h"

#include <signal.h>

/* ---------------------------------------------------------------- bytes */

/* Keeps the reason for the first failure; errno was 0 before the call that failed. */
static void keep_error(Output *o)
{
    if (o->error == 0) o->error = errno != 0 ? errno : EIO;
}

void output_bytes(Output *o, const char *bytes, size_t size)
{
    if (o->error != 0 || size == 0) return;
    errno = 0;
    if (fwrite(bytes, 1, size, o->file) != size) keep_error(o);
}

int output_print(Output *o, const char *format, ...)
{
    if (o->error != 0) return 0;
    va_list args;
    va_start(args, format);
    errno = 0;
    int n = vfprintf(o->file, format, args);
    va_end(args);
    if (n >= 0) return n;
    keep_error(o);
    return 0;
}

void output_wrap(Output *o, const char *text, int column, int indent)
{
    for (bool first = true; *text != '\0'; first = false) {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > OUTPUT_WIDTH) {
            output_print(o, "\n");
            column = 0;
            first = true;
        }
        int gap = column < indent ? indent - column : column > indent || !first;
        output_print(o, "%*s%.*s", gap, "", length, text);
        column += gap + length;
        text += length;
        text += strspn(text, " ");
    }
    output_print(o, "\n");
}

void output_flush(Output *o)
{
    if (o->error != 0) return;
    errno = 0;
    if (fflush(o->file) != 0) keep_error(o);
}

int output_close(Output *o, Err *err)
{
    output_flush(o);
    if (o->error == 0 && ferror(o->file)) o->error = EIO;
    errno = 0;
    if (fclose(o->file) != 0) keep_error(o);
    if (o->error == 0 || o->error == EPIPE) return 0;
    return fail(err, EXIT_RUNTIME, "standard output: write error: %s", strerror(o->error));
}

/* ---------------------------------------------------------------- what a terminal is shown */

static bool is_control(uint32_t value)
{
    return (value < 0x20 && value != '\t' && value != '\n') || (value >= 0x7f && value < 0xa0);
}

/* Whether more bytes can make a character of those that are held. */
static bool may_grow(const Visible *v)
{
    unsigned char first = (unsigned char)v->held[0];
    int length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    bool lead = first >= 0xc2 && first <= 0xf4 && v->size < length;
    for (int i = 1; lead && i < v->size; i++) lead = ((unsigned char)v->held[i] & 0xc0) == 0x80;
    return lead;
}

/* Shows the first `length` bytes that are held, a character; 0: a byte that is none. */
static size_t show(Visible *v, int length, uint32_t value, char *out)
{
    char hidden[8];
    int taken = length > 0 ? length : 1, size = taken;
    const char *form = length > 1 ? "\\u%04x" : "\\x%02x";
    if (length == 0 || is_control(value)) {
        size = snprintf(hidden, sizeof hidden, form,
                        length > 0 ? (unsigned)value : (unsigned)(unsigned char)v->held[0]);
        memcpy(out, hidden, (size_t)size);
    } else {
        memcpy(out, v->held, (size_t)size);
    }
    v->size -= taken;
    memmove(v->held, v->held + taken, (size_t)v->size);
    return (size_t)size;
}

static size_t visible_flush(Visible *v, bool ends, char *out)
{
    size_t used = 0;
    while (v->size > 0) {
        uint32_t value = 0;
        int length = utf8_decode(v->held, (size_t)v->size, &value);
        if (length == 0 && !ends && may_grow(v)) break;
        used += show(v, length, value, out + used);
    }
    return used;
}

size_t visible_add(Visible *v, char byte, char out[VISIBLE_MAX])
{
    v->held[v->size++] = byte;
    return visible_flush(v, false, out);
}

size_t visible_end(Visible *v, char out[VISIBLE_MAX]) { return visible_flush(v, true, out); }

void output_visible_bytes(Output *o, const char *bytes, size_t size)
{
    Visible v = { .size = 0 };
    char shown[VISIBLE_MAX];
    for (size_t i = 0; i < size; i++) output_bytes(o, shown, visible_add(&v, bytes[i], shown));
    output_bytes(o, shown, visible_end(&v, shown));
}

void output_visible(Output *o, const char *text) { output_visible_bytes(o, text, strlen(text)); }

/* ---------------------------------------------------------------- JSON */

void output_json(Output *o, const char *bytes, size_t size, bool utf8)
{
    output_bytes(o, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        unsigned char next = i + 1 < size ? (unsigned char)bytes[i + 1] : 0;
        bool c1 = utf8 && c == 0xc2 && next < 0xa0;
        if (c1) output_print(o, "\\u%04x", next);
        if (c1) i++;
        else if (c == '"' || c == '\\') output_print(o, "\\%c", c);
        else if (c == '\n') output_bytes(o, "\\n", 2);
        else if (c < 0x20 || c == 0x7f || (c > 0x7f && !utf8)) output_print(o, "\\u%04x", c);
        else output_bytes(o, bytes + i, 1);
    }
    output_bytes(o, "\"", 1);
}

void output_json_text(Output *o, const char *text)
{
    size_t size = strlen(text);
    bool utf8 = true;
    for (size_t at = 0; at < size && utf8; ) {
        uint32_t value;
        int length = utf8_decode(text + at, size - at, &value);
        utf8 = length > 0;
        at += (size_t)length;
    }
    output_json(o, text, size, utf8);
}

void output_json_real(Output *o, double x)
{
    if (isfinite(x)) output_print(o, "%.17g", x);
    else output_bytes(o, "null", 4);
}

/* ---------------------------------------------------------------- streams and terminals */

void cli_streams(void)
{
    signal(SIGPIPE, SIG_IGN);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN);
#endif
    for (int fd = 0; fd <= 2; fd++) {
        bool closed = fcntl(fd, F_GETFD) == -1 && errno == EBADF;
        if (closed && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return;
    }
}

bool terminal_is_dumb(void)
{
    const char *term = getenv("TERM");
    return term != NULL && strcmp(term, "dumb") == 0;
}

bool terminal_moves(int fd) { return isatty(fd) && !terminal_is_dumb(); }

bool terminal_has_colour(int fd)
{
    const char *no = getenv("NO_COLOR");
    return terminal_moves(fd) && (no == NULL || no[0] == '\0');
}
