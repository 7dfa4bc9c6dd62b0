/* Integers to bits: bit i of y is 1 where x[i] reaches an odd number of the thresholds
 * at[i % rows][0..count-1].
 *
 * Elements of neighbouring rows are taken together, in a form that compilers vectorize. y may begin
 * where x begins: a word is written when the integers that lie there have been read. */
#include "bnn_kernels.h"
#include "bnn_reached.h"
#include "bnn_vectors.h"

#if defined(__SSE2__) && BNN_WORD_BITS == 64
#include <emmintrin.h>
#define BNN_BYTES 16u

#if defined(__AVX2__)
/* The bits of x[i..i+7], for one threshold or two. */
BNN_INLINE unsigned bnn_threshold8(const void *x, bnn_type x_type, bnn_size i, const void *at,
                                   bnn_type at_type, bnn_size row, bnn_size step, bnn_size count)
{
    const __m256i value = bnn_load8(x, x_type, i);
    __m256i first, second, below;
    if (step == 0) {
        first = _mm256_set1_epi32(bnn_load(at, at_type, 0));
        second = _mm256_set1_epi32(bnn_load(at, at_type, count - 1u));
    } else {
        const __m256i one = bnn_load8(at, at_type, row * count);
        const __m256i other = count == 1u ? one : bnn_load8(at, at_type, row * count + 8u);
        first = count == 1u ? one : bnn_lower8(one, other);
        second = count == 1u ? one : bnn_upper8(one, other);
    }
    below = _mm256_cmpgt_epi32(first, value);
    if (count == 1u) {
        return 0xFFu ^ (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(below));
    }
    below = _mm256_xor_si256(below, _mm256_cmpgt_epi32(second, value));
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(below));
}
#endif

/* The bits of BNN_BYTES elements, of which `lanes` are there: first a byte each, then the upper
 * bits of all bytes. */
BNN_INLINE bnn_word bnn_threshold_bytes(const void *x, bnn_type x_type, bnn_size i, bnn_size lanes,
                                        const void BNN_ROM *at, bnn_type at_type, bnn_size row,
                                        bnn_size step, bnn_size count)
{
    uint8_t reached[BNN_BYTES] = {0};
#if defined(__AVX2__)
    if (lanes == BNN_BYTES && count <= 2u) {
        return bnn_threshold8(x, x_type, i, at, at_type, row, step, count) |
               bnn_threshold8(x, x_type, i + 8u, at, at_type, row + 8u * step, step, count) << 8;
    }
#endif
    for (bnn_size j = 0; j < lanes; ++j) {
        const int32_t value = bnn_load(x, x_type, i + j);
        reached[j] = (uint8_t)bnn_reached(value, at, at_type, (row + j * step) * count, count);
    }
    const void *const bytes = reached;
    const __m128i upper = _mm_slli_epi16(_mm_loadu_si128((const __m128i *)bytes), 7);
    return (bnn_word)(unsigned)_mm_movemask_epi8(upper);
}

BNN_INLINE bnn_word bnn_threshold_bits(const void *x, bnn_type x_type, bnn_size i, bnn_size lanes,
                                       const void BNN_ROM *at, bnn_type at_type, bnn_size row,
                                       bnn_size step, bnn_size count)
{
    const bnn_size whole = lanes - lanes % BNN_BYTES;
    bnn_word bits = 0;
    for (bnn_size j = 0; j < whole; j += BNN_BYTES) {
        bits |= bnn_threshold_bytes(x, x_type, i + j, BNN_BYTES, at, at_type, row + j * step, step,
                                    count)
                << j;
    }
    if (whole < lanes) {
        bits |= bnn_threshold_bytes(x, x_type, i + whole, lanes - whole, at, at_type,
                                    row + whole * step, step, count)
                << whole;
    }
    return bits;
}
#else
/* The bits of `lanes` elements from x[i] on; the first one's row is `row`, and that of each further
 * one `step` rows on. */
BNN_INLINE bnn_word bnn_threshold_bits(const void *x, bnn_type x_type, bnn_size i, bnn_size lanes,
                                       const void BNN_ROM *at, bnn_type at_type, bnn_size row,
                                       bnn_size step, bnn_size count)
{
    bnn_word bits = 0;
    for (bnn_size j = 0; j < lanes; ++j) {
        const int32_t value = bnn_load(x, x_type, i + j);
        const bnn_size first = (row + j * step) * count;
        bits |= bnn_bit(bnn_reached(value, at, at_type, first, count) & 1u, j);
    }
    return bits;
}
#endif

BNN_KERNEL void bnn_threshold(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                              bnn_type at_type, bnn_size rows, bnn_size count, bnn_word *y)
{
    /* So many neighbouring rows can be taken together wherever a word begins. It pays with long
     * words alone, within which rows often end. */
    const bnn_size even = rows & (~rows + 1u);
    const bnn_size chunk = even < BNN_WORD_BITS ? even : BNN_WORD_BITS;
    const bnn_size step = rows == 1u ? 0u : 1u;
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_word bits = 0;
        if (step == 0 || rows - row >= lanes) {
            bits = bnn_threshold_bits(x, x_type, i, lanes, at, at_type, row, step, count);
            row = step == 0 || row + lanes == rows ? 0u : row + lanes;
        } else if (BNN_WORD_BITS == 64 && chunk >= 8u) {
            for (bnn_size j = 0; j < lanes; j += chunk) {
                const bnn_size run = lanes - j < chunk ? lanes - j : chunk;
                const bnn_word part =
                    bnn_threshold_bits(x, x_type, i + j, run, at, at_type, row, step, count);
                bits = (bnn_word)(bits | (bnn_word)(part << j));
                row = row + chunk < rows ? row + chunk : 0u;
            }
        } else {
            for (bnn_size j = 0; j < lanes; ++j) {
                const int32_t value = bnn_load(x, x_type, i + j);
                bits |= bnn_bit(bnn_reached(value, at, at_type, row * count, count) & 1u, j);
                row = row + 1u < rows ? row + 1u : 0u;
            }
        }
        y[i / BNN_WORD_BITS] = bits;
    }
}
