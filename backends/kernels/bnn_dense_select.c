/* Dense layer of bit planes by integer weights: y[o] = bias[o] + sum_i code[i] * w[o][i].
 *
 * The codes of one word of each plane are spread out once and used for all outputs; y holds the
 * sums so far. */
#include "bnn_kernels.h"
#include "bnn_dot.h"
#include "bnn_popcount.h"

BNN_KERNEL void bnn_dense_select(const bnn_word *x, unsigned planes, int x_signed,
                                 const void BNN_ROM *w, bnn_type w_type,
                                 const int32_t BNN_ROM *bias, bnn_size n, bnn_size outs, int32_t *y)
{
    const bnn_size words = bnn_words(n);
    int32_t code[BNN_BLOCK];
    for (bnn_size o = 0; o < outs; ++o) {
        y[o] = bias == NULL ? 0 : bnn_rom_s32(bias + o);
    }
    for (bnn_size i = 0; i < n; i += BNN_BLOCK) {
        const bnn_size lanes = bnn_lanes(n, i);
        for (bnn_size j = 0; j < lanes; ++j) {
            uint32_t value = 0;
            for (unsigned p = 0; p < planes; ++p) {
                const uint32_t bit = bnn_lane(x[p * words + i / BNN_WORD_BITS], j);
                value += bnn_plane_weight(p, planes, x_signed) * bit;
            }
            code[j] = bnn_signed(value);
        }
        for (bnn_size o = 0; o < outs; ++o) {
            y[o] = bnn_signed((uint32_t)y[o] + bnn_dot(code, lanes, w, w_type, o * n + i));
        }
    }
}
