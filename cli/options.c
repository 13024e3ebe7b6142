/* options.c: values as text, and the way from a command line to a program's Options. */
#include "options.h"

static const char digits[] = "0123456789";

/* ---------------------------------------------------------------- rows */

/* Other names of options. */
static const struct { const char *alias, *name; } aliases[] = {
    { "-h", "--help" },
    { "--color", "--colour" },
};

enum { ALIASES = sizeof aliases / sizeof aliases[0] };

static bool is_word(const char *text, const char *word, size_t length)
{
    return strlen(text) == length && memcmp(text, word, length) == 0;
}

int cli_find(const Cli *cli, const char *name, size_t length)
{
    for (int a = 0; a < ALIASES; a++) {
        if (!is_word(aliases[a].alias, name, length)) continue;
        name = aliases[a].name;
        length = strlen(name);
    }
    for (int i = 0; cli->options[i].kind != OPT_END; i++) {
        const char *other = cli->options[i].name;
        if (other != NULL && is_word(other, name, length)) return i;
    }
    return -1;
}

int cli_find_at(const Cli *cli, size_t offset)
{
    for (int i = 0; cli->options[i].kind != OPT_END; i++)
        if (cli->options[i].kind != OPT_GROUP && cli->options[i].offset == offset) return i;
    return -1;
}

bool cli_given_at(const Cli *cli, const void *options, size_t offset)
{
    int row = cli_find_at(cli, offset);
    return row >= 0 && ((const bool *)((const char *)options + cli->given))[row];
}

bool cli_takes_value(const Option *row)
{
    return row->kind != OPT_SWITCH && row->kind != OPT_ACTION;
}

const char *cli_short(const Option *row)
{
    for (int a = 0; a < ALIASES; a++)
        if (aliases[a].alias[1] != '-' && strcmp(aliases[a].name, row->name) == 0)
            return aliases[a].alias;
    return "";
}

