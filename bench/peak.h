/* peak.h: the two limits of an instruction set: how fast it multiplies and adds, and how fast
 * it reads.
 *
 * peak.c is compiled once for each table of kernels/, with that table's flags and vector
 * vocabulary.
 *
 *     real x[PEAK_WIDTH] = { 0 };
 *     peak_avx2.fma(x, 0.5f, 1, rounds);           2.0 * rounds * peak_avx2.width operations
 */
#ifndef PEAK_H
#define PEAK_H

#include "../base.h"

enum { PEAK_WIDTH = 1024 };                 /* no table is wider */

typedef struct {
    const char *name;       /* the table's; NULL: this build lacks it */
    int width;              /* numbers that are worked on side by side, all in registers */
    /* x (width): `rounds` times x <- x + a b, or x <- x a + b where multiply and add are separate.
     * With a = 1/2 and b = 1 every x stays in range. */
    void (*fma)(real *x, real a, real b, int64_t rounds);
    /* sum (width) += p (n), read in as many streams as a tile has rows; the remainder of
     * n / width is left out. */
    void (*read)(real *sum, const real *p, size_t n);
} Peak;

extern const Peak peak_avx512, peak_avx2, peak_neon, peak_portable;

#endif
