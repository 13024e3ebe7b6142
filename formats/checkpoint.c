/* checkpoint.c: the checkpoint's format.
 *
 * Owns: little-endian numbers, and the check of every byte of a file that may come from a stranger.
 * Reading goes from the outside inwards: what the file looks like, the header's JSON, the header's
 * checksum, the configuration, every tensor's name, type and shape, and only then the tensors'
 * checksums and values. Nothing is allocated that the file's size does not back.
 *
 *     Saver *saver;
 *     if (saver_open(&saver, &snapshot, &err)) ...;                  (the only allocation)
 *     int status = checkpoint_save(saver, &snapshot, paths.best, paths.temp, &err);
 *     saver_close(saver);
 */
#include "../base.h"
#include "checkpoint.h"
#include "digest.h"
#include "json.h"
#include "kind.h"
#include "../system/files.h"

#include <inttypes.h>

enum {
    LENGTH_BYTES = 8,           /* of the header's length, at the start of the file */
    ALIGNMENT = 64,             /* the data start at a multiple of it */
    HEADER_MAX = 100000000,     /* the format's own limit */
    NAME_ROOM = 256,            /* for a tensor's name or a key, with its NUL */
    META_MAX = 64,              /* entries of __metadata__ */
    TENSORS_MAX = 1 << 17,
    SHORTEST_ENTRY = 49,        /* bytes of "":{"dtype":"U8","shape":[],"data_offsets":[0,0]}, */
    CRC_DIGITS = 8,
    BUFFER_ROOM = 1 << 18,      /* bytes that a save writes at once, at least */
    HEADER_GROWTH = 1 << 10,    /* bytes that a header may grow by when its numbers do */
    TILE = 32                   /* side of the squares, kept in the cache, of a transposition */
};

/* The scalars of a training state: tensors of shape [1]. */
static const struct {
    const char *name, *dtype;
    size_t offset;              /* into TrainState; 8 bytes each */
} train_fields[] = {
    { "train.attempt", "U64", offsetof(TrainState, attempt) },
    { "train.skipped", "U64", offsetof(TrainState, skipped) },
    { "train.best_step", "U64", offsetof(TrainState, best_step) },
    { "train.best_loss", "F64", offsetof(TrainState, best_loss) },
    { "train.train_loss", "F64", offsetof(TrainState, train_loss) },
    { "train.grad_norm", "F64", offsetof(TrainState, grad_norm) },
};

enum { TRAIN_FIELDS = sizeof train_fields / sizeof train_fields[0] };

static const char ids_name[] = "memory.ids", exponents_name[] = "memory.exponents";
static const char crc_zeroed[] = "00000000", crc_key[] = "folio.header_crc32c";

/* The error of a file that is not a sound checkpoint. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static int unsound(Err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err->status = EXIT_CHECKPOINT;
    vsnprintf(err->msg, sizeof err->msg, format, args);
    va_end(args);
    return -1;
}

static int no_memory(Err *err, const char *what)
{
    return fail(err, EXIT_RUNTIME, "not enough memory %s", what);
}

/* ---------------------------------------------------------------- bytes */

