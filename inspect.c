/* inspect.c: checkpoint -> what is inside.
 *
 * Prints the model's family and sizes, the state of its training and the losses on the way; on
 * demand every tensor, the vocabulary, every evaluation, or which tensors are damaged.
 *
 *     ./inspect ckpt.bin --tensors
 */
#include "base.h"
#include "cli/program.h"
#include "formats/checkpoint.h"
#include "tokenizer.h"

enum {
    LABEL = 13,             /* columns before the values of the summary */
    SPARK_MAX = 60,         /* bars of the sparkline */
    BARS = 8,               /* heights of a bar */
    SHAPE_END = 48          /* columns of a tensor's name and shape; its four numbers need 8 each */
};

/* ---------------------------------------------------------------- options */

typedef struct {
    Common common;
    bool tensors, vocab, history, verify, given[CLI_ROWS];
} Options;

#define AT(field) offsetof(Options, field)
static const Option options[] = {
    HEADING("What is shown besides the summary"),
    SWITCH("tensors", tensors,
           "every tensor: shape, mean, standard deviation, least and largest element"),
    SWITCH("vocab", vocab, "every symbol with its id"),
    SWITCH("history", history, "the losses of every evaluation"),
    SWITCH("verify", verify, "read everything and name every damaged tensor"),
    HEADING("Output"),
    JSON_ROW("print all of it as one object instead", 0),
    ABOUT_ROWS(common.about),
    { 0 }
};

static const Cli cli = {
    .program = "inspect", .operands = "CKPT", .least = 1, .most = 1,
    .summary = "Shows what a checkpoint holds.",
    .options = options, .given = offsetof(Options, given)
};

/* ---------------------------------------------------------------- numbers and text */

/* A string from a file: what could move a terminal's cursor, or is not ASCII, becomes a question
 * mark. */
static const char *plain(const char *from, char *out, size_t room)
{
    size_t n = 0;
    for (; from[n] != '\0' && n + 1 < room; n++)
        out[n] = from[n] >= ' ' && from[n] < 0x7f ? from[n] : '?';
    out[n] = '\0';
    return out;
}

/* A loss, right-aligned; one that no run has is printed in digits that fit, too. */
static void print_loss(Output *out, int width, int decimals, double loss)
{
    if (fabs(loss) < 1e5) output_print(out, "%*.*f", width, decimals, loss);
    else output_print(out, "%*.*g", width, decimals - 1, loss);
}

static void print_label(Output *out, const char *label) { output_print(out, "%-*s", LABEL, label); }

/* Adds to a string that snprintf has started. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static void append(char *text, size_t room, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, room - used, format, args);
    va_end(args);
}

/* ---------------------------------------------------------------- numbers of a tensor */

typedef struct {
    bool known;             /* the type is one that Folio writes, and there are elements */
    double mean, deviation, least, largest;
} Stats;

/* Bytes of an element, 0 for a type that Folio does not write. */
static size_t element_width(const StoredTensor *t)
{
    static const struct { const char *dtype; size_t width; } widths[] = {
        { "F32", 4 }, { "F64", 8 }, { "U64", 8 }, { "U8", 1 }, { "U16", 2 }, { "U32", 4 }
    };
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        if (strcmp(t->dtype, widths[i].dtype) == 0) return widths[i].width;
    return 0;
}

