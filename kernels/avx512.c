/* avx512.c: the vocabulary of AVX-512F (16 floats), and its table. Built with -mavx512f -mfma. */
#include "kernels.h"

#if defined(__AVX512F__) && !defined(FOLIO_DOUBLE)
#include <immintrin.h>

typedef __m512 vec;
typedef __m512i vecu;

/* 8 x 3 accumulators, 3 vectors of b and the broadcast elements of a fit the 32 registers. */
enum { VLEN = 16, MR = 8, NV = 3 };

static inline vec v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vec a) { _mm512_storeu_ps(p, a); }
static inline void v_prefetch(const float *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
static inline vec v_set(float x) { return _mm512_set1_ps(x); }
static inline vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline vec v_sqrt(vec a) { return _mm512_sqrt_ps(a); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }

static inline vec v_zip_low(vec a, vec b)
{
    const __m512i from = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19,
                                           4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, from, b);
}

static inline vec v_zip_high(vec a, vec b)
{
    const __m512i from = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27,
                                           12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(a, from, b);
}

static inline vec v_if_negative(vec x, vec a, vec b)
{
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), a);
}

static inline float v_sum(vec a)
{
    __m256 low = _mm512_castps512_ps256(a);
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
    __m256 half = _mm256_add_ps(low, high);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline vecu u_set(uint32_t x) { return _mm512_set1_epi32((int32_t)x); }
static inline vecu u_add(vecu a, vecu b) { return _mm512_add_epi32(a, b); }
static inline vecu u_mul(vecu a, vecu b) { return _mm512_mullo_epi32(a, b); }
static inline vecu u_xor(vecu a, vecu b) { return _mm512_xor_si512(a, b); }
static inline vecu u_shift_left(vecu a, unsigned bits) { return _mm512_slli_epi32(a, bits); }
static inline vecu u_shift_right(vecu a, unsigned bits) { return _mm512_srli_epi32(a, bits); }

static inline vecu u_lanes(void)
{
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

static inline vec v_if_at_least(vecu r, vecu t, vec x)
{
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(r, t), x);
}

static inline vec v_two_to_the(vec z)
{
    return _mm512_castsi512_ps(u_add(u_shift_left(_mm512_castps_si512(z), 23), u_set(0x3f800000)));
}

static inline __mmask16 first_lanes(int n) { return (__mmask16)((1u << n) - 1); }

static inline vec v_load_part(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

static inline void v_store_part(float *p, vec a, int n)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), a);
}

#include "body.h"

const Kernels kernels_avx512 = KERNELS_TABLE("avx512");

#else
const Kernels kernels_avx512 = { 0 };
#endif
