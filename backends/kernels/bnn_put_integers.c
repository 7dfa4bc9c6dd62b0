/* n integers, as pixel row * columns + column of a map. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_put_integers(const void *x, bnn_type x_type, bnn_size n, bnn_size columns,
                                 bnn_size row, bnn_size column, void *y, bnn_type y_type)
{
    const bnn_size at = (row * columns + column) * n;
    for (bnn_size i = 0; i < n; ++i) {
        bnn_store(y, y_type, at + i, bnn_load(x, x_type, i));
    }
}
