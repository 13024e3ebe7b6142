/* neon.c: the vocabulary of 64-bit ARM's NEON (4 floats), and its table. Needs no flags there. */
#include "kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON) \
    && !defined(FOLIO_DOUBLE) && !defined(FOLIO_PORTABLE_ONLY)
#include <arm_neon.h>

typedef float32x4_t vec;
typedef uint32x4_t vecu;

/* 8 x 3 accumulators, 3 vectors of b and 2 of a fit the 32 registers. */
enum { VLEN = 4, MR = 8, NV = 3 };

static inline vec v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vec a) { vst1q_f32(p, a); }
static inline void v_prefetch(const float *p) { __builtin_prefetch(p); }
static inline vec v_set(float x) { return vdupq_n_f32(x); }
static inline vec v_add(vec a, vec b) { return vaddq_f32(a, b); }
static inline vec v_sub(vec a, vec b) { return vsubq_f32(a, b); }
static inline vec v_mul(vec a, vec b) { return vmulq_f32(a, b); }
static inline vec v_div(vec a, vec b) { return vdivq_f32(a, b); }
static inline vec v_max(vec a, vec b) { return vmaxq_f32(a, b); }
static inline vec v_sqrt(vec a) { return vsqrtq_f32(a); }
static inline vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
static inline float v_sum(vec a) { return vaddvq_f32(a); }
static inline vec v_zip_low(vec a, vec b) { return vzip1q_f32(a, b); }
static inline vec v_zip_high(vec a, vec b) { return vzip2q_f32(a, b); }

static inline vec v_if_negative(vec x, vec a, vec b)
{
    return vbslq_f32(vcltq_f32(x, vdupq_n_f32(0)), a, b);
}

static inline vecu u_set(uint32_t x) { return vdupq_n_u32(x); }
static inline vecu u_add(vecu a, vecu b) { return vaddq_u32(a, b); }
static inline vecu u_mul(vecu a, vecu b) { return vmulq_u32(a, b); }
static inline vecu u_xor(vecu a, vecu b) { return veorq_u32(a, b); }
static inline vecu u_shift_left(vecu a, int bits) { return vshlq_u32(a, vdupq_n_s32(bits)); }
static inline vecu u_shift_right(vecu a, int bits) { return vshlq_u32(a, vdupq_n_s32(-bits)); }

static inline vecu u_lanes(void)
{
    static const uint32_t lanes[4] = { 0, 1, 2, 3 };
    return vld1q_u32(lanes);
}

static inline vec v_if_at_least(vecu r, vecu t, vec x)
{
    return vreinterpretq_f32_u32(vandq_u32(vcgeq_u32(r, t), vreinterpretq_u32_f32(x)));
}

static inline vec v_two_to_the(vec z)
{
    return vreinterpretq_f32_u32(u_add(u_shift_left(vreinterpretq_u32_f32(z), 23),
                                       u_set(0x3f800000)));
}

static inline vec v_load_part(const float *p, int n)
{
    float lanes[4] = { 0 };
    memcpy(lanes, p, (size_t)n * sizeof *p);
    return vld1q_f32(lanes);
}

static inline void v_store_part(float *p, vec a, int n)
{
    float lanes[4];
    vst1q_f32(lanes, a);
    memcpy(p, lanes, (size_t)n * sizeof *p);
}

#include "body.h"

const Kernels kernels_neon = KERNELS_TABLE("neon");

#else
const Kernels kernels_neon = { 0 };
#endif
