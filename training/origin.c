/* origin.c: settings and checkpoints: what is stored, what --resume and --init-from take and
 * refuse. */
#include "settings.h"

int settings_store(const Settings *s, size_t separators, Setting out[SETTINGS_MAX])
{
    int count = 0;
    for (const Option *row = s->rows; row->kind != OPT_END; row++) {
        Setting *one = &out[count];
        if (!(row->flags & STORED)) continue;
        snprintf(one->name, sizeof one->name, "%s", row->name + 2);
        cli_get_text(row, s, one->value, sizeof one->value);
        one->is_number = row->kind == OPT_INT || row->kind == OPT_REAL;
        count++;
    }
    Setting *one = &out[count++];               /* whether a sample may start from the separator */
    snprintf(one->name, sizeof one->name, "separators");
    snprintf(one->value, sizeof one->value, "%zu", separators);
    one->is_number = true;
    if (s->changed == NULL) return count;
    one = &out[count++];
    snprintf(one->name, sizeof one->name, "changed");
    snprintf(one->value, sizeof one->value, "%s", s->changed);
    one->is_number = false;
    return count;
}

/* A field's as it is printed, whatever the file's way of writing it; in `text`. NULL: missing. */
static const char *stored_value(const Checkpoint *from, const Option *option,
                                char text[SETTING_TEXT])
{
    const Field *field = family_field(from->family, option->name + 2);
    if (field != NULL) {
        field_get(&from->config, field, text, SETTING_TEXT);
        return text;
    }
    const char *stored = checkpoint_setting(from, option->name + 2);
    return stored == NULL && (option->flags & ADDED) ? option->text : stored;
}

/* Whether --init-from can start from the run with another value of this option. */
static bool may_differ(const Settings *asked, const Checkpoint *from, int row, const char *stored)
{
    const Option *option = &asked->rows[row];
    const Field *field = family_field(from->family, option->name + 2);
    char value[SETTING_TEXT];
    bool same_symbols = option->offset == offsetof(Settings, bytes);
    bool fewer_steps = option->offset == offsetof(Settings, plan.steps);
    if (row == asked->family_row || same_symbols || fewer_steps) return false;
    if (field == NULL || field->change == FIELD_FREE) return true;
    cli_get_text(option, asked, value, sizeof value);
    return field->change == FIELD_SHRINKS && strtod(value, NULL) <= strtod(stored, NULL);
}

static int fail_disagreement(const Settings *asked, const Checkpoint *from, int row,
                             const char *stored, const char *path, Err *err)
{
    const Option *option = &asked->rows[row];
    char value[SETTING_TEXT], was[SETTING_TEXT];
    cli_get_text(option, asked, value, sizeof value);
    settings_shorten(option, value, sizeof value);
    snprintf(was, sizeof was, "%s", stored);
    settings_shorten(option, was, sizeof was);
    const char *said = cli_takes_value(option) ? value : "";
    if (may_differ(asked, from, row, stored))
        return fail(err, EXIT_USAGE, "%s%s%s: the run in %.200s has %s; leave the option out, or "
                    "train its weights further with --init-from %.200s %s%s%s --out OTHER",
                    option->name, *said ? " " : "", said, path, was, asked->out, option->name,
                    *said ? " " : "", said);
    return fail(err, EXIT_USAGE, "%s%s%s: the run in %.200s has %s; leave the option out, or start "
                "anew with another --out", option->name, *said ? " " : "", said, path, was);
}

/* Checks an option that is given again, and takes the stored value over. */
static int take_row(Settings *s, int row, const Checkpoint *from, const Settings *asked,
                    const char *path, Err *err)
{
    char value[SETTING_TEXT], text[SETTING_TEXT];
    const Option *option = &s->rows[row];
    const char *stored = stored_value(from, option, text);
    bool steps = option->offset == offsetof(Settings, plan.steps);
    bool context = strcmp(option->name + 2, FIELD_CONTEXT) == 0;
    cli_get_text(option, asked, value, sizeof value);
    bool settled = settings_settled(asked, row);
    if (steps && settled && asked->plan.steps > strtoll(stored, NULL, 10)) return 0;
    if (steps && strcmp(stored, "0") == 0) {            /* not settled, which no user can ask for */
        s->plan.steps = 0;
        return 0;
    }
    /* A preset's context may have been reduced to the text. */
    bool reduced = context && strtoll(stored, NULL, 10) < strtoll(value, NULL, 10);
    bool was_asked = asked->given[row] || (settled && !reduced);
    bool may_change = (option->flags & ON_RESUME) != 0;
    if (may_change && asked->given[row]) return 0;
    if (was_asked && !may_change && strcmp(value, stored) != 0)
        return fail_disagreement(asked, from, row, stored, path, err);
    if (option->kind == OPT_STRING) {                   /* a string is not copied by its row */
        snprintf(s->stored_word, sizeof s->stored_word, "%s", stored);
        stored = s->stored_word;
    }
    if (cli_set_text(option, s, stored, err))
        return fail(err, EXIT_CHECKPOINT, "%s: is not sound: its setting %s is %.60s", path,
                    option->name + 2, stored);
    return 0;
}