static uint32_t get_u32(const void *bytes)
{
    const unsigned char *p = bytes;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const void *bytes)
{
    const unsigned char *p = bytes;
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static double get_f64(const void *bytes)
{
    uint64_t bits = get_u64(bytes);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static real get_f32(const void *bytes)
{
    uint32_t bits = get_u32(bytes);
    float value;
    memcpy(&value, &bits, sizeof value);
    return (real)value;
}

/* An id of `width` bytes; one of four that is no id is below 0. */
static int32_t get_id(const char *bytes, size_t width)
{
    uint32_t id = 0;
    for (size_t b = width; b > 0; b--) id = id << 8 | (unsigned char)bytes[b - 1];
    return id <= INT32_MAX ? (int32_t)id : -1;
}

static void put_u32(void *bytes, uint32_t value)
{
    unsigned char *p = bytes;
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(value >> 8 * i);
}

static void put_u64(void *bytes, uint64_t value)
{
    unsigned char *p = bytes;
    put_u32(p, (uint32_t)value);
    put_u32(p + 4, (uint32_t)(value >> 32));
}

static void put_f32(void *bytes, real value)
{
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    put_u32(bytes, bits);
}

/* 1 to 8 lower-case hexadecimal digits. Not upper case: one flipped bit makes an `a` an `A`. */
static bool hex_value(const char *digits, size_t count, uint32_t *value)
{
    uint32_t v = 0;
    for (size_t i = 0; i < count; i++) {
        char d = digits[i];
        if (d >= '0' && d <= '9') v = v << 4 | (uint32_t)(d - '0');
        else if (d >= 'a' && d <= 'f') v = v << 4 | (uint32_t)(d - 'a' + 10);
        else return false;
    }
    *value = v;
    return count >= 1 && count <= 8;
}

/* ---------------------------------------------------------------- text for the header */

/* A string that grows. A failed allocation is remembered, and everything after it has no effect. */
typedef struct {
    char *p;
    size_t used, room;
    bool failed;
    bool quoted;                /* inside a JSON string: quotes and backslashes are escaped */
} Text;

static bool text_reserve(Text *t, size_t size)
{
    if (t->failed || t->room - t->used >= size) return !t->failed;
    size_t room = 2 * (t->room + size) + 1024;
    char *larger = realloc(t->p, room);
    t->failed = larger == NULL;
    if (t->failed) return false;
    t->p = larger;
    t->room = room;
    return true;
}

static void text_bytes(Text *t, const char *bytes, size_t size)
{
    if (!text_reserve(t, 2 * size)) return;
    for (size_t i = 0; i < size; i++) {
        if (t->quoted && (bytes[i] == '"' || bytes[i] == '\\')) t->p[t->used++] = '\\';
        t->p[t->used++] = bytes[i];
    }
}

/* Begins or ends a JSON string of several pieces. */
static void text_quote(Text *t, bool begins)
{
    t->quoted = false;
    text_bytes(t, "\"", 1);
    t->quoted = begins;
}

/* For pieces shorter than 256 bytes. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void text_add(Text *t, const char *format, ...)
{
    char piece[256];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    if (size < 0 || size >= (int)sizeof piece) t->failed = true;
    else text_bytes(t, piece, (size_t)size);
}

/* A JSON string, in quotes. */
static void text_string(Text *t, const char *string, size_t size)
{
    text_bytes(t, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char b = (unsigned char)string[i];
        if (b == '"' || b == '\\') text_bytes(t, "\\", 1);
        if (b < 0x20) text_add(t, "\\u%04x", b);
        else text_bytes(t, string + i, 1);
    }
    text_bytes(t, "\"", 1);
}

/* ---------------------------------------------------------------- saving: what the file holds */

/* One tensor of the file to be. */
typedef struct {
    char name[NAME_ROOM];
    const char *dtype;
    int rank;
    size_t shape[2];
    size_t begin, size;         /* bytes, from the start of the data */
    uint32_t crc;
    const Tensor *tensor;       /* F32: the layout, and the flat array that holds it */
    const real *flat;
    const void *words;          /* U64 or F64 */
    const int32_t *ids;         /* U8, U16 or U32 */
} Item;

struct Saver {
    Item *items;                /* (count) */
    int count;
    size_t size;                /* of the data */
    Text header;                /* its length in front */
    char *buffer;               /* (room) the next `used` bytes of the file */
    size_t room, used;
};

static Item *plan_item(Saver *p, const char *prefix, const char *name, const char *dtype,
                       size_t size)
{
    Item *item = p->items + p->count++;
    *item = (Item){ .dtype = dtype, .rank = 1, .begin = p->size, .size = size };
    snprintf(item->name, sizeof item->name, "%s%s", prefix, name);
    p->size += size;
    return item;
}

static void plan_reals(Saver *p, const char *prefix, const Snapshot *s, const real *flat)
{
    for (int i = 0; i < s->tensor_count; i++) {
        const Tensor *t = s->tensors + i;
        Item *item = plan_item(p, prefix, t->name, "F32", 4 * tensor_size(t));
        bool swap = t->stored_transposed || t->rank == 1;
        item->rank = t->rank;
        item->shape[0] = (size_t)(swap ? t->cols : t->rows);
        item->shape[1] = (size_t)(swap ? t->rows : t->cols);
        item->tensor = t;
        item->flat = flat;
    }
}

static void plan_words(Saver *p, const char *name, const char *dtype, size_t count,
                       const void *words)
{
    Item *item = plan_item(p, "", name, dtype, 8 * count);
    item->shape[0] = count;
    item->words = words;
}

/* The type that holds the ids of a vocabulary, and its bytes. */
static const char *ids_type(int vocab, size_t *width)
{
    *width = vocab <= 1 << 8 ? 1 : vocab <= 1 << 16 ? 2 : 4;
    return *width == 1 ? "U8" : *width == 2 ? "U16" : "U32";
}

static void plan_memory(Saver *p, const SavedMemory *m, int vocab)
{
    size_t width;
    const char *dtype = ids_type(vocab, &width);
    plan_words(p, exponents_name, "F64", sizeof m->exponents / sizeof(double), m->exponents.of);
    Item *item = plan_item(p, "", ids_name, dtype, width * m->count);
    item->shape[0] = m->count;
    item->ids = m->ids;
}

/* The order of the file: matrices first, whose sizes keep the next one aligned; then numbers; bytes
 * last. */
static void plan_file(Saver *p, const Snapshot *s)
{
    static const History none;
    const History *h = s->history ? s->history : &none;
    p->count = 0;
    p->size = 0;
    plan_reals(p, "", s, s->params);
    if (s->train) {
        if (s->moment1) plan_reals(p, "optim.m.", s, s->moment1);
        if (s->moment2) plan_reals(p, "optim.v.", s, s->moment2);
        if (s->raw) plan_reals(p, "train.raw.", s, s->raw);
        for (int i = 0; i < TRAIN_FIELDS; i++)
            plan_words(p, train_fields[i].name, train_fields[i].dtype, 1,
                       (const char *)s->train + train_fields[i].offset);
    }
    plan_words(p, "history.step", "U64", h->count, h->step);
    plan_words(p, "history.train_loss", "F64", h->count, h->train_loss);
    plan_words(p, "history.val_loss", "F64", h->count, h->val_loss);
    if (s->memory) plan_memory(p, s->memory, s->tokenizer->count);
}

static void text_setting(Text *out, const char *name, const char *value, bool is_number)
{
    text_string(out, name, strlen(name));
    text_bytes(out, ":", 1);
    if (is_number) text_bytes(out, value, strlen(value));
    else text_string(out, value, strlen(value));
}

/* folio.config: the family, its fields, then the settings. */
static void text_config(Text *out, const Snapshot *s)
{
    char value[SETTING_TEXT];
    text_quote(out, true);
    text_bytes(out, "{", 1);
    text_setting(out, "family", s->family->name, false);
    for (const Field *f = s->family->fields; f < s->family->fields + s->family->field_count; f++) {
        field_get(s->config, f, value, sizeof value);
        text_bytes(out, ",", 1);
        text_setting(out, f->name, value, f->kind != FIELD_WORD);
    }
    for (const Setting *o = s->settings; o < s->settings + s->setting_count; o++) {
        if (strcmp(o->name, "family") == 0 || family_field(s->family, o->name) != NULL) continue;
        text_bytes(out, ",", 1);
        text_setting(out, o->name, o->value, o->is_number);
    }
    text_bytes(out, "}", 1);
    text_quote(out, false);
}

static void text_vocabulary(Text *out, const Tokenizer *t)
{
    if (tokenizer_has_numbers(t)) {
        const Numbers *n = &t->numbers;
        text_add(out, "\"%.17g %.17g %.17g\"", n->center, n->scale, n->deviation);
        return;
    }
    text_bytes(out, "\"", 1);
    for (int id = 0; id < t->count; id++) {
        if (id == SEPARATOR_ID && t->separator) text_bytes(out, "-", 1);
        else text_add(out, "%s%" PRIx32, id ? " " : "", t->values[id]);
    }
    text_bytes(out, "\"", 1);
}

static void text_checksums(Text *out, const Saver *p)
{
    text_quote(out, true);
    for (int i = 0; i < p->count; i++) {
        text_bytes(out, i ? "," : "{", 1);
        text_string(out, p->items[i].name, strlen(p->items[i].name));
        text_add(out, ":\"%08" PRIx32 "\"", p->items[i].crc);
    }
    text_bytes(out, "}", 1);
    text_quote(out, false);
}

/* The whole header, padded, its length in front and its own checksum included. */
static int plan_header(Saver *p, const Snapshot *s, Err *err)
{
    static const char length[LENGTH_BYTES];
    Text *out = &p->header;
    out->used = 0;
    out->failed = out->quoted = false;
    text_bytes(out, length, sizeof length);
    text_add(out, "{\"__metadata__\":{\"format\":\"pt\",\"folio.version\":\"%d\",\"folio.config\":",
             CHECKPOINT_VERSION);
    text_config(out, s);
    text_add(out, ",\"folio.tokenizer\":\"%s\"", tokenizer_has_numbers(s->tokenizer) ? "numbers"
             : s->tokenizer->bytes ? "bytes" : "codepoints");
    text_add(out, ",\"folio.vocab\":");
    text_vocabulary(out, s->tokenizer);
    text_add(out, ",\"step\":\"%" PRIu64 "\",\"sha256\":", s->step);
    text_string(out, s->sha256, strlen(s->sha256));
    text_add(out, ",\"folio.crc32c\":");
    text_checksums(out, p);
    text_add(out, ",\"%s\":\"", crc_key);
    size_t digits = out->used;
    text_add(out, "%s\"}", crc_zeroed);
    for (int i = 0; i < p->count; i++) {
        const Item *item = p->items + i;
        text_bytes(out, ",", 1);
        text_string(out, item->name, strlen(item->name));
        text_add(out, ":{\"dtype\":\"%s\",\"shape\":[%zu", item->dtype, item->shape[0]);
        if (item->rank == 2) text_add(out, ",%zu", item->shape[1]);
        text_add(out, "],\"data_offsets\":[%zu,%zu]}", item->begin, item->begin + item->size);
    }
    text_bytes(out, "}", 1);
    while (!out->failed && out->used % ALIGNMENT != 0) text_bytes(out, " ", 1);
    if (out->failed) return no_memory(err, "to save a checkpoint");
    size_t size = out->used - LENGTH_BYTES;
    if (size > HEADER_MAX) return fail(err, EXIT_RUNTIME, "the checkpoint's header is too long");
    put_u64(out->p, size);

    char crc[CRC_DIGITS + 1];
    snprintf(crc, sizeof crc, "%08" PRIx32, crc32c(0, out->p + LENGTH_BYTES, size));
    memcpy(out->p + digits, crc, CRC_DIGITS);
    return 0;
}

/* x[i][j] = in[j][i] with stored_transposed: undoes store_columns. */
static void fetch_reals(real *x, const char *in, const Tensor *t)
{
    size_t rows = (size_t)t->rows, cols = (size_t)t->cols;
    if (!t->stored_transposed) {
        for (size_t k = 0; k < rows * cols; k++) x[k] = get_f32(in + 4 * k);
        return;
    }
    for (size_t i0 = 0; i0 < rows; i0 += TILE)
        for (size_t j0 = 0; j0 < cols; j0 += TILE)
            for (size_t j = j0; j < cols && j < j0 + TILE; j++)
                for (size_t i = i0; i < rows && i < i0 + TILE; i++)
                    x[i * cols + j] = get_f32(in + 4 * (j * rows + i));
}

/* out[j][i] = x[i][j], as F32, for `count` columns j of x (rows, cols). */
static void store_columns(char *out, const real *x, size_t rows, size_t cols, size_t count)
{
    for (size_t i0 = 0; i0 < rows; i0 += TILE)
        for (size_t j0 = 0; j0 < count; j0 += TILE)
            for (size_t j = j0; j < count && j < j0 + TILE; j++)
                for (size_t i = i0; i < rows && i < i0 + TILE; i++)
                    put_f32(out + 4 * (j * rows + i), x[i * cols + j]);
}

/* Writes an item's bytes of the file from byte `at` on, as much as fits into `room`: whole numbers,
 * and whole columns of a matrix that is stored transposed. Returns how many bytes. */
static size_t store_piece(char *out, size_t room, const Item *item, size_t at)
{
    const Tensor *t = item->tensor;
    size_t unit = item->ids != NULL ? item->size / item->shape[0] : t == NULL ? 8
                : t->stored_transposed ? 4 * (size_t)t->rows : 4;
    size_t left = item->size - at, size = (left < room ? left : room) / unit * unit;
    if (item->ids != NULL) {
        for (size_t k = 0; k < size; k++)
            out[k] = (char)(item->ids[(at + k) / unit] >> 8 * ((at + k) % unit));
    } else if (t == NULL) {
        for (size_t k = 0; k < size; k += 8) {
            uint64_t bits;
            memcpy(&bits, (const char *)item->words + at + k, sizeof bits);
            put_u64(out + k, bits);
        }
    } else if (t->stored_transposed) {
        store_columns(out, item->flat + t->offset + at / unit, (size_t)t->rows, (size_t)t->cols,
                      size / unit);
    } else {
        for (size_t k = 0; k < size; k += 4) put_f32(out + k, item->flat[t->offset + (at + k) / 4]);
    }
    return size;
}

static void checksum(Saver *p, Item *item)
{
    for (size_t at = 0, size; at < item->size; at += size) {
        size = store_piece(p->buffer, p->room, item, at);
        item->crc = crc32c(item->crc, p->buffer, size);
    }
}

/* The tensors of the file with their checksums, and its header. */
static int make_file(Saver *p, const Snapshot *s, Err *err)
{
    plan_file(p, s);
    for (int i = 0; i < p->count; i++) checksum(p, &p->items[i]);
    return plan_header(p, s, err);
}

void saver_close(Saver *p)
{
    if (p == NULL) return;
    free(p->items);
    free(p->header.p);
    free(p->buffer);
    free(p);
}

/* The buffer holds some columns of the tallest transposed matrix. */
static size_t buffer_room(const Tensor *tensors, int n)
{
    size_t room = BUFFER_ROOM;
    for (int i = 0; i < n; i++) {
        size_t columns = 4 * TILE * (size_t)tensors[i].rows;
        if (tensors[i].stored_transposed && columns > room) room = columns;
    }
    return room;
}

/* Weights, two moments and perhaps the weights beside an average; then scalars, the history and a
 * memory. */
static size_t items_room(int tensors) { return 4 * (size_t)tensors + TRAIN_FIELDS + 3 + 2; }

size_t saver_bytes(const Tensor *tensors, int n)
{
    enum { ENTRY = 200 };                       /* bytes of a tensor in the header, both places */
    return buffer_room(tensors, n) + items_room(n) * (sizeof(Item) + ENTRY);
}

int saver_open(Saver **saver, const Snapshot *s, Err *err)
{
    Saver *p = calloc(1, sizeof *p);
    *saver = NULL;
    if (p == NULL) return no_memory(err, "to save a checkpoint");
    p->room = buffer_room(s->tensors, s->tensor_count);
    p->items = calloc(items_room(s->tensor_count), sizeof *p->items);
    p->buffer = malloc(p->room);
    if (p->items != NULL) plan_file(p, s);
    int failed = plan_header(p, s, err);
    if (failed || p->buffer == NULL || p->items == NULL
        || !text_reserve(&p->header, HEADER_GROWTH)) {
        saver_close(p);
        return failed ? -1 : no_memory(err, "to save a checkpoint");
    }
    *saver = p;
    return 0;
}

static int write_buffer(Saver *p, int fd)
{
    size_t size = p->used;
    p->used = 0;
    return file_write(fd, p->buffer, size);
}

/* The header, then every item, through the buffer. */
static int write_items(void *saver, int fd)
{
    Saver *p = saver;
    p->used = 0;
    for (size_t at = 0, size; at < p->header.used; at += size) {
        size = p->header.used - at < p->room - p->used ? p->header.used - at : p->room - p->used;
        memcpy(p->buffer + p->used, p->header.p + at, size);
        p->used += size;
        if (size == 0 && write_buffer(p, fd)) return -1;
    }
    for (int i = 0; i < p->count; i++)
        for (size_t at = 0, size; at < p->items[i].size; at += size) {
            size = store_piece(p->buffer + p->used, p->room - p->used, &p->items[i], at);
            p->used += size;
            if (size == 0 && write_buffer(p, fd)) return -1;
        }
    return write_buffer(p, fd);
}

int checkpoint_write(Saver *saver, const Snapshot *s, int fd, Err *err)
{
    if (make_file(saver, s, err)) return -1;
    if (write_items(saver, fd) == 0) return 0;
    return fail(err, EXIT_RUNTIME, "a checkpoint cannot be written: %s", strerror(errno));
}

int checkpoint_save(Saver *saver, const Snapshot *s, const char *path, const char *temp, Err *err)
{
    return make_file(saver, s, err) || file_replace(path, temp, write_items, saver, err) ? -1 : 0;
}

/* ---------------------------------------------------------------- loading: what the file is */

/* From the first `seen` bytes of a file of `size`: the header's length is sound, or what is not. */
static int check_start(const char *bytes, size_t seen, uint64_t size, Err *err)
{
    if (size == 0) return unsound(err, "is empty");
    uint64_t length = seen >= LENGTH_BYTES ? get_u64(bytes) : 0;
    if (seen > LENGTH_BYTES && length > 0 && length <= HEADER_MAX && length <= size - LENGTH_BYTES
        && bytes[LENGTH_BYTES] == '{') return 0;

    const Kind *kind = kind_of(bytes, seen);
    if (kind != NULL && kind->group != KIND_SAFETENSORS && kind->group != KIND_FOLIO)
        return unsound(err, "is not a checkpoint; it looks like %s%s", kind->what,
                       kind->remark != NULL ? kind->remark : "");
    if (seen <= LENGTH_BYTES) return unsound(err, "is cut short: it has only %zu bytes", seen);
    if (length == 0 || length > HEADER_MAX)
        return unsound(err, "is no checkpoint, or damaged: it claims a header of %" PRIu64 " bytes",
                       length);
    if (length > size - LENGTH_BYTES)
        return unsound(err, "is cut short or damaged: its header has %" PRIu64 " bytes, and only %"
                       PRIu64 " follow", length, size - LENGTH_BYTES);
    return unsound(err, "is not a checkpoint, or damaged: its header does not begin with a brace");
}

/* ---------------------------------------------------------------- loading: the header */

/* The header while it is read. Names and metadata are kept in c->names. */
typedef struct {
    const char *text, *data;
    size_t text_size, data_size;
    struct { const char *key, *value; } meta[META_MAX];
    int meta_count;
    const char *crc_digits;     /* where the header states its own checksum; NULL: nowhere */
    char *names;                /* the next free byte of c->names */
    size_t names_left;
} Header;

/* Keeps the string that was just read to h->names. */
static char *keep_name(Header *h)
{
    char *name = h->names;
    size_t size = strlen(name) + 1;
    h->names += size;
    h->names_left -= size;
    return name;
}

static const char *header_meta(const Header *h, const char *key)
{
    for (int i = 0; i < h->meta_count; i++)
        if (strcmp(h->meta[i].key, key) == 0) return h->meta[i].value;
    return NULL;
}

static bool read_metadata(Json *j, Header *h)
{
    bool first = true;
    if (h->meta_count > 0) return json_wrong(j, "__metadata__ occurs twice");
    if (!json_take(j, '{', "__metadata__ is not an object")) return false;
    while (json_member(j, &first, h->names, NAME_ROOM)) {
        if (h->meta_count == META_MAX) return json_wrong(j, "__metadata__ has too many entries");
        if (header_meta(h, h->names) != NULL)
            return json_wrong(j, "a key of __metadata__ is repeated");
        const char *key = keep_name(h);
        json_space(j);
        const char *quote = j->p;
        if (!json_string(j, h->names, h->names_left)) return false;
        if (strcmp(key, crc_key) == 0 && j->p - quote == CRC_DIGITS + 2) h->crc_digits = quote + 1;
        h->meta[h->meta_count].key = key;
        h->meta[h->meta_count++].value = keep_name(h);
    }
    return j->wrong == NULL;
}

/* Sets t->dtype; returns the bytes of an element, or 0 where the type is unknown. */
static size_t read_dtype(Json *j, StoredTensor *t)
{
    static const struct { const char *name; size_t width; } types[] = {
        { "F32", 4 }, { "F64", 8 }, { "U64", 8 }, { "U8", 1 }, { "BOOL", 1 }, { "I8", 1 },
        { "F8_E4M3", 1 }, { "F8_E5M2", 1 }, { "I16", 2 }, { "U16", 2 }, { "F16", 2 }, { "BF16", 2 },
        { "I32", 4 }, { "U32", 4 }, { "I64", 8 }, { "C64", 8 },
    };
    char name[NAME_ROOM];
    if (!json_string(j, name, sizeof name)) return 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(name, types[i].name) == 0) {
            t->dtype = types[i].name;
            return types[i].width;
        }
    json_wrong(j, "a tensor has an unknown type");
    return 0;
}

/* {"dtype":..,"shape":[..],"data_offsets":[begin,end]}: as large as the shape, inside the data. */
static bool read_tensor(Json *j, const Header *h, StoredTensor *t)
{
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };
    int seen = 0;
    bool first = true;
    char key[NAME_ROOM];
    uint64_t range[2] = { 0 }, bytes = 0;
    if (!json_take(j, '{', "a tensor is not an object")) return false;
    while (json_member(j, &first, key, sizeof key)) {
        int which = strcmp(key, "dtype") == 0 ? DTYPE : strcmp(key, "shape") == 0 ? SHAPE
                  : strcmp(key, "data_offsets") == 0 ? OFFSETS : 0;
        if (which == 0 || (seen & which))
            return json_wrong(j, "an entry of a tensor is unknown or repeated");
        seen |= which;
        if (which == DTYPE) bytes = read_dtype(j, t);
        else if (which == SHAPE) t->rank = json_wholes(j, t->shape, 4);
        else if (json_wholes(j, range, 2) != 2) json_wrong(j, "data_offsets is not a pair");
    }
    if (j->wrong) return false;
    if (seen != ALL) return json_wrong(j, "a tensor lacks its dtype, shape or data_offsets");
    for (int i = 0; i < t->rank; i++) {
        if (t->shape[i] != 0 && bytes > UINT64_MAX / t->shape[i])
            return json_wrong(j, "a shape is impossibly large");
        bytes *= t->shape[i];
    }
    if (range[1] < range[0]) return json_wrong(j, "a tensor ends before it begins");
    if (range[1] > h->data_size)
        return json_wrong(j, "a tensor ends after the end of the file, which is cut short or "
                             "damaged");
    if (range[1] - range[0] != bytes)
        return json_wrong(j, "the size of a tensor is not that of its shape");
    t->data = h->data + range[0];
    t->size = (size_t)bytes;
    return true;
}

