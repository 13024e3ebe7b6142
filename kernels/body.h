/* body.h: every kernel, written once over the vector vocabulary of the file that includes it.
 *
 * The including file defines, before the include:
 *   VLEN, MR, NV                     lanes of a vector; a tile is MR rows x NV vectors
 *   vec, v_load v_store v_set v_add v_sub v_mul v_div v_max v_sqrt
 *   v_fma(a, b, c) = a b + c         v_sum(a), the sum of the lanes in a fixed order
 *   v_max(a, b) is NaN if b is
 *   v_if_negative(x, a, b)           a where x < 0, else b
 *   v_zip_low(a, b) v_zip_high(a, b) a0 b0 a1 b1 ..., from the lower or upper halves of a and b
 *   v_prefetch(p)                    prefetches the cache line at p, which need not exist, or not
 *   v_load_part, v_store_part        the first n lanes, 0 < n < VLEN; the others load as 0
 *   vecu, u_set u_lanes u_add u_mul u_xor      lanes of uint32_t; u_lanes is 0, 1, 2, ...
 *   u_shift_left u_shift_right(a, bits)
 *   v_if_at_least(r, t, x)           x where r >= t (unsigned), else 0
 *   v_two_to_the(z)                  2^n for z = 1.5 2^23 + n, n an integer in -126 .. 127
 * or, instead of v_two_to_the, V_LIBM: exp, tanh and erfc come from libm (the double build).
 *
 * A ragged end goes through the same vector arithmetic as the rest (v_get, v_put), so an
 * element's value does not depend on its position in the array.
 */

enum { NR = NV * VLEN };

static inline vec v_get(const real *p, int left)
{
    return left >= VLEN ? v_load(p) : v_load_part(p, left);
}

static inline void v_put(real *p, vec v, int left)
{
    if (left >= VLEN) v_store(p, v);
    else v_store_part(p, v, left);
}

static inline vec v_neg(vec x) { return v_sub(v_set(0), x); }

/* ---------------------------------------------------------------- elementary functions */

#ifdef V_LIBM

static inline vec v_exp(vec x) { return exp(x); }

/* Of the standard normal, for x <= 0: cdf(x), and cdf(x) + x pdf(x) from it. */
static inline vec v_normal(vec x) { return 0.5 * erfc(x * -0.7071067811865476); }
static inline vec v_normal_slope(vec x, vec cdf)
{
    return cdf + x * exp(-0.5 * x * x) * 0.3989422804014327;
}

static inline vec v_tanh(vec x) { return tanh(x); }

#else

/* c_0 + c_1 x + ... + c_degree x^degree: the even and the odd terms each by Horner's rule, so that
 * neither waits for the other. */
static inline vec v_polynomial(vec x, const float *c, int degree)
{
    vec square = v_mul(x, x), a = v_set(c[degree]), b = v_set(c[degree - 1]);
    for (int i = degree - 2; i > 0; i -= 2) {
        a = v_fma(a, square, v_set(c[i]));
        b = v_fma(b, square, v_set(c[i - 1]));
    }
    return degree % 2 ? v_fma(a, x, b) : v_fma(b, x, v_fma(a, square, v_set(c[0])));
}

/* e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln(2)/2, ln 2 subtracted in two parts (Cody and
 * Waite 1980); e^r by the minimax polynomial of degree 6. Relative error below 2e-7 for x >= -87;
 * smaller x count as -87 (1.6e-38 instead of less), larger than 88 as 88; a NaN stays one (v_max
 * returns its second operand then). */
static inline vec v_exp(vec x)
{
    static const float c[] = { 1, 1, 4.999999343e-1f, 1.666652040e-1f, 4.166839080e-2f,
                               8.368745246e-3f, 1.381453999e-3f };
    const vec magic = v_set(12582912.0f);           /* 1.5 2^23: adding it rounds to an integer */
    x = v_neg(v_max(v_set(-88.0f), v_neg(v_max(v_set(-87.0f), x))));
    vec z = v_fma(x, v_set(1.44269504f), magic), n = v_sub(z, magic);
    vec r = v_fma(n, v_set(-0.693359375f), x);
    r = v_fma(n, v_set(2.12194440e-4f), r);
    return v_mul(v_polynomial(r, c, 6), v_two_to_the(z));
}

