/* The indices of the k largest of n integers, the largest first; of equals the first comes first.
 * k is at most n. */
#include "bnn_kernels.h"
#include "bnn_top.h"

BNN_KERNEL void bnn_top_indices(const void *x, bnn_type x_type, bnn_size n, bnn_size k, int32_t *y)
{
    bnn_size last = n;
    for (bnn_size i = 0; i < k; ++i) {
        last = bnn_next_largest(x, x_type, n, last);
        y[i] = (int32_t)last;
    }
}
