/* gemm.c: c = [c +] a b on strided views: blocking, packing, threads. Portable; the tables do the arithmetic.
 *
 * The loops are those of Goto and van de Geijn (2008): a block of KC rows of b is packed once and shared, each
 * thread takes a block of at most MC rows of a, packed if tiles cannot read it well where it lies, and tiles of mr x nr
 * outputs run over the panels.
 * An output is always summed in one chain in the order of k: blocks only interrupt it to store and load it.
 */
#include "kernels.h"

enum {
    KC = 256,               /* a panel of KC x nr floats stays in a 32 KB L1: 256 x 16 x 4 bytes */
    MC = 144,               /* a block of MC x KC floats takes 147 KB of the L2 */
    NC = 2048,              /* a block of KC x NC floats takes 2 MB of the L3 */
    EDGE = 1024,            /* elements of the largest tile of any table */
    ALIAS = 1024            /* rows so many elements apart share the places of an L1 that finds them by 12 bits of address */
};

static int min_int(int a, int b) { return a < b ? a : b; }

void gemm_layout(Gemm *g, Arena *a, const Kernels *K, int threads)
{
    g->K = K;
    g->threads = threads;
    g->rows_bytes = (size_t)round_up(MC, K->mr) * KC * K->packed;
    g->cols = arena_take(a, (size_t)KC * (size_t)round_up(NC, K->nr), K->packed);
    g->rows = arena_take(a, (size_t)threads, g->rows_bytes);
}

/* A block of the left operand (m,k), as tiles read it: panels of mr rows, each where it lies or packed. */
typedef struct {
    View at;                /* the rows where they lie */
    const char *packed;     /* panels, one behind the other */
    int direct;             /* rows that are read where they lie; those behind them are packed */
} Rows;

/* Packed panels of nr columns of the right operand (k,n), `stride` bytes apart. */
typedef struct {
    const char *panels;
    size_t stride;
    int n, k;
} Columns;

/* Rows i .. i+m-1 and columns k0 .. k0+k-1 of a. Rows of adjacent elements are read where they lie, unless they compete for
 * the same places of the cache; others, and the last ones if they fill no panel, are packed. */
static Rows rows_of(const Kernels *K, char *packed, View a, int i, int m, int k0, int k)
{
    Rows r = { { a.at + i * a.rs + k0 * a.cs, m, k, a.rs, a.cs }, packed, 0 };
    if (a.cs == 1 && a.rs % ALIAS != 0) r.direct = m / K->mr * K->mr;
    size_t step = (size_t)K->mr * (size_t)k * K->packed;
    for (int p = r.direct; p < m; p += K->mr)
        K->pack_rows(packed + (size_t)(p / K->mr) * step, r.at.at + p * a.rs, a.rs, a.cs, min_int(m - p, K->mr), k);
    return r;
}

/* The tile of rows i .. and one panel of columns. At an edge of c only m x n outputs exist, and it works on a copy. */
static void one_tile(const Kernels *K, real *c, ptrdiff_t ldc, const Rows *r, int i, Columns one, bool add)
{
    const void *a = r->packed + (size_t)i * (size_t)one.k * K->packed;
    ptrdiff_t rs = 1, cs = K->mr;
    if (i < r->direct) {
        a = r->at.at + i * r->at.rs;
        rs = r->at.rs;
        cs = 1;
    }
    int m = min_int(K->mr, r->at.rows - i);
    if (m == K->mr && one.n == K->nr) {
        K->tile(c, ldc, a, rs, cs, one.panels, one.k, add);
        return;
    }
    real edge[EDGE];
    if (add) memset(edge, 0, (size_t)(K->mr * K->nr) * sizeof *edge);
    for (int row = 0; row < m && add; row++)
        memcpy(edge + row * K->nr, c + row * ldc, (size_t)one.n * sizeof(real));
    K->tile(edge, K->nr, a, rs, cs, one.panels, one.k, add);
    for (int row = 0; row < m; row++)
        memcpy(c + row * ldc, edge + row * K->nr, (size_t)one.n * sizeof(real));
}

