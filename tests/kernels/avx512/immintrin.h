/* The AVX-512 intrinsics that kernels use, in plain C as Intel's manual has them: what they compute
 * is tested on machines without these instructions, too. All else is the compiler's. */
#ifndef TESTS_IMMINTRIN_H
#define TESTS_IMMINTRIN_H

#undef __AVX512F__
#include_next <immintrin.h>
#define __AVX512F__ 1

/* For each bit: the bit of `table` that those of a, b and c are the number of, a's the highest. */
static inline __m512i test_ternarylogic(__m512i a, __m512i b, __m512i c, int table)
{
    __m512i result = {0};
    for (int row = 0; row < 8; ++row) {
        if (table >> row & 1) {
            result |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
        }
    }
    return result;
}

/* The 64-bit numbers from p on whose bits in the mask are 1; nothing else is read. */
static inline __m512i test_maskz_loadu(unsigned mask, const void *p)
{
    __m512i result = {0};
    for (int i = 0; i < 8; ++i) {
        if (mask >> i & 1) {
            long long value;
            __builtin_memcpy(&value, (const char *)p + 8 * i, sizeof value);
            result[i] = value;
        }
    }
    return result;
}

#define _mm512_ternarylogic_epi64 test_ternarylogic
#define _mm512_maskz_loadu_epi64 test_maskz_loadu

#endif
