/* Integers in another order: y[i] = x[index[i % period] + start[b % blocks] + b / blocks * stride],
 * where b = i / period. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_permute_integers(const void *x, bnn_type x_type, const void BNN_ROM *index,
                                     bnn_type index_type, bnn_size period,
                                     const void BNN_ROM *start, bnn_type start_type,
                                     bnn_size blocks, bnn_size stride, bnn_size n, void *y,
                                     bnn_type y_type)
{
    for (bnn_size i = 0; i < n; i += period) {
        const bnn_size block = i / period;
        const int32_t first = bnn_rom_load(start, start_type, block % blocks);
        for (bnn_size j = 0; j < period; ++j) {
            const int32_t from = first + bnn_rom_load(index, index_type, j);
            const bnn_size at = (bnn_size)from + block / blocks * stride;
            bnn_store(y, y_type, i + j, bnn_load(x, x_type, at));
        }
    }
}
