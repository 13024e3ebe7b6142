/* picture.c: images in a terminal. */
#include "picture.h"

enum { GAP = 2 };           /* columns between two pictures */

int pictures_across(int64_t width)
{
    int64_t across = (OUTPUT_WIDTH + GAP) / (2 * width + GAP);
    return across > 1 ? (int)across : 1;
}

/* The bytes of the pixel at `at`; 0 at the end of the picture. */
static size_t pixel_size(const Picture *p, size_t at)
{
    size_t size = 1;
    if (at >= p->size || p->bytes[at] == '\n' || p->bytes[at] == '\r') return 0;
    while (p->utf8 && at + size < p->size && ((unsigned char)p->bytes[at + size] & 0xc0) == 0x80)
        size++;
    return size;
}

/* Draws a row of one picture and moves on to the next: *at counts bytes. False at its end. */
static bool draw_row(Output *out, const Picture *p, size_t *at, int64_t width)
{
    bool any = false;
    for (int64_t x = 0; x < width; x++) {
        size_t size = pixel_size(p, *at);
        for (int twice = 0; twice < 2; twice++) {
            if (size > 0) output_visible_bytes(out, p->bytes + *at, size);
            else output_print(out, " ");
        }
        any = any || size > 0;
        *at += size;
    }
    return any && pixel_size(p, *at) > 0;
}

static void draw_line_of(Output *out, const Picture *pictures, int count, int64_t width)
{
    size_t at[OUTPUT_WIDTH] = { 0 };
    for (bool more = true; more; ) {
        more = false;
        for (int i = 0; i < count; i++) {
            if (i > 0) output_print(out, "%*s", GAP, "");
            more = draw_row(out, &pictures[i], &at[i], width) || more;
        }
        output_print(out, "\n");
    }
    output_print(out, "\n");
}

void pictures_draw(Output *out, const Picture *pictures, int count, int64_t width)
{
    int across = pictures_across(width);
    for (int i = 0; i < count; i += across)
        draw_line_of(out, pictures + i, count - i < across ? count - i : across, width);
}
