/* options.h: the command line. One option table per program drives parsing, --help and what pages.h prints.
 *
 * Owns: options and presets, their values as text, operands, --version, and the way to standard output.
 *
 *     typedef struct { int64_t length; bool given[CLI_ROWS]; About about; } Options;
 *     static const Option options[] = {
 *         { NULL, NULL, OPT_GROUP, 0, NULL, 0, 0, NULL, 0, "Text" },
 *         { "--length", "N", OPT_INT, offsetof(Options, length), "500", 0, 1e9, NULL, 0, "new characters" },
 *         ABOUT_ROWS(offsetof(Options, about)),
 *         { 0 }
 *     };
 *     static const Cli cli = { "sample", "CKPT", "Writes text.", options, NULL, offsetof(Options, given) };
 *     if (cli_parse(&cli, argc, argv, &o, &operands, &err)) { fprintf(stderr, "sample: %s\n", err.msg); ... }
 *     Output out = { stdout, 0 };
 *     if (o.about.help) cli_help(&cli, operands.called, &out);
 *     if (output_close(&out, &err)) ...;
 */
#ifndef CLI_H
#define CLI_H

#include "../base.h"

#include <signal.h>

#define FOLIO_VERSION "0.1.0"

/* ---------------------------------------------------------------- tables */

enum { CLI_ROWS = 64, CLI_WIDTH = 80, CLI_INDENT = 26, CLI_WORD = 40, CLI_PRESET_VALUES = 32, CLI_RANGE = 120 };

typedef enum {
    OPT_END,                /* the last row, { 0 } */
    OPT_GROUP,              /* a heading of --help; its text is in `help` */
    OPT_SWITCH,             /* bool; no argument */
    OPT_ACTION,             /* bool; no argument; ends parsing at once (--help) */
    OPT_INT,                /* int64_t; low and high within 2^53 */
    OPT_REAL,               /* double */
    OPT_STRING,             /* const char * */
    OPT_WORD,               /* int: which of `words`; "off|on" makes off 0 and on 1 */
    OPT_PRESET              /* const char *: the name of a preset */
} OptionKind;

enum { ON_RESUME = 1,       /* may differ from the checkpoint on --resume */
       STORED = 2,          /* stands in the checkpoint's settings, under its name without the dashes */
       LATER = 4 };         /* files of earlier releases lack it, and mean its default */

typedef struct {
    const char *name;       /* with its dashes */
    const char *arg;        /* what --help calls the value; NULL: nothing, or the words. Shells complete FILE and ISA */
    OptionKind kind;
    size_t offset;          /* into the program's Options */
    const char *text;       /* the default; NULL: left as it is (zero), and not mentioned */
    double low, high;       /* range of a number, inclusive */
    const char *words;      /* "cosine|linear|constant" */
    int flags;
    const char *help;
} Option;

typedef struct { const char *name, *value; } PresetValue;

/* A list of option values and nothing else. */
typedef struct {
    const char *name;       /* NULL in the last one */
    const char *help;
    PresetValue values[CLI_PRESET_VALUES + 1];      /* the last one has no name */
} Preset;

typedef struct {
    const char *program;    /* "sample" */
    const char *operands;   /* "CKPT TEXT..." */
    const char *summary;    /* one sentence */
    const Option *options;  /* at most CLI_ROWS rows, the last one included */
    const Preset *presets;  /* or NULL */
    size_t given;           /* offset of `bool given[CLI_ROWS]`: whether row i stands on the command line */
} Cli;

/* What every program can say about itself: its Options hold an About, and its table ends with these rows. */
typedef struct {
    bool help, version;
    int page;               /* which of PAGE_WORDS, if --page is given */
} About;

#define PAGE_WORDS "man|bash|zsh"
enum { PAGE_MAN, PAGE_BASH, PAGE_ZSH };