static bool read_entries(Json *j, Checkpoint *c, Header *h, int capacity)
{
    bool first = true;
    if (!json_take(j, '{', "it is not an object")) return false;
    while (json_member(j, &first, h->names, NAME_ROOM)) {
        if (strcmp(h->names, "__metadata__") == 0) {
            if (!read_metadata(j, h)) return false;
            continue;
        }
        if (c->stored_count == capacity) return json_wrong(j, "it lists too many tensors");
        StoredTensor *t = c->stored + c->stored_count;
        *t = (StoredTensor){ .name = keep_name(h) };
        if (!read_tensor(j, h, t)) return false;
        c->stored_count++;
    }
    return json_end(j);
}

/* Reads the JSON into c->stored, c->names and h->meta. */
static int read_header(Checkpoint *c, Header *h, Err *err)
{
    h->text = c->bytes + LENGTH_BYTES;
    h->text_size = (size_t)get_u64(c->bytes);
    h->data = h->text + h->text_size;
    h->data_size = c->size - LENGTH_BYTES - h->text_size;

    size_t capacity = h->text_size / SHORTEST_ENTRY + 1;
    if (capacity > TENSORS_MAX) capacity = TENSORS_MAX;
    h->names_left = h->text_size + NAME_ROOM;   /* JSON is never shorter than what it means */
    c->names = malloc(h->names_left);
    c->stored = malloc(capacity * sizeof *c->stored);
    if (c->names == NULL || c->stored == NULL) return no_memory(err, "for its header");
    h->names = c->names;
    Json j = { h->text, h->text + h->text_size, NULL };
    if (!read_entries(&j, c, h, (int)capacity))
        return unsound(err, "is not a checkpoint, or damaged: at byte %zu of its header %s",
                    (size_t)(j.p - h->text), j.wrong);
    return 0;
}

