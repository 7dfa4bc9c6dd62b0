/* Sums of products of 16-bit integers: BNN_ROWS rows of inputs times the weights of BNN_GROUP
 * outputs, in accumulators of 32 bits.
 *
 * Inputs are taken in pairs, as x86 has an instruction for two products and their sum; weights lie
 * as it wants them: for each pair two weights of the first output, two of the second, and so on.
 * Before accumulators can overflow, after `most` pairs, their upper bits are moved into others: a
 * sum is acc + top * 2^16. */
#ifndef BNN_PAIRS_H
#define BNN_PAIRS_H

#include <string.h>

#include "bnn_types.h"

#define BNN_ROWS 4u
#define BNN_GROUP 16u
#define BNN_CARRY 16

/* Before a loop that must be unrolled for its vectors to stay in registers. */
#if defined(__GNUC__) && !defined(__clang__)
#define BNN_UNROLL _Pragma("GCC unroll 4")
#else
#define BNN_UNROLL
#endif

/* The sums of each row and output, in two parts. */
typedef struct bnn_sums {
    int32_t acc[BNN_ROWS][BNN_GROUP];
    int32_t top[BNN_ROWS][BNN_GROUP];
} bnn_sums;

#if defined(__AVX2__)
#include <immintrin.h>
#define BNN_BLOCK_ROWS 4u
#define BNN_VECTOR __m256i
#define BNN_VECTOR_LANES 8u
#define BNN_VECTOR_LOAD(p) _mm256_loadu_si256(p)
#define BNN_VECTOR_STORE(p, v) _mm256_storeu_si256(p, v)
#define BNN_VECTOR_ADD(a, b) _mm256_add_epi32(a, b)
#define BNN_VECTOR_PAIRS(a, b) _mm256_madd_epi16(a, b)
#define BNN_VECTOR_ALL(x) _mm256_set1_epi32(x)
#define BNN_VECTOR_UPPER(v) _mm256_srai_epi32(v, BNN_CARRY)
#define BNN_VECTOR_AND(a, b) _mm256_and_si256(a, b)
#elif defined(__SSE2__)
#include <emmintrin.h>
#define BNN_BLOCK_ROWS 2u
#define BNN_VECTOR __m128i
#define BNN_VECTOR_LANES 4u
#define BNN_VECTOR_LOAD(p) _mm_loadu_si128(p)
#define BNN_VECTOR_STORE(p, v) _mm_storeu_si128(p, v)
#define BNN_VECTOR_ADD(a, b) _mm_add_epi32(a, b)
#define BNN_VECTOR_PAIRS(a, b) _mm_madd_epi16(a, b)
#define BNN_VECTOR_ALL(x) _mm_set1_epi32(x)
#define BNN_VECTOR_UPPER(v) _mm_srai_epi32(v, BNN_CARRY)
#define BNN_VECTOR_AND(a, b) _mm_and_si128(a, b)
#endif

#if defined(BNN_VECTOR)
#define BNN_BLOCK_LANES 2u

/* Two inputs, as they lie. */
BNN_INLINE int32_t bnn_pair(const bnn_s16 *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return pair;
}

/* BNN_BLOCK_ROWS rows from `row` on, and the outputs of two vectors from `lane` on: as many as
 * registers hold. */
