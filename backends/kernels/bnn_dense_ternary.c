/* Dense layer of bit planes by ternary weights:
 * y[o] = bias[o] + sum_i code[i] * (plus[o][i] - minus[o][i]). */
#include "bnn_kernels.h"
#include "bnn_rows.h"

BNN_KERNEL void bnn_dense_ternary(const bnn_word *x, unsigned planes, int x_signed,
                                  const bnn_word BNN_ROM *plus, const void BNN_ROM *plus_tail,
                                  bnn_type plus_type, const bnn_word BNN_ROM *minus,
                                  const void BNN_ROM *minus_tail, bnn_type minus_type,
                                  const int32_t BNN_ROM *bias, bnn_size n, bnn_size outs,
                                  int32_t *y)
{
    const bnn_size words = bnn_words(n), whole = bnn_row_words(n, plus_tail);
    for (bnn_size o = 0; o < outs; ++o) {
        uint32_t sum = bias == NULL ? 0u : (uint32_t)bnn_rom_s32(bias + o);
        for (unsigned p = 0; p < planes; ++p) {
            const bnn_word *const ones = x + p * words;
            const bnn_size added = bnn_row_common(ones, plus, whole, plus_tail, plus_type, o);
            const bnn_size taken = bnn_row_common(ones, minus, whole, minus_tail, minus_type, o);
            sum += bnn_plane_weight(p, planes, x_signed) * ((uint32_t)added - (uint32_t)taken);
        }
        y[o] = bnn_signed(sum);
    }
}
