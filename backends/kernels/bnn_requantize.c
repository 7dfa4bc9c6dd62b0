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
static int64_t bnn_rom_bias(const void BNN_ROM *bias, bnn_type type, bnn_size i)
{
    return type == BNN_S64 ? bnn_rom_s64((const int64_t BNN_ROM *)bias + i)
                           : bnn_rom_load(bias, type, i);
}

BNN_KERNEL void bnn_requantize(const void *x, bnn_type x_type, bnn_size n,
                               const void BNN_ROM *start, bnn_type start_type,
                               const void BNN_ROM *multiplier, bnn_type multiplier_type,
                               const void BNN_ROM *bias, bnn_type bias_type, bnn_size rows,
                               bnn_size pieces, unsigned shift, int32_t lo, int32_t hi, void *y,
                               bnn_type y_type)
{
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; ++i) {
        const int32_t value = bnn_load(x, x_type, i);
        bnn_size piece = row * pieces;
        for (bnn_size k = 1; k < pieces; ++k) {
            piece += value >= bnn_rom_load(start, start_type, row * (pieces - 1u) + k - 1u);
        }
        const int64_t product = (int64_t)value * bnn_rom_load(multiplier, multiplier_type, piece);
        const int64_t sum = product + bnn_rom_bias(bias, bias_type, piece);
        const int64_t scaled = bnn_floor_shift(sum, shift);
        bnn_store(y, y_type, i, scaled < lo ? lo : scaled > hi ? hi : (int32_t)scaled);
        row = row + 1u < rows ? row + 1u : 0u;
    }
}
