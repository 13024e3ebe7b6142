/* fit.h: what documents decide about the windows of a new run.
 *
 * Owns: where networks whose weights belong to positions begin their windows, and how long these
 * are.
 *
 *     if (fit_documents(&settings, &corpus, tokenizer.count, &err)) ...;
 */
#ifndef FIT_H
#define FIT_H

#include "settings.h"

/* For such networks a window is a document, and the context holds the longest one; options that
 * are settled stay. EXIT_USAGE: windows cannot be documents, or these do not fit. */
int fit_documents(Settings *s, const Corpus *text, int vocab, Err *err);

#endif
