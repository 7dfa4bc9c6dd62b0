/* Bit-sliced counters: lane j of a word belongs to output j, and the words of a counter are the
 * binary digits of a number for each lane.
 *
 * The bipolar sum of output o over n inputs, of which `ones` are 1, is
 *     sum = n - 2 popcount(x ^ w) = 2 v - n - 2 popcount(w),   v = n - ones + 2 popcount(x & w),
 * so that only inputs that are 1 need be looked at: each adds 2 to v in the lanes where its
 * weights are 1. Full adders do that for a word of outputs at a time, without a popcount. Weights
 * are stored by input for this: row i has the bits of all outputs, and row n is 0. */
#ifndef BNN_SLICED_H
#define BNN_SLICED_H

#include "bnn_popcount.h"

/* Digits of a counter: sums of up to 2^(BNN_DIGITS - 1) - 1 inputs. */
#define BNN_DIGITS 20u

/* One digit added to two others: *sum becomes the sum's digit, and the carry is returned. */
BNN_INLINE bnn_word bnn_full_add(bnn_word *sum, bnn_word a, bnn_word b)
{
    const bnn_word half = (bnn_word)(*sum ^ a);
    const bnn_word carry = (bnn_word)((*sum & a) | (half & b));
    *sum = (bnn_word)(half ^ b);
    return carry;
}

/* How many of n inputs are 1. */
BNN_INLINE bnn_size bnn_ones(const bnn_word *x, bnn_size n)
{
    bnn_size ones = 0;
    for (bnn_size i = 0; i < bnn_words(n); ++i) {
        ones += bnn_popcount(x[i]);
    }
    return ones;
}

/* Where v reaches an odd number of `count` thresholds. Digit d of threshold k is word
 * (k * digits + d) * columns of `at`. Comparing goes from the lowest digit up: a number reaches
 * another if its digit is larger, or equal and the digits below reach. */
BNN_INLINE bnn_word bnn_reached_sliced(const bnn_word *v, const bnn_word BNN_ROM *at,
                                       bnn_size count, unsigned digits, bnn_size columns)
{
    bnn_word odd = 0;
    for (bnn_size k = 0; k < count; ++k) {
        bnn_word reached = (bnn_word)~(bnn_word)0;
        for (unsigned d = 0; d < digits; ++d) {
            const bnn_word t = bnn_rom_word(at + (k * digits + d) * columns);
            reached = (bnn_word)((v[d] & (bnn_word)~t) | ((bnn_word)~(v[d] ^ t) & reached));
        }
        odd = (bnn_word)(odd ^ reached);
    }
    return odd;
}

#endif