/* Is it Folio's, is its header as it was written, and can this version read it? */
static int check_header(const Header *h, Err *err)
{
    bool ours = false;
    for (int i = 0; i < h->meta_count; i++)
        if (strncmp(h->meta[i].key, "folio.", 6) == 0) ours = true;
    if (!ours) return unsound(err, "is a safetensors file, but not one that Folio wrote");
    if (h->crc_digits == NULL)
        return unsound(err, "is damaged: its header does not state its own checksum");

    char digits[CRC_DIGITS + 1];
    const char *rest = h->crc_digits + CRC_DIGITS;
    uint32_t crc = crc32c(0, h->text, (size_t)(h->crc_digits - h->text));
    crc = crc32c(crc, crc_zeroed, CRC_DIGITS);
    crc = crc32c(crc, rest, (size_t)(h->text + h->text_size - rest));
    snprintf(digits, sizeof digits, "%08" PRIx32, crc);
    if (memcmp(digits, h->crc_digits, CRC_DIGITS) != 0)
        return unsound(err, "is damaged: the checksum of its header is wrong; use another copy");

    const char *text = header_meta(h, "folio.version");
    Json j = json_over(text ? text : "");
    uint64_t version = 0;
    if (!json_whole(&j, &version) || !json_end(&j) || version == 0)
        return unsound(err, "states no version of Folio's format");
    if (version > CHECKPOINT_VERSION)
        return unsound(err, "was written by a newer version of Folio (format %" PRIu64
                    ", this one reads up to %d); use that version", version, CHECKPOINT_VERSION);
    return 0;
}