/* Of the standard normal, for -16 <= x <= 0: cdf(x) = 1/2 q(x)^-4. q, of degree 10, is minimax in
 * the error that it causes in the cdf, as in Hastings' 1/2 (1 + ... + a_6 |x|^6)^-16 (Abramowitz
 * and Stegun 7.1.28). Absolute error below 3.6e-7, nearly all of it rounding. */
static inline vec v_normal(vec x)
{
    static const float c[] = { 1, -1.99470297e-1f, 9.94889587e-2f, -2.6164256e-2f,
                               5.80529077e-3f, -7.30597298e-4f, 9.83271515e-4f, 4.12016176e-4f,
                               1.84141973e-4f, 3.63551771e-5f, 3.9063234e-6f };
    vec q = v_polynomial(x, c, 10);
    q = v_mul(q, q);
    return v_div(v_set(0.5f), v_mul(q, q));
}

/* cdf(x) + x pdf(x) = cdf(x) r(x). r = 1 + x pdf / cdf is smooth where the cdf matters: degree 7,
 * minimax as above. Absolute error below 8e-7. */
static inline vec v_normal_slope(vec x, vec cdf)
{
    static const float c[] = { 1, 7.97883332e-1f, -6.36504769e-1f, 1.09768748e-1f,
                               2.09056698e-2f, 1.80712075e-3f, -9.92161658e-5f, -2.49650275e-5f };
    return v_mul(cdf, v_polynomial(x, c, 7));
}

/* tanh x = 2 / (1 + e^(-2x)) - 1. Absolute error below 2e-7. */
static inline vec v_tanh(vec x)
{
    vec e = v_exp(v_mul(x, v_set(-2.0f)));
    return v_sub(v_div(v_set(2.0f), v_add(v_set(1.0f), e)), v_set(1.0f));
}

#endif

/* ---------------------------------------------------------------- matrix product */

/* Transposes a block: log2 VLEN rounds, each a perfect shuffle of its rows (Stone 1971). */
static inline void v_transpose(vec r[VLEN])
{
    for (int round = 1; round < VLEN; round *= 2) {
        vec t[VLEN];
        for (int i = 0; i < VLEN / 2; i++) {
            t[2 * i] = v_zip_low(r[i], r[i + VLEN / 2]);
            t[2 * i + 1] = v_zip_high(r[i], r[i + VLEN / 2]);
        }
        memcpy(r, t, sizeof t);
    }
}

/* One panel of n <= width columns of src (k, n), the others zero;
 * element (p, j) at src[p down + j across]. */
static inline void pack_panel(real *out, const real *src, ptrdiff_t down, ptrdiff_t across,
                              int k, int n, int width)
{
    int rows = down == 1 && n == width && width % VLEN == 0 ? k / VLEN * VLEN : 0;
    for (int j = 0; j < width && rows > 0; j += VLEN)
        for (int p = 0; p < rows; p += VLEN) {
            vec block[VLEN];
            for (int i = 0; i < VLEN; i++) block[i] = v_load(src + p + (j + i) * across);
            v_transpose(block);
            for (int i = 0; i < VLEN; i++) v_store(out + (p + i) * width + j, block[i]);
        }
    if (n < width) memset(out, 0, (size_t)(k * width) * sizeof *out);
    for (int j = 0; j < n; j++)
        for (int p = rows; p < k; p++)
            out[p * width + j] = src[p * down + j * across];
}

/* src (k, n) in panels (k, width). Adjacent columns are read row after row, as memory has them. */
static inline void pack(real *out, const real *src, ptrdiff_t down, ptrdiff_t across,
                        int k, int n, int width)
{
    int done = across == 1 ? n / width * width : 0;
    for (int p = 0; p < k && done > 0; p++)
        for (int j = 0; j < done; j += width)
            memcpy(out + (ptrdiff_t)j * k + p * width, src + p * down + j,
                   (size_t)width * sizeof *out);
    for (int j = done; j < n; j += width)
        pack_panel(out + (ptrdiff_t)j * k, src + j * across, down, across, k,
                   n - j < width ? n - j : width, width);
}

