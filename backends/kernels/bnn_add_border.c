/* What padding adds to the sums of pixels of a row: y[p][o] += values[class - 1][o].
 *
 * A bipolar map has no code for 0, so that taps outside of it are gathered as another value; what
 * is wrong with the sums then depends on which taps lie outside and on nothing else. Pixels with
 * the same taps outside are one class; class 0 has none and nothing to add. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_add_border(const uint8_t BNN_ROM *row_class,
                               const uint8_t BNN_ROM *column_class, bnn_size classes,
                               const void BNN_ROM *values, bnn_type values_type, bnn_size n,
                               bnn_size row, bnn_size column, bnn_size pixels, int32_t *y)
{
    const bnn_size down = bnn_rom_u8(row_class + row);
    for (bnn_size p = 0; p < pixels; ++p) {
        const bnn_size border = down * classes + bnn_rom_u8(column_class + column + p);
        if (border != 0) {
            for (bnn_size i = 0; i < n; ++i) {
                const int32_t value = bnn_rom_load(values, values_type, (border - 1u) * n + i);
                y[p * n + i] = bnn_signed((uint32_t)y[p * n + i] + (uint32_t)value);
            }
        }
    }
}
