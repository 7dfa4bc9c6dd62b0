/* Integers in another order: y[i] = x[i / period * stride + index[i % period]]. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_permute_integers(const void *x, bnn_type x_type, const void BNN_ROM *index,
                                     bnn_type index_type, bnn_size period, bnn_size stride,
                                     bnn_size n, void *y, bnn_type y_type)
{
    for (bnn_size i = 0; i < n; ++i) {
        const bnn_size from = (bnn_size)bnn_rom_load(index, index_type, i % period);
        bnn_store(y, y_type, i, bnn_load(x, x_type, i / period * stride + from));
    }
}
