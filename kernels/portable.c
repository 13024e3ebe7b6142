/* portable.c: the vocabulary of plain C (1 number a vector; the compiler finds the lanes), and its
 * table. Also the only table of the double build, where exp, tanh and erfc are libm's. */
#include "kernels.h"

typedef real vec;
typedef uint32_t vecu;

/* 4 x 8 accumulators: 8 of the 16 registers of a machine with 4 lanes. */
enum { VLEN = 1, MR = 4, NV = 8 };

static inline vec v_load(const real *p) { return *p; }
static inline void v_store(real *p, vec a) { *p = a; }
static inline void v_prefetch(const real *p) { (void)p; }
static inline vec v_set(real x) { return x; }
static inline vec v_add(vec a, vec b) { return a + b; }
static inline vec v_sub(vec a, vec b) { return a - b; }
static inline vec v_mul(vec a, vec b) { return a * b; }
static inline vec v_div(vec a, vec b) { return a / b; }
static inline vec v_max(vec a, vec b) { return a > b ? a : b; }
static inline vec v_fma(vec a, vec b, vec c) { return a * b + c; }
static inline vec v_if_negative(vec x, vec a, vec b) { return x < 0 ? a : b; }
static inline real v_sum(vec a) { return a; }
static inline vec v_zip_low(vec a, vec b) { (void)b; return a; }
static inline vec v_zip_high(vec a, vec b) { (void)a; return b; }
static inline vec v_load_part(const real *p, int n) { return n > 0 ? *p : 0; }
static inline void v_store_part(real *p, vec a, int n) { if (n > 0) *p = a; }

static inline vecu u_set(uint32_t x) { return x; }
static inline vecu u_lanes(void) { return 0; }
static inline vecu u_add(vecu a, vecu b) { return a + b; }
static inline vecu u_mul(vecu a, vecu b) { return a * b; }
static inline vecu u_xor(vecu a, vecu b) { return a ^ b; }
static inline vecu u_shift_right(vecu a, int bits) { return a >> bits; }
static inline vec v_if_at_least(vecu r, vecu t, vec x) { return r >= t ? x : 0; }

#ifdef FOLIO_DOUBLE

#define V_LIBM
static inline vec v_sqrt(vec a) { return sqrt(a); }

#else

static inline vec v_sqrt(vec a) { return sqrtf(a); }

static inline vec v_two_to_the(vec z)
{
    uint32_t bits;
    memcpy(&bits, &z, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&z, &bits, sizeof bits);
    return z;
}

#endif

#include "body.h"

const Kernels kernels_portable = KERNELS_TABLE("portable");
