/* corpus.h: files -> ids, the train/validation split, and which window a step reads.
 *
 *     Corpus c;  Tokenizer t = { 0 };
 *     CorpusOptions o = { .separator = true, .val_fraction = 0.1 };
 *     corpus_open(&c, &t, &o, paths, n_paths, &err);    (an empty tokenizer is built from the text)
 *     windows_random(corpus_part(&c, PART_TRAIN), key, batch, context, x, y);
 */
#ifndef CORPUS_H
#define CORPUS_H

#include "base.h"
#include "tokenizer.h"
#include "text/windows.h"

/* PART_KEPT: what corpus_keep_back took from the training part. */
typedef enum { PART_TRAIN, PART_VAL, PART_ALL, PART_KEPT } PartName;

/* How a word splits: NULL for "off". */
const char *corpus_split(const char *word);
/* EXIT_USAGE for a delimiter that no line can be, or that a checkpoint cannot hold. */
int corpus_check_split(const char *word, Err *err);

/* What is held out: the end of the texts; or of documents those whose hash says so, of several
 * texts the end of each, of a single one twenty even stretches. */
#define HOLD_OUT_WORDS "end|spread"
typedef enum { HOLD_OUT_END, HOLD_OUT_SPREAD } HoldOut;

typedef struct {
    bool bytes, separator;  /* for a new vocabulary; ignored if the tokenizer is not empty */
    bool values;            /* likewise: a text of numbers, */
    double deviation;       /* and Numbers.deviation */
    const char *split;      /* NULL: a text is one document; needs a separator */
    HoldOut hold_out;
    Unknown unknown;        /* what a given tokenizer does with characters it lacks */
    double val_fraction;    /* f: held out, of characters or of documents */
    const char *const *known;   /* (known_count) digests: nothing of any other text is held out */
    int known_count;        /* 0: of any text */
    bool drop_mark;         /* leave out a byte order mark that a given tokenizer lacks */
    const char *reader;     /* what reads a text from a pipe, for advice; NULL: ./train - */
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
/* Only finds it: t->path. EXIT_RUNTIME: a folder, memory. */
int text_find(Text *t, const char *path, Err *err);
void text_close(Text *t);

/* What a program says about texts that it reads all the same: sentences joined by "; ", or "". */
typedef struct { char text[300]; } TextNote;

/* EXIT_TEXT, with the command that makes a text of it, if it is a file of another kind. As bytes
 * anything may be learnt but a checkpoint; the note says so if it is compressed. */
int text_check(const Text *t, bool bytes, const char *reader, TextNote *note, Err *err);
/* Takes off a byte order mark at the start that the vocabulary lacks, and notes it. */
void text_drop_mark(Text *t, const Tokenizer *vocabulary, TextNote *note);
/* Its path, or "standard input". */
const char *text_name(const Text *t);

typedef struct {
    int32_t *ids;           /* (count) what is trained on, then what is held out; a separator before
                             * each document, file or stretch, but none in a single plain text */
    size_t count;
    size_t characters;      /* N: ids that are not the separator */
    size_t train_count;     /* ids in the training part */
    size_t train_separators;    /* among train_count */
    size_t kept_back;       /* ids at the end of the training part that are not trained on */
    size_t pieces, held_out;    /* documents, files or stretches, and those of them held out */
    bool separator;         /* id 0 is one */
    Documents *documents;   /* of the training part; none where the text was not split */
    size_t skipped;         /* characters left out because the tokenizer lacks them */
    size_t val_only;        /* different characters of the validation part that training lacks */
    size_t spelled;         /* places where the characters of SEPARATOR_NAME stand in a document */
    size_t usual_size;      /* median length of the documents of the training part; 0: none */
    size_t longest_size;    /* of all documents; 0: none */
    int32_t held_start;     /* starts most of the documents held out, but hardly any other; or -1 */
    char sha256[65];        /* one file: of its bytes; several: of their digests (64 digits each)
                             * joined */
    TextNote note;          /* for the program to print, after "note: " */
    char read[240];         /* the path read ("data/shakespeare.txt"), or "a.txt and 2 more" */
} Corpus;

/* Reads, hashes and encodes the files; empty ones among others are left out, with a note. Of
 * several files all that cannot be used are named in one error. Builds *t if t->count == 0, and
 * leaves it empty again if it fails: with EXIT_RUNTIME (cannot be read, memory), EXIT_TEXT
 * (ill-formed UTF-8, another kind of file, characters the tokenizer lacks, an empty text) or
 * EXIT_USAGE (no text given). */
int corpus_open(Corpus *c, Tokenizer *t, const CorpusOptions *o, const char *const *paths, int n,
                Err *err);
void corpus_close(Corpus *c);

/* Takes up to so many ids from the end of the training part away from it, for what must be chosen
 * on text that nothing has learnt: of documents whole ones, all but the first at most. */
void corpus_keep_back(Corpus *c, size_t most);
Part corpus_part(const Corpus *c, PartName name);
/* Characters of the training part, what is kept back included. */
size_t corpus_train_characters(const Corpus *c);

#endif
