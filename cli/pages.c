/* pages.c: --help and --version, the manual page, and the completions of bash and zsh. */
#include "pages.h"

#include <ctype.h>

/* ---------------------------------------------------------------- --help and --version */

enum {
    INDENT = 26, PRESET_INDENT = 16,    /* columns of --help before what an option or a preset is */
    DEFAULT_WORDS = 100                 /* bytes */
};

/* "default 500", "chosen", "may be repeated", or "". */
static void default_words(const Option *row, char *out, size_t room)
{
    bool fixed = row->text != NULL && row->text[0] != '\0' && cli_takes_value(row);
    if (row->flags & CHOSEN) snprintf(out, room, "chosen");
    else if (row->flags & MANY) snprintf(out, room, "may be repeated");
    else snprintf(out, room, "%s%s", fixed ? "default " : "", fixed ? row->text : "");
}

static void help_row(Output *out, const Option *row)
{
    char text[800], words[DEFAULT_WORDS];
    const char *arg = row->arg != NULL ? row->arg : row->kind == OPT_WORD ? row->words : "";
    const char *other = cli_short(row);
    int column = output_print(out, "  %s%s%s%s%s", other, other[0] ? ", " : "", row->name,
                              arg[0] ? " " : "", arg);
    if (column > INDENT - 2) {
        output_print(out, "\n");
        column = 0;
    }
    default_words(row, words, sizeof words);
    snprintf(text, sizeof text, "%s%s%s%s", row->help, words[0] ? " (" : "", words,
             words[0] ? ")" : "");
    output_wrap(out, text, column, INDENT);
}

static void help_preset(Output *out, const Preset *preset)
{
    int column = output_print(out, "  %s", preset->name);
    output_wrap(out, preset->help, column, PRESET_INDENT);
    column = 0;
    for (const PresetValue *v = preset->values; v->name != NULL; v++) {
        int length = (int)(strlen(v->name) + 1 + strlen(v->value));
        if (column > 0 && column + 1 + length > OUTPUT_WIDTH) {
            output_print(out, "\n");
            column = 0;
        }
        column += output_print(out, "%*s%s=%s", column == 0 ? PRESET_INDENT : 1, "", v->name,
                               v->value);
    }
    output_print(out, "%s", column > 0 ? "\n" : "");
}

void pages_help(const Cli *cli, const char *called, Output *out)
{
    output_print(out, "Usage: %s%s%s [options]\n", called != NULL ? called : cli->program,
                 cli->operands[0] ? " " : "", cli->operands);
    output_wrap(out, cli->summary, 0, 0);
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        if (row->kind == OPT_GROUP) output_print(out, "\n%s:\n", row->help);
        else help_row(out, row);
    }
    if (cli->presets != NULL)
        output_print(out, "\nPresets (lists of options; explicit options beat them):\n");
    for (const Preset *p = cli->presets; p != NULL && p->name != NULL; p++) help_preset(out, p);
}

void pages_version(const Cli *cli, const char *built, Output *out)
{
#ifdef _OPENMP
    const char *threads = "yes";
#else
    const char *threads = "no";
#endif
    output_print(out, "folio-%s %s\ninstruction sets: %s\nOpenMP: %s\n", cli->program,
                 FOLIO_VERSION, built, threads);
}

/* ---------------------------------------------------------------- what a value may be */

/* FILE and ISA mean the same in every table (rows.h). */
static bool arg_is(const Option *row, const char *arg)
{
    return row->arg != NULL && strcmp(row->arg, arg) == 0;
}

/* The values that a row may have, if they can be listed, with blanks between them; "" if not. */
static void list_values(const Cli *cli, const Option *row, const char *built, char *out,
                        size_t room)
{
    const Preset *presets = row->kind == OPT_PRESET ? cli->presets : NULL;
    out[0] = '\0';
    if (arg_is(row, "ISA")) snprintf(out, room, "%s list", built);
    if (row->kind == OPT_WORD) snprintf(out, room, "%s", row->words);
    for (char *c = out; *c != '\0'; c++) if (*c == '|') *c = ' ';
    for (const Preset *p = presets; p != NULL && p->name != NULL; p++)
        snprintf(out + strlen(out), room - strlen(out), "%s%s", out[0] ? " " : "", p->name);
}

/* ---------------------------------------------------------------- the manual page */

enum { ROFF_WIDTH = 78 };

/* Characters that roff would set as something else, or take for an instruction. */
static void roff_bytes(Output *out, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '-') output_print(out, "\\-");
        else if (bytes[i] == '\\') output_print(out, "\\e");
        else if (bytes[i] == '^') output_print(out, "\\(ha");
        else if (bytes[i] == '~') output_print(out, "\\(ti");
        else if (bytes[i] == '`') output_print(out, "\\(ga");
        else output_bytes(out, bytes + i, 1);
    }
}

static void roff_string(Output *out, const char *text) { roff_bytes(out, text, strlen(text)); }

