/* corpus.h: files -> ids, the train/validation split, and which window a step reads.
 *
 *     Corpus c;  Tokenizer t = { 0 };
 *     CorpusOptions o = { .separator = true, .val_fraction = 0.1 };
 *     corpus_open(&c, &t, &o, paths, n_paths, &err);    (an empty tokenizer is built from the text)
 *     corpus_random_windows(corpus_part(&c, PART_TRAIN), key, batch, context, x, y);
 */
#ifndef CORPUS_H
#define CORPUS_H

#include "base.h"
#include "tokenizer.h"

typedef enum { PART_TRAIN, PART_VAL, PART_ALL } PartName;

typedef struct {
    const int32_t *ids;
    size_t count;
} Part;

/* Where documents end inside a file: nowhere, after every line, after every blank line. */
#define DOCUMENTS_WORDS "off|LINE|BLANK"
typedef enum { DOCUMENTS_OFF, DOCUMENTS_LINE, DOCUMENTS_BLANK } Documents;

typedef struct {
    bool bytes, separator;  /* for a new vocabulary; ignored if the tokenizer is not empty */
    Documents documents;    /* means nothing without a separator */
    Unknown unknown;        /* what a given tokenizer does with characters it lacks */
    double val_fraction;    /* f: the training part is the first floor((1 - f) N) of N characters */
} CorpusOptions;

/* One file in memory. */
typedef struct {
    char *path;             /* where it was found */
    char *bytes;            /* (size) */
    size_t size;
} Text;

/* Reads a text: "-" is standard input; a bare name that does not exist as given is looked up in
 * data/ (below the working directory). EXIT_RUNTIME: cannot be read, memory. text_close releases
 * it, even then. */
int text_open(Text *t, const char *path, Err *err);
void text_close(Text *t);
/* Its path, or "standard input". */
const char *text_name(const Text *t);

typedef struct {
    int32_t *ids;           /* (count) the files in order; a separator, if there is one, between two
                             * files and where a document ends inside one, but never two side by
                             * side and none at the start */
    size_t count;
    size_t characters;      /* N: ids that are not the separator */
    size_t train_count;     /* ids in the training part */
    size_t train_separators;    /* among train_count */
    size_t skipped;         /* characters left out because the tokenizer lacks them */
    size_t val_only;        /* different characters of the validation part that training lacks */
    char sha256[65];        /* one file: of its bytes; several: of their digests (64 digits each)
                             * joined */
    char read[240];         /* the path read ("data/shakespeare.txt"), or "a.txt and 2 more" */
} Corpus;

/* Reads, hashes and encodes the files. Builds *t if t->count == 0, and leaves it empty again if it
 * fails: with EXIT_RUNTIME (cannot be read, memory), EXIT_TEXT (ill-formed UTF-8, characters the
 * tokenizer lacks, an empty text) or EXIT_USAGE (no text given). */
int corpus_open(Corpus *c, Tokenizer *t, const CorpusOptions *o, const char *const *paths, int n,
                Err *err);
void corpus_close(Corpus *c);

Part corpus_part(const Corpus *c, PartName name);
/* Characters of the training part. */
size_t corpus_train_characters(const Corpus *c);

/* x (batch, context), y (batch, context): windows that start uniformly in [0, count - context - 1],
 * with replacement; window b uses draw b of the stream `key` (base.h). y is x moved on by one
 * character.
 * Needs 1 <= context <= count - 1. nanoGPT draws from the same distribution. */
void corpus_random_windows(Part part, uint64_t key, int batch, int context, int32_t *x, int32_t *y);

/* The same shapes, without replacement: windows first .. first + batch - 1 of an endless sequence
 * of epochs. In an epoch the windows are side by side from a random phase below the context, and
 * each comes once, in random order. */
void corpus_epoch_windows(Part part, uint64_t key, uint64_t first, int batch, int context,
                          int32_t *x, int32_t *y);

#endif