static void pack_rows(void *dst, const real *src, ptrdiff_t rs, ptrdiff_t cs, int m, int k)
{
    pack(dst, src, cs, rs, k, m, MR);
}

static void pack_cols(void *dst, const real *src, ptrdiff_t rs, ptrdiff_t cs, int k, int n)
{
    pack(dst, src, rs, cs, k, n, NR);
}

/* `add` is a constant at each call, so that the accumulators never leave the registers. */
static inline void tile_sum(real *c, ptrdiff_t ldc, const real *a, ptrdiff_t rs, ptrdiff_t cs,
                            const real *b, int k, bool add)
{
    vec acc[MR][NV];
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++)
            acc[i][j] = add ? v_load(c + i * ldc + j * VLEN) : v_set(0);
    do {
        for (int i = 0; i < MR; i++)
            for (int j = 0; j < NV; j++)
                acc[i][j] = v_fma(v_set(a[i * rs]), v_load(b + j * VLEN), acc[i][j]);
        a += cs;
        b += NR;
    } while (--k > 0);
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++)
            v_store(c + i * ldc + j * VLEN, acc[i][j]);
}

static void tile(real *c, ptrdiff_t ldc, const void *a, ptrdiff_t rs, ptrdiff_t cs, const void *b,
                 int k, bool add)
{
    if (add) tile_sum(c, ldc, a, rs, cs, b, k, true);
    else tile_sum(c, ldc, a, rs, cs, b, k, false);
}

/* ---------------------------------------------------------------- rows */

/* x . y with four partial sums, so that one multiply-add need not wait for the last. */
static inline real dot(const real *x, const real *y, int n)
{
    vec s0 = v_set(0), s1 = s0, s2 = s0, s3 = s0;
    int i = 0;
    for (; i + 4 * VLEN <= n; i += 4 * VLEN) {
        s0 = v_fma(v_load(x + i), v_load(y + i), s0);
        s1 = v_fma(v_load(x + i + VLEN), v_load(y + i + VLEN), s1);
        s2 = v_fma(v_load(x + i + 2 * VLEN), v_load(y + i + 2 * VLEN), s2);
        s3 = v_fma(v_load(x + i + 3 * VLEN), v_load(y + i + 3 * VLEN), s3);
    }
    for (; i < n; i += VLEN)
        s0 = v_fma(v_get(x + i, n - i), v_get(y + i, n - i), s0);
    return v_sum(v_add(v_add(s0, s1), v_add(s2, s3)));
}

enum {
    BLOCK = 3, GROUP = 4,                           /* rows and vectors multiplied together */
    LINE = 64 / sizeof(real)                        /* of the cache */
};

/* sums (R,S) = w (R,n) x (S,n)^T, the rows of w ld apart.
 * Each sum is one chain per lane, for any R and S. */
static inline void dots(real *sums, const real *w, ptrdiff_t ld, const real *x, int n, int R, int S)
{
    vec acc[MR][GROUP];
    for (int r = 0; r < R; r++)
        for (int s = 0; s < S; s++) acc[r][s] = v_set(0);
    int i = 0;
    for (; i + VLEN <= n; i += VLEN)
        for (int r = 0; r < R; r++)
            for (int s = 0; s < S; s++)
                acc[r][s] = v_fma(v_load(w + r * ld + i), v_load(x + (ptrdiff_t)s * n + i),
                                  acc[r][s]);
    for (int r = 0; r < R && i < n; r++)
        for (int s = 0; s < S; s++)
            acc[r][s] = v_fma(v_load_part(w + r * ld + i, n - i),
                              v_load_part(x + (ptrdiff_t)s * n + i, n - i), acc[r][s]);
    for (int r = 0; r < R; r++)
        for (int s = 0; s < S; s++) sums[r * S + s] = v_sum(acc[r][s]);
}