/* Whether the end that was planned had begun: the rate falls, or the last evaluation is made. */
static bool was_ending(const Checkpoint *from)
{
    const char *schedule = checkpoint_setting(from, "schedule");
    int64_t steps = strtoll(checkpoint_setting(from, "steps"), NULL, 10);
    int64_t falls = strtoll(checkpoint_setting(from, "decay-steps"), NULL, 10);
    if (falls == 0) falls = steps / 2;
    if (strcmp(schedule, "wsd") != 0) falls = 0;
    return steps > 0 && (int64_t)from->step >= steps - falls + (falls > 0);
}

/* Fills s->changed. */
static void note_changes(Settings *s, const Settings *asked, const Checkpoint *from)
{
    const char *before = checkpoint_setting(from, "changed");
    const char *every = checkpoint_setting(from, "eval-every");
    const char *steps = checkpoint_setting(from, "steps");
    bool longer = GIVEN(asked, minutes)
                  || (GIVEN(asked, plan.steps) && strtoll(steps, NULL, 10) < asked->plan.steps);
    s->changed = NULL;
    if (before != NULL)
        s->changed = strcmp(before, "eval-every") == 0 ? "eval-every"
                   : strcmp(before, CHANGED_PACE) == 0 ? CHANGED_PACE : "steps";
    else if (longer && was_ending(from)) s->changed = "steps";
    else if (GIVEN(asked, eval_every) && strtoll(every, NULL, 10) != asked->eval_every)
        s->changed = "eval-every";
}

/* Of numbers the file's vocabulary says all. */
static int take_numbers(Settings *s, const Checkpoint *from, const char *path, Err *err)
{
    const Numbers *n = &from->tokenizer.numbers;
    bool numbers = tokenizer_has_numbers(&from->tokenizer);
    if ((s->values && !numbers) || (GIVEN(s, deviation) && s->deviation != n->deviation))
        return fail(err, EXIT_USAGE, "%s: the weights of %.200s are of %s; leave the option out, "
                    "or start anew with another --out", s->values && !numbers ? "--values"
                    : "--deviation", path, !numbers ? "characters" : n->deviation > 0
                    ? "numbers with another deviation" : "numbers whose deviation is learnt");
    s->values = numbers;
    s->deviation = n->deviation;
    return 0;
}

int settings_take(Settings *s, const Checkpoint *from, const char *path, Err *err)
{
    Settings asked = *s;
    if (take_numbers(s, from, path, err)) return -1;
    for (int row = 0; s->rows[row].kind != OPT_END; row++) {
        const Option *option = &s->rows[row];
        bool model = settings_is_model(s, row);
        if (!model && !(option->flags & STORED)) continue;
        char text[SETTING_TEXT];
        const char *stored = stored_value(from, option, text);
        if (stored == NULL && model) continue;              /* a field of another family */
        if (stored == NULL)
            return fail(err, EXIT_CHECKPOINT, "%s: lacks the setting %s", path, option->name + 2);
        if (take_row(s, row, from, &asked, path, err)) return -1;
    }
    note_changes(s, &asked, from);
    return 0;
}

/* The family and each of its fields. */
int settings_inherit(Settings *s, const Checkpoint *from, Err *err)
{
    if (from->family->fit != NULL)
        return fail(err, EXIT_USAGE, "--init-from %s: the %s family learns its text in one step, "
                    "so there is nothing to go on from; leave the option out", s->init_from,
                    from->family->name);
    if (take_numbers(s, from, s->init_from, err)) return -1;
    s->bytes = from->tokenizer.bytes && !s->values;
    for (int row = s->family_row; settings_is_model(s, row); row++) {
        const Option *option = &s->rows[row];
        const Field *field = family_field(from->family, option->name + 2);
        char value[SETTING_TEXT], text[SETTING_TEXT];
        const char *stored = stored_value(from, option, text);
        if (row != s->family_row && field == NULL) continue;
        cli_get_text(option, s, value, sizeof value);
        FieldChange change = field != NULL ? field->change : FIELD_FIXED;
        bool shorter = change == FIELD_SHRINKS && strtod(value, NULL) <= strtod(stored, NULL);
        if (s->given[row] && (shorter || change == FIELD_FREE)) continue;
        if (s->given[row] && strcmp(value, stored) != 0)
            return fail(err, EXIT_USAGE, "%s %s: %s has %s; leave the option out", option->name,
                        value, s->init_from, stored);
        if (cli_set_text(option, s, stored, err)) return -1;
    }
    s->inherited = true;
    return 0;
}

int settings_fit_values(Settings *s, Err *err)
{
    bool lines = strcmp(s->split_documents, SPLIT_LINE) == 0;
    if (!s->values && GIVEN(s, deviation))
        return fail(err, EXIT_USAGE, "--deviation is an option of --values");
    if (!s->values) return 0;
    if ((GIVEN(s, split_documents) && !lines) || s->bytes || (GIVEN(s, separator) && !s->separator))
        return fail(err, EXIT_USAGE, "--values and %s exclude each other: each line is a vector of "
                    "numbers", s->bytes ? "--bytes" : GIVEN(s, separator) && !s->separator
                    ? "--separator off" : "--split-documents");
    s->split_documents = SPLIT_LINE;
    s->separator = 1;
    return 0;
}
