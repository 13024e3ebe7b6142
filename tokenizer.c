/* tokenizer.c: owns the vocabulary, and the only UTF-8 decoder and encoder of the programs.
 *
 * A table over all values (256 bytes, or 0x110000 code points) gives the id of each. While a
 * vocabulary is collected the table only marks what occurs; tokenizer_finish then numbers the marks
 * in ascending order.
 *
 *     char out[TOKEN_ROOM];
 *     fwrite(out, 1, (size_t)tokenizer_decode(&t, id, out), stdout);
 */
#include "base.h"
#include "formats/accents.h"
#include "tokenizer.h"

enum { NO_ID = -1, SEEN = 0, LISTED_MAX = 5, NAME_ROOM = 16 };

#define LEARN_ADVICE \
    "convert it to UTF-8 (iconv does), or learn its bytes as they are with --bytes"
#define READ_ADVICE \
    "convert it to UTF-8 (iconv does); only a model trained with --bytes reads bytes as they are"

/* A longer file name is cut in messages, so that the cause and the advice behind it always fit. */
#define SHORT_NAME "%.240s"

/* ---------------------------------------------------------------- UTF-8 */

static bool is_surrogate(uint32_t value) { return value >= 0xd800 && value <= 0xdfff; }

int utf8_decode(const char *text, size_t size, uint32_t *value)
{
    static const uint32_t least[UTF8_MAX + 1] = { 0, 0, 0x80, 0x800, 0x10000 };  /* else overlong */
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) {
        *value = s[0];
        return 1;
    }
    int length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc0 || s[0] > 0xf7 || size < (size_t)length) return 0;

    uint32_t v = s[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        v = v << 6 | (s[i] & 0x3fu);
    }
    if (v < least[length] || v >= CODE_POINTS || is_surrogate(v)) return 0;
    *value = v;
    return length;
}

int utf8_encode(uint32_t value, char out[UTF8_MAX])
{
    int length = value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    if (length == 1) {
        out[0] = (char)value;
        return 1;
    }
    for (int i = length - 1; i > 0; i--, value >>= 6)
        out[i] = (char)(unsigned char)(0x80 | (value & 0x3f));
    /* As many leading ones as bytes. */
    out[0] = (char)(unsigned char)((0xf00 >> length & 0xff) | value);
    return length;
}

/* The next character in the tokenizer's own sense; returns its length in bytes, 0 if ill-formed. */
static inline int next_value(bool bytes, const char *text, size_t size, uint32_t *value)
{
    unsigned char first = (unsigned char)text[0];
    if (!bytes && first >= 0x80) return utf8_decode(text, size, value);
    *value = first;
    return 1;
}

/* ---------------------------------------------------------------- messages */

static void value_name(bool bytes, uint32_t value, char *out, size_t room)
{
    static const struct { char value; const char *name; } escapes[] = {
        { '\t', "'\\t'" }, { '\n', "'\\n'" }, { '\r', "'\\r'" }, { '\'', "'\\''" },
        { '\\', "'\\\\'" }
    };
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        if (value == (uint32_t)escapes[i].value) {
            snprintf(out, room, "%s", escapes[i].name);
            return;
        }
    }
    if (value >= 0x20 && value < 0x7f) snprintf(out, room, "'%c'", (char)value);
    else if (bytes) snprintf(out, room, "0x%02X", (unsigned)value);
    else snprintf(out, room, "U+%04X", (unsigned)value);
}

static int fail_memory(Err *err)
{
    return fail(err, EXIT_RUNTIME, "not enough memory for the vocabulary (a few MB needed)");
}

/* `at` is where the first ill-formed character begins; shows as many bytes as it could have had. */
static int fail_ill_formed(const char *name, const char *text, size_t size, size_t at, int status,
                           const char *advice, Err *err)
{
    char shown[4 * UTF8_MAX] = "";
    for (size_t i = 0; i < UTF8_MAX && at + i < size; i++)
        snprintf(shown + 3 * i, sizeof shown - 3 * i, " %02X", (unsigned char)text[at + i]);
    return fail(err, status,
                SHORT_NAME ": ill-formed UTF-8 at byte offset %zu (the bytes there:%s); %s",
                name, at, shown, advice);
}

static bool has(const Tokenizer *t, uint32_t value) { return t->ids[value] != NO_ID; }

/* Whether the vocabulary has a letter's parts. */
static bool has_apart(const Tokenizer *t, uint32_t value)
{
    uint32_t letter, accent;
    if (t->bytes || !accents_split(value, &letter, &accent) || !has(t, accent)) return false;
    return has(t, letter) || has_apart(t, letter);
}

/* Characters that a text has and t lacks. */
typedef struct {
    char list[LISTED_MAX * (NAME_ROOM + 2)];    /* the first few */
    size_t used, different, places;
    bool apart, together;       /* some of them t has as letter and accent; as one character */
} Lacking;

