/* Bipolar by bipolar dense layer: y[o] = sum_i x[i] * w[o][i], which is
 * n - 2 * (number of differing bits). Weights are in tiles (bnn_tile.h); the last one may have
 * outputs that are not there. */
#include "bnn_kernels.h"
#include "bnn_tile.h"

BNN_KERNEL void bnn_dense_tiled(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size n,
                                bnn_size outs, int32_t *y)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size o = 0; o < outs; o += BNN_TILE) {
        const bnn_size count = outs - o < BNN_TILE ? outs - o : BNN_TILE;
        bnn_size differing[BNN_TILE];
        bnn_differing_tile(x, w + o * words, words, differing);
        for (bnn_size t = 0; t < count; ++t) {
            y[o + t] = (int32_t)n - 2 * (int32_t)differing[t];
        }
    }
}