/* ---------------------------------------------------------------- loading: tensors in place */

/* By place; an empty tensor comes before the one that begins where it stands. */
static int compare_places(const void *a, const void *b)
{
    const StoredTensor *s = a, *t = b;
    if (s->data != t->data) return s->data < t->data ? -1 : 1;
    return (s->size > t->size) - (s->size < t->size);
}

static int compare_names(const void *a, const void *b)
{
    const StoredTensor *s = a, *t = b;
    return strcmp(s->name, t->name);
}

/* No hole, no overlap, nothing after the last; no name twice. Leaves c->stored sorted by name. */
static int check_places(Checkpoint *c, const Header *h, Err *err)
{
    const char *next = h->data;
    if (c->stored_count > 0)
        qsort(c->stored, (size_t)c->stored_count, sizeof *c->stored, compare_places);
    for (int i = 0; i < c->stored_count; i++) {
        const StoredTensor *t = c->stored + i;
        if (t->data != next)
            return unsound(err, "is damaged: tensor %s %s", t->name,
                        t->data < next ? "overlaps another" : "leaves a hole before it");
        next += t->size;
    }
    size_t left = (size_t)(h->data + h->data_size - next);
    if (left > 0) return unsound(err, "is damaged: %zu bytes follow its last tensor", left);

    if (c->stored_count > 0)
        qsort(c->stored, (size_t)c->stored_count, sizeof *c->stored, compare_names);
    for (int i = 1; i < c->stored_count; i++)
        if (strcmp(c->stored[i - 1].name, c->stored[i].name) == 0)
            return unsound(err, "is damaged: it lists tensor %s twice", c->stored[i].name);
    return 0;
}

static StoredTensor *find(const Checkpoint *c, const char *name)
{
    StoredTensor key = { .name = name };
    if (c->stored_count == 0) return NULL;
    return bsearch(&key, c->stored, (size_t)c->stored_count, sizeof *c->stored, compare_names);
}

/* folio.crc32c: exactly one checksum for every tensor. */
static int read_checksums(Checkpoint *c, const Header *h, Err *err)
{
    const char *text = header_meta(h, "folio.crc32c");
    Json j = json_over(text ? text : "");
    bool first = true;
    char name[NAME_ROOM], digits[NAME_ROOM];
    json_take(&j, '{', "it is missing");
    while (json_member(&j, &first, name, sizeof name) && json_string(&j, digits, sizeof digits)) {
        StoredTensor *t = find(c, name);
        bool sound = strlen(digits) == CRC_DIGITS;
        if (t == NULL || t->has_crc || !sound || !hex_value(digits, CRC_DIGITS, &t->crc))
            return unsound(err, "is damaged: folio.crc32c has a wrong entry for %s", name);
        t->has_crc = true;
    }
    if (!json_end(&j)) return unsound(err, "is damaged: in folio.crc32c %s", j.wrong);
    for (int i = 0; i < c->stored_count; i++)
        if (!c->stored[i].has_crc)
            return unsound(err, "is damaged: folio.crc32c lacks tensor %s", c->stored[i].name);
    return 0;
}

/* ---------------------------------------------------------------- loading: metadata */

static const Setting *find_setting(const Checkpoint *c, const char *name)
{
    for (int i = 0; i < c->setting_count; i++)
        if (strcmp(c->settings[i].name, name) == 0) return c->settings + i;
    return NULL;
}