const Preset *cli_preset(const Cli *cli, const char *name)
{
    for (const Preset *p = cli->presets; p != NULL && p->name != NULL; p++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

/* ---------------------------------------------------------------- values as text */

bool cli_is_number(const char *text)
{
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

static bool append_digit(int64_t *n, int digit)
{
    if (*n > (INT64_MAX - digit) / 10) return false;
    *n = 10 * *n + digit;
    return true;
}

bool cli_whole(const char *text, int64_t *value)
{
    const char *p = text + (*text == '+' || *text == '-'), *end = p + strspn(p, digits);
    int64_t n = 0;
    long zeros = 0;
    if (end == p) return false;
    if (*end != '\0') {
        size_t length = *end == 'e' || *end == 'E' ? strspn(end + 1, digits) : 0;
        if (length < 1 || length > 2 || end[1 + length] != '\0') return false;
        zeros = strtol(end + 1, NULL, 10);
    }
    for (; p < end; p++)
        if (!append_digit(&n, *p - '0')) return false;
    for (; zeros > 0; zeros--)
        if (!append_digit(&n, 0)) return false;
    *value = *text == '-' ? -n : n;
    return true;
}

int cli_which_word(const char *words, const char *text)
{
    for (int i = 0; ; i++) {
        size_t length = strcspn(words, "|");
        if (is_word(text, words, length)) return i;
        if (words[length] == '\0') return -1;
        words += length + 1;
    }
}

void cli_range(const Option *row, char out[CLI_RANGE])
{
    char bounds[2][CLI_RANGE / 3];
    for (int i = 0; i < 2; i++) {
        double bound = i == 0 ? row->low : row->high;
        int precision = row->kind == OPT_INT ? 17 : 6;
        do snprintf(bounds[i], sizeof bounds[i], "%.*g", precision, bound);
        while (precision++ < 17 && strtod(bounds[i], NULL) != bound);
    }
    snprintf(out, CLI_RANGE, "from %s to %s", bounds[0], bounds[1]);
}

static int set_number(const Option *row, void *field, const char *text, Err *err)
{
    char range[CLI_RANGE];
    int64_t n = 0;
    bool whole = row->kind == OPT_INT, good = whole ? cli_whole(text, &n) : cli_is_number(text);
    double x = good ? whole ? (double)n : strtod(text, NULL) : 0.0;
    cli_range(row, range);
    if (!good || x < row->low || x > row->high)
        return fail(err, EXIT_USAGE, "%s needs a %snumber %s, not \"%.60s\"", row->name,
                    whole ? "whole " : "", range, text);
    if (whole) memcpy(field, &n, sizeof n);
    else memcpy(field, &x, sizeof x);
    return 0;
}

static int set_word(const Option *row, void *field, const char *text, Err *err)
{
    const char *words = row->kind == OPT_WORD ? row->words : "off|on";
    int which = cli_which_word(words, text);
    if (which < 0)
        return fail(err, EXIT_USAGE, "%s must be one of %s, not \"%.60s\"", row->name, words, text);
    bool on = which != 0;
    if (row->kind == OPT_WORD) memcpy(field, &which, sizeof which);
    else memcpy(field, &on, sizeof on);
    return 0;
}

static int add_string(const Option *row, Strings *field, const char *text, Err *err)
{
    if (field->count == CLI_MANY)
        return fail(err, EXIT_USAGE, "%s may be given %d times at most", row->name, (int)CLI_MANY);
    field->items[field->count++] = text;
    return 0;
}

int cli_set_text(const Option *row, void *options, const char *text, Err *err)
{
    void *field = (char *)options + row->offset;
    if (row->flags & MANY) return add_string(row, field, text, err);
    switch (row->kind) {
    case OPT_INT:
    case OPT_REAL:
        return set_number(row, field, text, err);
    case OPT_SWITCH:
    case OPT_ACTION:
    case OPT_WORD:
        return set_word(row, field, text, err);
    case OPT_STRING:
    case OPT_PRESET:
        memcpy(field, &text, sizeof text);
        return 0;
    default:
        return fail(err, EXIT_USAGE, "a heading has no value");
    }
}

void cli_get_text(const Option *row, const void *options, char *out, size_t room)
{
    const void *field = (const char *)options + row->offset;
    out[0] = '\0';
    if (row->flags & MANY) {
        const Strings *strings = field;
        if (strings->count > 0) snprintf(out, room, "%s", strings->items[strings->count - 1]);
    } else if (row->kind == OPT_INT) {
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

/* ---------------------------------------------------------------- the words of a command line */

/* The dynamic programme of Wagner and Fischer 1974, with swaps of neighbours. */
int cli_distance(const char *a, size_t a_length, const char *b)
{
    int rows[3][CLI_WORD + 1];      /* of its table: row i is rows[i % 3] */
    int n = (int)(a_length < CLI_WORD ? a_length : CLI_WORD);
    int m = (int)(strlen(b) < CLI_WORD ? strlen(b) : CLI_WORD);
    for (int j = 0; j <= m; j++) rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        const int *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        int *row = rows[i % 3];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

/* What other tools call an option, and the names that it may have here; no dashes. */
static const struct { const char *other, *names; } elsewhere[] = {
    { "learning-rate", "lr" },      { "max-iters", "steps" },       { "max-steps", "steps" },
    { "iterations", "steps" },      { "iters", "steps" },           { "epochs", "steps|minutes" },
    { "num-epochs", "steps|minutes" },
    { "n-embd", "channels" },       { "d-model", "channels" },      { "hidden-size", "channels" },
    { "n-layer", "layers" },        { "num-layers", "layers" },
    { "n-head", "heads" },          { "num-heads", "heads" },
    { "block-size", "context" },    { "seq-len", "context" },       { "context-length", "context" },
    { "n-ctx", "context" },         { "ctx-size", "context" },
    { "batch-size", "batch" },      { "warmup-iters", "warmup" },   { "warmup-steps", "warmup" },
    { "eval-interval", "eval-every" },      { "eval-iters", "eval-batches" },
    { "grad-clip", "clip" },
    { "max-new-tokens", "length" }, { "max-tokens", "length" },     { "n-predict", "length" },
    { "num-samples", "samples" },   { "start", "prompt" },
    { "repetition-penalty", "repeat-penalty" },     { "repeat-last-n", "repeat-window" },
};

/* Appends " or NAME" for each of "a|b|c" that the program has. */
static void append_names(const Cli *cli, const char *names, char *out, size_t room)
{
    for (;;) {
        char name[CLI_WORD];
        size_t length = strcspn(names, "|"), used = strlen(out);
        snprintf(name, sizeof name, "--%.*s", (int)length, names);
        if (cli_find(cli, name, strlen(name)) >= 0)
            snprintf(out + used, room - used, "%s%s", used > 0 ? " or " : "", name);
        if (names[length] == '\0') return;
        names += length + 1;
    }
}

/* The option that begins with a word, the shortest of several; without its dashes, or NULL. */
static const char *find_beginning(const Cli *cli, const char *word, size_t length)
{
    const char *found = NULL;
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        if (row->name == NULL || row->flags & DESTROYS || strncmp(row->name + 2, word, length) != 0)
            continue;
        if (found == NULL || strlen(row->name + 2) < strlen(found)) found = row->name + 2;
    }
    return found;
}

/* The option that is nearest by letters, if at most a third of the word's differ; likewise. */
static const char *find_similar(const Cli *cli, const char *word, size_t length)
{
    const char *found = NULL;
    int least = (int)(length / 3) + 1;
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        if (row->name == NULL || row->flags & DESTROYS) continue;
        int distance = cli_distance(word, length, row->name + 2);
        if (distance >= least) continue;
        least = distance;
        found = row->name + 2;
    }
    return found;
}

/* What a word may stand for, as "--a or --b"; "" if nothing is near. */
static void suggest(const Cli *cli, const char *word, size_t length, char *out, size_t room)
{
    char plain[CLI_WORD + 1];
    const char *name;
    out[0] = '\0';
    for (int dashes = 0; dashes < 2 && length > 0 && *word == '-'; dashes++) {
        word++;
        length--;
    }
    if (length == 0 || length > CLI_WORD) return;       /* cli_distance would see only a part */
    for (size_t i = 0; i < length; i++) {
        bool upper = word[i] >= 'A' && word[i] <= 'Z';
        plain[i] = word[i] == '_' ? '-' : upper ? (char)(word[i] - 'A' + 'a') : word[i];
    }
    plain[length] = '\0';
    if ((name = find_beginning(cli, plain, length)) == NULL) {
        for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
            if (is_word(elsewhere[i].other, plain, length))
                append_names(cli, elsewhere[i].names, out, room);
        if (out[0] == '\0') name = find_similar(cli, plain, length);
    }
    if (name != NULL) snprintf(out, room, "--%s", name);
}

static int unknown_option(const Cli *cli, const char *word, size_t length, Err *err)
{
    char meant[3 * CLI_WORD];
    int shown = (int)(length < 60 ? length : 60);
    suggest(cli, word, length, meant, sizeof meant);
    if (meant[0] == '\0')
        return fail(err, EXIT_USAGE, "unknown option \"%.*s\"; --help lists all", shown, word);
    return fail(err, EXIT_USAGE, "unknown option \"%.*s\"; did you mean %s? (--help lists all)",
                shown, word, meant);
}

/* The row that a word such as "--seed=1" names, and its value or NULL; -1 with err. */
static int match(const Cli *cli, const char *word, const char **value, Err *err)
{
    size_t length = strcspn(word, "=");
    int row = cli_find(cli, word, length);
    *value = word[length] == '=' ? word + length + 1 : NULL;
    if (row < 0) return unknown_option(cli, word, length, err);
    if (*value != NULL && !cli_takes_value(&cli->options[row]))
        return fail(err, EXIT_USAGE, "%s takes no value", cli->options[row].name);
    return row;
}

/* Sets a row from `value`; `before`: the one that came before it on the command line, or NULL.
 * *twice becomes true if they mean different things: 1e3 and 1000 do not. */
static int set_value(const Option *row, void *options, const char *before, const char *value,
                     bool *twice, Err *err)
{
    char old[60], new[60];
    bool is_text = row->kind == OPT_STRING || row->kind == OPT_PRESET;
    cli_get_text(row, options, old, sizeof old);
    if (cli_set_text(row, options, value, err)) return -1;
    cli_get_text(row, options, new, sizeof new);
    if (before != NULL && strcmp(is_text ? before : old, is_text ? value : new) != 0) *twice = true;
    return 0;
}

/* Operands are collected, every value is checked, values[row] keeps the last one. */
static int walk(const Cli *cli, int argc, char **argv, void *options, Operands *operands,
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
        int found = match(cli, word, &value, err);
        if (found < 0) return -1;
        const Option *row = &cli->options[found];
        if (!cli_takes_value(row)) value = "on";
        else if (value == NULL && i + 1 < argc) value = argv[++i];
        if (value == NULL)
            return fail(err, EXIT_USAGE, "%s needs a value (%s)", row->name,
                        row->arg != NULL ? row->arg : row->words);
        if (set_value(row, options, values[found], value, &operands->twice[found], err)) return -1;
        given[found] = true;
        if (!(row->flags & MANY)) values[found] = value;    /* those are all there already */
        if (row->kind == OPT_ACTION) return 0;
    }
    return 0;
}

/* ---------------------------------------------------------------- from words to Options */

static int apply_preset(const Cli *cli, const char *name, void *options, Err *err)
{
    const Preset *preset = cli_preset(cli, name);
    if (preset == NULL) {
        char names[300] = "";
        for (const Preset *p = cli->presets; p != NULL && p->name != NULL; p++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                     names[0] ? ", " : "", p->name);
        return fail(err, EXIT_USAGE, "there is no preset \"%.60s\"; there are %s", name, names);
    }
    for (const PresetValue *v = preset->values; v->name != NULL; v++) {
        int row = cli_find(cli, v->name, strlen(v->name));
        if (row < 0) return unknown_option(cli, v->name, strlen(v->name), err);
        if (cli_set_text(&cli->options[row], options, v->value, err)) return -1;
    }
    return 0;
}

/* Defaults, then the preset, then the command line (values[row], NULL where it has none). */
static int settle(const Cli *cli, const char *const *values, void *options, Err *err)
{
    const char *preset = NULL;
    for (int i = 0; cli->options[i].kind != OPT_END; i++) {
        const Option *row = &cli->options[i];
        if (row->text != NULL && cli_set_text(row, options, row->text, err)) return -1;
        if (row->kind == OPT_PRESET) preset = values[i] != NULL ? values[i] : row->text;
    }
    if (preset != NULL && apply_preset(cli, preset, options, err)) return -1;
    for (int i = 0; cli->options[i].kind != OPT_END; i++)
        if (values[i] != NULL && cli_set_text(&cli->options[i], options, values[i], err)) return -1;
    return 0;
}

int cli_parse(const Cli *cli, int argc, char **argv, void *options, Operands *operands, Err *err)
{
    const char *values[CLI_ROWS] = { 0 }, *folder = argc > 0 ? strrchr(argv[0], '/') : NULL;
    *operands = (Operands){ .called = folder != NULL ? folder + 1 : argc > 0 ? argv[0] : NULL };
    operands->items = malloc(((size_t)(argc > 0 ? argc : 0) + 1) * sizeof *operands->items);
    if (operands->items == NULL)
        return fail(err, EXIT_RUNTIME, "not enough memory for the command line");
    if (walk(cli, argc, argv, options, operands, values, err)
        || settle(cli, values, options, err)) {
        operands_close(operands);
        return -1;
    }
    return 0;
}

void operands_close(Operands *o)
{
    free((void *)o->items);
    o->items = NULL;
    o->count = 0;
}
