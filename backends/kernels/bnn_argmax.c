/* The index of the largest integer: y[0] is the first i with x[i] >= x[j] for every j.
 *
 * y may begin where x begins: it is written when all of x has been read. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_argmax(const void *x, bnn_type x_type, bnn_size n, int32_t *y)
{
    bnn_size best = 0;
    int32_t largest = bnn_load(x, x_type, 0);
    for (bnn_size i = 1; i < n; ++i) {
        const int32_t value = bnn_load(x, x_type, i);
        if (value > largest) {
            largest = value;
            best = i;
        }
    }
    y[0] = (int32_t)best;
}
