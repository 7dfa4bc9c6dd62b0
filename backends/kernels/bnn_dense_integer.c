/* Dense layer of integers by integer weights: y[o] = sum_i x[i] * w[o][i].
 *
 * A block of x is read once and used for all outputs; y holds the sums so far. */
#include "bnn_kernels.h"
#include "bnn_dot.h"

BNN_KERNEL void bnn_dense_integer(const void *x, bnn_type x_type, const void BNN_ROM *w,
                                  bnn_type w_type, bnn_size n, bnn_size outs, int32_t *y)
{
    int32_t block[BNN_BLOCK];
    for (bnn_size o = 0; o < outs; ++o) {
        y[o] = 0;
    }
    for (bnn_size i = 0; i < n; i += BNN_BLOCK) {
        const bnn_size lanes = bnn_lanes(n, i);
        for (bnn_size j = 0; j < lanes; ++j) {
            block[j] = bnn_load(x, x_type, i + j);
        }
        for (bnn_size o = 0; o < outs; ++o) {
            y[o] = bnn_signed((uint32_t)y[o] + bnn_dot(block, lanes, w, w_type, o * n + i));
        }
    }
}