static void add_lacking(Lacking *l, const Tokenizer *t, uint32_t value)
{
    char one[NAME_ROOM];
    l->apart = l->apart || has_apart(t, value);
    if (l->different++ >= LISTED_MAX) return;
    value_name(t->bytes, value, one, sizeof one);
    l->used += (size_t)snprintf(l->list + l->used, sizeof l->list - l->used, "%s%s",
                                l->used > 0 ? ", " : "", one);
}

/* met: one bit a value, all 0. The text is known to be well-formed. */
static void find_lacking(Lacking *l, const Tokenizer *t, const char *text, size_t size,
                         unsigned char *met)
{
    uint32_t value = 0, letter = 0;             /* the letter before, with its accents so far */
    for (size_t at = 0, length; at < size; at += length) {
        length = (size_t)next_value(t->bytes, text + at, size - at, &value);
        unsigned char bit = (unsigned char)(1u << (value & 7));
        uint32_t joined = 0;
        if (!has(t, value)) {
            joined = t->bytes ? 0 : accents_join(letter, value);
            l->together = l->together || (joined != 0 && has(t, joined));
            l->places++;
            if (!(met[value >> 3] & bit)) add_lacking(l, t, value);
            met[value >> 3] |= bit;
        }
        letter = joined != 0 ? joined : value;
    }
}

/* Names the first few different characters that t lacks. */
static int fail_unknown(const Tokenizer *t, const char *text, size_t size, const char *name,
                        int status, Err *err)
{
    unsigned char *met = calloc(CODE_POINTS / 8, 1);
    if (met == NULL) return fail_memory(err);
    Lacking l = { .used = 0 };
    find_lacking(&l, t, text, size, met);
    free(met);
    const char *other = l.apart
        ? "the vocabulary has their accents apart (NFD: a letter, then its accent), and `uconv -x "
          "nfd` writes them so; "
        : l.together
        ? "the vocabulary has their accents together (NFC: one character a letter), and `uconv -x "
          "nfc` writes them so; " : "";
    return fail(err, status,
                SHORT_NAME ": the vocabulary lacks some of its characters: %s%s (%zu different, "
                "in %zu places); %s--unknown skip leaves them out",
                name, l.list, l.different > LISTED_MAX ? ", ..." : "", l.different, l.places,
                other);
}

/* ---------------------------------------------------------------- the vocabulary */

static uint32_t value_limit(bool bytes) { return bytes ? 256 : CODE_POINTS; }

int tokenizer_start(Tokenizer *t, bool bytes, bool separator, Err *err)
{
    *t = (Tokenizer){ .bytes = bytes, .separator = separator };
    t->ids = malloc(value_limit(bytes) * sizeof *t->ids);
    if (t->ids == NULL) return fail_memory(err);
    for (uint32_t v = 0; v < value_limit(bytes); v++) t->ids[v] = NO_ID;
    return 0;
}

int tokenizer_add(Tokenizer *t, const char *text, size_t size, const char *name, Err *err)
{
    uint32_t value = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = (size_t)next_value(t->bytes, text + at, size - at, &value);
        if (length == 0) {
            tokenizer_close(t);
            return fail_ill_formed(name, text, size, at, EXIT_TEXT, LEARN_ADVICE, err);
        }
        t->ids[value] = SEEN;
    }
    return 0;
}

int tokenizer_finish(Tokenizer *t, Err *err)
{
    uint32_t limit = value_limit(t->bytes);
    int first = t->separator ? 1 : 0, count = first;
    for (uint32_t v = 0; v < limit; v++) count += t->ids[v] == SEEN;
    if (count == first) {
        tokenizer_close(t);
        return fail(err, EXIT_TEXT, "the text is empty: there is no character to learn");
    }
    t->values = calloc((size_t)count, sizeof *t->values);
    if (t->values == NULL) {
        tokenizer_close(t);
        return fail_memory(err);
    }
    int id = first;
    for (uint32_t v = 0; v < limit; v++) {
        if (t->ids[v] != SEEN) continue;
        t->values[id] = v;
        t->ids[v] = id++;
    }
    t->count = count;
    return 0;
}

int tokenizer_from_values(Tokenizer *t, const uint32_t *values, int count, bool bytes,
                          bool separator, Err *err)
{
    int first = separator ? 1 : 0;
    *t = (Tokenizer){ 0 };
    if (count <= first) return fail(err, EXIT_CHECKPOINT, "the vocabulary has no character");
    for (int id = first; id < count; id++) {
        uint32_t v = values[id];
        if (v >= value_limit(bytes) || (!bytes && is_surrogate(v)))
            return fail(err, EXIT_CHECKPOINT, "entry %d of the vocabulary, %lX, is not a %s", id,
                        (unsigned long)v, bytes ? "byte" : "Unicode character");
        if (id > first && v <= values[id - 1])
            return fail(err, EXIT_CHECKPOINT, "entry %d of the vocabulary, %lX, is out of order",
                        id, (unsigned long)v);
    }
    if (tokenizer_start(t, bytes, separator, err)) return -1;
    for (int id = first; id < count; id++) t->ids[values[id]] = SEEN;
    return tokenizer_finish(t, err);
}