#define ABOUT_ROWS(at) \
    { "--page", NULL, OPT_WORD, (at) + offsetof(About, page), NULL, 0, 0, PAGE_WORDS, 0, \
      "print the manual page, or a shell's completions, and end" }, \
    { "--help", NULL, OPT_ACTION, (at) + offsetof(About, help), NULL, 0, 0, NULL, 0, "show this and end" }, \
    { "--version", NULL, OPT_ACTION, (at) + offsetof(About, version), NULL, 0, 0, NULL, 0, "show the version and end" }

typedef struct {
    const char *called;     /* the program as it was called, without folders; NULL: unknown */
    const char **items;     /* (count) in order */
    int count;
} Operands;

static inline void operands_close(Operands *o)
{
    free((void *)o->items);
    o->items = NULL;
    o->count = 0;
}

static inline bool cli_takes_value(const Option *row)
{
    return row->kind != OPT_SWITCH && row->kind != OPT_ACTION;
}

/* The other name of an option, or "". */
static inline const char *cli_short(const Option *row)
{
    return strcmp(row->name, "--help") == 0 ? "-h" : "";
}

/* The row of an option, dashes included, or -1. */
static inline int cli_find(const Cli *cli, const char *name, size_t length)
{
    for (int i = 0; cli->options[i].kind != OPT_END; i++) {
        const char *other = cli->options[i].name;
        if (other != NULL && strlen(other) == length && memcmp(other, name, length) == 0) return i;
    }
    return -1;
}

/* Whether the option stands on the command line. */
static inline bool cli_given(const Cli *cli, const void *options, const char *name)
{
    int row = cli_find(cli, name, strlen(name));
    return row >= 0 && ((const bool *)((const char *)options + cli->given))[row];
}

static inline const Preset *cli_preset(const Cli *cli, const char *name)
{
    for (const Preset *p = cli->presets; p != NULL && p->name != NULL; p++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

/* ---------------------------------------------------------------- values as text */

/* Whether all of text is [+-]digits[.digits][e[+-]digits], with a digit before the e. */
static inline bool cli_is_number(const char *text)
{
    static const char digits[] = "0123456789";
    const char *p = text + (*text == '+' || *text == '-');
    size_t whole = strspn(p, digits), fraction = 0;
    p += whole;
    if (*p == '.') {
        fraction = strspn(p + 1, digits);
        p += 1 + fraction;
    }
    if (whole + fraction == 0) return false;
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '+' || p[1] == '-');
        if (strspn(p, digits) == 0) return false;
        p += strspn(p, digits);
    }
    return *p == '\0';
}

/* A whole number, exactly: "1000", "1e3", "1.5e3"; false for "1.5" and for what 64 bits do not hold. */
static inline bool cli_whole(const char *text, int64_t *value)
{
    enum { EXPONENT_MAX = 400 };
    if (!cli_is_number(text)) return false;
    int64_t n = 0;
    int exponent = 0, per_digit = 0;
    const char *p = text + (*text == '+' || *text == '-');
    for (; *p != '\0' && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            per_digit = 1;
            continue;
        }
        int digit = *p - '0';
        if (n > (INT64_MAX - digit) / 10) return false;
        n = 10 * n + digit;
        exponent -= per_digit;
    }
    long shift = *p != '\0' ? strtol(p + 1, NULL, 10) : 0;
    bool far = shift > EXPONENT_MAX || shift < -EXPONENT_MAX;
    if (far && n != 0) return false;
    exponent += far ? 0 : (int)shift;
    for (; exponent > 0 && n != 0; exponent--) {
        if (n > INT64_MAX / 10) return false;
        n *= 10;
    }
    for (; exponent < 0; exponent++) {
        if (n % 10 != 0) return false;
        n /= 10;
    }
    *value = *text == '-' ? -n : n;
    return true;
}

/* Which of "a|b|c" text is, or -1. */
static inline int cli_which_word(const char *words, const char *text)
{
    size_t length = strlen(text);
    for (int i = 0; ; i++) {
        size_t n = strcspn(words, "|");
        if (n == length && memcmp(words, text, n) == 0) return i;
        if (words[n] == '\0') return -1;
        words += n + 1;
    }
}

