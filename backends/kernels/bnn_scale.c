/* Integers to integers: y[i] = x[i] * multiplier[i % rows] + bias[i % rows], modulo 2^32. Results
 * that y's type holds are exact.
 *
 * y may begin where x begins if its elements are not larger: y[i] is written after x[i] is read. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_scale(const void *x, bnn_type x_type, bnn_size n,
                          const void BNN_ROM *multiplier, bnn_type multiplier_type,
                          const void BNN_ROM *bias, bnn_type bias_type, bnn_size rows, void *y,
                          bnn_type y_type)
{
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; ++i) {
        const uint32_t value = (uint32_t)bnn_load(x, x_type, i);
        const uint32_t product = value * (uint32_t)bnn_rom_load(multiplier, multiplier_type, row);
        const uint32_t added = (uint32_t)bnn_rom_load(bias, bias_type, row);
        bnn_store(y, y_type, i, bnn_signed(product + added));
        row = row + 1u < rows ? row + 1u : 0u;
    }
}
