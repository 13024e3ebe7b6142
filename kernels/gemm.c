/* gemm.c: c = [c +] a b on strided views: blocking, packing, threads. Portable; the tables do
 * the arithmetic.
 *
 * The loops are those of Goto and van de Geijn (2008): as much of b as there is room for is packed
 * once and shared, each thread takes blocks of at most MC rows and KC columns of a, packed where
 * tiles cannot read them well unpacked, and tiles of mr x nr outputs run over the panels.
 * An output is always summed in one chain in the order of k: blocks only interrupt it to store
 * and load it.
 */
#include "kernels.h"

enum {
    KC = 256,               /* a panel of KC x nr floats stays in a 32 KB L1: 256 x 16 x 4 bytes */
    MC = 144,               /* a block of MC x KC floats takes 147 KB of the L2 */
    NC = 2048,              /* a block of KC x NC floats takes 2 MB of the L3 */
    EDGE = 1024,            /* elements of the largest tile of any table */
    ALIAS = 1024            /* rows this many elements apart share the sets of an L1 indexed by 12
                             * bits of the address */
};

static int min_int(int a, int b) { return a < b ? a : b; }

/* Rows i .. and columns j .. of v. */
static View part(View v, int i, int rows, int j, int cols)
{
    return (View){ v.at + i * v.rs + j * v.cs, rows, cols, v.rs, v.cs };
}

void gemm_layout(Gemm *g, Arena *a, const Kernels *K, int threads)
{
    g->K = K;
    g->threads = threads;
    g->rows_bytes = (size_t)round_up(MC, K->mr) * KC * K->packed;
    g->cols = arena_take(a, (size_t)KC * (size_t)round_up(NC, K->nr), K->packed);
    g->rows = arena_take(a, (size_t)threads, g->rows_bytes);
}

/* A block of the left operand (m,k), as tiles read it: panels of mr rows, unpacked or packed. */
typedef struct {
    View at;                /* the unpacked rows */
    const char *packed;     /* panels, one after the other */
    int direct;             /* the first rows, which are read unpacked; the others are packed */
} Rows;

/* Packed panels of nr columns of the right operand (k,n), `stride` bytes apart. */
typedef struct {
    const char *panels;
    size_t stride;
    int n, k;
} Columns;

/* Rows of adjacent elements are read unpacked, unless they compete for the same sets of the cache;
 * others, and the last ones if they do not fill a panel, are packed. */
static Rows rows_of(const Kernels *K, char *packed, View a)
{
    Rows r = { a, packed, 0 };
    if (a.cs == 1 && a.rs % ALIAS != 0) r.direct = a.rows / K->mr * K->mr;
    packed += (size_t)r.direct * (size_t)a.cols * K->packed;
    K->pack_rows(packed, a.at + r.direct * a.rs, a.rs, a.cs, a.rows - r.direct, a.cols);
    return r;
}

/* Where a product goes. */
typedef struct {
    real *at;
    ptrdiff_t ld;
    bool add;
    Causal causal;          /* its diagonal counts from `at` */
} Output;

static Output output_from(Output c, int i, int j)
{
    c.at += i * c.ld + j;
    c.causal.diagonal += i - j;
    return c;
}

/* The tile at `c`: rows i .. of r, columns k0 .. of them, times one panel. At an edge of the output
 * only m x n elements exist, and the tile works on a copy. */
