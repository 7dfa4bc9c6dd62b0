/* Bipolar by bipolar dense layer with its thresholds, bit-sliced: bit o of y is 1 where v of
 * output o (see bnn_sliced.h) reaches an odd number of its thresholds.
 *
 * The thresholds are bit-sliced, too: digit d of threshold k for a word of outputs is word
 * (k * digits + d) * words(outs) + column. */
#include "bnn_kernels.h"
#include "bnn_sliced.h"

BNN_KERNEL void bnn_dense_sliced_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                           const bnn_word BNN_ROM *at, bnn_size count,
                                           unsigned digits, bnn_size n, bnn_size outs,
                                           void *scratch, bnn_word *y)
{
    const bnn_size columns = bnn_words(outs);
    (void)scratch;
    for (bnn_size column = 0; column < columns; ++column) {
        bnn_word v[BNN_DIGITS];
        bnn_count_sliced(x, w, n, columns, column, digits, v);
        y[column] = bnn_reached_sliced(v, at + column, count, digits, columns);
    }
}