/* One vector. MR rows at a time, far apart: that many streams from memory, each in order, fetch
 * nearly twice as much as one. */
static void gemv_one(real *y, const real *w, ptrdiff_t ld, const real *x, int rows, int n)
{
    int apart = rows / MR;
    for (int o = 0; o < apart; o++) {
        real sums[MR];
        dots(sums, w + o * ld, apart * ld, x, n, MR, 1);
        for (int r = 0; r < MR; r++) y[o + r * apart] = sums[r];
    }
    for (int o = apart * MR; o < rows; o++) dots(y + o, w + o * ld, ld, x, n, 1, 1);
}

/* Several vectors: blocks of neighbouring rows; while one is multiplied by each group of vectors
 * in turn, the next is fetched. */
static void gemv(real *y, ptrdiff_t ldy, const real *w, ptrdiff_t ld, const real *x, int rows,
                 int n, int vectors)
{
    int grouped = vectors / GROUP * GROUP, done = grouped > 0 ? rows / BLOCK * BLOCK : 0;
    for (int o = 0; o < done; o += BLOCK)
        for (int v = 0; v < grouped; v += GROUP) {
            real sums[BLOCK * GROUP];
            ptrdiff_t block = BLOCK * ld;
            ptrdiff_t i = block * v / grouped, end = block * (v + GROUP) / grouped;
            for (; i < end && o + BLOCK < done; i += LINE) v_prefetch(w + (o + BLOCK) * ld + i);
            dots(sums, w + o * ld, ld, x + (ptrdiff_t)v * n, n, BLOCK, GROUP);
            for (int j = 0; j < BLOCK * GROUP; j++)
                y[(v + j % GROUP) * ldy + o + j / GROUP] = sums[j];
        }
    for (int v = 0; v < vectors; v++) {
        int o = v < grouped ? done : 0;
        gemv_one(y + v * ldy + o, w + o * ld, ld, x + (ptrdiff_t)v * n, rows - o, n);
    }
}

static void weighted_rows(real *y, const real *p, const real *v, ptrdiff_t ld, int rows, int n)
{
    enum { WIDE = 8 };                              /* vectors; so a row is read once, in order */
    int i = 0;
    for (; i + WIDE * VLEN <= n; i += WIDE * VLEN) {
        vec s[WIDE];
        for (int j = 0; j < WIDE; j++) s[j] = v_set(0);
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < WIDE; j++)
                s[j] = v_fma(v_set(p[r]), v_load(v + r * ld + i + j * VLEN), s[j]);
        for (int j = 0; j < WIDE; j++) v_store(y + i + j * VLEN, s[j]);
    }
    for (; i < n; i += VLEN) {
        vec s = v_set(0);
        for (int r = 0; r < rows; r++)
            s = v_fma(v_set(p[r]), v_get(v + r * ld + i, n - i), s);
        v_put(y + i, s, n - i);
    }
}

static void add(real *y, const real *x, int n)
{
    for (int i = 0; i < n; i += VLEN)
        v_put(y + i, v_add(v_get(y + i, n - i), v_get(x + i, n - i)), n - i);
}

static void blend(real *y, real a, const real *x, real b, const real *z, int n)
{
    vec va = v_set(a), vb = v_set(b);
    for (int i = 0; i < n; i += VLEN)
        v_put(y + i, v_fma(va, v_get(x + i, n - i), v_mul(vb, v_get(z + i, n - i))), n - i);
}

static void sum_rows(real *sum, const real *x, ptrdiff_t ld, int rows, int n)
{
    for (int r = 0; r < rows; r++)
        add(sum, x + r * ld, n);
}

static void sum_rows_product(real *sum, const real *x, const real *y, ptrdiff_t ld, int rows, int n)
{
    for (int r = 0; r < rows; r++, x += ld, y += ld)
        for (int i = 0; i < n; i += VLEN) {
            int left = n - i;
            v_put(sum + i, v_fma(v_get(x + i, left), v_get(y + i, left), v_get(sum + i, left)),
                  left);
        }
}

