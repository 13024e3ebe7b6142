/* numbers.c: numbers as text, and as ids. */
#include "numbers.h"

/* ---------------------------------------------------------------- ids */

double number_value(const Numbers *n, int32_t id)
{
    return n->center + n->scale * number_standard(id);
}

int32_t number_id(const Numbers *n, double value)
{
    double step = round((value - n->center) / n->scale * NUMBER_UNIT) + NUMBER_ZERO;
    return step < 1 ? 1 : step > INT32_MAX ? INT32_MAX : (int32_t)step;
}

int number_print(const Numbers *n, int32_t id, char out[NUMBER_ROOM])
{
    double value = number_value(n, id), step = n->scale / NUMBER_UNIT;
    int digits = 1;
    do snprintf(out, NUMBER_ROOM, "%.*g", digits, value);
    while (fabs(strtod(out, NULL) - value) > step && digits++ < 17);
    return (int)strlen(out);
}

/* ---------------------------------------------------------------- text */

static bool parts(char c)
{
    return c == ' ' || c == ',' || c == '\t' || c == '\n' || c == '\r';
}

typedef struct {
    const char *text;
    size_t size, at;        /* at: behind the word that was read last */
    const char *word;
    size_t length;
    double value;
} Reader;

typedef enum { READ_END, READ_NUMBER, READ_OTHER } Read;

/* Decimal notation only: no word for infinity, no hexadecimal. */
static Read next_number(Reader *r)
{
    char copy[64], *end;
    while (r->at < r->size && parts(r->text[r->at])) r->at++;
    r->word = r->text + r->at;
    while (r->at < r->size && !parts(r->text[r->at])) r->at++;
    r->length = (size_t)(r->text + r->at - r->word);
    if (r->length == 0) return READ_END;
    if (r->length >= sizeof copy) return READ_OTHER;
    memcpy(copy, r->word, r->length);
    copy[r->length] = '\0';
    if (strspn(copy, "0123456789+-.eE") != r->length) return READ_OTHER;
    r->value = strtod(copy, &end);
    return *end == '\0' && fabs(r->value) <= NUMBER_MOST ? READ_NUMBER : READ_OTHER;
}

static int fail_word(const Reader *r, const char *name, int status, const char *what, Err *err)
{
    enum { SHOWN = 24 };
    size_t line = 1, shown = 0;
    char word[SHOWN + 1], where[32] = "";
    for (const char *p = r->text; p < r->word; p++) line += *p == '\n';
    for (; shown < r->length && shown < SHOWN; shown++) {
        unsigned char c = (unsigned char)r->word[shown];
        word[shown] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    word[shown] = '\0';
    if (memchr(r->text, '\n', r->size) != NULL) snprintf(where, sizeof where, "line %zu: ", line);
    return fail(err, status, "%.200s: %s%s%s %s", name, where, word,
                r->length > SHOWN ? "..." : "", what);
}

int numbers_check(const Numbers *n, const char *text, size_t size, const char *name, int status,
                  Err *err)
{
    Reader r = { .text = text, .size = size };
    for (Read read; (read = next_number(&r)) != READ_END;) {
        if (read == READ_OTHER)
            return fail_word(&r, name, status, "is not a number; a text of numbers has one vector "
                             "a line, with spaces or commas between its values", err);
        if (n != NULL && fabs(r.value - n->center) > 1000 * n->scale)
            return fail_word(&r, name, status, "is more than a thousand standard deviations away "
                             "from the mean of the numbers; leave it out", err);
    }
    return 0;
}

int numbers_learn(Numbers *n, const char *const *texts, const size_t *sizes,
                  const char *const *names, int count, Err *err)
{
    size_t values = 0;
    double mean = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        if (numbers_check(NULL, texts[i], sizes[i], names[i], EXIT_TEXT, err)) return -1;
        Reader r = { .text = texts[i], .size = sizes[i] };
        while (next_number(&r) == READ_NUMBER) {            /* Welford 1962 */
            double before = r.value - mean;
            mean += before / (double)++values;
            squares += before * (r.value - mean);
        }
    }
    if (values == 0)
        return fail(err, EXIT_TEXT, "%.200s: there is no number in it", names[0]);
    n->center = mean;
    n->scale = sqrt(squares / (double)values);
    if (!(n->scale > fabs(mean) * 1e-12)) n->scale = 1;
    for (int i = 0; i < count; i++)
        if (numbers_check(n, texts[i], sizes[i], names[i], EXIT_TEXT, err)) return -1;
    return 0;
}

size_t numbers_encode(const Numbers *n, const char *text, size_t size, int32_t *ids,
                      size_t *skipped)
{
    Reader r = { .text = text, .size = size };
    size_t count = 0;
    *skipped = 0;
    for (Read read; (read = next_number(&r)) != READ_END;) {
        if (read == READ_NUMBER) ids[count++] = number_id(n, r.value);
        else ++*skipped;
    }
    return count;
}