/* Element i, little-endian as the file holds it. */
static double element(const StoredTensor *t, size_t i, size_t width)
{
    uint64_t bits = 0;
    for (size_t b = width; b > 0; b--) bits = bits << 8 | (unsigned char)t->data[i * width + b - 1];
    if (t->dtype[0] == 'U') return (double)bits;
    if (width == 4) {
        uint32_t half = (uint32_t)bits;
        float x;
        memcpy(&x, &half, sizeof x);
        return (double)x;
    }
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* mean = sum x / n,  deviation = sqrt(sum (x - mean)^2 / n) */
static Stats tensor_stats(const StoredTensor *t)
{
    size_t width = element_width(t), count = width > 0 ? t->size / width : 0;
    Stats s = { .known = count > 0, .least = HUGE_VAL, .largest = -HUGE_VAL };
    for (size_t i = 0; i < count; i++) {
        double x = element(t, i, width);
        s.mean += x;
        s.least = fmin(s.least, x);
        s.largest = fmax(s.largest, x);
    }
    if (count == 0) return s;
    s.mean /= (double)count;
    for (size_t i = 0; i < count; i++) {
        double d = element(t, i, width) - s.mean;
        s.deviation += d * d;
    }
    s.deviation = sqrt(s.deviation / (double)count);
    return s;
}

static void shape_text(const StoredTensor *t, const char *open, const char *close, char *out,
                       size_t room)
{
    snprintf(out, room, "%s", open);
    for (int i = 0; i < t->rank; i++)
        append(out, room, "%s%llu", i > 0 ? "," : "", (unsigned long long)t->shape[i]);
    append(out, room, "%s", close);
}

/* At most 8 columns. */
static void print_short(Output *out, double x)
{
    double size = fabs(x);
    if (size != 0.0 && (size < 1e-4 || size >= 999.0)) output_print(out, " %7.0e", x);
    else output_print(out, size < 9.99 ? " %7.4f" : " %7.2f", x);
}

static void print_tensors(const Checkpoint *c, Output *out)
{
    output_print(out, "\ntensor%*s %7s %7s %7s %7s\n", SHAPE_END - 6, "shape", "mean", "dev", "min",
                 "max");
    for (int i = 0; i < c->stored_count; i++) {
        const StoredTensor *t = &c->stored[i];
        char name[OUTPUT_WIDTH], shape[100];
        shape_text(t, "", "", shape, sizeof shape);
        plain(t->name, name, sizeof name);
        int column = output_print(out, "%s", name);
        if (column + 1 + (int)strlen(shape) > SHAPE_END) {
            output_print(out, "\n");
            column = 0;
        }
        output_print(out, "%*s", SHAPE_END - column, shape);
        Stats s = tensor_stats(t);
        if (s.known) {
            print_short(out, s.mean);
            print_short(out, s.deviation);
            print_short(out, s.least);
            print_short(out, s.largest);
        }
        output_print(out, "\n");
    }
}

/* ---------------------------------------------------------------- summary */

static void print_sizes(const Checkpoint *c, Output *out)
{
    char text[400] = "", value[SETTING_TEXT];
    for (int i = 0; i < c->family->field_count; i++) {
        const Field *f = &c->family->fields[i];
        field_get(&c->config, f, value, sizeof value);
        append(text, sizeof text, "%s%s %.7s", i > 0 ? ", " : "", f->name, value);
    }
    print_label(out, "sizes");
    output_wrap(out, text, LABEL, LABEL);
    print_label(out, "parameters");
    output_print(out, "%zu\n", family_parameters(c->family, &c->config));
}

/* What the memory counts, and the exponents of the mixture: networks/memory.h has the formula. */
static void print_memory(const Checkpoint *c, Output *out)
{
    static const char *const parts[] = { "network", "memory" };
    const SavedMemory *m = &c->memory;
    if (m->count == 0) return;
    print_label(out, "memory");
    output_print(out, "n-grams of order %d of %zu characters\n", m->order, m->count);
    for (int part = 0; part < 2; part++) {
        const double *e = m->exponents.of[part];
        print_label(out, "");
        output_print(out, "%-7s ^ (%.3f %+.3f k %+.3f ln c %+.3f ln d)\n", parts[part], e[0], e[1],
                     e[2], e[3]);
    }
}

/* How many symbols, and as many of them as fit on the line. */
static void print_alphabet(const Checkpoint *c, Output *out)
{
    const Tokenizer *t = &c->tokenizer;
    char name[40];
    print_label(out, "vocabulary");
    if (tokenizer_has_numbers(t)) {
        const Numbers *n = &t->numbers;
        output_print(out, "numbers, %.6g +- %.6g, deviation of each ", n->center, n->scale);
        output_print(out, n->deviation > 0 ? "%g\n" : "learnt\n", n->deviation);
        return;
    }
    int column = LABEL + output_print(out, "%d %s:", t->count, t->bytes ? "bytes" : "code points");
    for (int32_t id = 0; id < t->count; id++) {
        tokenizer_name(t, id, name, sizeof name);
        if (column + 1 + (int)strlen(name) > OUTPUT_WIDTH - 4) {
            output_print(out, " ...");
            break;
        }
        column += output_print(out, " %s", name);
    }
    output_print(out, "\n");
}

/* Whether a setting says what the model is. */
static bool is_field(const Checkpoint *c, const char *name)
{
    return strcmp(name, "family") == 0 || family_field(c->family, name) != NULL;
}

/* The settings of the run that are not sizes of the model. */
static void print_settings(const Checkpoint *c, Output *out)
{
    char text[SETTINGS_MAX * (2 * SETTING_TEXT + 3)] = "", name[SETTING_TEXT], value[SETTING_TEXT];
    for (int i = 0; i < c->setting_count; i++) {
        const Setting *s = &c->settings[i];
        if (is_field(c, s->name)) continue;
        plain(s->value, value, sizeof value);
        if (s->is_number) snprintf(value, sizeof value, "%.10g", strtod(s->value, NULL));
        append(text, sizeof text, "%s%s=%s", text[0] ? " " : "", plain(s->name, name, sizeof name),
               value);
    }
    if (text[0] == '\0') return;
    print_label(out, "settings");
    output_wrap(out, text, LABEL, LABEL);
}

static void print_training(const Checkpoint *c, Output *out)
{
    print_label(out, "training");
    output_print(out, "step %llu; ", (unsigned long long)c->step);
    if (!c->has_train) {
        output_print(out, "weights only: to sample%s\n",
                     c->family->fit == NULL ? ", evaluate or start from" : " or evaluate");
        return;
    }
    output_print(out, "with all that resuming needs\n");
    print_label(out, "");
    output_print(out, "training loss ");
    print_loss(out, 0, 4, c->train.train_loss);
    if (c->train.best_step > 0) {
        output_print(out, ", best validation loss ");
        print_loss(out, 0, 4, c->train.best_loss);
        output_print(out, " at step %llu", (unsigned long long)c->train.best_step);
    }
    output_print(out, "\n");
}

/* Which of BARS bars stands for a loss. Halves, because a difference of two doubles may be more
 * than the largest one. */
static int bar_of(double loss, double least, double largest)
{
    double range = largest / 2 - least / 2;
    double height = range > 0 ? (loss / 2 - least / 2) / range : 0.0;
    return (int)(fmin(fmax(height, 0.0), 1.0) * (BARS - 1) + 0.5);
}

/* One bar a bucket of evaluations (its last one), from the least loss to the largest. */
static void print_sparkline(const History *h, Output *out)
{
    static const char *const blocks[BARS] = {
        "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"
    };
    static const char *const ascii[BARS] = { "_", ".", ":", "-", "=", "+", "*", "#" };
    const char *const *bars = terminal_is_dumb() ? ascii : blocks;
    size_t width = h->count < SPARK_MAX ? h->count : SPARK_MAX;
    double least = HUGE_VAL, largest = -HUGE_VAL;
    for (size_t i = 0; i < h->count; i++) {
        if (!isfinite(h->val_loss[i])) continue;
        least = fmin(least, h->val_loss[i]);
        largest = fmax(largest, h->val_loss[i]);
    }
    print_label(out, "");
    for (size_t i = 0; i < width; i++) {
        double loss = h->val_loss[(i + 1) * h->count / width - 1];
        output_print(out, "%s", isfinite(loss) ? bars[bar_of(loss, least, largest)] : " ");
    }
    output_print(out, "\n");
}

static void print_evaluation(const History *h, size_t i, const char *before, Output *out)
{
    output_print(out, "%s", before);
    print_loss(out, 0, 4, h->val_loss[i]);
    output_print(out, " at step %llu", (unsigned long long)h->step[i]);
}

static void print_losses(const Checkpoint *c, Output *out)
{
    const History *h = &c->history;
    if (h->count == 0) return;
    size_t best = 0, last = h->count - 1;
    for (size_t i = 1; i < h->count; i++)
        if (h->val_loss[i] < h->val_loss[best]) best = i;
    print_label(out, "val loss");
    print_evaluation(h, 0, "", out);
    print_evaluation(h, last, ", ", out);
    print_evaluation(h, best, ", least ", out);
    output_print(out, "\n");
    print_sparkline(h, out);
}

static void print_summary(const Checkpoint *c, const char *path, Output *out)
{
    print_label(out, "checkpoint");
    output_visible(out, path);
    output_print(out, "\n");
    print_label(out, "size");
    output_print(out, "%zu bytes\n", c->size);
    print_label(out, "family");
    output_print(out, "%s\n", c->family->name);
    print_sizes(c, out);
    print_memory(c, out);
    print_alphabet(c, out);
    print_training(c, out);
    print_settings(c, out);
    print_label(out, "sha256");
    output_print(out, "%s\n", c->sha256);
    print_losses(c, out);
    if (c->extra > 0) {
        print_label(out, "note");
        output_print(out, "%d tensors that Folio does not know are ignored\n", c->extra);
    }
}

/* ---------------------------------------------------------------- vocabulary and history */

static void print_vocab(const Checkpoint *c, Output *out)
{
    enum { CELL = 20, CELLS = OUTPUT_WIDTH / CELL };
    char name[40];
    if (tokenizer_has_numbers(&c->tokenizer)) return;       /* no list: all numbers */
    output_print(out, "\n");
    for (int32_t id = 0; id < c->tokenizer.count; id++) {
        bool end = id % CELLS == CELLS - 1 || id == c->tokenizer.count - 1;
        tokenizer_name(&c->tokenizer, id, name, sizeof name);
        output_print(out, end ? "%6d %s\n" : "%6d %-13s", (int)id, name);
    }
}

static void print_history(const History *h, Output *out)
{
    output_print(out, "\n%12s %12s %12s\n", "step", "train loss", "val loss");
    for (size_t i = 0; i < h->count; i++) {
        output_print(out, "%12llu ", (unsigned long long)h->step[i]);
        print_loss(out, 12, 6, h->train_loss[i]);
        output_print(out, " ");
        print_loss(out, 12, 6, h->val_loss[i]);
        output_print(out, "\n");
    }
}

/* ---------------------------------------------------------------- JSON */

/* "vocab" names the list of symbols here; their number is "symbols". */
static void json_config(const Checkpoint *c, Output *out)
{
    char value[SETTING_TEXT];
    output_print(out, ",\"family\":\"%s\"", c->family->name);
    for (int i = 0; i < c->family->field_count; i++) {
        const Field *f = &c->family->fields[i];
        const char *name = strcmp(f->name, FIELD_VOCAB) == 0 ? "symbols" : f->name;
        field_get(&c->config, f, value, sizeof value);
        output_print(out, f->kind == FIELD_WORD ? ",\"%s\":\"%s\"" : ",\"%s\":%s", name, value);
    }
    output_print(out, ",\"parameters\":%zu,\"settings\":{",
                 family_parameters(c->family, &c->config));
    for (int i = 0; i < c->setting_count; i++) {
        const Setting *s = &c->settings[i];
        output_print(out, "%s", i > 0 ? "," : "");
        output_json_text(out, s->name);
        output_print(out, ":");
        if (s->is_number) output_json_real(out, strtod(s->value, NULL));
        else output_json_text(out, s->value);
    }
    output_print(out, "}");
}

static void json_train(const Checkpoint *c, Output *out)
{
    output_print(out, ",\"step\":%llu,\"sha256\":\"%s\",\"resumable\":%s",
                 (unsigned long long)c->step, c->sha256, c->has_train ? "true" : "false");
    if (!c->has_train) return;
    output_print(out, ",\"train\":{\"attempt\":%llu,\"best_step\":%llu,\"best_loss\":",
                 (unsigned long long)c->train.attempt, (unsigned long long)c->train.best_step);
    output_json_real(out, c->train.best_loss);
    output_print(out, ",\"train_loss\":");
    output_json_real(out, c->train.train_loss);
    output_print(out, "}");
}

static void json_memory(const SavedMemory *m, Output *out)
{
    if (m->count == 0) return;
    output_print(out, ",\"memory\":{\"order\":%d,\"characters\":%zu,\"exponents\":", m->order,
                 m->count);
    for (int i = 0; i < 2 * MEMORY_FEATURES; i++) {
        bool first = i % MEMORY_FEATURES == 0;
        output_print(out, i == 0 ? "[[" : first ? "],[" : ",");
        output_json_real(out, m->exponents.of[i / MEMORY_FEATURES][i % MEMORY_FEATURES]);
    }
    output_print(out, "]]}");
}

static void json_vocab(const Tokenizer *t, Output *out)
{
    const Numbers *n = &t->numbers;
    if (tokenizer_has_numbers(t)) {
        output_print(out, ",\"tokenizer\":\"numbers\",\"mean\":%.17g,\"scale\":%.17g,"
                     "\"deviation\":%.17g", n->center, n->scale, n->deviation);
        return;
    }
    output_print(out, ",\"tokenizer\":\"%s\",\"vocab\":[", t->bytes ? "bytes" : "codepoints");
    for (int32_t id = 0; id < t->count; id++) {
        char bytes[TOKEN_ROOM];
        int size = tokenizer_decode(t, id, bytes);
        output_print(out, "%s", id > 0 ? "," : "");
        if (t->separator && id == SEPARATOR_ID) output_print(out, "\"" SEPARATOR_NAME "\"");
        else output_json(out, bytes, (size_t)size, !t->bytes);
    }
    output_print(out, "]");
}

static void json_history(const History *h, Output *out)
{
    output_print(out, ",\"history\":[");
    for (size_t i = 0; i < h->count; i++) {
        output_print(out, "%s{\"step\":%llu", i > 0 ? "," : "", (unsigned long long)h->step[i]);
        output_print(out, ",\"train_loss\":");
        output_json_real(out, h->train_loss[i]);
        output_print(out, ",\"val_loss\":");
        output_json_real(out, h->val_loss[i]);
        output_print(out, "}");
    }
    output_print(out, "]");
}

static void json_tensors(const Checkpoint *c, Output *out)
{
    static const char *const names[] = { "mean", "deviation", "min", "max" };
    output_print(out, ",\"tensors\":[");
    for (int i = 0; i < c->stored_count; i++) {
        const StoredTensor *t = &c->stored[i];
        char shape[100];
        shape_text(t, "[", "]", shape, sizeof shape);
        output_print(out, "%s{\"name\":", i > 0 ? "," : "");
        output_json_text(out, t->name);
        output_print(out, ",\"dtype\":");
        output_json_text(out, t->dtype);
        output_print(out, ",\"shape\":%s", shape);
        Stats s = tensor_stats(t);
        double values[] = { s.mean, s.deviation, s.least, s.largest };
        for (int v = 0; v < 4 && s.known; v++) {
            output_print(out, ",\"%s\":", names[v]);
            output_json_real(out, values[v]);
        }
        output_print(out, "}");
    }
    output_print(out, "]");
}

static void print_json(const Checkpoint *c, const char *path, bool verified, Output *out)
{
    output_print(out, "{\"checkpoint\":");
    output_json_text(out, path);
    output_print(out, ",\"bytes\":%zu", c->size);
    json_config(c, out);
    json_train(c, out);
    json_memory(&c->memory, out);
    json_vocab(&c->tokenizer, out);
    json_history(&c->history, out);
    json_tensors(c, out);
    output_print(out, "%s}\n", verified ? ",\"verify\":[]" : "");
}

/* ---------------------------------------------------------------- damage */

typedef struct {
    Output *out;
    bool json;
    int count;
} Damage;

static void report_damage(void *context, const char *tensor, const char *what)
{
    Damage *d = context;
    if (d->json) {
        output_print(d->out, "%s{\"tensor\":", d->count > 0 ? "," : "{\"verify\":[");
        output_json_text(d->out, tensor);
        output_print(d->out, ",\"what\":");
        output_json_text(d->out, what);
        output_print(d->out, "}");
    } else {
        char name[100], why[300];
        output_print(d->out, "%s: %s\n", plain(tensor, name, sizeof name),
                     plain(what, why, sizeof why));
    }
    d->count++;
}

/* Names every damaged tensor; EXIT_CHECKPOINT if there is one. */
static int verify(const char *path, bool json, Output *out, Err *err)
{
    Damage damage = { out, json, 0 };
    int found = checkpoint_verify(path, report_damage, &damage, err);
    if (found == 0) return 0;
    if (json && damage.count > 0) output_print(out, "]}\n");
    if (found < 0) return -1;
    return fail(err, EXIT_CHECKPOINT, "%s: %d damaged tensor%s", path, found,
                found == 1 ? "" : "s");
}

/* ---------------------------------------------------------------- the program */

static int inspect(const Call *call, Output *out, Err *err)
{
    const Options *o = call->options;
    const char *path = call->operands->items[0];
    Checkpoint c;
    if (o->verify && verify(path, o->common.json, out, err)) return -1;
    if (checkpoint_load(&c, path, err)) return -1;
    if (o->common.json) {
        print_json(&c, path, o->verify, out);
    } else {
        print_summary(&c, path, out);
        if (o->verify) output_print(out, "%-*severy tensor is sound\n", LABEL, "verify");
        if (o->vocab) print_vocab(&c, out);
        if (o->history) print_history(&c.history, out);
        if (o->tensors) print_tensors(&c, out);
    }
    checkpoint_close(&c);
    return 0;
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    return program_main(&cli, &o, inspect, argc, argv);
}
