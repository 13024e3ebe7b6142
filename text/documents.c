/* documents.c: cuts texts into documents, and chooses those that are held out. */
#include "../base.h"
#include "documents.h"

enum { STRETCHES = 20 };    /* of a plain text that is held out in even stretches */

/* ---------------------------------------------------------------- lines */

static bool is_end(char c) { return c == '\n' || c == '\r'; }

size_t line_length(const char *text, size_t size)
{
    size_t length = 0;
    while (length < size && !is_end(text[length])) length++;
    return length;
}

size_t line_size(const char *text, size_t size, bool *blank)
{
    size_t length = line_length(text, size);
    *blank = true;
    for (size_t i = 0; i < length && *blank; i++)
        *blank = text[i] == ' ' || text[i] == '\t' || text[i] == '\v' || text[i] == '\f';
    if (length == size) return length;
    bool pair = text[length] == '\r' && length + 1 < size && text[length + 1] == '\n';
    return length + (pair ? 2 : 1);
}

/* ---------------------------------------------------------------- documents */

/* Adds a document that is not empty; without memory for it only counts. */
static void add_piece(Pieces *p, const char *begin, const char *end, bool held_out)
{
    if (begin == end) return;
    if (p->items != NULL) p->items[p->count] = (Piece){ begin, (size_t)(end - begin), held_out };
    p->count++;
}

/* LINE: every line that is not blank. BLANK: what runs of blank lines part. Any other word: what
 * lines that equal it part, unless all of it is blank. */
static void cut_documents(Pieces *p, const char *split, const Text *text)
{
    const char *at = text->bytes, *end = at + text->size, *begin = at;
    bool lines = strcmp(split, SPLIT_LINE) == 0, blanks = strcmp(split, SPLIT_BLANK) == 0;
    bool ink = false;
    while (at < end) {
        bool blank;
        size_t size = line_size(at, (size_t)(end - at), &blank), length = line_length(at, size);
        bool word = !lines && !blanks && length == strlen(split) && memcmp(at, split, length) == 0;
        if (word || (blank && (lines || blanks))) {         /* a line that belongs to no document */
            add_piece(p, begin, ink ? at : begin, false);
            begin = at + size;
            ink = false;
        }
        ink = ink || !(blank || word);
        at += size;
        if (lines && ink) {
            add_piece(p, begin, at, false);
            begin = at;
            ink = false;
        }
    }
    add_piece(p, begin, ink ? end : begin, false);
}

/* ---------------------------------------------------------------- which documents are held out */

typedef struct {
    uint64_t hash;          /* of the bytes, then of how many equal documents came before, too */
    size_t index;
} Hashed;

static uint64_t hash_bytes(const char *bytes, size_t size)
{
    uint64_t h = 0xcbf29ce484222325u;                       /* FNV-1a (Fowler, Noll, Vo) */
    for (size_t i = 0; i < size; i++) h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return mix64(h);
}