const char *checkpoint_setting(const Checkpoint *c, const char *name)
{
    const Setting *s = find_setting(c, name);
    return s ? s->value : NULL;
}

/* folio.config into c->settings. */
static int read_settings(Checkpoint *c, const Header *h, Err *err)
{
    const char *text = header_meta(h, "folio.config");
    Json j = json_over(text ? text : "");
    bool first = true;
    Setting s = { .is_number = false };
    json_take(&j, '{', "it is missing");
    while (json_member(&j, &first, s.name, sizeof s.name)) {
        if (find_setting(c, s.name)) json_wrong(&j, "a setting occurs twice");
        if (c->setting_count == SETTINGS_MAX) json_wrong(&j, "there are too many settings");
        s.is_number = !json_at(&j, '"');
        if (j.wrong || !(s.is_number ? json_number(&j, s.value, sizeof s.value)
                                     : json_word(&j, s.value, sizeof s.value))) break;
        c->settings[c->setting_count++] = s;
    }
    if (!json_end(&j)) return unsound(err, "is not sound: in folio.config %s", j.wrong);
    return 0;
}

/* folio.vocab of numbers: mean, standard deviation and fixed deviation or 0. */
static int read_numbers(Checkpoint *c, const char *text, Err *err)
{
    Numbers n;
    Err why = { 0 };
    double *const values[] = { &n.center, &n.scale, &n.deviation };
    bool sound = true;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char word[SETTING_TEXT], *end;
        size_t length = strcspn(text, " ");
        sound = sound && length > 0 && length < sizeof word
             && strspn(text, "0123456789+-.e") >= length && (text[length] == ' ') == (i < 2);
        if (!sound) break;
        memcpy(word, text, length);
        word[length] = '\0';
        *values[i] = strtod(word, &end);
        sound = *end == '\0' && fabs(*values[i]) <= NUMBER_MOST;
        text += length + (i < 2);
    }
    if (!sound || !(n.scale > 0) || n.deviation < 0)
        return unsound(err, "is not sound: its mean and deviation of numbers are ill-formed");
    if (tokenizer_from_numbers(&c->tokenizer, n, &why)) return fail(err, why.status, "%s", why.msg);
    return 0;
}

/* folio.vocab: hexadecimal values with single spaces between them, `-` first for the separator. */
static int read_vocabulary(Checkpoint *c, const Header *h, Err *err)
{
    const char *kind = header_meta(h, "folio.tokenizer"), *text = header_meta(h, "folio.vocab");
    bool bytes = kind != NULL && strcmp(kind, "bytes") == 0;
    if (text != NULL && kind != NULL && strcmp(kind, "numbers") == 0)
        return read_numbers(c, text, err);
    if (text == NULL || kind == NULL || (!bytes && strcmp(kind, "codepoints") != 0))
        return unsound(err, "is not sound: it has no vocabulary, or an unknown kind of it");
    size_t length = strlen(text);
    uint32_t *values = malloc((length / 2 + 1) * sizeof *values);
    if (values == NULL) return no_memory(err, "for its vocabulary");

    bool separator = text[0] == '-', sound = true;
    int count = 0;
    for (const char *p = text, *end = text + length; sound && p < end; count++) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        size_t digits = (size_t)((space ? space : end) - p);
        values[count] = 0;
        if (!(count == 0 && separator && digits == 1))
            sound = digits <= 6 && hex_value(p, digits, values + count);
        p += digits;
        if (space && ++p == end) sound = false;
    }
    Err why = { 0 };
    if (!sound) unsound(&why, "entry %d of the vocabulary is ill-formed", count - 1);
    else tokenizer_from_values(&c->tokenizer, values, count, bytes, separator, &why);
    free(values);
    return why.status ? fail(err, why.status, "is not sound: %s", why.msg) : 0;
}

/* c->family and c->config from the settings, checked; sizes that the file does not back are refused
 * before anything else looks at them. */
static int read_config(Checkpoint *c, Err *err)
{
    Err why = { 0 };
    const char *name = checkpoint_setting(c, "family");
    c->family = name != NULL ? family_named(name) : NULL;
    if (c->family == NULL)
        return unsound(err, "is not sound: `family` of its configuration is %s%s",
                       name != NULL ? "not possible: " : "missing", name != NULL ? name : "");
    for (const Field *f = c->family->fields; f < c->family->fields + c->family->field_count; f++) {
        const Setting *s = find_setting(c, f->name);
        if (s == NULL)
            return unsound(err, "is not sound: `%s` of its configuration is missing", f->name);
        if (s->is_number != (f->kind != FIELD_WORD) || field_set(&c->config, f, s->value))
            return unsound(err, "is not sound: `%s` of its configuration is not possible: %s",
                           f->name, s->value);
    }
    if (family_check(c->family, &c->config, c->tokenizer.count, &why))
        return unsound(err, "is not sound: its configuration does not fit together: %s", why.msg);
    if (tokenizer_has_numbers(&c->tokenizer)
        && family_check_numbers(c->family, &c->config, &why))
        return unsound(err, "is not sound: its configuration does not fit together: %s", why.msg);
    c->context = family_context(c->family, &c->config);
    return 0;
}

static int read_strings(Checkpoint *c, const Header *h, Err *err)
{
    const char *step = header_meta(h, "step"), *sha = header_meta(h, "sha256");
    Json j = json_over(step ? step : "");
    if (!json_whole(&j, &c->step) || !json_end(&j))
        return unsound(err, "is not sound: its step is missing or not a number");
    bool sound = sha != NULL && strlen(sha) == 64;
    uint32_t unused;
    for (int i = 0; sound && i < 64; i++) sound = hex_value(sha + i, 1, &unused);
    if (!sound) return unsound(err, "is not sound: the text's sha256 is missing or ill-formed");
    memcpy(c->sha256, sha, sizeof c->sha256);
    return 0;
}

/* ---------------------------------------------------------------- loading: against the model */

/* The tensor <prefix><name>, if it is there with this type and shape. */
static const StoredTensor *expect(const Checkpoint *c, const char *name, const char *dtype,
                                  int rank, const uint64_t *shape, Err *err)
{
    const StoredTensor *t = find(c, name);
    if (t == NULL) {
        unsound(err, "is not sound: tensor %s is missing", name);
        return NULL;
    }
    bool same = strcmp(t->dtype, dtype) == 0 && t->rank == rank;
    for (int i = 0; same && i < rank; i++) same = t->shape[i] == shape[i];
    if (same) return t;
    unsound(err, "is not sound: tensor %s has not the type and shape that its configuration needs",
            name);
    return NULL;
}

