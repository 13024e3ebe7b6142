/* corpus.c: owns the way from files to one array of ids, where it is split, how windows are drawn.
 *
 * Everything is read and encoded once, at start: later changes of the files have no effect. The
 * texts are held while they are encoded (4 bytes an id beside them) and then freed.
 *
 *     Corpus c;
 *     if (corpus_open(&c, &t, &o, paths, n, &err)) ...;
 *     Part val = corpus_part(&c, PART_VAL);          val.ids[0 .. val.count - 1]
 *     corpus_close(&c);
 */
#include "base.h"
#include "corpus.h"
#include "formats/digest.h"
#include "system/machine.h"

#define DATA_FOLDER "data/"

enum {
    HEX_DIGITS = 64,
    LARGE_TEXT = 1 << 28        /* bytes above which the memory is looked at first */
};

/* ---------------------------------------------------------------- files */

static int fail_memory(const char *what, double bytes, Err *err)
{
    return fail(err, EXIT_RUNTIME, "not enough memory for the %s (%.0f bytes needed)", what, bytes);
}

static bool exists(const char *path) { return access(path, F_OK) == 0 || errno != ENOENT; }

/* The path to read, as given or below data/; the caller frees it. NULL: not enough memory. */
static char *found_path(const char *path)
{
    size_t room = sizeof DATA_FOLDER + strlen(path);
    char *found = malloc(room);
    if (found == NULL) return NULL;
    snprintf(found, room, "%s%s", DATA_FOLDER, path);
    bool bare = path[0] != '\0' && strchr(path, '/') == NULL && strcmp(path, "-") != 0;
    if (!bare || exists(path) || !exists(found)) snprintf(found, room, "%s", path);
    return found;
}

const char *text_name(const Text *t)
{
    return strcmp(t->path, "-") == 0 ? "standard input" : t->path;
}

/* Fails before a text is read that the system would end the program for. A character is at most 4
 * bytes and its id is 4, so a text takes at least its size twice. */
static int check_size(const char *path, Err *err)
{
    struct stat info;
    if (stat(path, &info) != 0 || info.st_size < LARGE_TEXT) return 0;
    double bytes = 2.0 * (double)info.st_size, limit = memory_limit_bytes();
    if (bytes <= limit) return 0;
    return fail(err, EXIT_RUNTIME, "%.240s: this text needs at least %.0f MB of memory, and the "
                "machine or container has %.0f MB; give a part of it", path, bytes / 1e6,
                limit / 1e6);
}

int text_open(Text *t, const char *path, Err *err)
{
    *t = (Text){ .path = found_path(path) };
    if (t->path == NULL) return fail_memory("path of a text", (double)strlen(path), err);
    if (check_size(t->path, err)) return -1;
    return read_file(t->path, &t->bytes, &t->size, err);
}

void text_close(Text *t)
{
    free(t->path);
    free(t->bytes);
    *t = (Text){ 0 };
}

static int read_texts(Text *texts, const char *const *paths, int n, Err *err)
{
    for (int i = 0; i < n; i++) {
        if (text_open(&texts[i], paths[i], err)) return -1;
        if (texts[i].size == 0)
            return fail(err, EXIT_TEXT, "%.240s: the text is empty; give one with characters in it",
                        text_name(&texts[i]));
    }
    return 0;
}

/* Fills c->sha256 and c->read. */
static int identify(Corpus *c, const Text *texts, int n, Err *err)
{
    char *digests = malloc((size_t)n * HEX_DIGITS + 1);
    if (digests == NULL) return fail_memory("digests of the texts", (double)n * HEX_DIGITS, err);
    for (int i = 0; i < n; i++)
        sha256_hex(texts[i].bytes, texts[i].size, digests + (size_t)i * HEX_DIGITS);
    if (n == 1) memcpy(c->sha256, digests, sizeof c->sha256);
    else sha256_hex(digests, (size_t)n * HEX_DIGITS, c->sha256);
    free(digests);

    if (n == 1) snprintf(c->read, sizeof c->read, "%s", text_name(&texts[0]));
    else snprintf(c->read, sizeof c->read, "%.200s and %d more", text_name(&texts[0]), n - 1);
    return 0;
}

