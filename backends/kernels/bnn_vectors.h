/* Vectors of AVX2: integers of any type as lanes of 32 or of 64 bits, and back.
 *
 * Kernels that use them have the same loop in plain C beside, for other machines. */
#ifndef BNN_VECTORS_H
#define BNN_VECTORS_H

#include <string.h>

#include "bnn_types.h"

/* Keeps compilers from reading ahead, into registers that they do not have: what comes after it is
 * read when a and b are there. */
#if defined(__GNUC__)
#define BNN_IN_TURN(a, b) __asm__ volatile("" : "+x"(a), "+x"(b) : : "memory")
#else
#define BNN_IN_TURN(a, b) ((void)0)
#endif

/* Keeps compilers from reading a vector from memory again for each of its uses. */
#if defined(__GNUC__)
#define BNN_IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define BNN_IN_REGISTER(v) ((void)0)
#endif

#if defined(__AVX2__)
#include <immintrin.h>

/* The address of x[i] of a type, for loads that mind no alignment. */
BNN_INLINE const void *bnn_at(const void *x, bnn_type type, bnn_size i)
{
    const bnn_size size =
        type <= BNN_S8 ? 1u : type <= BNN_S16 ? 2u : type == BNN_S32 ? 4u : 8u;
    return (const uint8_t *)x + i * size;
}

/* x[i..i+7] in lanes of 32 bits. */
BNN_INLINE __m256i bnn_load8(const void *x, bnn_type type, bnn_size i)
{
    const void *const at = bnn_at(x, type, i);
    switch (type) {
    case BNN_U8:
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)at));
    case BNN_S8:
        return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at));
    case BNN_U16:
        return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at));
    case BNN_S16:
        return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)at));
    default:
        return _mm256_loadu_si256((const __m256i *)at);
    }
}

/* x[i..i+3] in lanes of 64 bits; x may have them already. */
BNN_INLINE __m256i bnn_load4(const void *x, bnn_type type, bnn_size i)
{
    const void *const at = bnn_at(x, type, i);
    int32_t four;
    switch (type) {
    case BNN_U8:
        memcpy(&four, at, sizeof four);
        return _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
    case BNN_S8:
        memcpy(&four, at, sizeof four);
        return _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(four));
    case BNN_U16:
        return _mm256_cvtepu16_epi64(_mm_loadl_epi64((const __m128i *)at));
    case BNN_S16:
        return _mm256_cvtepi16_epi64(_mm_loadl_epi64((const __m128i *)at));
    case BNN_S32:
        return _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)at));
    default:
        return _mm256_loadu_si256((const __m256i *)at);
    }
}

/* The lower halves of the lanes of two vectors, one after the other. */
BNN_INLINE __m256i bnn_lower8(__m256i first, __m256i second)
{
    const __m256 both =
        _mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(both), 0xD8);
}

/* The upper halves. */
BNN_INLINE __m256i bnn_upper8(__m256i first, __m256i second)
{
    const __m256 both =
        _mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second), 0xDD);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(both), 0xD8);
}

/* y[i..i+7] = lanes, which the type holds. */
BNN_INLINE void bnn_store8(void *y, bnn_type type, bnn_size i, __m256i lanes)
{
    int32_t values[8];
    void *const at = type == BNN_S32 ? (void *)((bnn_s32 *)y + i) : (void *)values;
    _mm256_storeu_si256((__m256i *)at, lanes);
    if (type != BNN_S32) {
        bnn_copy(values, BNN_S32, 0, 8u, y, type, i);
    }
}
#endif

#endif
