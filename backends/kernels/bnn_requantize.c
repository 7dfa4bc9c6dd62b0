/* Integers to integers by linear pieces:
 * y[i] = clamp(floor((x[i] * multiplier + bias) / 2^shift), lo, hi).
 *
 * Row i % rows has `pieces` entries in each table; the piece is the last one whose start x[i]
 * reaches. The first one has no start: there are pieces - 1 of them in a row. Product and sum are
 * taken in 64 bits and must fit; shift is below 63.
 *
 * y may begin where x begins if its elements are not larger: y[i] is written after x[i] is read. */
#include "bnn_kernels.h"
#include "bnn_shift.h"

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
    bnn_size piece = row * pieces;
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
            piece += value >= bnn_rom_load(start, start_type, row * (pieces - 1u) + k - 1u);
        }
        factor = bnn_rom_load(multiplier, multiplier_type, piece);
        added = bnn_rom_bias(bias, bias_type, piece);
    }
    const int64_t scaled = bnn_floor_shift((int64_t)value * factor + added, shift);
    return scaled < lo ? lo : scaled > hi ? hi : (int32_t)scaled;
}

BNN_KERNEL void bnn_requantize(const void *x, bnn_type x_type, bnn_size n,
                               const void BNN_ROM *start, bnn_type start_type,
                               const void BNN_ROM *multiplier, bnn_type multiplier_type,
                               const void BNN_ROM *bias, bnn_type bias_type, bnn_size rows,
                               bnn_size pieces, unsigned shift, int32_t lo, int32_t hi, void *y,
                               bnn_type y_type)
{
    /* Inner loops over neighbouring rows, or over elements that have one row, can be vectorized. */
    const bnn_size run = rows == 1u ? n : rows;
    for (bnn_size i = 0; i < n; i += run) {
        const bnn_size end = n - i < run ? n : i + run;
        for (bnn_size j = i; j < end; ++j) {
            const int32_t result = bnn_requantized(
                bnn_load(x, x_type, j), start, start_type, multiplier, multiplier_type, bias,
                bias_type, rows == 1u ? 0 : j - i, rows, pieces, shift, lo, hi);
            bnn_store(y, y_type, j, result);
        }
    }
}