/* ---------------------------------------------------------------- ids */

static int build_vocabulary(Tokenizer *t, const CorpusOptions *o, const Text *texts, int n,
                            Err *err)
{
    if (tokenizer_start(t, o->bytes, o->separator, err)) return -1;
    for (int i = 0; i < n; i++)
        if (tokenizer_add(t, texts[i].bytes, texts[i].size, text_name(&texts[i]), err)) return -1;
    return tokenizer_finish(t, err);
}

/* Characters of a text, if it is well-formed: each has exactly one byte that does not continue
 * another. */
static size_t count_characters(const Text *text, bool bytes)
{
    if (bytes) return text->size;
    size_t count = 0;
    for (size_t i = 0; i < text->size; i++) count += ((unsigned char)text->bytes[i] & 0xc0) != 0x80;
    return count;
}

/* The size of the line at `text`, its newline included. *blank: only spaces, tabs and line ends are
 * in it. */
static size_t line_size(const char *text, size_t size, bool *blank)
{
    const char *newline = memchr(text, '\n', size);
    size_t length = newline != NULL ? (size_t)(newline - text) + 1 : size;
    *blank = true;
    for (size_t i = 0; i < length && *blank; i++)
        *blank = text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n';
    return length;
}

static size_t count_lines(const Text *text)
{
    size_t lines = 0;
    bool blank;
    for (size_t at = 0; at < text->size; lines++)
        at += line_size(text->bytes + at, text->size - at, &blank);
    return lines;
}

static void end_document(Corpus *c)
{
    if (c->count > 0 && c->ids[c->count - 1] != SEPARATOR_ID) c->ids[c->count++] = SEPARATOR_ID;
}

/* Appends a text that is known to be well-formed line by line, with the separators inside it. */
static int encode_lines(Corpus *c, const Tokenizer *t, const CorpusOptions *o, const Text *text,
                        Err *err)
{
    for (size_t at = 0, size; at < text->size; at += size) {
        bool blank;
        size = line_size(text->bytes + at, text->size - at, &blank);
        Encoding e = { .ids = c->ids + c->count };
        if (tokenizer_encode(t, text->bytes + at, size, text_name(text), o->unknown, EXIT_TEXT, &e,
                             err))
            return -1;
        c->count += e.count;
        if (blank || o->documents == DOCUMENTS_LINE) end_document(c);
    }
    return 0;
}

/* Fills c->ids, count, characters and skipped. */
static int encode_texts(Corpus *c, const Tokenizer *t, const CorpusOptions *o, const Text *texts,
                        int n, Err *err)
{
    bool lines = t->separator && o->documents != DOCUMENTS_OFF;
    size_t room = (size_t)n;                    /* the separators */
    for (int i = 0; i < n; i++)
        room += count_characters(&texts[i], t->bytes) + (lines ? count_lines(&texts[i]) : 0);
    c->ids = calloc(room, sizeof *c->ids);      /* checks the product for overflow */
    if (c->ids == NULL) return fail_memory("text", (double)room * sizeof *c->ids, err);

    for (int i = 0; i < n; i++) {
        if (t->separator) end_document(c);
        Encoding e = { .ids = c->ids + c->count };
        if (tokenizer_encode(t, texts[i].bytes, texts[i].size, text_name(&texts[i]), o->unknown,
                             EXIT_TEXT, &e, err))
            return -1;
        c->characters += e.count;
        c->skipped += e.skipped;
        if (!lines) c->count += e.count;    /* else it was encoded for its errors and its counts */
        else if (encode_lines(c, t, o, &texts[i], err)) return -1;
    }
    if (c->characters == 0)
        return fail(err, EXIT_TEXT, "%s: the vocabulary has none of its characters; is it the "
                    "right text?", c->read);
    return 0;
}

/* ---------------------------------------------------------------- the split */

/* floor((1 - f) N), as N - ceil(f N). A decimal fraction is only nearly a double: 0.07 x 100 comes
 * out a little above 7. The two roundings are at most 2^-52 of f N together; four times that is
 * taken off first. */
