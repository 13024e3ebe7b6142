/* gemm.c: c = [c +] a b on strided views: blocking, packing, threads. Portable; the tables do the arithmetic.
 *
 * The loops are those of Goto and van de Geijn (2008): a block of KC rows of b is packed once and shared, each
 * thread packs a block of at most MC rows of a, and tiles of mr x nr outputs run over the packed panels.
 * An output is always summed in one chain in the order of k: blocks only interrupt it to store and load it.
 */
#include "kernels.h"

enum {
    KC = 256,               /* a panel of KC x nr floats stays in a 32 KB L1: 256 x 16 x 4 bytes */
    MC = 144,               /* a block of MC x KC floats takes 147 KB of the L2 */
    NC = 2048,              /* a block of KC x NC floats takes 2 MB of the L3 */
    EDGE = 1024             /* elements of the largest tile of any table */
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

/* Packed operands: panels of mr rows of a (m,k), one behind the other, and of nr columns of b (k,n), `stride` bytes apart. */
typedef struct {
    const char *a, *b;
    size_t stride;
    int m, n, k;
} Panels;

/* One tile at the edge of c: only m x n outputs exist, so the tile works on a copy. */
static void edge_tile(const Kernels *K, real *c, ptrdiff_t ldc, Panels p, bool add)
{
    real edge[EDGE];
    if (add) memset(edge, 0, (size_t)(K->mr * K->nr) * sizeof *edge);
    for (int i = 0; i < p.m && add; i++)
        memcpy(edge + i * K->nr, c + i * ldc, (size_t)p.n * sizeof(real));
    K->tile(edge, K->nr, p.a, p.b, p.k, add);
    for (int i = 0; i < p.m; i++)
        memcpy(c + i * ldc, edge + i * K->nr, (size_t)p.n * sizeof(real));
}

/* c (m,n) = [c +] a b */
static void multiply_panels(const Kernels *K, real *c, ptrdiff_t ldc, Panels p, bool add)
{
    size_t step = (size_t)K->mr * (size_t)p.k * K->packed;
    for (int j = 0; j < p.n; j += K->nr) {
        Panels one = { p.a, p.b + (size_t)(j / K->nr) * p.stride, 0, 0, min_int(K->nr, p.n - j), p.k };
        for (int i = 0; i < p.m; i += K->mr, one.a += step) {
            real *out = c + i * ldc + j;
            one.m = min_int(K->mr, p.m - i);
            if (one.m == K->mr && one.n == K->nr) K->tile(out, ldc, one.a, one.b, p.k, add);
            else edge_tile(K, out, ldc, one, add);
        }
    }
}

/* Packs rows i .. i+m-1 and columns k0 .. k0+k-1 of a into panels of mr rows. */
static void pack_block(const Kernels *K, char *dst, View a, int i, int m, int k0, int k)
{
    size_t step = (size_t)K->mr * (size_t)k * K->packed;
    for (int p = 0; p < m; p += K->mr, dst += step)
        K->pack_rows(dst, a.at + (i + p) * a.rs + k0 * a.cs, a.rs, a.cs, min_int(m - p, K->mr), k);
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
            pack_block(K, rows, a, i, m, k0, k);
            Panels p = { rows, g->cols + (size_t)first * stride, stride, m, min_int(n, last * K->nr) - j, k };
            multiply_panels(K, c + i * ldc + j0 + j, ldc, p, add || k0 > 0);
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
            pack_block(K, rows, a, i, m, k0, k);
            multiply_panels(K, c + i * ldc, ldc, (Panels){ rows, panels, b.stride, m, n, k }, add || k0 > 0);
        }
    }
}
