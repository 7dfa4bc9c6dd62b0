/* Bipolar by bipolar dense layer with its thresholds, bit-sliced: bit o of y is 1 where v of
 * output o reaches an odd number of its thresholds (see the common kernel of this name).
 *
 * As many outputs as a strip has are counted together. Digit d of threshold k for a word of
 * outputs is word (k * digits + d) * words(outs) + column of `at`; comparing goes from the lowest
 * digit up: v reaches t if v - t, that is v + ~t + 1, carries out of the highest one. */
#include "bnn_kernels.h"
#include "bnn_sliced.h"

BNN_KERNEL void bnn_dense_sliced_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                           const bnn_word BNN_ROM *at, bnn_size count,
                                           unsigned digits, bnn_size n, bnn_size outs,
                                           void *scratch, bnn_word *y)
{
    const bnn_size columns = bnn_words(outs);
    bnn_strip strip;
    (void)scratch;
    for (bnn_size first = 0; first < columns; first += BNN_STRIP) {
        const uint8_t words = bnn_strip_words(columns, first);
        const bnn_size rest = n - bnn_count_strip(&strip, x, w + first, n, columns, words);
        for (uint8_t word = 0; word < words; ++word) {
            const bnn_word *const v = strip.count[word];
            const bnn_word BNN_ROM *t = at + first + word;
            bnn_word bits = bnn_finish(strip.count[word], t, columns, rest, (uint8_t)digits);
            for (bnn_size k = 1; k < count; ++k) {
                t += digits * columns;
                bits = (bnn_word)(bits ^ bnn_reached_sliced(v, t, columns, rest, (uint8_t)digits));
            }
            *y++ = bits;
        }
    }
}
