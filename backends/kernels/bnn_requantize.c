/* Integers to integers by linear pieces:
 * y[i] = clamp(floor((x[i] * multiplier + bias) / 2^shift), lo, hi).
 *
 * The tables have an entry for each piece and row, those of piece k from k * rows on; the piece is
 * the last one whose start x[i] reaches, in row i % rows. The first one has no start: starts begin
 * with those of piece 1. Product and sum are taken in 64 bits and must fit; shift is below 63.
 *
 * y may begin where x begins if its elements are not larger: y[i] is written after x[i] is read. */
#include "bnn_kernels.h"
#include "bnn_shift.h"
#include "bnn_vectors.h"

/* A bias, of a type that may have 64 bits. */
BNN_INLINE int64_t bnn_rom_bias(const void BNN_ROM *bias, bnn_type type, bnn_size i)
{
    return type == BNN_S64 ? bnn_rom_s64((const int64_t BNN_ROM *)bias + i)
                           : bnn_rom_load(bias, type, i);
}

/* The result for a value by the pieces of a row. */
BNN_INLINE int32_t bnn_requantized(int32_t value, const void BNN_ROM *start, bnn_type start_type,
                                   const void BNN_ROM *multiplier, bnn_type multiplier_type,
                                   const void BNN_ROM *bias, bnn_type bias_type, bnn_size row,
                                   bnn_size rows, bnn_size pieces, unsigned shift, int32_t lo,
                                   int32_t hi)
{
    bnn_size piece = row;
    int32_t factor;
    int64_t added;
    if (rows == 1u && pieces == 2u) {
        /* Tables of two entries: gcc 12.2 -O3 -mavx2 reads them wrong at an index that is a truth
         * value. */
        const int upper = value >= bnn_rom_load(start, start_type, 0);
        factor = upper ? bnn_rom_load(multiplier, multiplier_type, 1u)
                       : bnn_rom_load(multiplier, multiplier_type, 0);
        added = upper ? bnn_rom_bias(bias, bias_type, 1u) : bnn_rom_bias(bias, bias_type, 0);
    } else {
        for (bnn_size k = 1; k < pieces; ++k) {
            const int32_t first = bnn_rom_load(start, start_type, (k - 1u) * rows + row);
            piece += value >= first ? rows : 0u;
        }
        factor = bnn_rom_load(multiplier, multiplier_type, piece);
        added = bnn_rom_bias(bias, bias_type, piece);
    }
    const int64_t scaled = bnn_floor_shift((int64_t)value * factor + added, shift);
    return scaled < lo ? lo : scaled > hi ? hi : (int32_t)scaled;
}

#if defined(__AVX2__)
/* Four neighbouring entries of a table, or one for all of them. */
BNN_INLINE __m256i bnn_entries(const void *table, bnn_type type, bnn_size i, int alike)
{
    return alike ? _mm256_set1_epi64x(bnn_rom_bias(table, type, i)) : bnn_load4(table, type, i);
}

/* The results of x[i..i+3], which are of neighbouring rows from `row` on or of one, in the lower
 * halves of lanes; shift is below 32. Clamping comes first, so that no sign is lost. */
BNN_INLINE __m256i bnn_requantized4(const void *x, bnn_type x_type, bnn_size i, const void *start,
                                    bnn_type start_type, const void *multiplier,
                                    bnn_type multiplier_type, const void *bias, bnn_type bias_type,
                                    bnn_size row, bnn_size rows, bnn_size pieces, unsigned shift,
                                    int32_t lo, int32_t hi)
{
    const int alike = rows == 1u;
    const int64_t unit = (int64_t)1 << shift;
    const __m256i least = _mm256_set1_epi64x(lo * unit);
    const __m256i most = _mm256_set1_epi64x(hi * unit + (unit - 1));
    const __m256i value = bnn_load4(x, x_type, i);
    __m256i factor = bnn_entries(multiplier, multiplier_type, row, alike);
    __m256i added = bnn_entries(bias, bias_type, row, alike);
    __m256i sum;
    for (bnn_size k = 1; k < pieces; ++k) {
        const bnn_size at = k * rows + row;
        const __m256i first = bnn_entries(start, start_type, at - rows, alike);
        const __m256i below = _mm256_cmpgt_epi64(first, value);
        const __m256i next = bnn_entries(multiplier, multiplier_type, at, alike);
        factor = _mm256_blendv_epi8(next, factor, below);
        added = _mm256_blendv_epi8(bnn_entries(bias, bias_type, at, alike), added, below);
    }
    sum = _mm256_add_epi64(_mm256_mul_epi32(value, factor), added);
    sum = _mm256_blendv_epi8(sum, least, _mm256_cmpgt_epi64(least, sum));
    sum = _mm256_blendv_epi8(sum, most, _mm256_cmpgt_epi64(sum, most));
    return _mm256_srl_epi64(sum, _mm_cvtsi32_si128((int)shift));
}
#endif

BNN_KERNEL void bnn_requantize(const void *x, bnn_type x_type, bnn_size n,
                               const void BNN_ROM *start, bnn_type start_type,
                               const void BNN_ROM *multiplier, bnn_type multiplier_type,
                               const void BNN_ROM *bias, bnn_type bias_type, bnn_size rows,
                               bnn_size pieces, unsigned shift, int32_t lo, int32_t hi, void *y,
                               bnn_type y_type)
{
    /* Inner loops are over neighbouring rows, or over elements that have one row. */
    const bnn_size run = rows == 1u ? n : rows;
    for (bnn_size i = 0; i < n; i += run) {
        const bnn_size end = n - i < run ? n : i + run;
#if defined(__AVX2__)
        const bnn_size whole = shift < 32u ? end - (end - i) % 8u : i;
        for (bnn_size j = i; j < whole; j += 8u) {
            const bnn_size row = rows == 1u ? 0 : j - i, next = rows == 1u ? 0 : row + 4u;
            const __m256i first = bnn_requantized4(x, x_type, j, start, start_type, multiplier,
                                                   multiplier_type, bias, bias_type, row, rows,
                                                   pieces, shift, lo, hi);
            const __m256i second = bnn_requantized4(x, x_type, j + 4u, start, start_type,
                                                    multiplier, multiplier_type, bias, bias_type,
                                                    next, rows, pieces, shift, lo, hi);
            bnn_store8(y, y_type, j, bnn_lower8(first, second));
        }
#else
        const bnn_size whole = i;
#endif
        for (bnn_size j = whole; j < end; ++j) {
            const int32_t result = bnn_requantized(
                bnn_load(x, x_type, j), start, start_type, multiplier, multiplier_type, bias,
                bias_type, rows == 1u ? 0 : j - i, rows, pieces, shift, lo, hi);
            bnn_store(y, y_type, j, result);
        }
    }
}
