/* Bipolar by bipolar dense layer with its thresholds: bit o of y is 1 where sum_i x[i] * w[o][i]
 * reaches an odd number of the thresholds at[o][0..count-1].
 *
 * A product of two bipolar values is +1 where their bits are equal and -1 where they differ, so
 * that the sum is n - 2 * (number of differing bits). */
#include "bnn_kernels.h"
#include "bnn_reached.h"
#include "bnn_rows.h"

BNN_KERNEL void bnn_dense_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                    const void BNN_ROM *tail, bnn_type tail_type,
                                    const void BNN_ROM *at, bnn_type at_type,
                                    bnn_size count, bnn_size n, bnn_size outs, bnn_word *y)
{
    const bnn_size words = bnn_row_words(n, tail);
    for (bnn_size o = 0; o < outs; o += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(outs, o);
        bnn_word bits = 0;
        for (bnn_size j = 0; j < lanes; ++j) {
            const bnn_size differing = bnn_row_differing(x, w, words, tail, tail_type, o + j);
            const int32_t sum = (int32_t)n - 2 * (int32_t)differing;
            bits |= bnn_bit(bnn_reached(sum, at, at_type, (o + j) * count, count) & 1u, j);
        }
        y[o / BNN_WORD_BITS] = bits;
    }
}
