/* lines.c: reads no more of a text than it needs for the next line. */
#include "../base.h"
#include "documents.h"
#include "../formats/kind.h"
#include "lines.h"

enum { FIRST_ROOM = 1 << 16 };

static int make_room(Lines *l, size_t room, Err *err)
{
    if (room > LINE_BYTES)
        return fail(err, EXIT_RUNTIME, "%s: a line of more than %d bytes is too long",
                    text_name(&l->text), LINE_BYTES);
    char *larger = realloc(l->text.bytes, room + 1);        /* text_drop_mark moves one more */
    if (larger == NULL)
        return fail(err, EXIT_RUNTIME, "%s: not enough memory for a line of %zu bytes",
                    text_name(&l->text), room);
    l->text.bytes = larger;
    l->text.bytes[l->text.size] = '\0';
    l->room = room;
    return 0;
}

int lines_open(Lines *l, const char *path, const Tokenizer *t, const char *reader, Err *err)
{
    *l = (Lines){ .fd = -1, .tokenizer = t, .reader = reader };
    if (text_find(&l->text, path, err) || make_room(l, FIRST_ROOM, err)) return -1;
    l->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(l->text.path, O_RDONLY);
    if (l->fd >= 0) return 0;
    return fail(err, EXIT_RUNTIME, "%s: cannot be opened: %s", l->text.path, strerror(errno));
}

void lines_close(Lines *l)
{
    if (l->fd > STDIN_FILENO) close(l->fd);
    text_close(&l->text);
}

/* Whatever has come, at least one byte unless the text has ended. */
static int read_more(Lines *l, Err *err)
{
    Text *t = &l->text;
    t->size -= l->at;
    memmove(t->bytes, t->bytes + l->at, t->size);
    l->at = 0;
    if (t->size == l->room && make_room(l, 2 * l->room, err)) return -1;
    ssize_t n;
    do n = read(l->fd, t->bytes + t->size, l->room - t->size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail(err, EXIT_RUNTIME, "%s: cannot be read: %s", text_name(t), strerror(errno));
    l->ended = n == 0;
    t->size += (size_t)n;
    return 0;
}

static int check_start(Lines *l, Err *err)
{
    if (text_check(&l->text, l->tokenizer->bytes, l->reader, &l->note, err)) return -1;
    text_drop_mark(&l->text, l->tokenizer, &l->note);
    l->checked = true;
    return 0;
}

/* Reads until a whole line is held, or the rest of the text: *length bytes without an end. */
static int read_line(Lines *l, size_t *length, Err *err)
{
    *length = 0;
    while (true) {
        const Text *t = &l->text;
        size_t left = t->size - l->at;
        *length += line_length(t->bytes + l->at + *length, left - *length);
        bool enough = *length < left || l->ended;
        if (!l->checked && (enough || left >= KIND_BYTES)) {
            if (check_start(l, err)) return -1;
            *length = 0;
        } else if (l->feed && left > 0) {
            l->at += t->bytes[l->at] == '\n';
            l->feed = false;
            *length = 0;
        } else if (enough) {
            return 0;
        } else if (read_more(l, err)) {
            return -1;
        }
    }
}

int lines_next(Lines *l, Line *line, Err *err)
{
    size_t length;
    if (read_line(l, &length, err)) return -1;
    size_t left = l->text.size - l->at;
    if (left == 0) return 0;
    const char *begin = l->text.bytes + l->at;
    if (length < left) l->returned = l->feed = begin[length] == '\r';
    *line = (Line){ begin, length, l->returned };
    l->at += length + (length < left);
    return 1;
}
