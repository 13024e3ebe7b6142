/* fuzz_options.c: the command line of cli/, with the table of `train`, over words of any bytes.
 *
 * The input is the words, each ended by a newline or a NUL.
 */
#include "fuzz.h"
#include "../../training/settings.h"

enum { WORDS_MAX = 200 };

/* Settings before the command line: the table is built once. */
static Settings blank(void)
{
    static Settings s;
    if (s.cli.options == NULL) settings_init(&s);
    return s;
}

/* Whether all of a word is a decimal number: a number of JSON, but with a sign +, zeros before it,
 * and no digit needed on one side of the point. */
static bool is_number(const char *word)
{
    size_t n = strlen(word), sign = word[0] == '+' || word[0] == '-';
    size_t mantissa = strspn(word + sign, "0123456789."), digits = 0, points = 0;
    for (size_t i = 0; i < mantissa; i++) {
        if (word[sign + i] == '.') points++;
        else digits++;
    }
    size_t at = sign + mantissa;
    if (digits == 0 || points > 1) return false;
    if (at == n) return true;
    if (word[at] != 'e' && word[at] != 'E') return false;
    at += 1 + (word[at + 1] == '+' || word[at + 1] == '-');
    return at < n && strspn(word + at, "0123456789") == n - at;
}

/* Whether a number has digits, and perhaps an e and one or two more, but nothing else. */
static bool is_plain(const char *word)
{
    size_t at = strcspn(word, "eE"), left = strlen(word) - at;
    return strchr(word, '.') == NULL && left != 1 && left <= 3
        && strspn(word + at + (left > 0), "0123456789") == left - (left > 0);
}

/* A number is read as the C library reads it; a plain one is whole, unless it is too large. */
static void try_number(const char *word)
{
    int64_t whole = 0;
    bool number = is_number(word), is_whole = cli_whole(word, &whole);
    REQUIRE(cli_is_number(word) == number);
    REQUIRE((number && is_plain(word)) || !is_whole);
    double x = number ? strtod(word, NULL) : 0;
    if (is_whole) REQUIRE(x == (double)whole);
    else REQUIRE(!number || !is_plain(word) || fabs(x) >= 0x1p63);
    if (strlen(word) <= 18 && word[0] != '\0' && strspn(word, "0123456789") == strlen(word))
        REQUIRE(is_whole && whole == strtoll(word, NULL, 10));
}

/* The value is in the range of its row, and the same after a way through text. */
static void require_value(const Option *row, const Settings *o)
{
    const char *field = (const char *)o + row->offset;
    char first[4096], second[4096];
    Settings other = blank();
    Err err = { 0 };
    if (row->kind == OPT_INT) {
        int64_t n;
        memcpy(&n, field, sizeof n);
        REQUIRE(row->text == NULL || ((double)n >= row->low && (double)n <= row->high));
    }
    if (row->kind == OPT_REAL) {
        double x;
        memcpy(&x, field, sizeof x);
        REQUIRE(x >= row->low && x <= row->high);
    }
    cli_get_text(row, o, first, sizeof first);
    if (row->text == NULL && (row->kind == OPT_INT || row->kind == OPT_REAL)
        && !o->given[row - o->rows]) return;        /* its zero means that it is not there */
    REQUIRE(cli_set_text(row, &other, first, &err) == 0);
    cli_get_text(row, &other, second, sizeof second);
    REQUIRE(strcmp(first, second) == 0);
    size_t size = row->kind == OPT_INT || row->kind == OPT_REAL ? 8
        : row->kind == OPT_WORD ? sizeof(int) : 0;
    REQUIRE(memcmp(field, (const char *)&other + row->offset, size) == 0);
}

static void try_words(int argc, char **argv)
{
    Settings o = blank();
    Operands operands = { 0 };
    Err err = { 0 };
    if (cli_parse(&o.cli, argc, argv, &o, &operands, &err)) {
        static const char never[] = "did you mean --overwrite? (--help lists all)";
        size_t size = strlen(err.msg), end = sizeof never - 1;
        REQUIRE(fuzz_refusal(&err, EXIT_USAGE) && operands.items == NULL && operands.count == 0);
        REQUIRE(size < end || strcmp(err.msg + size - end, never) != 0);
        return;
    }
    REQUIRE(operands.count >= 0 && operands.count < (argc > 0 ? argc : 1));
    for (int i = 0; i < operands.count; i++) REQUIRE(strlen(operands.items[i]) < SIZE_MAX);
    for (const Option *row = o.rows; row->kind != OPT_END; row++)
        if (row->kind != OPT_GROUP) require_value(row, &o);
    for (const Option *row = o.rows; row->kind != OPT_END; row++)
        REQUIRE(!operands.twice[row - o.rows]
                || (o.given[row - o.rows] && cli_takes_value(row) && argc > 2));
    REQUIRE(o.preset == NULL || cli_preset(&o.cli, o.preset) != NULL);
    operands_close(&operands);
}

/* Each word as a value of an option that may be repeated: all arrive, in order, or there are too
 * many. */
static void try_many(int argc, char **argv)
{
    typedef struct { Strings all; bool given[CLI_ROWS]; } Many;
    static const Option rows[] = {
        { .name = "--many", .arg = "S", .kind = OPT_STRING, .offset = offsetof(Many, all),
          .help = "", .flags = MANY }, { 0 }
    };
    Cli cli = { .program = "many", .operands = "", .options = rows };
    Many o = { .given = { false } };
    Operands operands = { 0 };
    Err err = { 0 };
    char name[] = "--many", *words[2 * WORDS_MAX + 2] = { argv[0] };
    cli.given = offsetof(Many, given);
    for (int i = 1; i < argc; i++) {
        words[2 * i - 1] = name;
        words[2 * i] = argv[i];
    }
    int failed = cli_parse(&cli, 2 * argc - 1, words, &o, &operands, &err);
    REQUIRE((failed != 0) == (argc - 1 > CLI_MANY));
    REQUIRE(!failed || fuzz_refusal(&err, EXIT_USAGE));
    REQUIRE(o.all.count == (failed ? CLI_MANY : argc - 1) && !operands.twice[0]);
    for (int i = 0; i < o.all.count; i++) REQUIRE(o.all.items[i] == argv[i + 1]);
    operands_close(&operands);
}

/* A word as the text of each row's value. */
static void try_texts(const char *word)
{
    Settings o = blank();
    for (const Option *row = o.rows; row->kind != OPT_END; row++) {
        Err err = { 0 };
        int failed = cli_set_text(row, &o, word, &err);
        REQUIRE(!failed || fuzz_refusal(&err, EXIT_USAGE));
        REQUIRE(!failed || (row->kind != OPT_STRING && row->kind != OPT_PRESET));
        if (!failed && strlen(word) < 4096) {
            o.given[row - o.rows] = true;
            require_value(row, &o);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "train";
    char *argv[WORDS_MAX + 2] = { name }, *words = malloc(size + 1);
    int argc = 1;
    if (words == NULL) return 0;
    if (size > 0) memcpy(words, data, size);
    words[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (words[i] == '\n') words[i] = '\0';
    for (size_t at = 0; at < size && argc <= WORDS_MAX; at += strlen(words + at) + 1)
        argv[argc++] = words + at;
    for (int i = 1; i < argc; i++) try_number(argv[i]);
    if (argc > 1) try_texts(argv[1]);
    try_words(argc, argv);
    try_many(argc, argv);
    free(words);
    return 0;
}
