/* peak.c: peak.h for one table. The Makefile names the table and its file, and renames the Kernels
 * that the file defines, because the program has them already:
 *
 *     cc -mavx2 -mfma -DTABLE=avx2 -DTABLE_FILE='"../kernels/avx2.c"' \
 *        -Dkernels_avx2=peak_table_avx2 ...
 */
#include "peak.h"
#include TABLE_FILE

#define JOIN(a, b) a##b
#define PEAK_OF(table) JOIN(peak_, table)
#define QUOTE(word) #word
#define TEXT_OF(word) QUOTE(word)

#ifdef KERNELS_TABLE                    /* body.h was read: the compiler has the instruction set */

/* Two multiply-adds start in a cycle and each takes 4 or 5, so 10 chains that do not wait for each
 * other keep the units busy (and 16 where four start); there are as many as a tile of a matrix
 * product has accumulators. The portable table has single numbers, which the compiler joins: 48
 * are 12 vectors of 4, enough for a multiply and an add that waits for it. */
enum { ROWS = VLEN > 1 ? MR : 6, COLS = VLEN > 1 ? NV : 8, WIDTH = ROWS * COLS * VLEN };

/* A fused multiply-add takes the place of its addend; 64-bit ARM has no other. Without one, a b
 * would be the same in every round, and the compiler would multiply only once. */
static inline vec chain(vec x, vec a, vec b) { return VLEN > 1 ? v_fma(a, b, x) : v_fma(x, a, b); }

static void peak_fma(real *x, real a, real b, int64_t rounds)
{
    const vec va = v_set(a), vb = v_set(b);
    vec acc[ROWS][COLS];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) acc[i][j] = v_load(x + (i * COLS + j) * VLEN);
    for (; rounds > 0; rounds--)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLS; j++) acc[i][j] = chain(acc[i][j], va, vb);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) v_store(x + (i * COLS + j) * VLEN, acc[i][j]);
}

static void peak_read(real *sum, const real *p, size_t n)
{
    vec acc[ROWS][COLS];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) acc[i][j] = v_load(sum + (i * COLS + j) * VLEN);
    size_t stream = n / WIDTH * COLS * VLEN;        /* ROWS streams fetch more at once than one */
    for (size_t k = 0; k < stream; k += COLS * VLEN)
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLS; j++)
                acc[i][j] = v_add(acc[i][j], v_load(p + (size_t)i * stream + k + (size_t)j * VLEN));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) v_store(sum + (i * COLS + j) * VLEN, acc[i][j]);
}

const Peak PEAK_OF(TABLE) = { TEXT_OF(TABLE), WIDTH, peak_fma, peak_read };

#else
const Peak PEAK_OF(TABLE) = { 0 };
#endif
