/* settings.h: what the user asked train for: the option table, presets, and what a checkpoint
 * stores of it.
 *
 * Owns: the options and their values. Those of the model are made from the fields of all families
 * (networks/family.h), so a size and its range are stated once. No clock, no files but the
 * checkpoint that others have loaded.
 *
 *     Settings s;
 *     settings_init(&s);                                      builds the table
 *     program_main(&s.cli, &s, train, argc, argv)             parses into s
 *     ...
 *     if (settings_take(&s, &checkpoint, path, &err)) ...;    --resume
 *     if (settings_config(&s, &config, vocab, &err)) ...;
 *     TrainingPlan plan = settings_plan(&s, attempt);
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "../base.h"
#include "../cli/options.h"
#include "../cli/output.h"
#include "../cli/program.h"
#include "../corpus.h"
#include "../formats/checkpoint.h"
#include "../networks/family.h"
#include "optimizer.h"

enum { FIELDS_MAX = 40 };
#define CHANGED_PACE "minutes"          /* Settings.changed: timing_adjust_end moved the end */

typedef union {
    int64_t whole;
    double number;
    int word;
} FieldValue;

typedef struct {
    Common common;
    int family;                             /* number of it (family_at) */
    FieldValue fields[FIELDS_MAX];          /* of all families, in the order of their rows */
    TrainingPlan plan;                      /* as asked for; steps 0: not settled yet (--minutes) */
    int64_t batch, slice, seed, memory, teacher;
    int64_t eval_every, eval_batches, sample_every, save_every, stop_at, patience;
    int sampling, separator, hold_out, teacher_fade;
    double minutes, val_fraction, teacher_share;
    const char *out, *preset, *init_from, *log, *split_documents;
    bool resume, overwrite, bytes, values, profile;
    double deviation;
    const char *changed;                    /* the option that a resumed start changed, so that no
                                             * single start gives the run's bytes; NULL: none */
    bool given[CLI_ROWS];                   /* row i is on the command line */
    bool inherited;                         /* the fields are those of --init-from */
    char stored_word[SETTING_TEXT];         /* a string that came from a checkpoint */
    Option rows[CLI_ROWS];
    int family_row, field_rows;             /* the row of --family; those of the fields follow */
    char families[200], families_help[400];
    Cli cli;
} Settings;

/* table.c: the rows before those of the fields, those after them, and the presets. */
extern const Option settings_first_rows[], settings_last_rows[];
extern const Preset settings_presets[];

#define GIVEN(s, field) CLI_GIVEN(&(s)->cli, s, Settings, field)

/* Whether an option is settled: by the user, the preset they named, the file of --init-from. */
#define SETTLED(s, field) settings_settled(s, cli_find_at(&(s)->cli, offsetof(Settings, field)))
bool settings_settled(const Settings *s, int row);

/* Zeroes s and builds its table. */
void settings_init(Settings *s);
const Family *settings_family(const Settings *s);

/* Whether a row is --family or a field. */
bool settings_is_model(const Settings *s, int row);
/* Whether --steps is not settled yet: a timed run in which the rate has not begun to fall. */
bool settings_steps_open(const Settings *s);
/* Takes over values of options and fields not settled. The last of `values` has no name. */
int settings_adopt(Settings *s, const Choice *values, Err *err);
/* The same for the fields that follow from others (Family.suit). */
int settings_suit(Settings *s, Err *err);
/* A context that nobody asked for shrinks to what a training part of `count` ids can fill: *reduced
 * is what it was, or 0. EXIT_TEXT for one that was asked for; `text` is its name. */
int settings_fit_context(Settings *s, size_t count, const char *text, int64_t *reduced, Err *err);
/* The configuration of the family, checked. EXIT_USAGE. */
int settings_config(const Settings *s, Space *config, int vocab, Err *err);
/* --values: a document is a line. EXIT_USAGE for an option that says otherwise, and for one of
 * --values without it. */
int settings_fit_values(Settings *s, Err *err);
/* How parameters change. Rates halve with every return. */
TrainingPlan settings_plan(const Settings *s, uint64_t attempt);
CorpusOptions settings_corpus(const Settings *s);

/* What a checkpoint stores beside the fields, the separators of the training part, and what was
 * changed on the way; returns how many. */
int settings_store(const Settings *s, size_t separators, Setting out[SETTINGS_MAX]);
/* --resume: takes the settings of a run, `path`; what is given again must agree, but for what may
 * change. EXIT_USAGE, naming what can be done instead. */
int settings_take(Settings *s, const Checkpoint *from, const char *path, Err *err);
/* --init-from: takes the fields; what is given again must agree, unless Field.change allows another
 * value. */
int settings_inherit(Settings *s, const Checkpoint *from, Err *err);

/* Part of a command that a shell reads back: a word, quoted where it must be; an option and its
 * value. */
void settings_print_word(Output *out, const char *word);
/* A number as a person writes it: in the fewest digits that read back the same. */
void settings_shorten(const Option *option, char *value, size_t room);
void settings_print_option(Output *out, const Settings *s, int row);
/* The options of the command that resumes this run, where they are not in the checkpoint:
 * `patience`: with --patience. */
void settings_print_resumed(Output *out, const Settings *s, bool patience);
/* The options of the command that gives the bytes of this run without a clock: all that are not
 * defaults. */
int settings_print_repeated(Output *out, const Settings *s, Err *err);

#endif
