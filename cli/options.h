/* options.h: the command line. A program's table of options drives parsing and what pages.h prints.
 *
 * Owns: options and presets, their values as text, operands. rows.h says how a table is written.
 *
 *     #define GIVEN(o, field) CLI_GIVEN(&cli, o, Options, field)
 *     static const Cli cli = { .program = "sample", .options = options,
 *                              .given = offsetof(Options, given), ... };
 *     if (cli_parse(&cli, argc, argv, &o, &operands, &err)) ...;
 *     if (!GIVEN(&o, part)) o.part = ...;
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "../base.h"

#include <limits.h>

#define FOLIO_VERSION "0.1.0"

enum { CLI_ROWS = 96, CLI_PRESET_VALUES = 32, CLI_WORD = 40, CLI_RANGE = 120, CLI_MANY = 16 };
enum { ANY_NUMBER = INT_MAX };

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
       STORED = 2,          /* a setting of the checkpoint, under its name without the dashes */
       CHOSEN = 4,          /* the program may choose: --help says that instead of the default */
       DESTROYS = 8,        /* never suggested for a mistyped option */
       ADDED = 32,          /* STORED, but files of before lack it: they have the default */
       MANY = 16 };         /* OPT_STRING into Strings: may be given up to CLI_MANY times; has no
                             * default, and is in no preset */

typedef struct {
    const char *name;       /* with its dashes */
    const char *arg;        /* what --help calls the value; NULL: nothing, or the words */
    OptionKind kind;
    size_t offset;          /* into the program's Options */
    const char *text;       /* the default; NULL: left as it is (zero), and not mentioned */
    double low, high;       /* range of a number, inclusive */
    const char *words;      /* "cosine|linear|constant" */
    const char *help;
    int flags;
} Option;

/* The field of a row with MANY: all that was given, in order. */
typedef struct { const char *items[CLI_MANY]; int count; } Strings;

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
    const Option *options;  /* at most CLI_ROWS rows with the last one; may be built at the start */
    const Preset *presets;  /* or NULL */
    size_t given;           /* offset of `bool given[CLI_ROWS]`: row i is on the command line */
    int least, most;        /* operands that program_main accepts; most: 0, 1 or ANY_NUMBER */
} Cli;

typedef struct {
    const char *called;     /* the program as it was called, without folders; NULL: unknown */
    const char **items;     /* (count) in order */
    int count;
    bool twice[CLI_ROWS];   /* row i takes one value, and was given different ones */
} Operands;

/* Fills the program's Options (zeroed by the caller) and the operands, which operands_close
 * releases. Options may come after operands; the last value of an option counts; explicit options
 * beat a preset in any order. EXIT_USAGE (EXIT_RUNTIME for memory). argc may be 0; strings stay in
 * argv. */
int cli_parse(const Cli *cli, int argc, char **argv, void *options, Operands *operands, Err *err);
void operands_close(Operands *o);

/* The row of an option, by its name with dashes or an alias; by its offset. -1: none. */
int cli_find(const Cli *cli, const char *name, size_t length);
int cli_find_at(const Cli *cli, size_t offset);
/* Whether the option that fills a field is on the command line. */
bool cli_given_at(const Cli *cli, const void *options, size_t offset);
#define CLI_GIVEN(cli, options, type, field) cli_given_at(cli, options, offsetof(type, field))

bool cli_takes_value(const Option *row);
/* The one-letter name of an option, or "". */
const char *cli_short(const Option *row);
const Preset *cli_preset(const Cli *cli, const char *name);

/* Sets the field of a row from text, or adds to one with MANY; a string is not copied. EXIT_USAGE,
 * with the allowed range. */
int cli_set_text(const Option *row, void *options, const char *text, Err *err);
/* The canonical text of a row's value, the last one of MANY; cli_set_text gives the same back. */
void cli_get_text(const Option *row, const void *options, char *out, size_t room);

/* Whether all of text is [+-]digits[.digits][e[+-]digits], with a digit before the e. */
bool cli_is_number(const char *text);
/* [+-]digits[e digits], one or two after the e: "1e3"; false for what 64 bits do not hold. */
bool cli_whole(const char *text, int64_t *value);
/* Which of "a|b|c" text is, or -1. */
int cli_which_word(const char *words, const char *text);
/* "from 0 to 1e+06", in as many digits as the bounds of a number need. */
void cli_range(const Option *row, char out[CLI_RANGE]);
/* Insertions, deletions, replacements and swaps of neighbours that lead from a to b, no character
 * touched twice; only CLI_WORD characters count. */
int cli_distance(const char *a, size_t a_length, const char *b);

#endif
