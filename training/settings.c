/* settings.c: the options of train, from the table to a configuration and a plan. */
#include "settings.h"
#include "trainer.h"

/* ---------------------------------------------------------------- the table */

#define AT(field) offsetof(Settings, field)

/* A row too many has no place; test_training looks for it. */
static void add_row(Settings *s, int *count, Option row)
{
    if (*count < CLI_ROWS - 1) s->rows[(*count)++] = row;
}

static void add_rows(Settings *s, int *count, const Option *rows)
{
    for (; rows->kind != OPT_END; rows++) add_row(s, count, *rows);
}

static void add_family_row(Settings *s, int *count)
{
    const Family *f;
    for (int i = 0; (f = family_at(i)) != NULL; i++) {
        size_t used = strlen(s->families), helped = strlen(s->families_help);
        snprintf(s->families + used, sizeof s->families - used, "%s%s", i > 0 ? "|" : "", f->name);
        snprintf(s->families_help + helped, sizeof s->families_help - helped, "%s%s: %s",
                 i > 0 ? "; " : "", f->name, f->help);
    }
    s->family_row = *count;
    add_row(s, count, (Option){ .name = "--family", .kind = OPT_WORD, .offset = AT(family),
                                .text = family_at(0)->name, .words = s->families,
                                .help = s->families_help });
}

/* A field that several families have gives one row. */
static void add_field_row(Settings *s, int *count, const Field *f)
{
    Option row = { .name = f->option,
                   .offset = AT(fields) + (size_t)s->field_rows * sizeof s->fields[0],
                   .text = f->text, .low = f->low, .high = f->high, .words = f->words,
                   .help = f->help };
    if (f->text == NULL || cli_find(&s->cli, f->option, strlen(f->option)) >= 0) return;
    row.kind = f->kind == FIELD_INT ? OPT_INT : f->kind == FIELD_REAL ? OPT_REAL : OPT_WORD;
    row.arg = f->kind == FIELD_INT ? "N" : f->kind == FIELD_REAL ? "X" : NULL;
    if (s->field_rows == FIELDS_MAX) return;
    s->field_rows++;
    add_row(s, count, row);
}

static void mark_chosen(Settings *s, const char *name, int flag)
{
    char option[FIELD_TEXT + 2];
    snprintf(option, sizeof option, "--%s", name);
    int row = cli_find(&s->cli, option, strlen(option));
    if (row >= 0) s->rows[row].flags |= flag;
}

static void mark_choices(Settings *s, const Choice *choices)
{
    for (; choices->name != NULL; choices++) mark_chosen(s, choices->name, CHOSEN);
}

/* What a plain run chooses has no default that --help could state. */
static void mark_rows(Settings *s)
{
    static const char *const by_timing[] = { "family", "steps", "decay-steps", "dropout",
                                             "weight-decay", "eval-every" };
    const Family *f;
    for (size_t i = 0; i < sizeof by_timing / sizeof by_timing[0]; i++)
        mark_chosen(s, by_timing[i], CHOSEN);
    for (int i = 0; (f = family_at(i)) != NULL; i++) {
        mark_choices(s, f->always);
        for (int b = 0; b < f->budget_count; b++) mark_choices(s, f->budgets[b].values);
    }
}

void settings_init(Settings *s)
{
    const Family *f;
    int count = 0;
    *s = (Settings){ .cli = { "train", "TEXT...",
                              "Trains a character-level GPT on any text (- is standard input).",
                              NULL, settings_presets, AT(given), 0, ANY_NUMBER } };
    s->cli.options = s->rows;
    add_rows(s, &count, settings_first_rows);
    add_family_row(s, &count);
    for (int i = 0; (f = family_at(i)) != NULL; i++)
        for (int k = 0; k < f->field_count; k++) add_field_row(s, &count, &f->fields[k]);
    add_rows(s, &count, settings_last_rows);
    mark_rows(s);
}

/* ---------------------------------------------------------------- values */

const Family *settings_family(const Settings *s) { return family_at(s->family); }

bool settings_steps_open(const Settings *s) { return s->plan.steps == 0; }

bool settings_is_model(const Settings *s, int row)
{
    return row >= s->family_row && row <= s->family_row + s->field_rows;
}

/* The row of a field, or of another option, by its name without the dashes; -1: there is none. */
static int row_named(const Settings *s, const char *name)
{
    char option[SETTING_TEXT + 2];
    snprintf(option, sizeof option, "--%s", name);
    return cli_find(&s->cli, option, strlen(option));
}

/* Whether an explicitly given preset names the option. */
static bool preset_names(const Settings *s, const char *option)
{
    if (!GIVEN(s, preset)) return false;
    for (const PresetValue *v = cli_preset(&s->cli, s->preset)->values; v->name != NULL; v++)
        if (strcmp(v->name, option) == 0) return true;
    return false;
}

