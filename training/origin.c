/* origin.c: settings from a checkpoint: what --resume and --init-from take and refuse. */
#include "settings.h"

/* Checks an option that is given again, and takes the stored value over. */
static int take_row(Settings *s, int row, const char *stored, const Settings *asked,
                    const char *path, Err *err)
{
    char value[SETTING_TEXT];
    const Option *option = &s->rows[row];
    bool steps = option->offset == offsetof(Settings, plan.steps);
    bool context = strcmp(option->name + 2, FIELD_CONTEXT) == 0;
    cli_get_text(option, asked, value, sizeof value);
    if (steps && asked->given[row] && asked->plan.steps > strtoll(stored, NULL, 10)) return 0;
    if (steps && strcmp(stored, "0") == 0) {            /* not settled, which no user can ask for */
        s->plan.steps = 0;
        return 0;
    }
    /* A preset's context may have been reduced to the text. */
    bool reduced = context && strtoll(stored, NULL, 10) < strtoll(value, NULL, 10);
    bool was_asked = asked->given[row] || (settings_settled(asked, row) && !reduced);
    if (was_asked && strcmp(value, stored) != 0)
        return fail(err, EXIT_USAGE,
                    "%s %s: the run in %s has %s; leave the option out, or start anew with "
                    "--overwrite",
                    option->name, value, path, stored);
    if (option->kind == OPT_STRING) {                   /* a string is not copied by its row */
        snprintf(s->stored_word, sizeof s->stored_word, "%s", stored);
        stored = s->stored_word;
    }
    if (cli_set_text(option, s, stored, err))
        return fail(err, EXIT_CHECKPOINT, "%s: is not sound: its setting %s is %.60s", path,
                    option->name + 2, stored);
    return 0;
}

int settings_take(Settings *s, const Checkpoint *from, const char *path, Err *err)
{
    Settings asked = *s;
    for (int row = 0; s->rows[row].kind != OPT_END; row++) {
        const Option *option = &s->rows[row];
        bool model = row >= s->family_row && row <= s->family_row + s->field_rows;
        if (!model && !(option->flags & STORED)) continue;
        const char *stored = checkpoint_setting(from, option->name + 2);
        if (stored == NULL && model) continue;              /* a field of another family */
        if (stored == NULL && option->flags & LATER) stored = option->text;
        if (stored == NULL)
            return fail(err, EXIT_CHECKPOINT, "%s: lacks the setting %s", path, option->name + 2);
        if (take_row(s, row, stored, &asked, path, err)) return -1;
    }
    return 0;
}

/* The family and each of its fields. */
int settings_inherit(Settings *s, const Checkpoint *from, Err *err)
{
    s->bytes = from->tokenizer.bytes;
    for (int row = s->family_row; row <= s->family_row + s->field_rows; row++) {
        const Option *option = &s->rows[row];
        const Field *field = family_field(from->family, option->name + 2);
        const char *stored = checkpoint_setting(from, option->name + 2);
        char value[SETTING_TEXT];
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
