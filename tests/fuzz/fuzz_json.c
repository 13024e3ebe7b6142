/* fuzz_json.c: the reader of json.h against another one, over any bytes.
 *
 * The first byte of the input says what the rest is read as: 0 a header, 1 a string, 2 a number, 3
 * a whole number.
 */
#include "../../formats/json.h"
#include "fuzz.h"

enum { ROOM = 256 };

/* Walks over whatever a header may hold: an object of strings, numbers, lists of whole numbers, and
 * one more level. */
static bool walk(Json *j, int levels)
{
    char text[ROOM];
    uint64_t list[4];
    bool first = true;
    if (!json_take(j, '{', "no object")) return false;
    while (json_member(j, &first, text, sizeof text)) {
        REQUIRE(strlen(text) < sizeof text);
        if (json_at(j, '"')) json_word(j, text, sizeof text);
        else if (json_at(j, '[')) json_wholes(j, list, 4);
        else if (json_at(j, '{') && levels > 0) walk(j, levels - 1);
        else json_number(j, text, sizeof text);
    }
    return j->wrong == NULL;
}

static void try_header(const char *text, size_t size)
{
    Json j = { text, text + size, NULL };
    bool sound = walk(&j, 1) && json_end(&j);
    REQUIRE(j.p >= text && j.p <= text + size);
    REQUIRE(sound == (j.wrong == NULL));
    REQUIRE(!sound || (j.p == text + size && fuzz_is_json(text, size)));
}

static void try_string(const char *text, size_t size)
{
    char out[ROOM], *other = malloc(size + 1);
    size_t used = 0;
    if (other == NULL) return;
    Json j = { text, text + size, NULL };
    const char *start = fuzz_space(text, text + size);
    const char *end = fuzz_string(start, text + size, other, &used);
    bool sound = end != NULL && memchr(other, '\0', used) == NULL && used < sizeof out
              && fuzz_utf8(start, (size_t)(end - start)) == (size_t)(end - start);
    REQUIRE(json_string(&j, out, sizeof out) == sound);
    REQUIRE(!sound || (j.p == end && strlen(out) == used && memcmp(out, other, used) == 0));
    free(other);
}

static void try_number(const char *text, size_t size)
{
    char out[ROOM];
    Json j = { text, text + size, NULL };
    const char *start = fuzz_space(text, text + size), *end = fuzz_number(start, text + size);
    bool sound = end != NULL && end - start < ROOM;
    REQUIRE(json_number(&j, out, sizeof out) == sound);
    REQUIRE(!sound
            || (j.p == end && strlen(out) == (size_t)(end - start)
                && memcmp(out, start, strlen(out)) == 0));
}

static void try_whole(const char *text, size_t size)
{
    char digits[24] = "";
    uint64_t value = 0;
    Json j = { text, text + size, NULL };
    const char *start = fuzz_space(text, text + size), *end = fuzz_number(start, text + size);
    bool sound = end != NULL && end - start < (ptrdiff_t)sizeof digits;
    if (sound) memcpy(digits, start, (size_t)(end - start));
    errno = 0;
    unsigned long long other = strtoull(digits, NULL, 10);
    sound = sound && strspn(digits, "0123456789") == strlen(digits) && errno == 0;
    REQUIRE(json_whole(&j, &value) == sound);
    REQUIRE(!sound || value == other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const char *, size_t) = { try_header, try_string, try_number,
                                                           try_whole };
    if (size == 0) return 0;
    /* A copy of exactly this size, so that a sanitizer sees a read behind its end. */
    char *text = malloc(size - 1 > 0 ? size - 1 : 1);
    if (text == NULL) return 0;
    memcpy(text, data + 1, size - 1);
    kinds[data[0] % 4](text, size - 1);
    free(text);
    return 0;
}
