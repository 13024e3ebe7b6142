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
#include "text/documents.h"
#include "formats/digest.h"
#include "formats/kind.h"
#include "system/machine.h"

#define DATA_FOLDER "data/"

enum {
    HEX_DIGITS = 64,
    LARGE_TEXT = 1 << 28,       /* bytes above which the memory is looked at first */
    BAD_SHOWN = 3,              /* texts that cannot be used are named, */
    BAD_ROOM = 150              /* each in at most so many bytes */
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

int text_find(Text *t, const char *path, Err *err)
{
    struct stat info;
    *t = (Text){ .path = found_path(path) };
    if (t->path == NULL) return fail_memory("path of a text", (double)strlen(path), err);
    if (stat(t->path, &info) != 0 || !S_ISDIR(info.st_mode)) return 0;
    return fail(err, EXIT_RUNTIME, "%.240s: is a folder; give the files in it: %.240s%s*", t->path,
                t->path, t->path[strlen(t->path) - 1] == '/' ? "" : "/");
}

int text_open(Text *t, const char *path, Err *err)
{
    if (text_find(t, path, err) || check_size(t->path, err)) return -1;
    return read_file(t->path, &t->bytes, &t->size, err);
}

void text_close(Text *t)
{
    free(t->path);
    free(t->bytes);
    *t = (Text){ 0 };
}

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void add_note(TextNote *note, const char *format, ...)
{
    size_t used = strlen(note->text), room = sizeof note->text;
    va_list args;
    if (used > 0) used += (size_t)snprintf(note->text + used, room - used, "; ");
    if (used >= room) return;
    va_start(args, format);
    vsnprintf(note->text + used, room - used, format, args);
    va_end(args);
}

int text_check(const Text *t, bool bytes, const char *reader, TextNote *note, Err *err)
{
    const Kind *kind = kind_of(t->bytes, t->size);
    if (!kind_is_no_text(kind)) return 0;
    if (!bytes || kind->group == KIND_FOLIO) return kind_refuse(kind, text_name(t), reader, err);
    if (kind->group == KIND_PACKED)
        add_note(note, "%.100s looks like %s: its bytes are compressed, and next to nothing can be "
                 "learnt about them", text_name(t), kind->what);
    return 0;
}

void text_drop_mark(Text *t, const Tokenizer *vocabulary, TextNote *note)
{
    size_t mark = tokenizer_unknown_mark(vocabulary, t->bytes, t->size);
    if (mark == 0) return;
    t->size -= mark;
    memmove(t->bytes, t->bytes + mark, t->size + 1);
    add_note(note, "%.100s: the byte order mark at its start is left out", text_name(t));
}

/* The texts that cannot be used. */
typedef struct {
    int count;
    Err first;
    char list[BAD_SHOWN * (BAD_ROOM + 10)];
    size_t used;
} BadTexts;

/* A long sentence keeps its ends: the name and the cause. */
static void add_bad(BadTexts *b, const Err *why)
{
    size_t length = strlen(why->msg), half = BAD_ROOM / 2 - 3;
    bool cut = length > BAD_ROOM;
    if (b->count++ == 0) b->first = *why;
    if (b->count > BAD_SHOWN) return;
    b->used += (size_t)snprintf(b->list + b->used, sizeof b->list - b->used, "%s(%d) %.*s%s%s",
                                b->count > 1 ? "; " : "", b->count,
                                cut ? (int)half : (int)BAD_ROOM, why->msg, cut ? " ... " : "",
                                cut ? why->msg + length - half : "");
}

static int fail_bad(const BadTexts *b, int n, Err *err)
{
    char more[30] = "";
    *err = b->first;
    if (b->count == 1) return -1;
    if (b->count > BAD_SHOWN) snprintf(more, sizeof more, "; and %d more", b->count - BAD_SHOWN);
    return fail(err, b->first.status, "%d of %d texts cannot be used: %s%s", b->count, n, b->list,
                more);
}

/* One text, and whether it can be used at all; the vocabulary may still lack its characters. */
static int read_text(Corpus *c, const Tokenizer *t, const CorpusOptions *o, Text *text,
                     const char *path, Err *err)
{
    bool learnt = t->count == 0, bytes = learnt ? o->bytes : t->bytes;
    bool values = learnt ? o->values : tokenizer_has_numbers(t);
    const char *reader = o->reader != NULL ? o->reader : "./train -";
    if (text_open(text, path, err) || text_check(text, bytes && !values, reader, &c->note, err))
        return -1;
    if (!learnt && o->drop_mark) text_drop_mark(text, t, &c->note);
    if (values)
        return numbers_check(learnt ? NULL : &t->numbers, text->bytes, text->size, text_name(text),
                             EXIT_TEXT, err);
    return bytes ? 0 : tokenizer_check(text->bytes, text->size, text_name(text), learnt, err);
}

/* Reads the texts, without those that are empty: *n are left. */
static int read_texts(Corpus *c, const Tokenizer *t, const CorpusOptions *o, Text *texts,
                      const char *const *paths, int *n, Err *err)
{
    BadTexts bad = { 0 };
    int kept = 0, empty = 0;
    char first[200] = "";
    for (int i = 0; i < *n; i++) {
        Err why = { 0 };
        if (read_text(c, t, o, &texts[kept], paths[i], &why)) add_bad(&bad, &why);
        else if (texts[kept].size > 0) {
            kept++;
            continue;
        } else if (empty++ == 0) {
            snprintf(first, sizeof first, "%s", text_name(&texts[kept]));
        }
        text_close(&texts[kept]);
    }
    int given = *n;
    *n = kept;
    if (bad.count > 0) return fail_bad(&bad, given, err);
    if (kept == 0)
        return fail(err, EXIT_TEXT, "%s: the text is empty; give one with characters in it", first);
    if (empty == 1) add_note(&c->note, "%.100s is empty and left out", first);
    if (empty > 1) add_note(&c->note, "%d empty texts are left out, %.100s first", empty, first);
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

const char *corpus_split(const char *word) { return strcmp(word, SPLIT_OFF) != 0 ? word : NULL; }

int corpus_check_split(const char *word, Err *err)
{
    enum { LONGEST = 40 };
    size_t size = strlen(word), at = 0;
    for (int length = 1; at < size && length > 0; at += (size_t)length) {
        uint32_t value;
        length = utf8_decode(word + at, size - at, &value);
        if (length > 0 && (value < 0x20 || (value >= 0x7f && value < 0xa0))) length = 0;
        if (length == 0) break;
    }
    if (size > 0 && size <= LONGEST && at == size) return 0;
    return fail(err, EXIT_USAGE, "--split-documents needs LINE, BLANK, or a line of 1 to %d "
                "bytes that parts documents, without control characters", LONGEST);
}

static int build_numbers(Tokenizer *t, const CorpusOptions *o, const Text *texts, int n, Err *err)
{
    Numbers numbers = { .deviation = o->deviation };
    Err why = { 0 };
    const char **bytes = calloc((size_t)n, sizeof *bytes);
    const char **names = calloc((size_t)n, sizeof *names);
    size_t *sizes = calloc((size_t)n, sizeof *sizes);
    bool memory = bytes != NULL && names != NULL && sizes != NULL;
    for (int i = 0; memory && i < n; i++) {
        bytes[i] = texts[i].bytes;
        sizes[i] = texts[i].size;
        names[i] = text_name(&texts[i]);
    }
    if (!memory) fail_memory("list of texts", (double)n * sizeof *bytes, &why);
    else numbers_learn(&numbers, bytes, sizes, names, n, &why);
    free(bytes);
    free(names);
    free(sizes);
    if (why.status == 0) return tokenizer_from_numbers(t, numbers, err);
    *err = why;
    return -1;
}

static int build_vocabulary(Tokenizer *t, const CorpusOptions *o, const Text *texts, int n,
                            Err *err)
{
    if (o->values) return build_numbers(t, o, texts, n, err);
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

/* Appends the pieces that are held out, or those that are not. */
static int encode_pieces(Corpus *c, const Tokenizer *t, const Pieces *p, bool held_out, Err *err)
{
    bool separate = t->separator && p->separate;
    for (const Piece *piece = p->items; piece < p->items + p->count; piece++) {
        if (piece->held_out != held_out) continue;
        Encoding e = { .ids = c->ids + c->count + separate };
        if (tokenizer_encode(t, piece->bytes, piece->size, c->read, UNKNOWN_SKIPPED, EXIT_TEXT, &e,
                             err))
            return -1;
        if (e.count == 0) continue;                         /* all of it was skipped */
        if (separate) c->ids[c->count++] = SEPARATOR_ID;
        if (!held_out) c->documents->begins[c->documents->count++] = c->count - separate;
        c->count += e.count;
        c->characters += e.count;
        c->pieces++;
        c->held_out += held_out;
    }
    return 0;
}

/* Fills c->skipped, and fails where that is not allowed; the first text with such characters is
 * named. */
static int check_characters(Corpus *c, const Tokenizer *t, const CorpusOptions *o,
                            const Text *texts, int n, Err *err)
{
    for (int i = 0; i < n; i++) {
        Encoding e = { .ids = c->ids };
        if (tokenizer_encode(t, texts[i].bytes, texts[i].size, text_name(&texts[i]), o->unknown,
                             EXIT_TEXT, &e, err))
            return -1;
        c->skipped += e.skipped;
    }
    return 0;
}

/* Memory for all ids and for the order of the documents. */
static int open_ids(Corpus *c, const Tokenizer *t, const Text *texts, int n, size_t pieces,
                    Err *err)
{
    size_t room = pieces + 1;                               /* the separators */
    for (int i = 0; i < n; i++) room += count_characters(&texts[i], t->bytes);
    c->ids = calloc(room, sizeof *c->ids);                  /* checks the product for overflow */
    Documents *d = c->documents = calloc(1, sizeof *d);
    if (d != NULL) {
        d->begins = calloc(pieces + 1, sizeof *d->begins);
        d->order = calloc(pieces + 1, sizeof *d->order);
        d->ends = calloc(pieces + 1, sizeof *d->ends);
    }
    if (c->ids != NULL && d != NULL && d->begins != NULL && d->order != NULL && d->ends != NULL)
        return 0;
    return fail_memory("text", (double)room * sizeof *c->ids, err);
}

static size_t count_spelled(const Pieces *p)
{
    static const char name[] = SEPARATOR_NAME;
    size_t count = 0, length = sizeof name - 1;
    for (const Piece *piece = p->items; piece < p->items + p->count; piece++) {
        const char *at = piece->bytes, *end = at + piece->size;
        while ((at = memchr(at, name[0], (size_t)(end - at))) != NULL && at + length <= end)
            count += memcmp(at++, name, length) == 0;
    }
    return count;
}

static int by_size(const void *a, const void *b)
{
    const size_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The median length of the documents of the training part. */
static size_t usual_size(Documents *d)
{
    if (d->count == 0) return 0;
    size_t *sizes = d->order;                               /* windows.c fills it anew */
    for (size_t i = 0; i < d->count; i++) sizes[i] = d->begins[i + 1] - d->begins[i] - 1;
    qsort(sizes, d->count, sizeof *sizes, by_size);
    return sizes[d->count / 2];
}

/* Of the documents of both parts, each of which begins after a separator. */
static size_t longest_size(const Corpus *c)
{
    size_t longest = 0;
    if (c->documents->count == 0) return 0;
    for (size_t i = 0, begin = 0; i <= c->count; i++) {
        if (i < c->count && c->ids[i] != SEPARATOR_ID) continue;
        if (i - begin > longest) longest = i - begin;
        begin = i + 1;
    }
    return longest;
}

static bool is_known(const CorpusOptions *o, const char *sha256)
{
    for (int i = 0; i < o->known_count; i++)
        if (strcmp(o->known[i], sha256) == 0) return true;
    return o->known_count == 0;
}

/* Everything about ids. built: of these texts, so that the vocabulary lacks nothing. */
static int encode_texts(Corpus *c, const Tokenizer *t, bool built, const CorpusOptions *o,
                        const Text *texts, int n, Err *err)
{
    Pieces p;
    CorpusOptions how = *o;
    how.bytes = t->bytes;
    if (!is_known(o, c->sha256)) how.val_fraction = 0;
    c->separator = t->separator;
    if (!t->separator) how.split = NULL;
    int failed = pieces_open(&p, &how, texts, n, err) || open_ids(c, t, texts, n, p.count, err)
        || (!built && check_characters(c, t, &how, texts, n, err))
        || encode_pieces(c, t, &p, false, err);
    c->train_count = c->count;
    c->train_separators = c->count - c->characters;
    if (!failed) {
        c->documents->begins[c->documents->count] = c->count;
        if (how.split == NULL) c->documents->count = 0;
        failed = encode_pieces(c, t, &p, true, err);
        c->spelled = t->separator ? count_spelled(&p) : 0;
        c->usual_size = usual_size(c->documents);
        c->longest_size = longest_size(c);
    }
    pieces_close(&p);
    if (!failed && c->characters == 0)
        failed = fail(err, EXIT_TEXT, "%s: the vocabulary has none of its characters; is it the "
                      "right text?", c->read);
    return failed ? -1 : 0;
}

/* ---------------------------------------------------------------- what was split */

/* Fills val_only. */
static int count_val_only(Corpus *c, const Tokenizer *t, Err *err)
{
    if (tokenizer_has_numbers(t)) return 0;
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

/* Fills held_start: more than half of at least ten, and less than a twentieth. */
static int find_held_start(Corpus *c, const Tokenizer *t, Err *err)
{
    enum { LEAST = 10 };
    c->held_start = -1;
    if (c->documents->count == 0 || c->held_out < LEAST || tokenizer_has_numbers(t)) return 0;
    size_t *starts = calloc(2 * (size_t)t->count, sizeof *starts), *held = starts + t->count;
    if (starts == NULL) return fail_memory("vocabulary", t->count, err);
    for (size_t i = 0; i + 1 < c->count; i++)
        if (c->ids[i] == SEPARATOR_ID) (i < c->train_count ? starts : held)[c->ids[i + 1]]++;
    for (int32_t id = 0; id < t->count; id++)
        if (2 * held[id] > c->held_out && 20 * starts[id] < c->documents->count) c->held_start = id;
    free(starts);
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
    int failed = read_texts(c, t, o, texts, paths, &n, err) || identify(c, texts, n, err)
              || (build && build_vocabulary(t, o, texts, n, err))
              || encode_texts(c, t, build, o, texts, n, err);
    if (!failed) failed = count_val_only(c, t, err) || find_held_start(c, t, err);
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
    if (c->documents != NULL) {
        free(c->documents->begins);
        free(c->documents->order);
        free(c->documents->ends);
    }
    free(c->documents);
    *c = (Corpus){ 0 };
}

void corpus_keep_back(Corpus *c, size_t most)
{
    Documents *d = c->documents;
    c->kept_back = most < c->train_count ? most : c->train_count - 1;
    if (d == NULL || d->count == 0) return;
    size_t count = d->count;
    while (count > 1 && c->train_count - d->begins[count - 1] <= most) count--;
    c->kept_back = c->train_count - d->begins[count];
    d->count = count;
    d->ordered = false;
}

Part corpus_part(const Corpus *c, PartName name)
{
    size_t trained = c->train_count - c->kept_back;
    size_t first = name == PART_VAL ? c->train_count : name == PART_KEPT ? trained : 0;
    size_t end = name == PART_TRAIN ? trained : name == PART_KEPT ? c->train_count : c->count;
    const Documents *d = c->documents;
    bool split = name == PART_TRAIN && d != NULL && d->count > 0;
    return (Part){ .ids = c->ids + first, .count = end - first, .separator = c->separator,
                   .documents = split ? c->documents : NULL };
}

size_t corpus_train_characters(const Corpus *c) { return c->train_count - c->train_separators; }
