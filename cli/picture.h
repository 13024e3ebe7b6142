/* picture.h: texts that are images, one character a pixel, row by row.
 *
 * Owns: how they are drawn: side by side, as many as fit, each pixel twice, for a character is
 * about twice as high as wide.
 *
 *     pictures_draw(&out, pictures, count, width);
 */
#ifndef PICTURE_H
#define PICTURE_H

#include "output.h"

typedef struct {
    const char *bytes;      /* (size); a line end ends the picture */
    size_t size;
    bool utf8;              /* a pixel may have several bytes */
} Picture;

/* How many of `width` pixels stand side by side: at least one. */
int pictures_across(int64_t width);
/* An empty line comes after every row of pictures; what a picture lacks stays blank. */
void pictures_draw(Output *out, const Picture *pictures, int count, int64_t width);

#endif