static int by_hash(const void *a, const void *b)
{
    const Hashed *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The number of them is about the share; where there are two documents, one of each kind at least.
 * A document is held out by what it is, so neither order, seed nor later additions decide. */
static int hold_out_by_hash(Pieces *p, double share, Err *err)
{
    Hashed *list = malloc((p->count + 1) * sizeof *list);
    if (list == NULL) return fail(err, EXIT_RUNTIME, "not enough memory to choose documents");
    for (size_t i = 0; i < p->count; i++)
        list[i] = (Hashed){ hash_bytes(p->items[i].bytes, p->items[i].size), i };
    qsort(list, p->count, sizeof *list, by_hash);
    uint64_t before = 0, equal = 0, limit = (uint64_t)(share * 0x1p63) << 1, held = 0;
    size_t least = 0, most = 0;
    for (size_t i = 0; i < p->count; i++) {
        equal = i > 0 && list[i].hash == before ? equal + 1 : 0;
        before = list[i].hash;
        list[i].hash = rng_bits(before, equal);
        p->items[list[i].index].held_out = list[i].hash < limit;
        held += list[i].hash < limit;
        if (list[i].hash < list[least].hash) least = i;
        if (list[i].hash > list[most].hash) most = i;
    }
    if (p->count > 1 && held == 0) p->items[list[least].index].held_out = true;
    if (held == p->count) p->items[list[most].index].held_out = false;
    free(list);
    return 0;
}

/* The last documents, from the one on with which the share of the bytes is reached; never all. */
static void hold_out_last(Pieces *p, double share)
{
    double all = 0, held = 0;
    for (size_t i = 0; i < p->count; i++) all += (double)p->items[i].size;
    for (size_t i = p->count; i > 1 && held < share * all; i--) {
        p->items[i - 1].held_out = true;
        held += (double)p->items[i - 1].size;
    }
}

/* ---------------------------------------------------------------- texts without documents */

/* floor((1 - f) N), as N - ceil(f N). A decimal fraction is only nearly a double: 0.07 x 100 comes
 * out a little above 7. The two roundings are at most 2^-52 of f N together; four times that is
 * taken off first. */
static size_t training_characters(double val_fraction, size_t characters)
{
    double held_out = ceil(val_fraction * (double)characters * (1.0 - 0x1p-50));
    if (!(held_out > 0.0)) return characters;
    return held_out < (double)characters ? characters - (size_t)held_out : 0;
}

static bool begins_character(char byte, bool bytes)
{
    return bytes || ((unsigned char)byte & 0xc0) != 0x80;
}

/* Where `count` characters after `at` end. */
static const char *skip_characters(const char *at, const char *end, size_t count, bool bytes)
{
    while (at < end && count > 0) {
        do at++;
        while (at < end && !begins_character(*at, bytes));
        count--;
    }
    return at;
}

/* The end of each of `stretches` even stretches is held out. */
static void cut_ends(Pieces *p, const CorpusOptions *o, const char *at, const char *end,
                     int stretches)
{
    size_t characters = 0;
    for (const char *c = at; c < end; c++) characters += begins_character(*c, o->bytes);
    for (int i = 0; i < stretches; i++) {
        size_t first = characters * (size_t)i / (size_t)stretches;
        size_t count = characters * (size_t)(i + 1) / (size_t)stretches - first;
        size_t trained = training_characters(o->val_fraction, count);
        const char *cut = skip_characters(at, end, trained, o->bytes);
        const char *next = skip_characters(cut, end, count - trained, o->bytes);
        add_piece(p, at, cut, false);
        add_piece(p, cut, next, true);
        at = next;
    }
}

/* The end of all texts together. */
static void cut_last(Pieces *p, const CorpusOptions *o, const Text *texts, int n)
{
    size_t characters = 0;
    for (int i = 0; i < n; i++)
        for (size_t c = 0; c < texts[i].size; c++)
            characters += begins_character(texts[i].bytes[c], o->bytes);
    size_t left = training_characters(o->val_fraction, characters);
    for (int i = 0; i < n; i++) {
        const char *at = texts[i].bytes, *end = at + texts[i].size;
        const char *cut = skip_characters(at, end, left, o->bytes);
        for (const char *c = at; c < cut; c++) left -= begins_character(*c, o->bytes);
        add_piece(p, at, cut, false);
        add_piece(p, cut, end, true);
    }
}

/* ---------------------------------------------------------------- the whole */

static void cut(Pieces *p, const CorpusOptions *o, const Text *texts, int n)
{
    p->count = 0;
    if (o->split == NULL && o->hold_out == HOLD_OUT_END) {
        cut_last(p, o, texts, n);
        return;
    }
    for (int i = 0; i < n; i++) {
        const char *bytes = texts[i].bytes;
        if (o->split != NULL) cut_documents(p, o->split, &texts[i]);
        else cut_ends(p, o, bytes, bytes + texts[i].size, n == 1 ? STRETCHES : 1);
    }
}

int pieces_open(Pieces *p, const CorpusOptions *o, const Text *texts, int n, Err *err)
{
    *p = (Pieces){ .separate = o->split != NULL || n > 1 || o->hold_out != HOLD_OUT_END };
    cut(p, o, texts, n);
    p->items = calloc(p->count + 1, sizeof *p->items);
    if (p->items == NULL)
        return fail(err, EXIT_RUNTIME, "not enough memory for %zu pieces of text", p->count);
    cut(p, o, texts, n);
    if (p->count == 0)
        return fail(err, EXIT_TEXT, "%.200s: has no documents: its lines are blank or part "
                    "documents", text_name(&texts[0]));
    if (o->split == NULL || o->val_fraction <= 0) return 0;
    if (o->hold_out == HOLD_OUT_END) hold_out_last(p, o->val_fraction);
    else if (hold_out_by_hash(p, o->val_fraction, err)) return -1;
    return 0;
}

void pieces_close(Pieces *p)
{
    free(p->items);
    *p = (Pieces){ 0 };
}
