/* Integers to integers by table: y[i] = table[i % rows][(x[i] - lo) / step].
 *
 * y may begin where x begins if its elements are not larger: y[i] is written after x[i] is read. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_lookup(const void *x, bnn_type x_type, bnn_size n, int32_t lo, int32_t step,
                           const void BNN_ROM *table, bnn_type table_type, bnn_size rows,
                           bnn_size entries, void *y, bnn_type y_type)
{
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; ++i) {
        const uint32_t distance = (uint32_t)bnn_load(x, x_type, i) - (uint32_t)lo;
        const bnn_size entry = row * entries + (bnn_size)(distance / (uint32_t)step);
        bnn_store(y, y_type, i, bnn_rom_load(table, table_type, entry));
        row = row + 1u < rows ? row + 1u : 0u;
    }
}
