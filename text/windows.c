/* windows.c: draws the windows of a batch. */
#include "../base.h"
#include "../tokenizer.h"
#include "windows.h"

Part part_end(Part part, size_t most)
{
    size_t left_out = part.count > most ? part.count - most : 0;
    part.ids += left_out;
    part.count -= left_out;
    part.documents = NULL;
    return part;
}

/* Writes a window's `count` ids, one of which is its last target. */
typedef struct {
    int32_t *x, *y;         /* (length) */
    size_t length, written;
} Window;

static void put(Window *w, const int32_t *ids, size_t count)
{
    size_t left = w->length + 1 - w->written, n = count < left ? count : left;
    for (size_t i = 0; i < n; i++, w->written++) {
        if (w->written < w->length) w->x[w->written] = ids[i];
        if (w->written > 0) w->y[w->written - 1] = ids[i];
    }
}

static bool full(const Window *w) { return w->written > w->length; }

/* ---------------------------------------------------------------- anywhere */

/* From `start` on; after each end of a document another one. */
static void put_documents(Window *w, Part part, size_t start, uint64_t key)
{
    const Documents *d = part.documents;
    size_t low = 0, high = d->count;                /* begins[low] <= start < begins[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (d->begins[middle] <= start) low = middle;
        else high = middle;
    }
    put(w, part.ids + start, d->begins[low + 1] - start);
    for (uint64_t i = 0; !full(w); i++) {
        size_t next = (size_t)rng_below(key, i, d->count);
        put(w, part.ids + d->begins[next], d->begins[next + 1] - d->begins[next]);
    }
}

void windows_random(Part part, uint64_t key, int batch, int context, int32_t *x, int32_t *y)
{
    size_t length = (size_t)context;
    for (int b = 0; b < batch; b++, x += length, y += length) {
        Window w = { x, y, length, 0 };
        uint64_t n = part.documents != NULL ? part.count : part.count - length;
        size_t start = (size_t)rng_below(key, (uint64_t)b, n);
        if (part.documents != NULL) put_documents(&w, part, start, rng_bits(~key, (uint64_t)b));
        else put(&w, part.ids + start, length + 1);
    }
}

/* ---------------------------------------------------------------- by epochs */

/* Puts the documents into the order of an epoch, unless they are. */
static void order_documents(Documents *d, uint64_t epoch)
{
    if (d->ordered && d->epoch == epoch) return;
    size_t end = 0;
    for (size_t i = 0; i < d->count; i++) {
        d->order[i] = (size_t)rng_permute(~epoch, i, d->count);
        end += d->begins[d->order[i] + 1] - d->begins[d->order[i]];
        d->ends[i] = end;
    }
    d->epoch = epoch;
    d->ordered = true;
}

/* From place `at` of the ring of ordered documents on. */
static void put_ring_of_documents(Window *w, Part part, size_t at)
{
    const Documents *d = part.documents;
    size_t low = 0, high = d->count - 1;                    /* the first whose end is after `at` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (d->ends[middle] > at) high = middle;
        else low = middle + 1;
    }
    size_t begin = d->begins[d->order[low] + 1] - (d->ends[low] - at);
    for (size_t i = low; !full(w); i = (i + 1) % d->count) {
        put(w, part.ids + begin, d->begins[d->order[i] + 1] - begin);
        begin = d->begins[d->order[(i + 1) % d->count]];
    }
}

static void put_ring(Window *w, Part part, size_t at)
{
    static const int32_t separator = SEPARATOR_ID;
    if (at < part.count) put(w, part.ids + at, part.count - at);
    while (!full(w)) {
        if (part.separator) put(w, &separator, 1);
        put(w, part.ids, part.count);
    }
}

void windows_epoch(Part part, uint64_t key, uint64_t first, int batch, int context, int32_t *x,
                   int32_t *y)
{
    bool seam = part.documents == NULL && part.separator;
    size_t length = (size_t)context, ring = part.count + (seam ? 1 : 0);
    uint64_t windows = ring / length;
    for (int b = 0; b < batch; b++, x += length, y += length) {
        Window w = { x, y, length, 0 };
        uint64_t number = first + (uint64_t)b, epoch = rng_bits(key, number / windows);
        uint64_t window = rng_permute(epoch, number % windows, windows);
        uint64_t phase = rng_below(epoch, 0, ring);
        size_t at = (size_t)((phase + window * length) % ring);
        if (part.documents != NULL) {
            order_documents(part.documents, epoch);
            put_ring_of_documents(&w, part, at);
        } else {
            put_ring(&w, part, at);
        }
    }
}

/* ---------------------------------------------------------------- by documents */

size_t windows_documents(Part part, uint64_t key, uint64_t first, int batch, int context,
                         int32_t *x, int32_t *y)
{
    static const int32_t separator = SEPARATOR_ID;
    const Documents *d = part.documents;
    size_t length = (size_t)context, targets = 0;
    for (int b = 0; b < batch; b++, x += length, y += length) {
        Window w = { x, y, length, 0 };
        uint64_t number = first + (uint64_t)b, epoch = rng_bits(key, number / d->count);
        size_t one = (size_t)rng_permute(epoch, number % d->count, d->count);
        put(&w, part.ids + d->begins[one], d->begins[one + 1] - d->begins[one]);
        put(&w, &separator, 1);
        targets += w.written - 1;
        for (size_t i = w.written - 1; i < length; i++) {
            x[i] = SEPARATOR_ID;
            y[i] = NO_TARGET;
        }
    }
    return targets;
}
