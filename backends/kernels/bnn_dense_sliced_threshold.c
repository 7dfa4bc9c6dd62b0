/* Bipolar by bipolar dense layer with its thresholds, bit-sliced: bit o of y is 1 where v of
 * output o (see bnn_sliced.h) reaches an odd number of its thresholds. n is below 2^16.
 *
 * The thresholds are bit-sliced, too: digit d of threshold k for a word of outputs is word
 * (k * digits + d) * words(outs) + column. */
#include "bnn_kernels.h"
#include "bnn_slices.h"

BNN_KERNEL void bnn_dense_sliced_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                           const bnn_word BNN_ROM *at, bnn_size count,
                                           unsigned digits, bnn_size n, bnn_size outs,
                                           void *scratch, bnn_word *y)
{
    const bnn_size columns = bnn_words(outs);
    const bnn_size zeros = n - bnn_ones(x, n);
    (void)scratch;
    for (bnn_size first = 0; first < columns; first += BNN_SLICES * BNN_SLICE_WORDS) {
        bnn_block block;
        bnn_begin_block(&block, columns, first, digits, zeros);
        bnn_add_inputs(x, w, n, columns, first, 0, digits, &block);
        bnn_join_block(&block, columns, first, digits);
        for (bnn_size b = 0; b < BNN_SLICES && first + b * BNN_SLICE_WORDS < columns; ++b) {
            const bnn_size column = first + b * BNN_SLICE_WORDS;
            bnn_word bits[BNN_SLICE_WORDS];
            bnn_reached_column(block.v[b], at, count, digits, columns, column, bits);
            for (bnn_size i = 0; i < bnn_slice_words(columns, column); ++i) {
                y[column + i] = bits[i];
            }
        }
    }
}
