/* command.c: the commands that a run prints: to continue it, and to repeat it. */
#include "settings.h"

enum { VALUE_TEXT = 4300 };     /* bytes of an option's value, the longest path included */

/* Whether a terminal is shown some of it in another form. */
static bool has_hidden(const char *word)
{
    Visible v = { .size = 0 };
    char shown[VISIBLE_MAX] = "";
    bool hidden = false;
    for (; *word != '\0'; word++)
        hidden |= visible_add(&v, *word, shown) >= sizeof "\\x1b" - 1 && shown[0] == '\\';
    return hidden || visible_end(&v, shown) > 0;
}

/* Between $' and ', which bash, zsh and ksh read. */
static void print_octal(Output *out, const char *word)
{
    output_print(out, "$'");
    for (; *word != '\0'; word++) {
        unsigned char c = (unsigned char)*word;
        if (c < ' ' || c >= 0x7f) output_print(out, "\\%03o", c);
        else output_print(out, c == '\'' || c == '\\' ? "\\%c" : "%c", c);
    }
    output_print(out, "'");
}

void settings_print_word(Output *out, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";
    if (*word != '\0' && word[strspn(word, plain)] == '\0') {
        output_print(out, "%s", word);
        return;
    }
    if (has_hidden(word)) {
        print_octal(out, word);
        return;
    }
    output_print(out, "'");
    for (; *word != '\0'; word++) output_print(out, *word == '\'' ? "'\\''" : "%c", *word);
    output_print(out, "'");
}

void settings_shorten(const Option *option, char *value, size_t room)
{
    char text[40];
    if (option->kind != OPT_REAL) return;
    double number = strtod(value, NULL);
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) break;
    }
    snprintf(value, room, "%s", text);
}

void settings_print_option(Output *out, const Settings *s, int row)
{
    char value[VALUE_TEXT];
    const Option *option = &s->rows[row];
    output_print(out, " %s", option->name);
    if (!cli_takes_value(option)) return;
    cli_get_text(option, s, value, sizeof value);
    settings_shorten(option, value, sizeof value);
    output_print(out, " ");
    settings_print_word(out, value);
}

void settings_print_resumed(Output *out, const Settings *s, bool patience)
{
    static const size_t once[] = { offsetof(Settings, resume), offsetof(Settings, overwrite),
                                   offsetof(Settings, stop_at), offsetof(Settings, minutes) };
    for (int row = 0; s->rows[row].kind != OPT_END; row++) {
        size_t at = s->rows[row].offset;
        int flags = s->rows[row].flags;
        bool repeated = s->given[row] && (flags & ON_RESUME) && !(flags & STORED);
        for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
            repeated = repeated && at != once[i];
        if (repeated && (patience || at != offsetof(Settings, patience)))
            settings_print_option(out, s, row);
    }
}

/* Whether an option says what a run computes with. */
static bool is_of_run(const Settings *s, const Option *option)
{
    static const size_t others[] = { offsetof(Settings, init_from), offsetof(Settings, common.isa),
                                     offsetof(Settings, values), offsetof(Settings, deviation) };
    bool of_run = settings_is_model(s, (int)(option - s->rows)) || (option->flags & STORED);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        of_run = of_run || option->offset == others[i];
    return of_run;
}

int settings_print_repeated(Output *out, const Settings *s, Err *err)
{
    char *bare[] = { NULL };
    Operands none = { 0 };
    Settings plain;
    settings_init(&plain);
    if (cli_parse(&plain.cli, 0, bare, &plain, &none, err)) return -1;
    operands_close(&none);
    for (int row = 0; s->rows[row].kind != OPT_END; row++) {
        const Option *option = &s->rows[row];
        char value[VALUE_TEXT], other[VALUE_TEXT];
        bool model = settings_is_model(s, row);
        bool steps = option->offset == offsetof(Settings, plan.steps);
        if (model && row > s->family_row
            && family_field(settings_family(s), option->name + 2) == NULL) continue;
        if (!is_of_run(s, option)) continue;
        cli_get_text(option, s, value, sizeof value);
        cli_get_text(option, &plain, other, sizeof other);
        if (steps || strcmp(value, other) != 0) settings_print_option(out, s, row);
    }
    return 0;
}
