/* fuzz.h: what the fuzz targets share: how a property is stated, and judges of UTF-8 and JSON of
 * their own.
 *
 * A target is a file tests/fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput, which tries one input,
 * whatever its bytes are, and ends the process where a property does not hold. `make fuzz` links it
 * with libFuzzer; test_fuzz.c mutates seeds by itself, and there the Makefile gives each target the
 * name fuzz_NAME.
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *     {
 *         REQUIRE(decoded(encoded(data, size)) == data);
 *         return 0;
 *     }
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "../../base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

/* An error as every function must give it: the status it may have, and a sentence. */
static inline bool fuzz_refusal(const Err *err, int status)
{
    return err->status == status && err->msg[0] != '\0' && strlen(err->msg) < sizeof err->msg;
}

/* The longest start of the text that is well-formed UTF-8, in bytes: the grammar of RFC 3629,
 * section 4. */
static inline size_t fuzz_utf8(const void *text, size_t size)
{
    const uint8_t *s = text;
    size_t good = 0;
    uint8_t low = 0x80, high = 0xbf;
    int more = 0;
    for (size_t i = 0; i < size; i++) {
        if (more > 0) {
            if (s[i] < low || s[i] > high) return good;
            low = 0x80;
            high = 0xbf;
            more--;
        } else if (s[i] >= 0x80) {
            if (s[i] < 0xc2 || s[i] > 0xf4) return good;
            more = s[i] < 0xe0 ? 1 : s[i] < 0xf0 ? 2 : 3;
            low = s[i] == 0xe0 ? 0xa0 : s[i] == 0xf0 ? 0x90 : 0x80;
            high = s[i] == 0xed ? 0x9f : s[i] == 0xf4 ? 0x8f : 0xbf;
        }
        if (more == 0) good = i + 1;
    }
    return good;
}

/* ---------------------------------------------------------------- JSON (RFC 8259), in UTF-8 */

/* Each takes a place in a text and its end, and returns the place after what it names, or NULL. */

static inline const char *fuzz_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

static inline const char *fuzz_digits(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p > start ? p : NULL;
}

static inline const char *fuzz_number(const char *p, const char *end)
{
    if (p < end && *p == '-') p++;
    const char *start = p;
    p = fuzz_digits(p, end);
    if (p == NULL || (*start == '0' && p - start > 1)) return NULL;
    if (p < end && *p == '.' && (p = fuzz_digits(p + 1, end)) == NULL) return NULL;
    if (p == end || (*p != 'e' && *p != 'E')) return p;
    p++;
    if (p < end && (*p == '+' || *p == '-')) p++;
    return fuzz_digits(p, end);
}

/* \uXXXX; -1 where there is none. */
static inline long fuzz_unit(const char *p, const char *end)
{
    char digits[5] = "";
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    memcpy(digits, p + 2, 4);
    return strspn(digits, "0123456789abcdefABCDEF") == 4 ? strtol(digits, NULL, 16) : -1;
}

/* The UTF-8 of a character of 1 to 4 bytes is appended. */
static inline void fuzz_append(char *out, size_t *used, long value)
{
    static const struct { long limit; int first, shift; } forms[] = {
        { 0x80, 0, 0 }, { 0x800, 0xc0, 6 }, { 0x10000, 0xe0, 12 }, { 0x110000, 0xf0, 18 }
    };
    int form = 0;
    while (value >= forms[form].limit) form++;
    out[(*used)++] = (char)(unsigned char)(forms[form].first + (value >> forms[form].shift));
    for (int shift = forms[form].shift - 6; shift >= 0; shift -= 6)
        out[(*used)++] = (char)(unsigned char)(0x80 + (value >> shift & 0x3f));
}

/* out gets what the string means, *used bytes: never more than the string has. A lone
 * surrogate is refused. */
static inline const char *fuzz_string(const char *p, const char *end, char *out, size_t *used)
{
    static const char letters[] = "bfnrt/\\\"", meanings[] = "\b\f\n\r\t/\\\"";
    *used = 0;
    if (p == end || *p++ != '"') return NULL;
    while (p < end && *p != '"') {
        if ((unsigned char)*p < 0x20) return NULL;
        const char *letter = *p == '\\' && end - p > 1 && p[1] != '\0' ? strchr(letters, p[1])
                                                                       : NULL;
        if (*p != '\\') {
            out[(*used)++] = *p++;
        } else if (letter != NULL) {
            out[(*used)++] = meanings[letter - letters];
            p += 2;
        } else {
            long value = fuzz_unit(p, end), low;
            if (value < 0 || (value >= 0xdc00 && value < 0xe000)) return NULL;
            p += 6;
            if (value >= 0xd800 && value < 0xdc00) {
                low = fuzz_unit(p, end);
                if (low < 0xdc00 || low >= 0xe000) return NULL;
                value = 0x10000 + (value - 0xd800) * 0x400 + (low - 0xdc00);
                p += 6;
            }
            fuzz_append(out, used, value);
        }
    }
    return p < end ? p + 1 : NULL;
}

/* Any value, nested at most `depth` deep; room: as many bytes as the text has. */
static inline const char *fuzz_value(const char *p, const char *end, int depth, char *room)
{
    size_t used;
    p = fuzz_space(p, end);
    if (p == end || depth == 0) return NULL;
    if (*p == '"') return fuzz_string(p, end, room, &used);
    if (*p != '{' && *p != '[') {
        static const char *const words[] = { "null", "true", "false" };
        for (int i = 0; i < 3; i++)
            if ((size_t)(end - p) >= strlen(words[i]) && memcmp(p, words[i], strlen(words[i])) == 0)
                return p + strlen(words[i]);
        return fuzz_number(p, end);
    }
    bool object = *p == '{';
    char close = object ? '}' : ']';
    p = fuzz_space(p + 1, end);
    if (p < end && *p == close) return p + 1;
    for (;;) {
        if (object) {
            p = fuzz_string(fuzz_space(p, end), end, room, &used);
            if (p == NULL) return NULL;
            p = fuzz_space(p, end);
            if (p == end || *p++ != ':') return NULL;
        }
        p = fuzz_value(p, end, depth - 1, room);
        if (p == NULL) return NULL;
        p = fuzz_space(p, end);
        if (p == end || (*p != ',' && *p != close)) return NULL;
        if (*p++ == close) return p;
    }
}

/* Whether all of a text is one JSON value. */
static inline bool fuzz_is_json(const char *text, size_t size)
{
    enum { DEPTH = 8 };
    char *room = malloc(size + 1);
    if (room == NULL) return false;
    const char *end = fuzz_utf8(text, size) == size ? fuzz_value(text, text + size, DEPTH, room)
                                                    : NULL;
    free(room);
    return end != NULL && fuzz_space(end, text + size) == text + size;
}

#endif