static double sum_squares(const real *x, int n) { return (double)dot(x, x, n); }

static real sum(const real *x, int n)
{
    vec s = v_set(0);
    for (int i = 0; i < n; i += VLEN)
        s = v_add(s, v_get(x + i, n - i));
    return v_sum(s);
}

/* ---------------------------------------------------------------- layer norm */

static real layernorm(real *y, real *xhat, const real *x, const real *w, const real *b, int n,
                      real eps)
{
    vec mean = v_set(sum(x, n) / (real)n);
    for (int i = 0; i < n; i += VLEN)
        v_put(xhat + i, v_sub(v_get(x + i, n - i), mean), n - i);
    real variance = dot(xhat, xhat, n) / (real)n;
    vec rstd = v_div(v_set(1), v_sqrt(v_set(variance + eps)));
    for (int i = 0; i < n; i += VLEN) {
        vec h = v_mul(v_get(xhat + i, n - i), rstd);
        v_put(xhat + i, h, n - i);
        h = v_mul(h, v_get(w + i, n - i));
        v_put(y + i, b != NULL ? v_add(h, v_get(b + i, n - i)) : h, n - i);
    }
    real out[VLEN];
    v_store(out, rstd);
    return out[0];
}

static void layernorm_back(real *dx, const real *dy, const real *xhat, const real *w, real rstd,
                           int n)
{
    vec s = v_set(0), sx = v_set(0);
    for (int i = 0; i < n; i += VLEN) {
        vec d = v_mul(v_get(dy + i, n - i), v_get(w + i, n - i));
        s = v_add(s, d);
        sx = v_fma(d, v_get(xhat + i, n - i), sx);
    }
    vec mean = v_set(v_sum(s) / (real)n), meanx = v_set(v_sum(sx) / (real)n), scale = v_set(rstd);
    for (int i = 0; i < n; i += VLEN) {
        int left = n - i;
        vec d = v_sub(v_mul(v_get(dy + i, left), v_get(w + i, left)), mean);
        d = v_sub(d, v_mul(v_get(xhat + i, left), meanx));
        v_put(dx + i, v_fma(d, scale, v_get(dx + i, left)), left);
    }
}

/* ---------------------------------------------------------- RMS norm (Zhang and Sennrich 2019) */

static real rmsnorm(real *y, real *xhat, const real *x, const real *w, int n, real eps)
{
    vec rstd = v_div(v_set(1), v_sqrt(v_set(dot(x, x, n) / (real)n + eps)));
    for (int i = 0; i < n; i += VLEN) {
        vec h = v_mul(v_get(x + i, n - i), rstd);
        v_put(xhat + i, h, n - i);
        v_put(y + i, v_mul(h, v_get(w + i, n - i)), n - i);
    }
    real out[VLEN];
    v_store(out, rstd);
    return out[0];
}

static void rmsnorm_back(real *dx, const real *dy, const real *xhat, const real *w, real rstd,
                         int n)
{
    vec sx = v_set(0);
    for (int i = 0; i < n; i += VLEN) {
        vec d = v_mul(v_get(dy + i, n - i), v_get(w + i, n - i));
        sx = v_fma(d, v_get(xhat + i, n - i), sx);
    }
    vec meanx = v_set(v_sum(sx) / (real)n), scale = v_set(rstd);
    for (int i = 0; i < n; i += VLEN) {
        int left = n - i;
        vec d = v_mul(v_get(dy + i, left), v_get(w + i, left));
        d = v_sub(d, v_mul(v_get(xhat + i, left), meanx));
        v_put(dx + i, v_fma(d, scale, v_get(dx + i, left)), left);
    }
}

/* ----------------------------------------------------------- rotary positions (Su et al. 2021) */