bool settings_settled(const Settings *s, int row)
{
    return (s->inherited && settings_is_model(s, row)) || s->given[row]
           || preset_names(s, s->rows[row].name);
}

int settings_adopt(Settings *s, const Choice *values, Err *err)
{
    for (const Choice *v = values; v->name != NULL; v++) {
        int row = row_named(s, v->name);
        if (!settings_settled(s, row) && cli_set_text(&s->rows[row], s, v->value, err)) return -1;
    }
    return 0;
}

/* The configuration without a check: the fields that the family has. */
static void fill_config(const Settings *s, Space *config)
{
    const Family *f = settings_family(s);
    char text[FIELD_TEXT];
    *config = (Space){ { 0 } };
    for (const Field *field = f->fields; field < f->fields + f->field_count; field++) {
        if (field->text == NULL) continue;
        cli_get_text(&s->rows[row_named(s, field->name)], s, text, sizeof text);
        field_set(config, field, text);
    }
}

static bool is_settled(const void *settings, const char *field)
{
    const Settings *s = settings;
    return settings_settled(s, row_named(s, field));
}

int settings_suit(Settings *s, Err *err)
{
    const Family *f = settings_family(s);
    Space config;
    char text[FIELD_TEXT];
    if (f->suit == NULL) return 0;
    fill_config(s, &config);
    f->suit(&config, is_settled, s);
    for (const Field *field = f->fields; field < f->fields + f->field_count; field++) {
        field_get(&config, field, text, sizeof text);
        if (field->text != NULL && cli_set_text(&s->rows[row_named(s, field->name)], s, text, err))
            return -1;
    }
    return 0;
}

int settings_fit_context(Settings *s, size_t count, const char *text, int64_t *reduced, Err *err)
{
    int row = row_named(s, FIELD_CONTEXT);
    int64_t *context = &s->fields[row - s->family_row - 1].whole;
    bool fixed = s->inherited
              && family_field(settings_family(s), FIELD_CONTEXT)->change == FIELD_FIXED;
    *reduced = 0;
    if ((size_t)*context <= count - 1) return 0;
    if (s->given[row] || fixed)
        return fail(err, EXIT_TEXT,
                    "%s: the training part has %zu characters, so --context can be at most %zu, "
                    "not %lld",
                    text, count, count - 1, (long long)*context);
    *reduced = *context;
    *context = (int64_t)(count - 1);
    return 0;
}

/* Counts teach networks that learn characters, by gradients. */
static int check_teacher(const Settings *s, Err *err)
{
    if (s->teacher == 0 && (GIVEN(s, teacher_share) || GIVEN(s, teacher_fade)))
        return fail(err, EXIT_USAGE, "--teacher-%s is an option of --teacher",
                    GIVEN(s, teacher_share) ? "share" : "fade");
    if (s->teacher > 0 && settings_family(s)->fit != NULL)
        return fail(err, EXIT_USAGE, "--teacher: the %s family counts itself; leave the option out",
                    settings_family(s)->name);
    if (s->teacher > 0 && s->values)
        return fail(err, EXIT_USAGE, "--teacher counts symbols, and numbers are none; leave the "
                    "option out");
    return 0;
}

int settings_config(const Settings *s, Space *config, int vocab, Err *err)
{
    const Family *f = settings_family(s);
    if (check_teacher(s, err)) return -1;
    for (int row = s->family_row + 1; settings_is_model(s, row); row++)
        if (s->given[row] && family_field(f, s->rows[row].name + 2) == NULL)
            return fail(err, EXIT_USAGE, "%s: the %s family has no such option", s->rows[row].name,
                        f->name);
    fill_config(s, config);
    if (family_check(f, config, vocab, err)) return -1;
    int64_t slice = s->slice < s->batch ? s->slice : s->batch;
    int context = family_context(f, config);
    if (slice * context <= SLICE_CHARACTERS) return 0;
    return fail(err, EXIT_USAGE, "--slice %lld: %lld windows of %d characters are too many to work "
                "on at once; try at most --slice %d, which changes no result", (long long)s->slice,
                (long long)slice, context, SLICE_CHARACTERS / context);
}

TrainingPlan settings_plan(const Settings *s, uint64_t attempt)
{
    TrainingPlan p = s->plan;
    double share = ldexp(1, -(int)attempt);
    if (settings_steps_open(s)) p.steps = INT64_MAX;
    if (p.decay_steps == 0) p.decay_steps = p.steps / 2;
    p.lr *= share;
    p.min_lr *= share;
    return p;
}

CorpusOptions settings_corpus(const Settings *s)
{
    return (CorpusOptions){ .bytes = s->bytes, .values = s->values, .deviation = s->deviation,
                            .separator = s->separator != 0,
                            .unknown = UNKNOWN_FAILS, .split = corpus_split(s->split_documents),
                            .hold_out = (HoldOut)s->hold_out, .val_fraction = s->val_fraction };
}
