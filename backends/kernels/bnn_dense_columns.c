/* Dense layer of integers by integer weights that are stored by input: y[o] = sum_i x[i] * w[i][o].
 *
 * Each input adds a multiple of its row of weights to all outputs, which vector instructions do
 * for several outputs at a time. Sums run modulo 2^32. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_dense_columns(const void *x, bnn_type x_type, const void BNN_ROM *w,
                                  bnn_type w_type, bnn_size n, bnn_size outs, int32_t *y)
{
    uint32_t *const sum = (uint32_t *)y;
    for (bnn_size o = 0; o < outs; ++o) {
        sum[o] = 0;
    }
    for (bnn_size i = 0; i < n; ++i) {
        const uint32_t value = (uint32_t)bnn_load(x, x_type, i);
        const bnn_size first = i * outs;
        for (bnn_size o = 0; o < outs; ++o) {
            sum[o] += value * (uint32_t)bnn_rom_load(w, w_type, first + o);
        }
    }
    for (bnn_size o = 0; o < outs; ++o) {
        y[o] = bnn_signed(sum[o]);
    }
}