static const StoredTensor *expect_reals(const Checkpoint *c, const char *prefix, const Tensor *t,
                                        Err *err)
{
    char name[NAME_ROOM];
    bool swap = t->stored_transposed || t->rank == 1;
    uint64_t rows = (uint64_t)t->rows, cols = (uint64_t)t->cols;
    uint64_t shape[2] = { swap ? cols : rows, swap ? rows : cols };
    snprintf(name, sizeof name, "%s%s", prefix, t->name);
    return expect(c, name, "F32", t->rank, shape, err);
}

/* Every tensor of the configuration, and its moments in a file that has a training state. */
static int check_reals(const Checkpoint *c, int *known, Err *err)
{
    static const char *const prefixes[] = { "", "optim.m.", "optim.v.", "train.raw." };
    const bool moments = c->has_train && c->family->fit == NULL;
    const bool there[] = { true, moments, moments, c->has_raw };
    if (family_parameters(c->family, &c->config) > c->size / 4)
        return unsound(err, "is not sound: its model has more parameters than the file holds");
    int count = family_tensors(c->family, &c->config, NULL, NULL), status = 0;
    if (count > c->stored_count)
        return unsound(err, "is not sound: its model has more tensors than the file holds");
    Tensor *tensors = malloc((size_t)count * sizeof *tensors);
    if (tensors == NULL) return no_memory(err, "for its table of tensors");
    family_tensors(c->family, &c->config, tensors, NULL);
    for (int p = 0; status == 0 && p < 4; p++) {
        for (int i = 0; status == 0 && there[p] && i < count; i++)
            if (expect_reals(c, prefixes[p], tensors + i, err) == NULL) status = -1;
        *known += there[p] ? count : 0;
    }
    free(tensors);
    return status;
}

static int read_train(Checkpoint *c, int *known, Err *err)
{
    const uint64_t one = 1;
    for (int i = 0; i < TRAIN_FIELDS; i++) {
        const StoredTensor *t = expect(c, train_fields[i].name, train_fields[i].dtype, 1, &one,
                                       err);
        if (t == NULL) return -1;
        uint64_t bits = get_u64(t->data);       /* of a double too: only the type differs */
        memcpy((char *)&c->train + train_fields[i].offset, &bits, sizeof bits);
    }
    *known += TRAIN_FIELDS;
    return 0;
}

static int read_history(Checkpoint *c, int *known, Err *err)
{
    History *h = &c->history;
    const StoredTensor *any = find(c, "history.step");
    const uint64_t count = any ? any->shape[0] : 0;
    const StoredTensor *step = expect(c, "history.step", "U64", 1, &count, err);
    const StoredTensor *train = step ? expect(c, "history.train_loss", "F64", 1, &count, err)
                                     : NULL;
    const StoredTensor *val = train ? expect(c, "history.val_loss", "F64", 1, &count, err) : NULL;
    if (val == NULL) return -1;
    h->step = malloc(step->size + 1);
    h->train_loss = malloc(step->size + 1);
    h->val_loss = malloc(step->size + 1);
    if (h->step == NULL || h->train_loss == NULL || h->val_loss == NULL)
        return no_memory(err, "for its history");
    h->count = (size_t)count;
    for (size_t i = 0; i < h->count; i++) {
        h->step[i] = get_u64(step->data + 8 * i);
        h->train_loss[i] = get_f64(train->data + 8 * i);
        h->val_loss[i] = get_f64(val->data + 8 * i);
    }
    *known += 3;
    return 0;
}

/* The memory, if the settings say that there is one. */
static int read_memory(Checkpoint *c, int *known, Err *err)
{
    const Setting *s = find_setting(c, MEMORY_SETTING);
    SavedMemory *m = &c->memory;
    const StoredTensor *any = find(c, ids_name);
    const uint64_t exponents = sizeof m->exponents / sizeof(double);
    const uint64_t count = any ? any->shape[0] : 0;
    size_t width;
    const char *dtype = ids_type(c->tokenizer.count, &width);
    double order = s != NULL ? strtod(s->value, NULL) : 0;
    const Field *most = family_field(family_named("ngram"), "order");
    if (any == NULL && order == 0) return 0;
    if (!(order >= 1 && order <= most->high && order == floor(order)) || !s->is_number)
        return unsound(err, "is not sound: `" MEMORY_SETTING "` of its settings is not the order "
                       "of a memory");
    if (count == 0 || count > MEMORY_IDS)
        return unsound(err, "is not sound: its memory has %" PRIu64 " characters", count);
    const StoredTensor *ids = expect(c, ids_name, dtype, 1, &count, err);
    const StoredTensor *by = ids ? expect(c, exponents_name, "F64", 1, &exponents, err) : NULL;
    if (by == NULL) return -1;
    c->memory_ids = malloc((size_t)count * sizeof *c->memory_ids);
    if (c->memory_ids == NULL) return no_memory(err, "for its memory");
    *m = (SavedMemory){ (int)order, (size_t)count, c->memory_ids, { { { 0 } } } };
    for (size_t i = 0; i < m->count; i++) c->memory_ids[i] = get_id(ids->data + i * width, width);
    for (int i = 0; i < 2 * MEMORY_FEATURES; i++)
        m->exponents.of[i / MEMORY_FEATURES][i % MEMORY_FEATURES] = get_f64(by->data + 8 * i);
    *known += 2;
    return 0;
}

static int read_tensors(Checkpoint *c, Err *err)
{
    int known = 0;
    for (int i = 0; i < c->stored_count; i++)
        if (strncmp(c->stored[i].name, "optim.", 6) == 0
            || strncmp(c->stored[i].name, "train.", 6) == 0)
            c->has_train = true;
    for (int i = 0; i < c->stored_count; i++)
        if (strncmp(c->stored[i].name, "train.raw.", 10) == 0) c->has_raw = true;
    if (check_reals(c, &known, err) || read_history(c, &known, err)) return -1;
    if ((c->has_train && read_train(c, &known, err)) || read_memory(c, &known, err)) return -1;
    c->extra = c->stored_count - known;
    return 0;
}

/* What is wrong with the bytes of a tensor, or NULL. An exponent of all ones: infinity or NaN. */
static const char *tensor_damage(const StoredTensor *t)
{
    if (crc32c(0, t->data, t->size) != t->crc) return "its checksum is wrong";
    if (strcmp(t->dtype, "F32") == 0)
        for (size_t at = 0; at < t->size; at += 4)
            if ((get_u32(t->data + at) & 0x7f800000u) == 0x7f800000u)
                return "a value of it is not finite";
    return NULL;
}

/* A mean of losses, each -ln p. Where all of them are 0, rounding may leave it a little less. */
static bool possible_loss(double x) { return isfinite(x) && x > -1e-4; }

