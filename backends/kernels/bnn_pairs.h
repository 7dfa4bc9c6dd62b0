/* Sums of products of 16-bit integers, in vectors of 32-bit accumulators: rows of inputs times two
 * vectors of weights.
 *
 * x86 has an instruction for two products and their sum, so inputs are taken in pairs; of an odd
 * number of inputs the first has a pair of its own, with a weight of 0 before its own. Weights lie
 * as the instruction wants them: two of the first output, two of the second, and so on.
 *
 * The accumulators of a tile stay in registers: an input that is read is multiplied twice, a
 * weight once for each row. Before accumulators can overflow, after `most` pairs, their upper bits
 * are moved into others, which seldom are in registers: a sum is acc + top * 2^BNN_CARRY. */
#ifndef BNN_PAIRS_H
#define BNN_PAIRS_H

#include "bnn_vectors.h"

#define BNN_GROUP 8u
#define BNN_CARRY 16

#if defined(__AVX2__)
#define BNN_VECTOR __m256i
#define BNN_VECTOR_LANES 8u
#define BNN_VECTOR_LOAD(p) _mm256_loadu_si256(p)
#define BNN_VECTOR_STORE(p, v) _mm256_storeu_si256(p, v)
#define BNN_VECTOR_ALL(x) _mm256_set1_epi32(x)
#define BNN_VECTOR_ADD(a, b) _mm256_add_epi32(a, b)
#define BNN_VECTOR_SUB(a, b) _mm256_sub_epi32(a, b)
#define BNN_VECTOR_PAIRS(a, b) _mm256_madd_epi16(a, b)
#define BNN_VECTOR_LEFT(v, by) _mm256_sll_epi32(v, _mm_cvtsi32_si128((int)(by)))
#define BNN_VECTOR_RIGHT(v, by) _mm256_sra_epi32(v, _mm_cvtsi32_si128((int)(by)))
#elif defined(__SSE2__)
#include <emmintrin.h>
#define BNN_VECTOR __m128i
#define BNN_VECTOR_LANES 4u
#define BNN_VECTOR_LOAD(p) _mm_loadu_si128(p)
#define BNN_VECTOR_STORE(p, v) _mm_storeu_si128(p, v)
#define BNN_VECTOR_ALL(x) _mm_set1_epi32(x)
#define BNN_VECTOR_ADD(a, b) _mm_add_epi32(a, b)
#define BNN_VECTOR_SUB(a, b) _mm_sub_epi32(a, b)
#define BNN_VECTOR_PAIRS(a, b) _mm_madd_epi16(a, b)
#define BNN_VECTOR_LEFT(v, by) _mm_sll_epi32(v, _mm_cvtsi32_si128((int)(by)))
#define BNN_VECTOR_RIGHT(v, by) _mm_sra_epi32(v, _mm_cvtsi32_si128((int)(by)))
#endif

#if defined(BNN_VECTOR)
/* Pixels of which tiles are made: the sums of BNN_ROWS with two vectors of weights, these and two
 * products fill 16 registers; what is left is done with fewer. */
#define BNN_ROWS 6u
#define BNN_FEW_ROWS 4u

/* How many pixels the tile has that begins with pixel *p, which moves to one that is done already
 * where too few are left. */
BNN_INLINE bnn_size bnn_next_rows(bnn_size pixels, bnn_size *p)
{
    if (pixels - *p >= BNN_ROWS) {
        return BNN_ROWS;
    }
    if (pixels < BNN_FEW_ROWS) {
        return 1u;
    }
    *p = pixels - *p < BNN_FEW_ROWS ? pixels - BNN_FEW_ROWS : *p;
    return BNN_FEW_ROWS;
}

/* The sums of each row and vector of weights, in two parts. */
typedef struct bnn_tile {
    BNN_VECTOR acc[BNN_ROWS][2], top[BNN_ROWS][2];
} bnn_tile;

/* Two inputs, as they lie. */
BNN_INLINE int32_t bnn_read_pair(const bnn_s16 *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return pair;
}

BNN_INLINE BNN_VECTOR bnn_load_weights(const int16_t *w)
{
    const void *const at = w;
    BNN_VECTOR weights = BNN_VECTOR_LOAD((const BNN_VECTOR *)at);
    BNN_IN_REGISTER(weights);
    return weights;
}

/* The products of the first input of each row, where it has a pair of its own. */
BNN_INLINE void bnn_begin_tile(const bnn_s16 *x, bnn_size rows, bnn_size n, const int16_t *w,
                               bnn_size apart, bnn_tile *tile)
{
    const BNN_VECTOR one = bnn_load_weights(w), other = bnn_load_weights(w + apart);
    BNN_UNROLL
    for (bnn_size r = 0; r < rows; ++r) {
        const int32_t second = n % 2u ? x[r * n] * ((int32_t)1 << 16) : 0;
        tile->acc[r][0] = BNN_VECTOR_PAIRS(BNN_VECTOR_ALL(second), one);
        tile->acc[r][1] = BNN_VECTOR_PAIRS(BNN_VECTOR_ALL(second), other);
    }
}

/* Adds the products of a pair of inputs of each row. */
BNN_INLINE void bnn_add_pairs(const bnn_s16 *x, bnn_size rows, bnn_size n, const int16_t *w,
                              bnn_size apart, bnn_tile *tile)
{
    const BNN_VECTOR one = bnn_load_weights(w), other = bnn_load_weights(w + apart);
    BNN_UNROLL
    for (bnn_size r = 0; r < rows; ++r) {
        const BNN_VECTOR input = BNN_VECTOR_ALL(bnn_read_pair(x + r * n));
        tile->acc[r][0] = BNN_VECTOR_ADD(tile->acc[r][0], BNN_VECTOR_PAIRS(input, one));
        tile->acc[r][1] = BNN_VECTOR_ADD(tile->acc[r][1], BNN_VECTOR_PAIRS(input, other));
        BNN_IN_TURN(tile->acc[r][0], tile->acc[r][1]);
    }
}

/* Moves the upper bits of all sums; there were none before where it is the `first` time. */
BNN_INLINE void bnn_carry(bnn_size rows, int first, bnn_tile *tile)
{
    BNN_UNROLL
    for (bnn_size r = 0; r < rows; ++r) {
        BNN_UNROLL
        for (bnn_size v = 0; v < 2u; ++v) {
            const BNN_VECTOR sum = tile->acc[r][v], upper = BNN_VECTOR_RIGHT(sum, BNN_CARRY);
            tile->top[r][v] = first ? upper : BNN_VECTOR_ADD(tile->top[r][v], upper);
            tile->acc[r][v] = BNN_VECTOR_SUB(sum, BNN_VECTOR_LEFT(upper, BNN_CARRY));
        }
    }
}

/* The sums of so many rows of n inputs, which lie one after the other. Weights of a pair are `step`
 * behind those of the one before, those of the second vector `apart` behind those of the first. */
BNN_INLINE void bnn_tile_sums(const bnn_s16 *x, bnn_size rows, bnn_size n, bnn_size most,
                              const int16_t *w, bnn_size step, bnn_size apart, bnn_tile *tile)
{
    const bnn_size pairs = (n + 1u) / 2u;
    bnn_size i = n % 2u, end = 0;
    bnn_begin_tile(x, rows, n, w, apart, tile);
    x += i;
    w += i * step;
    do {
        const int first = end == 0;
        for (end = pairs - end < most ? pairs : end + most; i < end; ++i) {
            bnn_add_pairs(x, rows, n, w, apart, tile);
            x += 2;
            w += step;
        }
        bnn_carry(rows, first, tile);
    } while (end < pairs);
}
#endif

#endif