/* The range of a number, in as many digits as its bounds need. */
static inline void cli_range(const Option *row, char out[CLI_RANGE])
{
    char bounds[2][CLI_RANGE / 3];
    for (int i = 0; i < 2; i++) {
        double bound = i == 0 ? row->low : row->high;
        int digits = row->kind == OPT_INT ? 17 : 6;
        do snprintf(bounds[i], sizeof bounds[i], "%.*g", digits, bound);
        while (digits++ < 17 && strtod(bounds[i], NULL) != bound);
    }
    snprintf(out, CLI_RANGE, "from %s to %s", bounds[0], bounds[1]);
}

/* Sets the field of a row from text. Fails with EXIT_USAGE and the allowed range. A string is not copied. */
static inline int cli_set_text(const Option *row, void *options, const char *text, Err *err)
{
    char range[CLI_RANGE];
    void *field = (char *)options + row->offset;
    cli_range(row, range);
    switch (row->kind) {
    case OPT_INT: {
        int64_t n = 0;
        if (!cli_whole(text, &n) || (double)n < row->low || (double)n > row->high)
            return fail(err, EXIT_USAGE, "%s wants a whole number %s, not \"%.60s\"", row->name, range, text);
        memcpy(field, &n, sizeof n);
        return 0;
    }
    case OPT_REAL: {
        double x = cli_is_number(text) ? strtod(text, NULL) : 0.0;
        if (!cli_is_number(text) || x < row->low || x > row->high)
            return fail(err, EXIT_USAGE, "%s wants a number %s, not \"%.60s\"", row->name, range, text);
        memcpy(field, &x, sizeof x);
        return 0;
    }
    case OPT_SWITCH:
    case OPT_ACTION:
    case OPT_WORD: {
        const char *words = row->kind == OPT_WORD ? row->words : "off|on";
        int which = cli_which_word(words, text);
        if (which < 0)
            return fail(err, EXIT_USAGE, "%s must be one of %s, not \"%.60s\"", row->name, words, text);
        bool on = which != 0;
        if (row->kind == OPT_WORD) memcpy(field, &which, sizeof which);
        else memcpy(field, &on, sizeof on);
        return 0;
    }
    case OPT_STRING:
    case OPT_PRESET:
        memcpy(field, &text, sizeof text);
        return 0;
    default:
        return fail(err, EXIT_USAGE, "a heading has no value");
    }
}

/* The canonical text of a row's value; cli_set_text gives the same value back. */
static inline void cli_get_text(const Option *row, const void *options, char *out, size_t room)
{
    const void *field = (const char *)options + row->offset;
    out[0] = '\0';
    if (row->kind == OPT_INT) {
        snprintf(out, room, "%lld", (long long)*(const int64_t *)field);
    } else if (row->kind == OPT_REAL) {
        snprintf(out, room, "%.17g", *(const double *)field);
    } else if (row->kind == OPT_SWITCH || row->kind == OPT_ACTION) {
        snprintf(out, room, "%s", *(const bool *)field ? "on" : "off");
    } else if (row->kind == OPT_WORD) {
        const char *word = row->words;
        for (int i = *(const int *)field; i > 0; i--) word += strcspn(word, "|") + 1;
        snprintf(out, room, "%.*s", (int)strcspn(word, "|"), word);
    } else if (row->kind == OPT_STRING || row->kind == OPT_PRESET) {
        const char *text = *(const char *const *)field;
        snprintf(out, room, "%s", text != NULL ? text : "");
    }
}

/* ---------------------------------------------------------------- parsing */

/* Insertions, deletions and replacements that lead from a to b (Wagner and Fischer 1974); only the first
 * CLI_WORD characters count. */
