/* fit.c: windows that are documents. */
#include "fit.h"
#include "trainer.h"

int fit_documents(Settings *s, const Corpus *text, int vocab, Err *err)
{
    const Family *f = settings_family(s);
    Space config;
    char length[24];
    if (settings_config(s, &config, vocab, err)) return -1;
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