BNN_INLINE void bnn_block_sums(const bnn_s16 *x, bnn_size stride, bnn_size pairs, bnn_size most,
                               const int16_t *w, bnn_size row, bnn_size lane, bnn_sums *sums)
{
    BNN_VECTOR acc[BNN_BLOCK_ROWS][BNN_BLOCK_LANES];
    BNN_VECTOR top[BNN_BLOCK_ROWS][BNN_BLOCK_LANES];
    BNN_UNROLL
    for (bnn_size r = 0; r < BNN_BLOCK_ROWS; ++r) {
        for (bnn_size v = 0; v < BNN_BLOCK_LANES; ++v) {
            acc[r][v] = top[r][v] = BNN_VECTOR_ALL(0);
        }
    }
    for (bnn_size begin = 0; begin < pairs; begin += most) {
        const bnn_size end = pairs - begin < most ? pairs : begin + most;
        for (bnn_size i = begin; i < end; ++i) {
            const int16_t *const at = w + 2u * (i * BNN_GROUP + lane);
            const BNN_VECTOR first = BNN_VECTOR_LOAD((const BNN_VECTOR *)(const void *)at);
            const BNN_VECTOR second =
                BNN_VECTOR_LOAD((const BNN_VECTOR *)(const void *)(at + 2u * BNN_VECTOR_LANES));
            BNN_UNROLL
            for (bnn_size r = 0; r < BNN_BLOCK_ROWS; ++r) {
                const BNN_VECTOR input = BNN_VECTOR_ALL(bnn_pair(x + (row + r) * stride + 2u * i));
                acc[r][0] = BNN_VECTOR_ADD(acc[r][0], BNN_VECTOR_PAIRS(input, first));
                acc[r][1] = BNN_VECTOR_ADD(acc[r][1], BNN_VECTOR_PAIRS(input, second));
            }
        }
        if (end == pairs) {
            break;
        }
        BNN_UNROLL
        for (bnn_size r = 0; r < BNN_BLOCK_ROWS; ++r) {
            BNN_UNROLL
            for (bnn_size v = 0; v < BNN_BLOCK_LANES; ++v) {
                top[r][v] = BNN_VECTOR_ADD(top[r][v], BNN_VECTOR_UPPER(acc[r][v]));
                acc[r][v] = BNN_VECTOR_AND(acc[r][v], BNN_VECTOR_ALL((1 << BNN_CARRY) - 1));
            }
        }
    }
    for (bnn_size r = 0; r < BNN_BLOCK_ROWS; ++r) {
        for (bnn_size v = 0; v < BNN_BLOCK_LANES; ++v) {
            const bnn_size at = lane + v * BNN_VECTOR_LANES;
            void *const lower = &sums->acc[row + r][at];
            void *const upper = &sums->top[row + r][at];
            BNN_VECTOR_STORE((BNN_VECTOR *)lower, acc[r][v]);
            BNN_VECTOR_STORE((BNN_VECTOR *)upper, top[r][v]);
        }
    }
}

/* The products of the rows of x, `stride` elements apart, with the weights of a group. */
BNN_INLINE void bnn_pair_sums(const bnn_s16 *x, bnn_size stride, bnn_size pairs, bnn_size most,
                              const int16_t *w, bnn_sums *sums)
{
    for (bnn_size row = 0; row < BNN_ROWS; row += BNN_BLOCK_ROWS) {
        for (bnn_size lane = 0; lane < BNN_GROUP; lane += BNN_BLOCK_LANES * BNN_VECTOR_LANES) {
            bnn_block_sums(x, stride, pairs, most, w, row, lane, sums);
        }
    }
}
#else
BNN_INLINE void bnn_pair_sums(const bnn_s16 *x, bnn_size stride, bnn_size pairs, bnn_size most,
                              const int16_t BNN_ROM *w, bnn_sums *sums)
{
    for (bnn_size r = 0; r < BNN_ROWS; ++r) {
        int32_t *const acc = sums->acc[r];
        int32_t *const top = sums->top[r];
        for (bnn_size o = 0; o < BNN_GROUP; ++o) {
            acc[o] = top[o] = 0;
        }
        for (bnn_size i = 0; i < pairs; ++i) {
            const int32_t first = x[r * stride + 2u * i];
            const int32_t second = x[r * stride + 2u * i + 1u];
            for (bnn_size o = 0; o < BNN_GROUP; ++o) {
                const int16_t BNN_ROM *const at = w + 2u * (i * BNN_GROUP + o);
                acc[o] += first * bnn_rom_s16(at) + second * bnn_rom_s16(at + 1u);
            }
            if ((i + 1u) % most == 0) {
                for (bnn_size o = 0; o < BNN_GROUP; ++o) {
                    const int32_t lower = acc[o] & (((int32_t)1 << BNN_CARRY) - 1);
                    top[o] += (acc[o] - lower) / ((int32_t)1 << BNN_CARRY);
                    acc[o] = lower;
                }
            }
        }
    }
}
#endif

#endif