static void rotate(real *x, const real *cosine, const real *sine, int n, bool back)
{
    int half = n / 2;
    vec sign = v_set(back ? -1 : 1);
    for (int i = 0; i < half; i += VLEN) {
        int left = half - i;
        vec a = v_get(x + i, left), b = v_get(x + half + i, left);
        vec c = v_get(cosine + i, left), s = v_mul(v_get(sine + i, left), sign);
        v_put(x + i, v_sub(v_mul(a, c), v_mul(b, s)), left);
        v_put(x + half + i, v_fma(b, c, v_mul(a, s)), left);
    }
}

/* ---------------------------------------------------------------- SwiGLU (Shazeer 2020) */

/* 1 / (1 + e^-x) */
static inline vec v_sigmoid(vec x) { return v_div(v_set(1), v_add(v_set(1), v_exp(v_neg(x)))); }

static void swiglu(real *y, const real *gate, const real *up, int n)
{
    for (int i = 0; i < n; i += VLEN) {
        vec g = v_get(gate + i, n - i);
        v_put(y + i, v_mul(v_mul(g, v_sigmoid(g)), v_get(up + i, n - i)), n - i);
    }
}

/* silu'(x) = s + x s (1 - s),  s = sigmoid(x) */
static void swiglu_back(real *dgate, real *dup, const real *dy, const real *gate, const real *up,
                        int n)
{
    for (int i = 0; i < n; i += VLEN) {
        int left = n - i;
        vec g = v_get(gate + i, left), u = v_get(up + i, left), d = v_get(dy + i, left);
        vec s = v_sigmoid(g);
        vec silu = v_mul(g, s), slope = v_fma(silu, v_sub(v_set(1), s), s);
        v_put(dgate + i, v_mul(v_mul(d, u), slope), left);
        v_put(dup + i, v_mul(d, silu), left);
    }
}

/* ------------------------------------------------- gated activation (van den Oord et al. 2016) */

static void gated(real *y, const real *x, int n)
{
    for (int i = 0; i < n; i += VLEN)
        v_put(y + i, v_mul(v_tanh(v_get(x + i, n - i)), v_sigmoid(v_get(x + n + i, n - i))),
              n - i);
}

/* x' = 1 - x^2 of x = tanh;  x' = x (1 - x) of x = sigmoid */
static inline vec tanh_slope(vec x) { return v_sub(v_set(1), v_mul(x, x)); }
static inline vec sigmoid_slope(vec x) { return v_mul(x, v_sub(v_set(1), x)); }

static void gated_back(real *dx, const real *dy, const real *x, int n)
{
    for (int i = 0; i < n; i += VLEN) {
        int left = n - i;
        vec a = v_tanh(v_get(x + i, left)), b = v_sigmoid(v_get(x + n + i, left));
        vec d = v_get(dy + i, left);
        v_put(dx + i, v_mul(v_mul(d, b), tanh_slope(a)), left);
        v_put(dx + n + i, v_mul(v_mul(d, a), sigmoid_slope(b)), left);
    }
}

/* ------------------------------------------------ LSTM (Hochreiter and Schmidhuber 1997) */

static void lstm(real *h, real *c, real *z, const real *before, int n)
{
    for (int k = 0; k < n; k += VLEN) {
        int left = n - k;
        vec i = v_sigmoid(v_get(z + k, left)), f = v_sigmoid(v_get(z + n + k, left));
        vec g = v_tanh(v_get(z + 2 * n + k, left)), o = v_sigmoid(v_get(z + 3 * n + k, left));
        vec cell = v_fma(f, v_get(before + k, left), v_mul(i, g));
        v_put(z + k, i, left);
        v_put(z + n + k, f, left);
        v_put(z + 2 * n + k, g, left);
        v_put(z + 3 * n + k, o, left);
        v_put(c + k, cell, left);
        v_put(h + k, v_mul(o, v_tanh(cell)), left);
    }
}