int tokenizer_from_numbers(Tokenizer *t, Numbers numbers, Err *err)
{
    if (tokenizer_start(t, true, true, err)) return -1;
    t->values = calloc(NUMBER_OUTPUTS, sizeof *t->values);
    if (t->values == NULL) {
        tokenizer_close(t);
        return fail_memory(err);
    }
    t->count = NUMBER_OUTPUTS;
    t->numbers = numbers;
    return 0;
}

size_t tokenizer_bytes(const Tokenizer *t)
{
    return value_limit(t->bytes) * sizeof *t->ids + (size_t)t->count * sizeof *t->values;
}

static void mark_values(Tokenizer *t, const Tokenizer *from)
{
    for (int id = from->separator ? 1 : 0; id < from->count; id++) t->ids[from->values[id]] = SEEN;
}

int tokenizer_join(Tokenizer *out, const Tokenizer *a, const Tokenizer *b, Err *err)
{
    if (tokenizer_start(out, a->bytes, a->separator, err)) return -1;
    mark_values(out, a);
    mark_values(out, b);
    return tokenizer_finish(out, err);
}

int32_t tokenizer_translate(const Tokenizer *now, const Tokenizer *before, int32_t id)
{
    if (!before->separator || id != SEPARATOR_ID) return now->ids[before->values[id]];
    return now->separator ? SEPARATOR_ID : NO_ID;
}

void tokenizer_close(Tokenizer *t)
{
    free(t->values);
    free(t->ids);
    *t = (Tokenizer){ 0 };
}

/* ---------------------------------------------------------------- text <-> ids */

int tokenizer_check(const char *text, size_t size, const char *name, bool learnt, Err *err)
{
    uint32_t value = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = (size_t)next_value(false, text + at, size - at, &value);
        if (length == 0)
            return fail_ill_formed(name, text, size, at, EXIT_TEXT,
                                   learnt ? LEARN_ADVICE : READ_ADVICE, err);
    }
    return 0;
}

size_t tokenizer_unknown_mark(const Tokenizer *t, const char *text, size_t size)
{
    static const char mark[] = "\xef\xbb\xbf";
    enum { MARK_BYTES = sizeof mark - 1, MARK = 0xfeff };
    bool known = !t->bytes && t->ids[MARK] != NO_ID;
    for (int i = 0; t->bytes && i < MARK_BYTES; i++)
        known = (i == 0 || known) && t->ids[(unsigned char)mark[i]] != NO_ID;
    bool begins = size >= MARK_BYTES && memcmp(text, mark, MARK_BYTES) == 0;
    return begins && !known ? MARK_BYTES : 0;
}

int tokenizer_encode(const Tokenizer *t, const char *text, size_t size, const char *name,
                     Unknown unknown, int status, Encoding *out, Err *err)
{
    size_t count = 0, lacking = 0;
    uint32_t value = 0;
    if (tokenizer_has_numbers(t)) {
        if (unknown == UNKNOWN_FAILS && numbers_check(&t->numbers, text, size, name, status, err))
            return -1;
        out->count = numbers_encode(&t->numbers, text, size, out->ids, &out->skipped);
        return 0;
    }
    for (size_t at = 0, length; at < size; at += length) {
        length = (size_t)next_value(t->bytes, text + at, size - at, &value);
        bool ill_formed = length == 0;
        if (ill_formed && unknown != ILL_FORMED_SKIPPED)
            return fail_ill_formed(name, text, size, at, status, READ_ADVICE, err);
        if (ill_formed) length = 1;
        int32_t id = ill_formed ? NO_ID : t->ids[value];
        if (id == NO_ID) lacking++;
        else out->ids[count++] = id;
    }
    if (lacking > 0 && unknown == UNKNOWN_FAILS)
        return fail_unknown(t, text, size, name, status, err);
    out->count = count;
    out->skipped = lacking;
    return 0;
}

int tokenizer_decode(const Tokenizer *t, int32_t id, char out[TOKEN_ROOM])
{
    if (t->separator && id == SEPARATOR_ID) return 0;
    if (tokenizer_has_numbers(t)) return number_print(&t->numbers, id, out);
    if (!t->bytes) return utf8_encode(t->values[id], out);
    out[0] = (char)(unsigned char)t->values[id];
    return 1;
}

void tokenizer_name(const Tokenizer *t, int32_t id, char *out, size_t room)
{
    char number[NUMBER_ROOM];
    if (t->separator && id == SEPARATOR_ID) snprintf(out, room, SEPARATOR_NAME);
    else if (tokenizer_has_numbers(t))
        snprintf(out, room, "%.*s", number_print(&t->numbers, id, number), number);
    else value_name(t->bytes, t->values[id], out, room);
}