/* c (m,n) = [c +] a b */
static void multiply_panels(const Kernels *K, real *c, ptrdiff_t ldc, Rows r, Columns b, bool add)
{
    for (int j = 0; j < b.n; j += K->nr) {
        Columns one = { b.panels + (size_t)(j / K->nr) * b.stride, 0, min_int(K->nr, b.n - j), b.k };
        for (int i = 0; i < r.at.rows; i += K->mr)
            one_tile(K, c + i * ldc + j, ldc, &r, i, one, add);
    }
}

/* Columns j0 .. j0+n-1 of c, in an open parallel region. Rows are cut evenly among the threads into blocks of at
 * most MC; where there are fewer blocks than threads, the columns are cut too. */
static void gemm_columns(const Gemm *g, real *c, ptrdiff_t ldc, View a, View b, int j0, int n, bool add)
{
    const Kernels *K = g->K;
    int share = round_up((a.rows + g->threads - 1) / g->threads, K->mr);
    int mc = min_int(round_up(MC, K->mr), share), row_blocks = (a.rows + mc - 1) / mc;
    int panels = (n + K->nr - 1) / K->nr;
    int column_blocks = min_int(panels, (g->threads + row_blocks - 1) / row_blocks);
    char *rows = g->rows + (size_t)omp_get_thread_num() * g->rows_bytes;

    for (int k0 = 0; k0 < a.cols; k0 += KC) {
        int k = min_int(KC, a.cols - k0);
        size_t stride = (size_t)k * (size_t)K->nr * K->packed;
        OMP(for schedule(static))
        for (int p = 0; p < panels; p++)
            K->pack_cols(g->cols + (size_t)p * stride, b.at + k0 * b.rs + (j0 + p * K->nr) * b.cs, b.rs, b.cs, k,
                         min_int(K->nr, n - p * K->nr));
        OMP(for schedule(static))
        for (int task = 0; task < row_blocks * column_blocks; task++) {
            int i = task / column_blocks * mc, m = min_int(mc, a.rows - i);
            int first = task % column_blocks * panels / column_blocks;
            int last = (task % column_blocks + 1) * panels / column_blocks;
            int j = first * K->nr;
            Columns part = { g->cols + (size_t)first * stride, stride, min_int(n, last * K->nr) - j, k };
            multiply_panels(K, c + i * ldc + j0 + j, ldc, rows_of(K, rows, a, i, m, k0, k), part, add || k0 > 0);
        }
    }
}

void gemm(const Gemm *g, real *c, ptrdiff_t ldc, View a, View b, bool add)
{
    int nc = round_up(NC, g->K->nr);
    OMP(parallel num_threads(g->threads))
    for (int j = 0; j < b.cols; j += nc)
        gemm_columns(g, c, ldc, a, b, j, min_int(nc, b.cols - j), add);
}

size_t packed_bytes(const Kernels *K, int k, int n)
{
    return (size_t)k * (size_t)round_up(n, K->nr) * K->packed;
}

Packed gemm_pack(const Kernels *K, char *memory, View b)
{
    Packed p = { memory, (size_t)b.rows * (size_t)K->nr * K->packed };
    for (int j = 0; j < b.cols; j += K->nr, memory += p.stride)
        K->pack_cols(memory, b.at + j * b.cs, b.rs, b.cs, b.rows, min_int(K->nr, b.cols - j));
    return p;
}

void gemm_packed(const Gemm *g, real *c, ptrdiff_t ldc, View a, Packed b, int n, bool add)
{
    const Kernels *K = g->K;
    char *rows = g->rows + (size_t)omp_get_thread_num() * g->rows_bytes;
    int mc = round_up(MC, K->mr);
    for (int k0 = 0; k0 < a.cols; k0 += KC) {
        int k = min_int(KC, a.cols - k0);
        const char *panels = b.panels + (size_t)k0 * (size_t)K->nr * K->packed;
        for (int i = 0; i < a.rows; i += mc) {
            int m = min_int(mc, a.rows - i);
            multiply_panels(K, c + i * ldc, ldc, rows_of(K, rows, a, i, m, k0, k), (Columns){ panels, b.stride, n, k },
                            add || k0 > 0);
        }
    }
}
