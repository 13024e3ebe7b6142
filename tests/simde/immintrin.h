/* immintrin.h: replaces the compiler's, so that kernels/avx512.c runs on a processor
 * without AVX-512.
 *
 * SIMDe (package libsimde-dev) does each AVX-512 intrinsic in smaller steps; the few that
 * its version 0.7.4 lacks are written out here. The tables of such test programs are the
 * same source, compiled like this:
 *
 *     cc -D__AVX512F__ -mavx2 -mfma -Itests/simde -w -c kernels/avx512.c
 *     cc '-D__builtin_cpu_supports(set)=1' -c kernels/kernels.c        to find every table usable
 */
#ifndef FOLIO_TESTS_IMMINTRIN_H
#define FOLIO_TESTS_IMMINTRIN_H

/* Only the guard of avx512.c may believe it. */
#undef __AVX512F__
#include_next <immintrin.h>
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

enum { LANES = 16 };

/* Lanes outside the mask are neither read nor written: they may be on an unmapped page. */
static inline __m512 emulated_maskz_loadu_ps(__mmask16 mask, const float *p)
{
    float lanes[LANES] = { 0 };
    for (int i = 0; i < LANES; i++)
        if (mask >> i & 1) lanes[i] = p[i];
    return _mm512_loadu_ps(lanes);
}

static inline void emulated_mask_storeu_ps(float *p, __mmask16 mask, __m512 a)
{
    float lanes[LANES];
    _mm512_storeu_ps(lanes, a);
    for (int i = 0; i < LANES; i++)
        if (mask >> i & 1) p[i] = lanes[i];
}

#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps
#define _mm512_mask_storeu_ps emulated_mask_storeu_ps

#endif