static void one_tile(const Kernels *K, Output c, const Rows *r, int i, int k0, Columns one)
{
    const void *a = r->packed + ((size_t)i * (size_t)r->at.cols + (size_t)(k0 * K->mr)) * K->packed;
    ptrdiff_t rs = 1, cs = K->mr;
    if (i < r->direct) {
        a = r->at.at + i * r->at.rs + k0;
        rs = r->at.rs;
        cs = 1;
    }
    int m = min_int(K->mr, r->at.rows - i);
    if (m == K->mr && one.n == K->nr) {
        K->tile(c.at, c.ld, a, rs, cs, one.panels, one.k, c.add);
        return;
    }
    real edge[EDGE];
    if (c.add) memset(edge, 0, (size_t)(K->mr * K->nr) * sizeof *edge);
    for (int row = 0; row < m && c.add; row++)
        memcpy(edge + row * K->nr, c.at + row * c.ld, (size_t)one.n * sizeof(real));
    K->tile(edge, K->nr, a, rs, cs, one.panels, one.k, c.add);
    for (int row = 0; row < m; row++)
        memcpy(c.at + row * c.ld, edge + row * K->nr, (size_t)one.n * sizeof(real));
}

/* c = [c +] a b, without the tiles and the parts of sums that c.causal leaves out. */
static void multiply_panels(const Kernels *K, Output c, Rows a, Columns b)
{
    for (int j = 0; j < b.n; j += K->nr)
        for (int i = 0; i < a.at.rows; i += K->mr) {
            int first = c.causal.diagonal + i, low = 0, high = b.k;
            if (c.causal.part == CAUSAL_OUTPUT && j >= first + K->mr) continue;
            if (c.causal.part == CAUSAL_LOWER) high = min_int(high, first + K->mr);
            if (c.causal.part == CAUSAL_UPPER && first > 0) low = first;
            if (low >= high) continue;
            const char *panel = b.panels + (size_t)(j / K->nr) * b.stride
                                + (size_t)(low * K->nr) * K->packed;
            one_tile(K, (Output){ c.at + i * c.ld + j, c.ld, c.add, { 0 } }, &a, i, low,
                     (Columns){ panel, 0, min_int(K->nr, b.n - j), high - low });
        }
}

/* c = [c +] a b, a in even blocks of at most about MC rows; the calling thread alone. */
static void multiply_rows(const Gemm *g, Output c, View a, Columns b)
{
    char *packed = g->rows + (size_t)omp_get_thread_num() * g->rows_bytes;
    int blocks = (a.rows + MC - 1) / MC;
    int step = blocks > 0 ? round_up((a.rows + blocks - 1) / blocks, g->K->mr) : 1;
    for (int i = 0; i < a.rows; i += step) {
        View some = part(a, i, min_int(step, a.rows - i), 0, a.cols);
        multiply_panels(g->K, output_from(c, i, 0), rows_of(g->K, packed, some), b);
    }
}

/* How the threads share c: a grid of `down` x `across` parts. Of all such grids the one whose
 * largest part is smallest; of equal ones the flattest, because every part packs its own rows. */
typedef struct {
    int down, across;
} Grid;

static Grid grid_of(int threads, int tiles, int panels)
{
    Grid best = { threads, 1 };
    int64_t least = INT64_MAX;
    for (int down = threads; down >= 1; down--) {
        int across = threads / down;
        int64_t largest = (int64_t)((tiles + down - 1) / down) * ((panels + across - 1) / across);
        if (down * across != threads || largest >= least) continue;
        least = largest;
        best = (Grid){ down, across };
    }
    return best;
}

/* c = [c +] a b in blocks of KC, b's panels packed in their whole depth a.cols; the calling
 * thread alone. */
static void multiply_blocks(const Gemm *g, Output c, View a, Columns b)
{
    for (int k0 = 0; k0 < a.cols; k0 += KC, c.add = true) {
        Columns some = { b.panels + (size_t)(k0 * g->K->nr) * g->K->packed, b.stride, b.n,
                         min_int(KC, a.cols - k0) };
        multiply_rows(g, c, part(a, 0, a.rows, k0, some.k), some);
        if (c.causal.part != CAUSAL_OUTPUT) c.causal.diagonal -= some.k;
    }
}

/* Where part `i` of `parts` begins: i n / parts, whose product may be more than an int. */
static int part_start(int i, int n, int parts) { return (int)((int64_t)i * n / parts); }

