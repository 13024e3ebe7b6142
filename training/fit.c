/* fit.c: windows that are documents. */
#include "fit.h"
#include "trainer.h"

int fit_family(Settings *s, Err *err)
{
    const Family *f = settings_family(s);
    for (const Field *field = f->fields; field < f->fields + f->field_count; field++)
        if (field->text != NULL
            && settings_adopt(s, (const Choice[]){ { field->name, field->text }, { NULL, NULL } },
                              err)) return -1;
    return 0;
}

/* Documents of one length, whole rows of pixels and perhaps a line end. */
static int check_images(const Corpus *text, int width, Err *err)
{
    enum { LINE_END = 1 };
    size_t size = text->longest_size;
    if (size == 0)
        return fail(err, EXIT_USAGE, "--image-width: %s is one document; say what an image is, "
                    "with --split-documents LINE", text->read);
    if (size < (size_t)width || size % (size_t)width > LINE_END)
        return fail(err, EXIT_TEXT, "%s: its longest image has %zu characters, which are no rows "
                    "of %d pixels and a line end", text->read, size, width);
    for (size_t i = 1, begin = 0; i <= text->count; i++) {
        if (i < text->count && text->ids[i] != SEPARATOR_ID) continue;
        if (i - begin - 1 != size)
            return fail(err, EXIT_TEXT, "%s: one of its images has %zu characters, its line end "
                        "included, and another %zu; all must have one size", text->read,
                        i - begin - 1, size);
        begin = i;
    }
    return 0;
}

/* Vectors of one length, which is the context; of short ones a step takes more, so that it has
 * about as many numbers as it would have had characters. */
static int fit_vectors(Settings *s, const Corpus *text, int vocab, Err *err)
{
    const Family *f = settings_family(s);
    enum { BATCH_MOST = 256 };
    Space config;
    char length[24], batch[24];
    size_t size = text->longest_size;
    for (size_t i = 1, begin = 0; i <= text->count; i++) {
        if (i < text->count && text->ids[i] != SEPARATOR_ID) continue;
        if (i - begin - 1 != size)
            return fail(err, EXIT_TEXT, "%s: one of its vectors has %zu numbers, and another %zu; "
                        "all must have as many", text->read, i - begin - 1, size);
        begin = i;
    }
    if (size > CONTEXT_MAX)
        return fail(err, EXIT_TEXT, "%s: its vectors have %zu numbers, and %d are the most that a "
                    "network takes", text->read, size, CONTEXT_MAX);
    if (settings_config(s, &config, vocab, err)) return -1;
    int64_t windows = s->batch * family_context(f, &config) / (int64_t)size;
    windows = windows < BATCH_MOST ? windows : BATCH_MOST;
    windows = windows > s->batch ? windows : s->batch;
    snprintf(batch, sizeof batch, "%lld", (long long)windows);
    snprintf(length, sizeof length, "%zu", size);
    const Choice fitting[] = {
        { "sampling", "document" }, { "batch", batch }, { FIELD_CONTEXT, length }, { NULL, NULL }
    };
    if (settings_adopt(s, fitting, err) || settings_config(s, &config, vocab, err)
        || family_check_numbers(f, &config, err)) return -1;
    if (s->eval_batches > 0)
        return fail(err, EXIT_USAGE, "--eval-batches: vectors are evaluated as a whole; leave it "
                    "out");
    if (s->sampling == SAMPLING_DOCUMENT && (size_t)family_context(f, &config) == size) return 0;
    return fail(err, EXIT_USAGE, "--values needs --sampling document and a --context of %zu, the "
                "numbers of a vector; leave both options out", size);
}

int fit_documents(Settings *s, const Corpus *text, int vocab, Err *err)
{
    if (s->values) return fit_vectors(s, text, vocab, err);
    const Family *f = settings_family(s);
    Space config;
    char length[24];
    if (settings_config(s, &config, vocab, err)) return -1;
    const Field *width = family_field(f, "image-width");
    if (width != NULL && *field_int(&config, width) > 0
        && check_images(text, *field_int(&config, width), err))
        return -1;
    bool by_position = f->by_position != NULL && f->by_position(&config);
    bool split = text->longest_size > 0;
    if (by_position && split) {
        static const Choice windows[] = { { "sampling", "document" }, { NULL, NULL } };
        if (settings_adopt(s, windows, err)) return -1;
    }
    if (s->sampling != SAMPLING_DOCUMENT) return 0;
    if (!split)
        return fail(err, EXIT_USAGE, "--sampling document: %s is one document; say what a document "
                    "is, with --split-documents", text->read);
    if (!by_position) return 0;
    snprintf(length, sizeof length, "%zu", text->longest_size);
    if (text->longest_size <= CONTEXT_MAX
        && settings_adopt(s, (const Choice[]){ { FIELD_CONTEXT, length }, { NULL, NULL } }, err))
        return -1;
    if (settings_config(s, &config, vocab, err)) return -1;
    if (text->longest_size <= (size_t)family_context(f, &config)) return 0;
    return fail(err, EXIT_USAGE, "--context %d: %s has a document of %zu characters, and the %s "
                "family has weights for each position; give a longer context, or --sampling epoch",
                family_context(f, &config), text->read, text->longest_size, f->name);
}