static void lstm_back(real *z, real *dc, const real *dh, const real *c, const real *before, int n)
{
    for (int k = 0; k < n; k += VLEN) {
        int left = n - k;
        vec i = v_get(z + k, left), f = v_get(z + n + k, left);
        vec g = v_get(z + 2 * n + k, left), o = v_get(z + 3 * n + k, left);
        vec out = v_tanh(v_get(c + k, left)), d = v_get(dh + k, left);
        vec cell = v_fma(v_mul(d, o), tanh_slope(out), v_get(dc + k, left));
        v_put(z + k, v_mul(v_mul(cell, g), sigmoid_slope(i)), left);
        v_put(z + n + k, v_mul(v_mul(cell, v_get(before + k, left)), sigmoid_slope(f)), left);
        v_put(z + 2 * n + k, v_mul(v_mul(cell, i), tanh_slope(g)), left);
        v_put(z + 3 * n + k, v_mul(v_mul(d, out), sigmoid_slope(o)), left);
        v_put(dc + k, v_mul(cell, f), left);
    }
}

/* ------------------------------------------------------------ GELU (Hendrycks and Gimpel 2016) */

/* Tanh form: y = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3). Returns tanh u and du/dx. */
static inline vec gelu_tanh(vec x, vec *slope)
{
    vec square = v_mul(x, x);
    vec u = v_mul(v_mul(x, v_set((real)0.7978845608)),
                  v_fma(square, v_set((real)0.044715), v_set(1)));
    *slope = v_mul(v_set((real)0.7978845608), v_fma(square, v_set((real)(3 * 0.044715)), v_set(1)));
    return v_tanh(u);
}

/* -|x|, but no less than -16, where the normal's tail is negligible against 1 in either
 * precision. */
static inline vec lower_tail(vec x) { return v_max(v_set(-16), v_if_negative(x, x, v_neg(x))); }

/* x cdf(x) = max(x, 0) + n cdf(n),  n = -|x|: of one sign only the tail is needed. */
static void gelu(real *y, const real *x, int n, bool tanh_form)
{
    const vec half = v_set((real)0.5);
    for (int i = 0; i < n; i += VLEN) {
        vec v = v_get(x + i, n - i), unused;
        if (tanh_form) {
            v_put(y + i, v_mul(v, v_fma(gelu_tanh(v, &unused), half, half)), n - i);
        } else {
            vec low = lower_tail(v);
            v_put(y + i, v_fma(low, v_normal(low), v_max(v_set(0), v)), n - i);
        }
    }
}

/* gelu'(x) = cdf + x pdf = 1 - gelu'(-x);  tanh form: (1 + th)/2 + x/2 (1 - th^2) u'. */
static void gelu_back(real *dx, const real *dy, const real *x, int n, bool tanh_form)
{
    const vec half = v_set((real)0.5), one = v_set(1);
    for (int i = 0; i < n; i += VLEN) {
        vec v = v_get(x + i, n - i), slope;
        if (tanh_form) {
            vec th = gelu_tanh(v, &slope);
            slope = v_fma(v_mul(v_mul(v, half), slope), v_sub(one, v_mul(th, th)),
                          v_fma(th, half, half));
        } else {
            vec low = lower_tail(v), tail = v_normal_slope(low, v_normal(low));
            slope = v_if_negative(v, tail, v_sub(one, tail));
        }
        v_put(dx + i, v_mul(v_get(dy + i, n - i), slope), n - i);
    }
}

/* ---------------------------------------------------------------- softmax */

static void softmax_again(real *p, const real *s, int n, real scale, real lse)
{
    vec factor = v_set(scale), shift = v_set(-lse);
    for (int i = 0; i < n; i += VLEN)
        v_put(p + i, v_exp(v_fma(v_get(s + i, n - i), factor, shift)), n - i);
}

static real softmax(real *p, const real *s, int n, real scale)
{
    vec top = v_set(s[0]);
    int i = 0;
    for (; i + VLEN <= n; i += VLEN)
        top = v_max(top, v_load(s + i));
    real lanes[VLEN];
    v_store(lanes, top);
    real max = lanes[0];
    for (int j = 1; j < VLEN; j++)
        if (lanes[j] > max) max = lanes[j];
    for (; i < n; i++)
        if (s[i] > max) max = s[i];

    softmax_again(p, s, n, scale, scale * max);
    real total = sum(p, n);
    vec inverse = v_set(1 / total);
    for (i = 0; i < n; i += VLEN)
        v_put(p + i, v_mul(v_get(p + i, n - i), inverse), n - i);
    return scale * max + (real)log((double)total);
}

