/* Dense layer of integers by integer weights, in 64 bits:
 * y[o] = floor((sum_i x[i] * w[o][i] + 2^shift / 2) / 2^shift), modulo 2^32.
 *
 * For streams and weights of so many bits that their sums have more than 32. Sums must fit 64;
 * shift is below 63. */
#include "bnn_kernels.h"
#include "bnn_shift.h"

/* sum_i x[i] * w[first + i]. The type of the weights is looked at once, outside of the loop. */
static int64_t bnn_dot_wide(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *w,
                            bnn_type w_type, bnn_size first)
{
    int64_t sum = 0;
    if (w_type == BNN_S16) {
        for (bnn_size i = 0; i < n; ++i) {
            sum += (int64_t)bnn_load(x, x_type, i) *
                   bnn_rom_s16((const int16_t BNN_ROM *)w + first + i);
        }
    } else {
        for (bnn_size i = 0; i < n; ++i) {
            sum += (int64_t)bnn_load(x, x_type, i) * bnn_rom_load(w, w_type, first + i);
        }
    }
    return sum;
}

BNN_KERNEL void bnn_dense_wide(const void *x, bnn_type x_type, const void BNN_ROM *w,
                               bnn_type w_type, bnn_size n, bnn_size outs, unsigned shift,
                               int32_t *y)
{
    const int64_t half = (int64_t)1 << shift >> 1;
    for (bnn_size o = 0; o < outs; ++o) {
        const int64_t sum = bnn_dot_wide(x, x_type, n, w, w_type, o * n);
        y[o] = bnn_signed((uint32_t)bnn_floor_shift(sum + half, shift));
    }
}
