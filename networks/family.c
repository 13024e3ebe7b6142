/* family.c: fields as text, tables of tensors, and which families there are. */
#include "family.h"
#include "list.h"

#define DECLARE_FAMILY(name) extern const Family family_##name;
#define POINT_FAMILY(name) &family_##name,
NETWORKS(DECLARE_FAMILY)
static const Family *const families[] = { NETWORKS(POINT_FAMILY) NULL };

/* ---------------------------------------------------------------- fields */

int *field_int(const void *config, const Field *f)
{
    return (int *)(void *)((char *)(uintptr_t)config + f->offset);
}

double *field_real(const void *config, const Field *f)
{
    return (double *)(void *)((char *)(uintptr_t)config + f->offset);
}

/* Where word i of "a|b|c" is, and its length. */
static const char *nth_word(const char *words, int i, size_t *length)
{
    for (; i > 0; i--) words += strcspn(words, "|") + 1;
    *length = strcspn(words, "|");
    return words;
}

void field_get(const void *config, const Field *f, char *out, size_t room)
{
    size_t length;
    if (f->kind == FIELD_REAL) {
        snprintf(out, room, "%.17g", *field_real(config, f));
    } else if (f->kind == FIELD_INT) {
        snprintf(out, room, "%d", *field_int(config, f));
    } else {
        const char *word = nth_word(f->words, *field_int(config, f), &length);
        snprintf(out, room, "%.*s", (int)length, word);
    }
}

static int set_word(void *config, const Field *f, const char *value)
{
    for (int i = 0; i <= (int)f->high; i++) {
        size_t length;
        const char *word = nth_word(f->words, i, &length);
        if (strlen(value) != length || memcmp(value, word, length) != 0) continue;
        *field_int(config, f) = i;
        return 0;
    }
    return -1;
}

int field_set(void *config, const Field *f, const char *value)
{
    if (f->kind == FIELD_WORD) return set_word(config, f, value);
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end != '\0' || !(x >= f->low && x <= f->high)) return -1;
    if (f->kind == FIELD_REAL) {
        *field_real(config, f) = x;
        return 0;
    }
    if (x != floor(x)) return -1;
    *field_int(config, f) = (int)x;
    return 0;
}

/* ---------------------------------------------------------------- tensors */

size_t tensor_size(const Tensor *t) { return (size_t)t->rows * (size_t)t->cols; }

void tensors_add(TensorTable *t, Tensor one, bool joined)
{
    enum { LINE = CACHE_LINE / sizeof(float) };
    if (!joined) t->size = (t->size + LINE - 1) / LINE * LINE;
    one.offset = t->size;
    if (t->list != NULL) t->list[t->count] = one;
    t->count++;
    t->parameters += tensor_size(&one);
    t->size += tensor_size(&one);
}

/* ---------------------------------------------------------------- families */

bool family_by_position(const void *config)
{
    (void)config;
    return true;
}

const Family *family_at(int i) { return families[i]; }

const Family *family_named(const char *name)
{
    const Family *f;
    for (int i = 0; (f = family_at(i)) != NULL; i++)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

const Field *family_field(const Family *f, const char *name)
{
    for (int i = 0; i < f->field_count; i++)
        if (strcmp(f->fields[i].name, name) == 0) return &f->fields[i];
    return NULL;
}

/* `open`: a field that is 0 may still be filled in. */
static int check_ranges(const Family *f, const void *config, bool open, Err *err)
{
    for (const Field *field = f->fields; field < f->fields + f->field_count; field++) {
        bool number = field->kind == FIELD_REAL;
        double x = number ? *field_real(config, field) : *field_int(config, field);
        if ((x >= field->low && x <= field->high) || (open && x == 0)) continue;
        return fail(err, EXIT_USAGE, "%s %g: must be %g to %g", field->name, x, field->low,
                    field->high);
    }
    return 0;
}

int family_check(const Family *f, void *config, int vocab, Err *err)
{
    int *V = field_int(config, family_field(f, FIELD_VOCAB));
    if (*V != 0 && *V != vocab)
        return fail(err, EXIT_USAGE, "it has %d symbols, its vocabulary %d", *V, vocab);
    *V = vocab;
    if (check_ranges(f, config, true, err) || f->check(config, err)) return -1;
    return check_ranges(f, config, false, err);
}

int family_check_numbers(const Family *f, const void *config, Err *err)
{
    const Field *masks = family_field(f, "masks");
    if (f->fit != NULL)
        return fail(err, EXIT_USAGE, "the %s family counts symbols, and numbers are none; choose "
                    "another --family", f->name);
    if (masks == NULL || *field_int(config, masks) == 1) return 0;
    return fail(err, EXIT_USAGE, "--masks %d: the mean of several Gaussians is none, so numbers "
                "need --masks 1", *field_int(config, masks));
}

int family_fit(const Family *f, void *config, size_t ids, Err *err)
{
    if (f->fit == NULL) return 0;
    f->fit(config, ids);
    return f->check(config, err);
}

static int whole_field(const Family *f, const void *config, const char *name)
{
    return *field_int(config, family_field(f, name));
}

int family_context(const Family *f, const void *config)
{
    return whole_field(f, config, FIELD_CONTEXT);
}

int family_vocab(const Family *f, const void *config)
{
    return whole_field(f, config, FIELD_VOCAB);
}

int family_tensors(const Family *f, const void *config, Tensor *out, size_t *size)
{
    TensorTable t = { .list = out };
    f->tensors(&t, config);
    if (size != NULL) *size = t.size;
    return t.count;
}

size_t family_parameters(const Family *f, const void *config)
{
    TensorTable t = { .list = NULL };
    f->tensors(&t, config);
    return t.parameters;
}
