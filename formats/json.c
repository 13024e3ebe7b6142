/* json.c: owns the reading of JSON's strings, numbers, objects and lists, byte by byte.
 *
 * Nothing recurses: the caller walks the structure, and nested brackets are an error at once.
 */
#include "../base.h"
#include "../tokenizer.h"
#include "json.h"

Json json_over(const char *text) { return (Json){ text, text + strlen(text), NULL }; }

bool json_wrong(Json *j, const char *what)
{
    if (j->wrong == NULL) j->wrong = what;
    return false;
}

bool json_is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void json_space(Json *j)
{
    while (j->p < j->end && json_is_space(*j->p)) j->p++;
}

bool json_at(Json *j, char c)
{
    json_space(j);
    return j->p < j->end && *j->p == c;
}

bool json_take(Json *j, char c, const char *otherwise)
{
    if (!json_at(j, c)) return json_wrong(j, otherwise);
    j->p++;
    return true;
}

/* Is there another element before `close`? Takes the comma, or `close` itself. */
static bool json_next(Json *j, char close, bool *first)
{
    bool was_first = *first;
    *first = false;
    if (j->wrong) return false;
    if (json_at(j, close)) {
        j->p++;
        return false;
    }
    return was_first || json_take(j, ',', "a comma or a closing bracket is missing");
}

/* The four digits of a \u escape. */
static bool json_hex4(Json *j, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        char d = j->p < j->end ? *j->p : '\0';
        uint32_t digit = d >= '0' && d <= '9' ? (uint32_t)(d - '0')
                       : d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a' + 10)
                       : d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A' + 10) : 16;
        if (digit == 16) return json_wrong(j, "a \\u escape has not four hexadecimal digits");
        *value = *value << 4 | digit;
    }
    return true;
}

/* At a backslash. Characters above FFFF come as two escapes, a high and a low surrogate. */
static bool json_escape(Json *j, uint32_t *value)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char letter = j->end - j->p >= 2 ? j->p[1] : '\0';
    const char *hit = letter ? strchr(letters, letter) : NULL;
    if (hit == NULL && letter != 'u') return json_wrong(j, "an escape is unknown");
    j->p += 2;
    if (hit) {
        *value = (uint32_t)meanings[hit - letters];
        return true;
    }
    if (!json_hex4(j, value)) return false;
    if (*value == 0) return json_wrong(j, "a string holds a NUL");
    if (*value < 0xd800 || *value > 0xdfff) return true;
    uint32_t high = *value, low = 0;
    if (high >= 0xdc00 || j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u')
        return json_wrong(j, "an unpaired surrogate");
    j->p += 2;
    if (!json_hex4(j, &low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return json_wrong(j, "an unpaired surrogate");
    *value = 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
    return true;
}

/* One character of a string, escaped or as UTF-8. */
static bool json_character(Json *j, uint32_t *value)
{
    if (*j->p == '\\') return json_escape(j, value);
    int length = utf8_decode(j->p, (size_t)(j->end - j->p), value);
    if (length == 0) return json_wrong(j, "a string is not well-formed UTF-8");
    if (*value < 0x20) return json_wrong(j, "a control character in a string");
    j->p += length;
    return true;
}

bool json_string(Json *j, char *out, size_t room)
{
    size_t used = 0;
    if (!json_take(j, '"', "a string is missing")) return false;
    while (j->p < j->end && *j->p != '"') {
        uint32_t value;
        char bytes[UTF8_MAX];
        if (!json_character(j, &value)) return false;
        size_t length = (size_t)utf8_encode(value, bytes);
        if (room - used <= length) return json_wrong(j, "a string is too long");
        memcpy(out + used, bytes, length);
        used += length;
    }
    out[used] = '\0';
    return json_take(j, '"', "a string does not end");
}

bool json_word(Json *j, char *out, size_t room)
{
    if (!json_string(j, out, room)) return false;
    for (const unsigned char *b = (const unsigned char *)out; *b; b++)
        if (*b < 0x20 || *b == 0x7f || (b[0] == 0xc2 && b[1] < 0xa0))
            return json_wrong(j, "a name holds a control character");
    return true;
}

bool json_member(Json *j, bool *first, char *key, size_t room)
{
    return json_next(j, '}', first) && json_word(j, key, room)
        && json_take(j, ':', "a colon is missing");
}

static bool json_is_digit(const Json *j) { return j->p < j->end && *j->p >= '0' && *j->p <= '9'; }

/* One digit or more. */
static bool json_digits(Json *j)
{
    if (!json_is_digit(j)) return json_wrong(j, "a number is missing or ill-formed");
    while (json_is_digit(j)) j->p++;
    return true;
}

bool json_number(Json *j, char *out, size_t room)
{
    json_space(j);
    const char *start = j->p;
    if (j->p < j->end && *j->p == '-') j->p++;
    bool zero = j->p < j->end && *j->p == '0';
    if (!json_digits(j)) return false;
    if (zero && j->p - start > 1 + (*start == '-')) return json_wrong(j, "a number begins with 0");
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (!json_digits(j)) return false;
    }
    if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-')) j->p++;
        if (!json_digits(j)) return false;
    }
    size_t length = (size_t)(j->p - start);
    if (length >= room) return json_wrong(j, "a number is too long");
    memcpy(out, start, length);
    out[length] = '\0';
    return true;
}

bool json_whole(Json *j, uint64_t *value)
{
    char digits[24];
    if (!json_number(j, digits, sizeof digits)) return false;
    *value = 0;
    for (const char *d = digits; *d; d++) {
        uint64_t digit = (uint64_t)(*d - '0');
        if (*d < '0' || *d > '9') return json_wrong(j, "a number is not whole and positive");
        if (*value > (UINT64_MAX - digit) / 10) return json_wrong(j, "a number is too large");
        *value = 10 * *value + digit;
    }
    return true;
}

int json_wholes(Json *j, uint64_t *out, int most)
{
    int count = 0;
    bool first = true;
    if (!json_take(j, '[', "a list of numbers is missing")) return -1;
    while (json_next(j, ']', &first)) {
        if (count == most) json_wrong(j, "a list of numbers is too long");
        if (j->wrong || !json_whole(j, out + count)) return -1;
        count++;
    }
    return j->wrong ? -1 : count;
}

bool json_end(Json *j)
{
    json_space(j);
    return j->wrong == NULL && (j->p == j->end || json_wrong(j, "something follows its end"));
}
