/* Bipolar by bipolar dense layer with its thresholds: bit o of y is 1 where sum_i x[i] * w[o][i]
 * reaches an odd number of the thresholds at[o][0..count-1] (see the common kernel of this name).
 *
 * Bits are shifted in one after the other: an AVR shifts by one place at a time. */
#include "bnn_kernels.h"
#include "bnn_popcount.h"
#include "bnn_reached.h"

BNN_KERNEL void bnn_dense_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                    const void BNN_ROM *tail, bnn_type tail_type,
                                    const void BNN_ROM *at, bnn_type at_type,
                                    bnn_size count, bnn_size n, bnn_size outs, bnn_word *y)
{
    const bnn_size words = bnn_words(n);
    bnn_size first = 0;
    (void)tail; /* no integer is smaller than a word */
    (void)tail_type;
    for (bnn_size o = 0; o < outs; o += 8u) {
        const uint8_t lanes = (uint8_t)bnn_lanes(outs, o);
        bnn_word bits = 0;
        for (uint8_t j = 0; j < lanes; ++j) {
            const int32_t sum = (int32_t)n - 2 * (int32_t)bnn_differing(x, w, words);
            const unsigned reached = bnn_reached(sum, at, at_type, first, count);
            bits = (bnn_word)(((unsigned)bits >> 1) | (reached & 1u) << 7);
            first += count;
            w += words;
        }
        *y++ = (bnn_word)(bits >> (8u - lanes));
    }
}