static void softmax_back(real *ds, const real *dp, const real *p, int n, real scale)
{
    vec mean = v_set(dot(dp, p, n)), factor = v_set(scale);
    for (int i = 0; i < n; i += VLEN) {
        vec d = v_mul(v_sub(v_get(dp + i, n - i), mean), factor);
        v_put(ds + i, v_mul(v_get(p + i, n - i), d), n - i);
    }
}

/* ---------------------------------------------------------------- dropout */

/* The draw of element i: lowbias32, an integer hash (Wellons 2018), over the counter,
 * with half of the row's key added before and half mixed in between, so that two rows
 * never share a stretch of draws. */
static inline vecu dropout_draw(vecu i, vecu low, vecu high)
{
    vecu h = u_add(u_mul(i, u_set(0x9e3779b1u)), low);
    h = u_xor(h, u_shift_right(h, 16));
    h = u_xor(u_mul(h, u_set(0x7feb352du)), high);
    h = u_xor(h, u_shift_right(h, 15));
    h = u_mul(h, u_set(0x846ca68bu));
    return u_xor(h, u_shift_right(h, 16));
}

static void dropout(real *y, const real *x, int n, uint64_t row_key, Dropout d)
{
    vecu low = u_set((uint32_t)row_key), high = u_set((uint32_t)(row_key >> 32));
    vecu threshold = u_set(d.threshold);
    vec scale = v_set(d.scale);
    for (int i = 0; i < n; i += VLEN) {
        vecu draw = dropout_draw(u_add(u_lanes(), u_set((uint32_t)i)), low, high);
        v_put(y + i, v_if_at_least(draw, threshold, v_mul(v_get(x + i, n - i), scale)), n - i);
    }
}

/* ---------------------------------------------------------------- AdamW */

static void adamw(real *w, real *m, real *v, const real *g, int n, AdamW a)
{
    const vec beta1 = v_set(a.beta1), beta2 = v_set(a.beta2), keep = v_set(1 - a.lr * a.decay);
    const vec rest1 = v_set(1 - a.beta1), rest2 = v_set(1 - a.beta2), eps = v_set(a.eps);
    const vec rate = v_set(a.lr / a.correction1), spread = v_set(1 / a.sqrt_correction2);
    for (int i = 0; i < n; i += VLEN) {
        int left = n - i;
        vec d = v_mul(v_get(g + i, left), v_set(a.grad_scale));
        vec first = v_fma(beta1, v_get(m + i, left), v_mul(rest1, d));
        vec second = v_fma(beta2, v_get(v + i, left), v_mul(rest2, v_mul(d, d)));
        vec step = v_div(v_mul(rate, first), v_fma(v_sqrt(second), spread, eps));
        v_put(m + i, first, left);
        v_put(v + i, second, left);
        v_put(w + i, v_sub(v_mul(v_get(w + i, left), keep), step), left);
    }
}

#define KERNELS_TABLE(NAME) { \
    .name = NAME, .mr = MR, .nr = NR, .packed = sizeof(real), \
    .pack_rows = pack_rows, .pack_cols = pack_cols, .tile = tile, \
    .gemv = gemv, .weighted_rows = weighted_rows, .add = add, .blend = blend, \
    .sum_rows = sum_rows, .sum_rows_product = sum_rows_product, .sum_squares = sum_squares, \
    .layernorm = layernorm, .layernorm_back = layernorm_back, \
    .rmsnorm = rmsnorm, .rmsnorm_back = rmsnorm_back, .rotate = rotate, \
    .swiglu = swiglu, .swiglu_back = swiglu_back, .gated = gated, .gated_back = gated_back, \
    .lstm = lstm, .lstm_back = lstm_back, \
    .gelu = gelu, .gelu_back = gelu_back, \
    .softmax = softmax, .softmax_again = softmax_again, .softmax_back = softmax_back, \
    .dropout = dropout, .adamw = adamw }