/* As much of b as g->cols holds, in an open parallel region. */
static void gemm_block(const Gemm *g, Output c, View a, View b)
{
    const Kernels *K = g->K;
    int tiles = (a.rows + K->mr - 1) / K->mr, panels = (b.cols + K->nr - 1) / K->nr;
    size_t stride = (size_t)b.rows * (size_t)K->nr * K->packed;
    Grid grid = grid_of(g->threads, tiles, panels);

    OMP(for schedule(static))
    for (int one = 0; one < g->threads; one++) {
        int p = part_start(one, panels, g->threads), j = p * K->nr;
        int end = min_int(b.cols, part_start(one + 1, panels, g->threads) * K->nr);
        View some = part(b, 0, b.rows, j, end - j);
        K->pack_cols(g->cols + (size_t)p * stride, some.at, some.rs, some.cs, some.rows, some.cols);
    }
    OMP(for schedule(static))
    for (int one = 0; one < g->threads; one++) {
        int row = one / grid.across, column = one % grid.across;
        int i = part_start(row, tiles, grid.down) * K->mr;
        int m = min_int(a.rows, part_start(row + 1, tiles, grid.down) * K->mr) - i;
        int p = part_start(column, panels, grid.across), j = p * K->nr;
        int end = min_int(b.cols, part_start(column + 1, panels, grid.across) * K->nr);
        multiply_blocks(g, output_from(c, i, j), part(a, i, m, 0, a.cols),
                        (Columns){ g->cols + (size_t)p * stride, stride, end - j, b.rows });
    }
}

static void multiply(const Gemm *g, Output c, View a, View b)
{
    int nc = round_up(NC, g->K->nr), width = min_int(round_up(b.cols, g->K->nr), nc);
    int kc = width > 0 ? nc / width * KC : KC;      /* few columns: more rows, fewer barriers */
    OMP(parallel num_threads(g->threads))
    for (int j = 0; j < b.cols; j += nc) {
        Output some = output_from(c, 0, j);
        for (int k0 = 0; k0 < a.cols; k0 += kc, some.add = true) {
            int n = min_int(nc, b.cols - j), k = min_int(kc, a.cols - k0);
            gemm_block(g, some, part(a, 0, a.rows, k0, k), part(b, k0, k, j, n));
        }
    }
}

void gemm(const Gemm *g, real *c, ptrdiff_t ldc, View a, View b, bool add)
{
    multiply(g, (Output){ c, ldc, add, { 0 } }, a, b);
}

void gemm_square(const Gemm *g, real *c, View a)
{
    multiply(g, (Output){ c, a.rows, false, { CAUSAL_OUTPUT, 0 } }, a, transposed(a));
    enum { SQUARE = 16 };                       /* a cache line is filled before it is evicted */
    for (int i0 = 0; i0 < a.rows; i0 += SQUARE)
        for (int j0 = 0; j0 <= i0; j0 += SQUARE)
            for (int i = i0; i < min_int(i0 + SQUARE, a.rows); i++)
                for (int j = j0; j < min_int(j0 + SQUARE, i); j++)
                    c[(size_t)j * (size_t)a.rows + (size_t)i] =
                        c[(size_t)i * (size_t)a.rows + (size_t)j];
}

size_t packed_bytes(const Kernels *K, int k, int n)
{
    return (size_t)k * (size_t)round_up(n, K->nr) * K->packed;
}

Packed gemm_pack(const Kernels *K, char *memory, View b)
{
    K->pack_cols(memory, b.at, b.rs, b.cs, b.rows, b.cols);
    return (Packed){ memory, (size_t)b.rows * (size_t)K->nr * K->packed };
}

void gemm_packed(const Gemm *g, real *c, ptrdiff_t ldc, View a, Packed b, int n, Causal causal,
                 bool add)
{
    multiply_blocks(g, (Output){ c, ldc, add, causal }, a,
                    (Columns){ b.panels, b.stride, n, a.cols });
}
