/* Dense layer of bit planes by ternary weights:
 * y[o] = bias[o] + sum_i code[i] * (plus[o][i] - minus[o][i]). */
#include "bnn_kernels.h"
#include "bnn_popcount.h"

BNN_KERNEL void bnn_dense_ternary(const bnn_word *x, unsigned planes, int x_signed,
                                  const bnn_word BNN_ROM *plus, const bnn_word BNN_ROM *minus,
                                  const int32_t BNN_ROM *bias, bnn_size n, bnn_size outs,
                                  int32_t *y)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size o = 0; o < outs; ++o) {
        uint32_t sum = bias == NULL ? 0u : (uint32_t)bnn_rom_s32(bias + o);
        for (unsigned p = 0; p < planes; ++p) {
            const uint32_t added = (uint32_t)bnn_common(x + p * words, plus + o * words, words);
            const uint32_t taken = (uint32_t)bnn_common(x + p * words, minus + o * words, words);
            sum += bnn_plane_weight(p, planes, x_signed) * (added - taken);
        }
        y[o] = bnn_signed(sum);
    }
}
