/* Bipolar by bipolar dense layer with its thresholds, bit-sliced: bit o of y is 1 where v of
 * output o (see bnn_sliced.h) reaches an odd number of its thresholds.
 *
 * The thresholds are bit-sliced, too: digit d of threshold k for a word of outputs is word
 * (k * digits + d) * words(outs) + column. Comparing goes from the lowest digit up: a number
 * reaches another if its digit is larger, or equal and the digits below reach. */
#include "bnn_kernels.h"
#include "bnn_sliced.h"

BNN_KERNEL void bnn_dense_sliced_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                           const bnn_word BNN_ROM *at, bnn_size count,
                                           unsigned digits, bnn_size n, bnn_size outs, bnn_word *y)
{
    const bnn_size columns = bnn_words(outs);
    for (bnn_size column = 0; column < columns; ++column) {
        bnn_word v[BNN_DIGITS];
        bnn_word bits = 0;
        bnn_count_sliced(x, w, n, columns, column, digits, v);
        for (bnn_size k = 0; k < count; ++k) {
            bnn_word reached = (bnn_word)~(bnn_word)0;
            for (unsigned d = 0; d < digits; ++d) {
                const bnn_word t = bnn_rom_word(at + (k * digits + d) * columns + column);
                reached = (bnn_word)((v[d] & (bnn_word)~t) | ((bnn_word)~(v[d] ^ t) & reached));
            }
            bits = (bnn_word)(bits ^ reached);
        }
        y[column] = bits;
    }
}
