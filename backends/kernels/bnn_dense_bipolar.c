/* Dense layer of bit planes by bipolar weights: y[o] = bias[o] + sum_i code[i] * w[o][i].
 *
 * Over the ones of a plane, w sums to 2 * (ones where w is +1) - (all ones). The second term is
 * the same for every output and is counted once. */
#include "bnn_kernels.h"
#include "bnn_rows.h"

BNN_KERNEL void bnn_dense_bipolar(const bnn_word *x, unsigned planes, int x_signed,
                                  const bnn_word BNN_ROM *w, const void BNN_ROM *tail,
                                  bnn_type tail_type, const int32_t BNN_ROM *bias, bnn_size n,
                                  bnn_size outs, int32_t *y)
{
    const bnn_size words = bnn_words(n), whole = bnn_row_words(n, tail);
    uint32_t all = 0;
    for (unsigned p = 0; p < planes; ++p) {
        bnn_size ones = 0;
        for (bnn_size i = 0; i < words; ++i) {
            ones += bnn_popcount(x[p * words + i]);
        }
        all += bnn_plane_weight(p, planes, x_signed) * (uint32_t)ones;
    }
    for (bnn_size o = 0; o < outs; ++o) {
        uint32_t sum = 0;
        for (unsigned p = 0; p < planes; ++p) {
            const bnn_size ones = bnn_row_common(x + p * words, w, whole, tail, tail_type, o);
            sum += bnn_plane_weight(p, planes, x_signed) * (uint32_t)ones;
        }
        y[o] = bnn_signed(2u * sum - all + (bias == NULL ? 0u : (uint32_t)bnn_rom_s32(bias + o)));
    }
}
