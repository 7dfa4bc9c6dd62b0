/* The k largest of n integers, the largest first. k is at most n. */
#include "bnn_kernels.h"
#include "bnn_top.h"

BNN_KERNEL void bnn_top_values(const void *x, bnn_type x_type, bnn_size n, bnn_size k, void *y,
                               bnn_type y_type)
{
    bnn_size last = n;
    for (bnn_size i = 0; i < k; ++i) {
        last = bnn_next_largest(x, x_type, n, last);
        bnn_store(y, y_type, i, bnn_load(x, x_type, last));
    }
}