static inline int cli_distance(const char *a, size_t a_length, const char *b)
{
    int row[CLI_WORD + 1];
    int n = (int)(a_length < CLI_WORD ? a_length : CLI_WORD);
    int m = (int)(strlen(b) < CLI_WORD ? strlen(b) : CLI_WORD);
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

static inline int cli_unknown(const Cli *cli, const char *word, size_t length, Err *err)
{
    const char *nearest = "--help";
    int least = cli_distance(word, length, nearest);
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        int distance = row->name != NULL ? cli_distance(word, length, row->name) : CLI_WORD;
        if (distance < least) {
            least = distance;
            nearest = row->name;
        }
    }
    return fail(err, EXIT_USAGE, "unknown option \"%.*s\"; did you mean %s? (--help lists all)",
                (int)(length < 60 ? length : 60), word, nearest);
}

/* The row that a word such as "--seed=1" or "-h" names, and the value behind its "=" or NULL; -1 with err. */
static inline int cli_match(const Cli *cli, const char *word, const char **value, Err *err)
{
    for (const Option *r = cli->options; r->kind != OPT_END; r++)
        if (r->name != NULL && strcmp(word, cli_short(r)) == 0) word = r->name;
    size_t length = strcspn(word, "=");
    int row = cli_find(cli, word, length);
    *value = word[length] == '=' ? word + length + 1 : NULL;
    if (row < 0) return cli_unknown(cli, word, length, err);
    if (*value != NULL && !cli_takes_value(&cli->options[row]))
        return fail(err, EXIT_USAGE, "%s takes no value", cli->options[row].name);
    return row;
}

/* Applies the values of the preset that `name` names. */
static inline int cli_apply_preset(const Cli *cli, const char *name, void *options, Err *err)
{
    const Preset *preset = cli_preset(cli, name);
    if (preset == NULL) {
        char names[300] = "";
        for (const Preset *p = cli->presets; p != NULL && p->name != NULL; p++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] ? ", " : "",
                     p->name);
        return fail(err, EXIT_USAGE, "there is no preset \"%.60s\"; there are %s", name, names);
    }
    for (const PresetValue *v = preset->values; v->name != NULL; v++) {
        int row = cli_find(cli, v->name, strlen(v->name));
        if (row < 0) return cli_unknown(cli, v->name, strlen(v->name), err);
        if (cli_set_text(&cli->options[row], options, v->value, err)) return -1;
    }
    return 0;
}

/* Defaults, then the preset, then what stands on the command line (values[row], NULL where it does not). */
static inline int cli_settle(const Cli *cli, const char *const *values, void *options, Err *err)
{
    const char *preset = NULL;
    for (int i = 0; cli->options[i].kind != OPT_END; i++) {
        const Option *row = &cli->options[i];
        if (row->text != NULL && cli_set_text(row, options, row->text, err)) return -1;
        if (row->kind == OPT_PRESET) preset = values[i] != NULL ? values[i] : row->text;
    }
    if (preset != NULL && cli_apply_preset(cli, preset, options, err)) return -1;
    for (int i = 0; cli->options[i].kind != OPT_END; i++)
        if (values[i] != NULL && cli_set_text(&cli->options[i], options, values[i], err)) return -1;
    return 0;
}

/* Walks over argv: operands are collected, every value is checked, values[row] keeps the last one. */
static inline int cli_walk(const Cli *cli, int argc, char **argv, void *options, Operands *operands,
                           const char **values, Err *err)
{
    bool *given = (bool *)((char *)options + cli->given), over = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (over || word[0] != '-' || word[1] == '\0') {
            operands->items[operands->count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            over = true;
            continue;
        }
        int found = cli_match(cli, word, &value, err);
        if (found < 0) return -1;
        const Option *row = &cli->options[found];
        if (!cli_takes_value(row)) value = "on";
        else if (value == NULL && i + 1 < argc) value = argv[++i];
        if (value == NULL)
            return fail(err, EXIT_USAGE, "%s wants a value (%s)", row->name,
                        row->arg != NULL ? row->arg : row->words);
        if (cli_set_text(row, options, value, err)) return -1;
        given[found] = true;
        values[found] = value;
        if (row->kind == OPT_ACTION) return 0;
    }
    return 0;
}

