/* fit.h: what family and documents decide about a new run.
 *
 * Owns: the family's own defaults; where networks whose weights belong to positions begin their
 * windows, and how long these are; what can be an image.
 *
 *     if (fit_documents(&settings, &corpus, tokenizer.count, &err)) ...;
 */
#ifndef FIT_H
#define FIT_H

#include "settings.h"

/* What is not settled gets the defaults of the family, which --help cannot show, for fields
 * of one name are one option. */
int fit_family(Settings *s, Err *err);
/* For such networks a window is a document, and the context holds the longest one; options that
 * are settled stay. EXIT_USAGE: windows cannot be documents, or these do not fit. EXIT_TEXT:
 * of documents that are to be images one has another size. */
int fit_documents(Settings *s, const Corpus *text, int vocab, Err *err);

#endif