/* A paragraph: lines of at most ROFF_WIDTH characters where words allow it, and a new one after
 * each sentence. */
static void roff_text(Output *out, const char *text)
{
    int column = 0;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + length > ROFF_WIDTH) column = -1;
        if (column != 0) output_print(out, column < 0 ? "\n" : " ");
        if (column <= 0 && (*text == '.' || *text == '\'')) output_print(out, "\\&");
        roff_bytes(out, text, (size_t)length);
        column = (column > 0 ? column + 1 : 0) + length;
        bool sentence = length > 1 && text[length - 1] == '.' && text[length - 2] != '.';
        text += length;
        text += strspn(text, " ");
        if (sentence && *text != '\0') column = -1;
    }
    output_print(out, "\n");
}

/* A word of the operands, "TEXT...": what is put in for it in italics. */
static void roff_operands(Output *out, const char *operands)
{
    while (*operands != '\0') {
        size_t word = strcspn(operands, " "), name = strcspn(operands, ". ");
        output_print(out, " \\fI%.*s\\fR%.*s", (int)name, operands, (int)(word - name),
                     operands + name);
        operands += word;
        operands += strspn(operands, " ");
    }
}

static void man_option(const Option *row, Output *out)
{
    char text[1000], words[DEFAULT_WORDS], range[CLI_RANGE];
    bool number = row->kind == OPT_INT || row->kind == OPT_REAL;
    output_print(out, ".TP\n\\fB");
    if (cli_short(row)[0] != '\0') {
        roff_string(out, cli_short(row));
        output_print(out, "\\fR, \\fB");
    }
    roff_string(out, row->name);
    if (row->arg != NULL) output_print(out, "\\fR \\fI%s", row->arg);
    if (row->kind == OPT_WORD) output_print(out, " ");
    for (const char *c = row->kind == OPT_WORD ? row->words : ""; *c != '\0'; c++) {
        if (*c == '|') output_print(out, "\\fR|\\fB");
        else roff_bytes(out, c, 1);
    }
    output_print(out, "\\fR\n");
    cli_range(row, range);
    default_words(row, words, sizeof words);
    snprintf(text, sizeof text, "%s%s%s%s%s%s", row->help, words[0] ? " (" : "", words,
             number ? "; " : "", number ? range : "", words[0] ? ")" : "");
    roff_text(out, text);
}

static void man_presets(const Cli *cli, Output *out)
{
    if (cli->presets == NULL) return;
    output_print(out, ".SH PRESETS\n");
    roff_text(out, "A preset is a list of options; explicit options beat it.");
    for (const Preset *p = cli->presets; p->name != NULL; p++) {
        output_print(out, ".TP\n\\fB");
        roff_string(out, p->name);
        output_print(out, "\\fR\n");
        roff_text(out, p->help);
        output_print(out, ".br\n");
        for (const PresetValue *v = p->values; v->name != NULL; v++) {
            roff_string(out, v->name);
            output_print(out, "=");
            roff_string(out, v->value);
            output_print(out, "\n");
        }
    }
}

/* What is installed together, for SEE ALSO. */
static const char *const page_programs[] = { "train", "sample", "eval", "inspect",
                                             "ladder" };

static void man_ending(const Cli *cli, Output *out)
{
    output_print(out, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof exit_statuses / sizeof exit_statuses[0]; i++) {
        output_print(out, ".TP 5\n\\fB%d\\fR\n", exit_statuses[i].status);
        roff_text(out, exit_statuses[i].meaning);
    }
    output_print(out, ".SH SEE ALSO\n");
    const char *comma = "";
    for (size_t i = 0; i < sizeof page_programs / sizeof page_programs[0]; i++) {
        if (strcmp(page_programs[i], cli->program) == 0) continue;
        output_print(out, "%s\\fBfolio\\-%s\\fR(1)", comma, page_programs[i]);
        comma = ",\n";
    }
    output_print(out, "\n");
}

void pages_man(const Cli *cli, Output *out)
{
    output_print(out, ".TH FOLIO\\-");
    for (const char *c = cli->program; *c != '\0'; c++)
        output_print(out, "%c", toupper((unsigned char)*c));
    output_print(out, " 1 \"\" \"Folio %s\" \"Folio\"\n.nh\n.ad l\n", FOLIO_VERSION);

    /* What the program is in one line is how its summary begins. */
    size_t length = strcspn(cli->summary, ".,(");
    while (length > 0 && cli->summary[length - 1] == ' ') length--;
    output_print(out, ".SH NAME\nfolio\\-%s \\- %c", cli->program,
                 tolower((unsigned char)cli->summary[0]));
    roff_bytes(out, cli->summary + 1, length - 1);

    output_print(out, "\n.SH SYNOPSIS\n\\fBfolio\\-%s\\fR", cli->program);
    roff_operands(out, cli->operands);
    output_print(out, " [\\fIoptions\\fR]\n.SH DESCRIPTION\n");
    roff_text(out, cli->summary);
    output_print(out, ".PP\n");
    roff_text(out, "Options may come before, between and after other arguments; -- ends them. "
              "The value of an option comes after a blank or an equals sign, and the last value "
              "counts. Results go to standard output, everything else to standard error.");

    output_print(out, ".SH OPTIONS\n");
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        if (row->kind == OPT_GROUP) {
            output_print(out, ".SS ");
            roff_string(out, row->help);
            output_print(out, "\n");
        } else {
            man_option(row, out);
        }
    }
    man_presets(cli, out);
    man_ending(cli, out);
}