/* Fills the program's Options (zeroed by the caller) and the operands, which operands_close releases. Options
 * may stand after operands; of an option given twice the last value counts; explicit options beat a preset in
 * any order. Fails with EXIT_USAGE (EXIT_RUNTIME for memory). argc may be 0; strings stay in argv. */
static inline int cli_parse(const Cli *cli, int argc, char **argv, void *options, Operands *operands,
                            Err *err)
{
    const char *values[CLI_ROWS] = { 0 }, *folder = argc > 0 ? strrchr(argv[0], '/') : NULL;
    operands->called = folder != NULL ? folder + 1 : argc > 0 ? argv[0] : NULL;
    operands->count = 0;
    operands->items = malloc(((size_t)(argc > 0 ? argc : 0) + 1) * sizeof *operands->items);
    if (operands->items == NULL) return fail(err, EXIT_RUNTIME, "not enough memory for the command line");
    if (cli_walk(cli, argc, argv, options, operands, values, err) || cli_settle(cli, values, options, err)) {
        operands_close(operands);
        return -1;
    }
    return 0;
}

/* ---------------------------------------------------------------- standard output */

/* A result on its way out. The first failure is kept, and what follows it is dropped. */
typedef struct {
    FILE *file;
    int error;              /* errno of the first failure, or 0 */
} Output;

/* Before anything else in main: a reader that goes away is an error of a write, not a signal, and so is a
 * file that reaches its size limit. Descriptors 0 to 2 that are closed are opened the wrong way round: using
 * them then fails, and no other file gets their number. */
static inline void cli_streams(void)
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

static inline void output_bytes(Output *o, const char *bytes, size_t size)
{
    if (o->error != 0 || size == 0) return;
    errno = 0;
    if (fwrite(bytes, 1, size, o->file) != size) o->error = errno != 0 ? errno : EIO;
}

/* Returns the number of bytes, 0 after a failure. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline int output_print(Output *o, const char *format, ...)
{
    if (o->error != 0) return 0;
    va_list args;
    va_start(args, format);
    errno = 0;
    int n = vfprintf(o->file, format, args);
    va_end(args);
    if (n >= 0) return n;
    o->error = errno != 0 ? errno : EIO;
    return 0;
}

static inline void output_flush(Output *o)
{
    if (o->error != 0) return;
    errno = 0;
    if (fflush(o->file) != 0) o->error = errno != 0 ? errno : EIO;
}

/* A JSON string. utf8: the bytes are well-formed UTF-8 and stay; otherwise a byte above 7F becomes \u00XX. */
static inline void output_json(Output *o, const char *bytes, size_t size, bool utf8)
{
    output_bytes(o, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '"' || c == '\\') output_print(o, "\\%c", c);
        else if (c == '\n') output_bytes(o, "\\n", 2);
        else if (c < 0x20 || c == 0x7f || (c > 0x7f && !utf8)) output_print(o, "\\u%04x", c);
        else output_bytes(o, bytes + i, 1);
    }
    output_bytes(o, "\"", 1);
}

/* A JSON number with 17 significant digits; null for what JSON cannot write. */
static inline void output_json_real(Output *o, double x)
{
    if (isfinite(x)) output_print(o, "%.17g", x);
    else output_bytes(o, "null", 4);
}

/* Flushes and closes. A reader that has gone away is no failure; anything else is EXIT_RUNTIME. */
static inline int output_close(Output *o, Err *err)
{
    output_flush(o);
    if (o->error == 0 && ferror(o->file)) o->error = EIO;
    errno = 0;
    if (fclose(o->file) != 0 && o->error == 0) o->error = errno != 0 ? errno : EIO;
    if (o->error == 0 || o->error == EPIPE) return 0;
    return fail(err, EXIT_RUNTIME, "standard output: write error: %s", strerror(o->error));
}

/* What every main does around its program: standard output is checked and closed. */
static inline int cli_run(int (*program)(int, char **, Output *, Err *), int argc, char **argv, Err *err)
{
    Err closing = { 0 };
    Output out = { stdout, 0 };
    cli_streams();
    int failed = program(argc, argv, &out, err);
    return output_close(&out, failed ? &closing : err) || failed ? -1 : 0;
}