static size_t training_characters(double val_fraction, size_t characters)
{
    double held_out = ceil(val_fraction * (double)characters * (1.0 - 0x1p-50));
    if (!(held_out > 0.0)) return characters;
    return held_out < (double)characters ? characters - (size_t)held_out : 0;
}

/* Fills train_count, train_separators. The part ends after its last character: a separator that
 * follows opens the validation part. */
static void split(Corpus *c, bool separator, double val_fraction)
{
    size_t wanted = training_characters(val_fraction, c->characters), at = 0, separators = 0;
    for (; at - separators < wanted; at++) separators += separator && c->ids[at] == SEPARATOR_ID;
    if (wanted == c->characters) at = c->count;
    c->train_count = at;
    c->train_separators = at - wanted;
}

/* Fills val_only. */
static int count_val_only(Corpus *c, const Tokenizer *t, Err *err)
{
    bool *met = calloc((size_t)t->count, sizeof *met);
    if (met == NULL) return fail_memory("vocabulary", t->count, err);
    if (t->separator) met[SEPARATOR_ID] = true;
    for (size_t i = 0; i < c->train_count; i++) met[c->ids[i]] = true;
    for (size_t i = c->train_count; i < c->count; i++) {
        c->val_only += !met[c->ids[i]];
        met[c->ids[i]] = true;
    }
    free(met);
    return 0;
}

/* ---------------------------------------------------------------- the corpus */

int corpus_open(Corpus *c, Tokenizer *t, const CorpusOptions *o, const char *const *paths, int n,
                Err *err)
{
    *c = (Corpus){ 0 };
    if (n < 1)
        return fail(err, EXIT_USAGE, "no text is given; name a file, or - for standard input");
    Text *texts = calloc((size_t)n, sizeof *texts);
    if (texts == NULL) return fail_memory("list of texts", (double)n * sizeof *texts, err);

    bool build = t->count == 0;
    int failed = read_texts(texts, paths, n, err) || identify(c, texts, n, err)
              || (build && build_vocabulary(t, o, texts, n, err))
              || encode_texts(c, t, o, texts, n, err);
    if (!failed) {
        split(c, t->separator, o->val_fraction);
        failed = count_val_only(c, t, err);
    }
    for (int i = 0; i < n; i++) text_close(&texts[i]);
    free(texts);
    if (failed) {
        corpus_close(c);
        if (build) tokenizer_close(t);
    }
    return failed ? -1 : 0;
}

void corpus_close(Corpus *c)
{
    free(c->ids);
    *c = (Corpus){ 0 };
}

Part corpus_part(const Corpus *c, PartName name)
{
    size_t first = name == PART_VAL ? c->train_count : 0;
    size_t end = name == PART_TRAIN ? c->train_count : c->count;
    return (Part){ .ids = c->ids + first, .count = end - first };
}

size_t corpus_train_characters(const Corpus *c) { return c->train_count - c->train_separators; }

static void copy_window(Part part, size_t start, size_t length, int32_t *x, int32_t *y)
{
    memcpy(x, part.ids + start, length * sizeof *x);
    memcpy(y, part.ids + start + 1, length * sizeof *y);
}

void corpus_random_windows(Part part, uint64_t key, int batch, int context, int32_t *x, int32_t *y)
{
    size_t length = (size_t)context;
    for (int b = 0; b < batch; b++, x += length, y += length)
        copy_window(part, (size_t)rng_below(key, (uint64_t)b, part.count - length), length, x, y);
}

void corpus_epoch_windows(Part part, uint64_t key, uint64_t first, int batch, int context,
                          int32_t *x, int32_t *y)
{
    size_t length = (size_t)context, starts = part.count - length;
    uint64_t windows = starts / length > 0 ? starts / length : 1;
    uint64_t phases = starts < length ? starts : length;
    for (int b = 0; b < batch; b++, x += length, y += length) {
        uint64_t number = first + (uint64_t)b, epoch = rng_bits(key, number / windows);
        uint64_t window = rng_permute(epoch, number % windows, windows);
        copy_window(part, (size_t)(rng_below(epoch, 0, phases) + window * length), length, x, y);
    }
}
