/* Bipolar by bipolar dense layer with its thresholds: bit o of y is 1 where the bipolar sum
 * n - 2 * (number of differing bits) reaches an odd number of the thresholds at[o][0..count-1].
 * Weights are in tiles (bnn_tile.h); the last one may have outputs that are not there. */
#include "bnn_kernels.h"
#include "bnn_reached.h"
#include "bnn_tile.h"

BNN_KERNEL void bnn_dense_tiled_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                          const void BNN_ROM *at, bnn_type at_type, bnn_size count,
                                          bnn_size n, bnn_size outs, bnn_word *y)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size o = 0; o < outs; o += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(outs, o);
        bnn_word bits = 0;
        for (bnn_size j = 0; j < lanes; j += BNN_TILE) {
            const bnn_size there = lanes - j < BNN_TILE ? lanes - j : BNN_TILE;
            bnn_size differing[BNN_TILE];
            bnn_differing_tile(x, w + (o + j) * words, words, differing);
            for (bnn_size t = 0; t < there; ++t) {
                const int32_t sum = (int32_t)n - 2 * (int32_t)differing[t];
                const bnn_size first = (o + j + t) * count;
                bits |= bnn_bit(bnn_reached(sum, at, at_type, first, count) & 1u, j + t);
            }
        }
        y[o / BNN_WORD_BITS] = bits;
    }
}
