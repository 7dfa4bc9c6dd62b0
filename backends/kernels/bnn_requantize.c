/* Integers to integers by linear pieces:
 * y[i] = clamp(floor((x[i] * multiplier + bias) / 2^shift), lo, hi).
 *
 * Row i % rows has `pieces` entries in each table; the piece is the last one whose start x[i]
 * reaches. The first one's start is not read; where it is the only one, start may be NULL. Product
 * and sum are taken in 64 bits and must fit; shift is below 63.
 *
 * y may begin where x begins if its elements are not larger: y[i] is written after x[i] is read. */
#include "bnn_kernels.h"
#include "bnn_shift.h"

BNN_KERNEL void bnn_requantize(const void *x, bnn_type x_type, bnn_size n,
                               const int32_t BNN_ROM *start, const int32_t BNN_ROM *multiplier,
                               const int64_t BNN_ROM *bias, bnn_size rows, bnn_size pieces,
                               unsigned shift, int32_t lo, int32_t hi, void *y, bnn_type y_type)
{
    bnn_size first = 0; /* entry of the row's first piece */
    for (bnn_size i = 0; i < n; ++i) {
        const int32_t value = bnn_load(x, x_type, i);
        bnn_size piece = first;
        for (bnn_size k = 1; k < pieces; ++k) {
            piece += value >= bnn_rom_s32(start + first + k);
        }
        const int64_t product = (int64_t)value * bnn_rom_s32(multiplier + piece);
        const int64_t scaled = bnn_floor_shift(product + bnn_rom_s64(bias + piece), shift);
        bnn_store(y, y_type, i, scaled < lo ? lo : scaled > hi ? hi : (int32_t)scaled);
        first = first + pieces < rows * pieces ? first + pieces : 0u;
    }
}