/* ---------------------------------------------------------------- completions */

void pages_bash(const Cli *cli, const char *built, Output *out)
{
    output_print(out,
        "# Completions of folio-%s for bash; folio-%s --page bash prints them.\n"
        "_folio_%s()\n"
        "{\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} list='' i\n"
        "    # Of --option=value bash makes three words.\n"
        "    if [[ $word == = ]]; then word=''\n"
        "    elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}\n"
        "    fi\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        if [[ ${COMP_WORDS[i]} == -- ]]; then before=--; fi\n"
        "    done\n"
        "    COMPREPLY=()\n"
        "    case $before in\n"
        "    --) ;;\n", cli->program, cli->program, cli->program);
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        char values[300];
        if (row->kind == OPT_GROUP || !cli_takes_value(row)) continue;
        list_values(cli, row, built, values, sizeof values);
        if (values[0] != '\0') output_print(out, "    %s) list='%s' ;;\n", row->name, values);
        else output_print(out, "    %s) %s;;\n", row->name, arg_is(row, "FILE") ? "" : "return ");
    }
    output_print(out, "    *) if [[ $word == -* ]]; then list='");
    for (const Option *row = cli->options; row->kind != OPT_END; row++)
        if (row->kind != OPT_GROUP)
            output_print(out, " %s%s%s", cli_short(row), cli_short(row)[0] ? " " : "", row->name);
    output_print(out,
        "'; fi ;;\n"
        "    esac\n"
        "    if [[ -n $list ]]; then COMPREPLY=($(compgen -W \"$list\" -- \"$word\"))\n"
        "    else compopt -o default 2>/dev/null || COMPREPLY=($(compgen -f -- \"$word\"))\n"
        "    fi\n"
        "}\n"
        "complete -F _folio_%s folio-%s\n", cli->program, cli->program);
}

/* A text between single quotes, and in one of the fields of an _arguments specification. */
static void zsh_text(Output *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') output_print(out, "'\\''");
        else output_print(out, "%s%c", strchr("[]:\\", *text) != NULL ? "\\" : "", *text);
    }
}

/* One specification; name: the option's own, or its short one. */
static void zsh_option(const Cli *cli, const Option *row, const char *name, const char *built,
                       Output *out)
{
    char values[300];
    output_print(out, " \\\n    '%s%s%s[",
                 row->kind == OPT_ACTION ? "(- *)" : row->flags & MANY ? "*" : "", name,
                 cli_takes_value(row) ? "=" : "");
    zsh_text(out, row->help);
    output_print(out, "]");
    if (cli_takes_value(row)) {
        list_values(cli, row, built, values, sizeof values);
        output_print(out, ":%s:", row->arg != NULL ? row->arg : "word");
        if (values[0] != '\0') output_print(out, "(%s)", values);
        else output_print(out, "%s", arg_is(row, "FILE") ? "_files" : "");
    }
    output_print(out, "'");
}

void pages_zsh(const Cli *cli, const char *built, Output *out)
{
    output_print(out, "#compdef folio-%s\n"
                 "# Completions of folio-%s for zsh; folio-%s --page zsh prints them.\n"
                 "_arguments -S", cli->program, cli->program, cli->program);
    for (const Option *row = cli->options; row->kind != OPT_END; row++) {
        if (row->kind == OPT_GROUP) continue;
        if (cli_short(row)[0] != '\0') zsh_option(cli, row, cli_short(row), built, out);
        zsh_option(cli, row, row->name, built, out);
    }
    if (cli->operands[0] != '\0') output_print(out, " \\\n    '*:%s:_files'", cli->operands);
    output_print(out, "\n");
}

/* ---------------------------------------------------------------- the answer */

bool pages_answer(const Cli *cli, const void *options, const About *about, const Operands *operands,
                  const char *built, Output *out)
{
    size_t page = (size_t)((const char *)&about->page - (const char *)options);
    if (about->help) pages_help(cli, operands->called, out);
    else if (about->version) pages_version(cli, built, out);
    else if (!cli_given_at(cli, options, page)) return false;
    else if (about->page == PAGE_MAN) pages_man(cli, out);
    else if (about->page == PAGE_BASH) pages_bash(cli, built, out);
    else pages_zsh(cli, built, out);
    return true;
}