/* Whether a stream may be given colour, a moving line or characters beyond ASCII: no for TERM=dumb. */
static inline bool terminal_is_dumb(void)
{
    const char *term = getenv("TERM");
    return term != NULL && strcmp(term, "dumb") == 0;
}

/* Whether a line on this descriptor may move. */
static inline bool terminal_moves(int fd)
{
    return isatty(fd) && !terminal_is_dumb();
}

/* Whether text on this descriptor may be coloured. */
static inline bool terminal_has_colour(int fd)
{
    const char *no = getenv("NO_COLOR");
    return terminal_moves(fd) && (no == NULL || no[0] == '\0');
}

/* ---------------------------------------------------------------- --help and --version */

/* Prints the words of text from `column` on; lines that would pass CLI_WIDTH go on at `indent`. */
static inline void cli_wrap(Output *out, const char *text, int column, int indent)
{
    for (bool first = true; *text != '\0'; first = false) {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > CLI_WIDTH) {
            output_print(out, "\n");
            column = 0;
            first = true;
        }
        int gap = column < indent ? indent - column : column > indent || !first;
        output_print(out, "%*s%.*s", gap, "", length, text);
        column += gap + length;
        text += length;
        text += strspn(text, " ");
    }
    output_print(out, "\n");
}

static inline void cli_help_row(Output *out, const Option *row)
{
    char text[600];
    const char *arg = row->arg != NULL ? row->arg : row->kind == OPT_WORD ? row->words : "";
    const char *other = cli_short(row);
    int column = output_print(out, "  %s%s%s%s%s", other, other[0] ? ", " : "", row->name, arg[0] ? " " : "", arg);
    if (column > CLI_INDENT - 2) {
        output_print(out, "\n");
        column = 0;
    }
    if (row->text != NULL && row->text[0] != '\0' && cli_takes_value(row))
        snprintf(text, sizeof text, "%s (default %s)", row->help, row->text);
    else
        snprintf(text, sizeof text, "%s", row->help);
    cli_wrap(out, text, column, CLI_INDENT);
}

static inline void cli_help_preset(Output *out, const Preset *preset)
{
    int column = output_print(out, "  %s", preset->name);
    cli_wrap(out, preset->help, column, 16);
    column = 0;
    for (const PresetValue *v = preset->values; v->name != NULL; v++) {
        int length = (int)(strlen(v->name) + 1 + strlen(v->value));
        if (column > 0 && column + 1 + length > CLI_WIDTH) {
            output_print(out, "\n");
            column = 0;
        }
        column += output_print(out, "%*s%s=%s", column == 0 ? 16 : 1, "", v->name, v->value);
    }
    output_print(out, "%s", column > 0 ? "\n" : "");
}

/* The whole table, at most CLI_WIDTH columns wide. called: from Operands. */
static inline void cli_help(const Cli *cli, const char *called, Output *out)
{
    output_print(out, "Usage: %s%s%s [options]\n", called != NULL ? called : cli->program, cli->operands[0] ? " " : "",
                 cli->operands);
    cli_wrap(out, cli->summary, 0, 0);
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        if (row->kind == OPT_GROUP) output_print(out, "\n%s:\n", row->help);
        else cli_help_row(out, row);
    }
    if (cli->presets != NULL)
        output_print(out, "\nPresets (lists of options; explicit options beat them):\n");
    for (const Preset *p = cli->presets; p != NULL && p->name != NULL; p++) cli_help_preset(out, p);
}

/* "folio-sample 0.1.0", then the instruction sets built in and whether OpenMP is. */
static inline void cli_version(const Cli *cli, const char *instruction_sets, Output *out)
{
#ifdef _OPENMP
    const char *threads = "yes";
#else
    const char *threads = "no";
#endif
    output_print(out, "folio-%s %s\ninstruction sets: %s\nOpenMP: %s\n", cli->program, FOLIO_VERSION,
                 instruction_sets, threads);
}

#endif
