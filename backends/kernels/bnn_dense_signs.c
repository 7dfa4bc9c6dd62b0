/* Dense layer of integers by bipolar weights that are stored by input:
 * y[o] = sum_i x[i] * (2 w[i][o] - 1), twice the sum of the x[i] with w[i][o] = 1, less the
 * sum of all. Sums run modulo 2^32. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_dense_signs(const void *x, bnn_type x_type, const bnn_word BNN_ROM *w,
                                bnn_size n, bnn_size outs, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    uint32_t *const sum = (uint32_t *)y;
    uint32_t all = 0;
    for (bnn_size o = 0; o < outs; ++o) {
        sum[o] = 0;
    }
    for (bnn_size i = 0; i < n; ++i) {
        const uint32_t value = (uint32_t)bnn_load(x, x_type, i);
        all += value;
        for (bnn_size o = 0; o < outs; ++o) {
            const bnn_word bits = bnn_rom_word(w + i * columns + o / BNN_WORD_BITS);
            sum[o] += value & ((uint32_t)0 - bnn_lane(bits, o % BNN_WORD_BITS));
        }
    }
    for (bnn_size o = 0; o < outs; ++o) {
        y[o] = bnn_signed(2u * sum[o] - all);
    }
}
