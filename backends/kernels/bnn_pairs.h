/* Sums of products of 16-bit integers: BNN_ROWS rows of inputs times the weights of BNN_GROUP
 * outputs, whose limbs are multiplied apart, in accumulators of 32 bits.
 *
 * Inputs are taken in pairs, as x86 has an instruction for two products and their sum; weights lie
 * as it wants them: for each pair and limb two weights of the first output, two of the second, and
 * so on. Before accumulators can overflow, after `most` pairs, their upper bits are moved into
 * others: a sum is acc + top * 2^BNN_CARRY. */
#ifndef BNN_PAIRS_H
#define BNN_PAIRS_H

#include "bnn_vectors.h"

#define BNN_ROWS 4u
#define BNN_GROUP 8u
#define BNN_LIMBS 2u
#define BNN_CARRY 16

/* The sums of each row, limb and output, in two parts. */
typedef struct bnn_sums {
    int32_t acc[BNN_ROWS][BNN_LIMBS][BNN_GROUP];
    int32_t top[BNN_ROWS][BNN_LIMBS][BNN_GROUP];
} bnn_sums;

#if defined(__AVX2__)
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
/* Accumulators of the outputs of a vector, in registers; their upper parts rarely are. */
typedef struct bnn_tile {
    BNN_VECTOR acc[BNN_ROWS][BNN_LIMBS], top[BNN_ROWS][BNN_LIMBS];
} bnn_tile;

/* Two inputs, as they lie. */
BNN_INLINE int32_t bnn_pair(const bnn_s16 *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return pair;
}

/* Adds the products of a pair of inputs of each row. */
BNN_INLINE void bnn_add_pairs(const BNN_VECTOR input[BNN_ROWS], const int16_t *w, unsigned limbs,
                              bnn_tile *block)
{
    BNN_UNROLL
    for (unsigned l = 0; l < limbs; ++l) {
        const void *const at = w + 2u * BNN_GROUP * l;
        BNN_VECTOR weights = BNN_VECTOR_LOAD((const BNN_VECTOR *)at);
        BNN_IN_REGISTER(weights);
        BNN_UNROLL
        for (bnn_size r = 0; r < BNN_ROWS; ++r) {
            block->acc[r][l] =
                BNN_VECTOR_ADD(block->acc[r][l], BNN_VECTOR_PAIRS(input[r], weights));
        }
    }
}

/* Moves the upper bits of all sums. */
BNN_INLINE void bnn_carry(unsigned limbs, bnn_tile *block)
{
    BNN_UNROLL
    for (bnn_size r = 0; r < BNN_ROWS; ++r) {
        BNN_UNROLL
        for (unsigned l = 0; l < limbs; ++l) {
            const BNN_VECTOR sum = block->acc[r][l];
            block->top[r][l] = BNN_VECTOR_ADD(block->top[r][l], BNN_VECTOR_UPPER(sum));
            block->acc[r][l] = BNN_VECTOR_AND(sum, BNN_VECTOR_ALL((1 << BNN_CARRY) - 1));
        }
    }
}

/* The sums for the outputs of a vector, from number `lane` of the group on. */
BNN_INLINE void bnn_block_sums(const bnn_s16 *const x[BNN_ROWS], bnn_size n, unsigned limbs,
                               bnn_size most, const int16_t *w, bnn_size lane, bnn_sums *sums)
{
    const bnn_size step = 2u * BNN_GROUP * limbs, pairs = (n + 1u) / 2u;
    BNN_VECTOR input[BNN_ROWS];
    bnn_tile block;
    BNN_UNROLL
    for (bnn_size r = 0; r < BNN_ROWS; ++r) {
        BNN_UNROLL
        for (unsigned l = 0; l < limbs; ++l) {
            block.acc[r][l] = block.top[r][l] = BNN_VECTOR_ALL(0);
        }
    }
    w += 2u * lane;
    for (bnn_size begin = 0; begin < pairs; begin += most) {
        const bnn_size end = pairs - begin < most ? pairs : begin + most;
        const bnn_size whole = end < n / 2u ? end : n / 2u;
        if (begin != 0) {
            bnn_carry(limbs, &block);
        }
        for (bnn_size i = begin; i < whole; ++i) {
            BNN_UNROLL
            for (bnn_size r = 0; r < BNN_ROWS; ++r) {
                input[r] = BNN_VECTOR_ALL(bnn_pair(x[r] + 2u * i));
            }
            bnn_add_pairs(input, w, limbs, &block);
            w += step;
        }
        if (whole < end) {
            BNN_UNROLL
            for (bnn_size r = 0; r < BNN_ROWS; ++r) {
                input[r] = BNN_VECTOR_ALL((uint16_t)x[r][n - 1u]);
            }
            bnn_add_pairs(input, w, limbs, &block);
        }
    }
    for (bnn_size r = 0; r < BNN_ROWS; ++r) {
        for (unsigned l = 0; l < limbs; ++l) {
            void *const acc = &sums->acc[r][l][lane];
            void *const top = &sums->top[r][l][lane];
            BNN_VECTOR_STORE((BNN_VECTOR *)acc, block.acc[r][l]);
            BNN_VECTOR_STORE((BNN_VECTOR *)top, block.top[r][l]);
        }
    }
}

/* The products of rows of n inputs with the weights of a group. */
BNN_INLINE void bnn_pair_sums(const bnn_s16 *const x[BNN_ROWS], bnn_size n, unsigned limbs,
                              bnn_size most, const int16_t *w, bnn_sums *sums)
{
    for (bnn_size lane = 0; lane < BNN_GROUP; lane += BNN_VECTOR_LANES) {
        bnn_block_sums(x, n, limbs, most, w, lane, sums);
    }
}
#else
BNN_INLINE void bnn_pair_sums(const bnn_s16 *const x[BNN_ROWS], bnn_size n, unsigned limbs,
                              bnn_size most, const int16_t BNN_ROM *w, bnn_sums *sums)
{
    const bnn_size pairs = (n + 1u) / 2u;
    for (bnn_size r = 0; r < BNN_ROWS; ++r) {
        for (unsigned l = 0; l < limbs; ++l) {
            int32_t *const acc = sums->acc[r][l];
            int32_t *const top = sums->top[r][l];
            for (bnn_size o = 0; o < BNN_GROUP; ++o) {
                acc[o] = top[o] = 0;
            }
            for (bnn_size i = 0; i < pairs; ++i) {
                const int32_t first = x[r][2u * i];
                const int32_t second = 2u * i + 1u < n ? x[r][2u * i + 1u] : 0;
                const int16_t BNN_ROM *const at = w + 2u * BNN_GROUP * (i * limbs + l);
                for (bnn_size o = 0; o < BNN_GROUP; ++o) {
                    acc[o] += first * bnn_rom_s16(at + 2u * o) +
                              second * bnn_rom_s16(at + 2u * o + 1u);
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
}
#endif

#endif
