/* avx2.c: the vocabulary of AVX2 with FMA (8 floats), and its table. Built with -mavx2 -mfma. */
#include "kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && !defined(FOLIO_DOUBLE)
#include <immintrin.h>

typedef __m256 vec;
typedef __m256i vecu;

/* 6 x 2 accumulators, 2 vectors of b and 1 of a fill the 16 registers. */
enum { VLEN = 8, MR = 6, NV = 2 };

static inline vec v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vec a) { _mm256_storeu_ps(p, a); }
static inline void v_prefetch(const float *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
static inline vec v_set(float x) { return _mm256_set1_ps(x); }
static inline vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec v_sqrt(vec a) { return _mm256_sqrt_ps(a); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec v_if_negative(vec x, vec a, vec b) { return _mm256_blendv_ps(b, a, x); }

static inline vec v_zip_low(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}

static inline vec v_zip_high(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}

static inline float v_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline vecu u_set(uint32_t x) { return _mm256_set1_epi32((int32_t)x); }
static inline vecu u_lanes(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
static inline vecu u_add(vecu a, vecu b) { return _mm256_add_epi32(a, b); }
static inline vecu u_mul(vecu a, vecu b) { return _mm256_mullo_epi32(a, b); }
static inline vecu u_xor(vecu a, vecu b) { return _mm256_xor_si256(a, b); }
static inline vecu u_shift_left(vecu a, int bits) { return _mm256_slli_epi32(a, bits); }
static inline vecu u_shift_right(vecu a, int bits) { return _mm256_srli_epi32(a, bits); }

static inline vec v_if_at_least(vecu r, vecu t, vec x)
{
    __m256i at_least = _mm256_cmpeq_epi32(_mm256_max_epu32(r, t), r);
    return _mm256_and_ps(x, _mm256_castsi256_ps(at_least));
}

static inline vec v_two_to_the(vec z)
{
    return _mm256_castsi256_ps(u_add(u_shift_left(_mm256_castps_si256(z), 23), u_set(0x3f800000)));
}

static inline __m256i first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), u_lanes());
}

static inline vec v_load_part(const float *p, int n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}

static inline void v_store_part(float *p, vec a, int n)
{
    _mm256_maskstore_ps(p, first_lanes(n), a);
}

#include "body.h"

const Kernels kernels_avx2 = KERNELS_TABLE("avx2");

#else
const Kernels kernels_avx2 = { 0 };
#endif