/* The tensor of the memory that has a value it cannot have, or NULL. */
static const char *memory_wrong(const Checkpoint *c)
{
    const SavedMemory *m = &c->memory;
    for (size_t i = 0; i < m->count; i++)
        if (m->ids[i] < 0 || m->ids[i] >= c->tokenizer.count) return ids_name;
    for (int i = 0; i < 2 * MEMORY_FEATURES; i++)
        if (!(fabs(m->exponents.of[i / MEMORY_FEATURES][i % MEMORY_FEATURES]) <= EXPONENT_MOST))
            return exponents_name;
    return NULL;
}

/* Checksums say nothing about a file that was made to harm: what no run reaches is refused before
 * anything counts on from it. */
static int check_reach(const Checkpoint *c, Err *err)
{
    const TrainState *t = &c->train;
    const History *h = &c->history;
    const struct { const char *name; bool possible; } scalars[] = {
        { "its step", (double)c->step <= STEPS_MAX },
        { "train.attempt", t->attempt <= RETURNS_MAX },
        { "train.skipped", t->skipped < SKIPS_MAX },
        { "train.best_step", t->best_step <= c->step },
        { "train.best_loss", possible_loss(t->best_loss) },
        { "train.train_loss", possible_loss(t->train_loss) },
        { "train.grad_norm", isfinite(t->grad_norm) && t->grad_norm >= 0 },
    };
    const char *wrong = NULL;
    for (size_t i = 0; wrong == NULL && i < sizeof scalars / sizeof scalars[0]; i++)
        if (!scalars[i].possible) wrong = scalars[i].name;
    for (size_t i = 0; wrong == NULL && i < h->count; i++) {
        if (h->step[i] > c->step || (i > 0 && h->step[i] <= h->step[i - 1])) wrong = "history.step";
        else if (!possible_loss(h->train_loss[i])) wrong = "history.train_loss";
        else if (!possible_loss(h->val_loss[i])) wrong = "history.val_loss";
    }
    if (wrong == NULL) wrong = memory_wrong(c);
    if (wrong == NULL) return 0;
    return unsound(err, "is not sound: %s has a value that no run can reach", wrong);
}

/* The bytes of all tensors, then what they say. */
static int check_contents(const Checkpoint *c, Err *err)
{
    for (int i = 0; i < c->stored_count; i++) {
        const char *damage = tensor_damage(c->stored + i);
        if (damage != NULL)
            return unsound(err, "is damaged: tensor %s: %s; use another copy", c->stored[i].name,
                           damage);
    }
    return check_reach(c, err);
}

/* ---------------------------------------------------------------- loading: the whole */

/* Everything but the bytes of the tensors. */
static int read_structure(Checkpoint *c, Err *err)
{
    Header h = { .meta_count = 0 };
    if (check_start(c->bytes, c->size, c->size, err) || read_header(c, &h, err)) return -1;
    if (check_header(&h, err)) return -1;
    if (check_places(c, &h, err) || read_checksums(c, &h, err)) return -1;
    if (read_settings(c, &h, err) || read_vocabulary(c, &h, err) || read_config(c, err)) return -1;
    return read_strings(c, &h, err) || read_tensors(c, err) ? -1 : 0;
}

/* Puts the file's name before what is wrong with it. */
static int fail_named(Err *err, const char *name, const Err *why)
{
    return fail(err, why->status, "%s: %s", name, why->msg);
}

static int parse_structure(Checkpoint *c, char *bytes, size_t size, const char *name, Err *err)
{
    Err why = { 0 };
    *c = (Checkpoint){ .bytes = bytes, .size = size };
    if (read_structure(c, &why) == 0) return 0;
    fail_named(err, name, &why);
    checkpoint_close(c);
    return -1;
}

int checkpoint_parse(Checkpoint *c, char *bytes, size_t size, const char *name, Err *err)
{
    Err why = { 0 };
    if (parse_structure(c, bytes, size, name, err)) return -1;
    if (check_contents(c, &why) == 0) return 0;
    fail_named(err, name, &why);
    checkpoint_close(c);
    return -1;
}

/* Whether the first bytes and the size of a regular file may be a checkpoint's. If not, `why` says
 * what is wrong, but for a file that is not regular or cannot be opened. */
static bool file_begins(const char *path, const struct stat *info, Err *why)
{
    char start[512];
    int fd = S_ISREG(info->st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return false;
    ssize_t seen;
    do seen = read(fd, start, sizeof start);
    while (seen < 0 && errno == EINTR);
    if (seen < 0) fail(why, EXIT_RUNTIME, "cannot be read: %s", strerror(errno));
    else check_start(start, (size_t)seen, (uint64_t)info->st_size, why);
    close(fd);
    return why->status == 0;
}

bool checkpoint_begins(const char *path)
{
    struct stat info;
    Err why = { 0 };
    return stat(path, &info) == 0 && file_begins(path, &info, &why);
}

/* Reads a file, unless it does not begin as a checkpoint, so that a large file of another kind is
 * refused at once. */
static int load_bytes(const char *path, char **bytes, size_t *size, Err *err)
{
    struct stat info;
    Err why = { 0 };
    bool known = stat(path, &info) == 0;
    if (known && (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)))
        return unsound(err, "%s: is a device, not a checkpoint", path);
    if (known) file_begins(path, &info, &why);
    return why.status ? fail_named(err, path, &why) : read_file(path, bytes, size, err);
}

int checkpoint_load(Checkpoint *c, const char *path, Err *err)
{
    char *bytes;
    size_t size;
    *c = (Checkpoint){ 0 };
    if (load_bytes(path, &bytes, &size, err)) return -1;
    return checkpoint_parse(c, bytes, size, path, err);
}

void checkpoint_close(Checkpoint *c)
{
    tokenizer_close(&c->tokenizer);
    free(c->history.step);
    free(c->history.train_loss);
    free(c->history.val_loss);
    free(c->memory_ids);
    free(c->stored);
    free(c->names);
    free(c->bytes);
    *c = (Checkpoint){ 0 };
}

int checkpoint_verify(const char *path, DamageReport *report, void *ctx, Err *err)
{
    Checkpoint c;
    char *bytes;
    size_t size;
    int damaged = 0;
    if (load_bytes(path, &bytes, &size, err) || parse_structure(&c, bytes, size, path, err))
        return -1;
    for (int i = 0; i < c.stored_count; i++) {
        const char *damage = tensor_damage(c.stored + i);
        if (damage == NULL) continue;
        damaged++;
        report(ctx, c.stored[i].name, damage);
    }
    checkpoint_close(&c);
    return damaged;
}

int checkpoint_copy(const Checkpoint *c, const char *prefix, const Tensor *tensors, int n,
                    real *out, Err *err)
{
    for (int i = 0; i < n; i++) {
        Err why = { 0 };
        const StoredTensor *t = expect_reals(c, prefix, tensors + i, &why);
        if (t == NULL) return fail_named(err, "the checkpoint", &why);
        fetch_reals(out + tensors[i].offset, t->data, tensors + i);
    }
    return 0;
}
