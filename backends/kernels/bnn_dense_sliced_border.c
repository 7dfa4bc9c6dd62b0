/* Bipolar by bipolar dense layer at a pixel, bit-sliced (bnn_dense_sliced_threshold.c), with
 * thresholds of its own for each class of pixels.
 *
 * A bipolar map has no code for 0, so that taps outside of it are gathered as another value; what
 * is wrong with the sums then depends on which taps lie outside and on nothing else. Pixels with
 * the same taps outside are one class, and have thresholds that take it into account. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_dense_sliced_border(const bnn_word *x, const bnn_word BNN_ROM *w,
                                        const bnn_word BNN_ROM *at, bnn_size count, unsigned digits,
                                        bnn_size n, bnn_size outs, const uint8_t BNN_ROM *row_class,
                                        const uint8_t BNN_ROM *column_class, bnn_size classes,
                                        bnn_size row, bnn_size column, void *scratch,
                                        bnn_word *y)
{
    const bnn_size down = bnn_rom_u8(row_class + row);
    const bnn_size border = down * classes + bnn_rom_u8(column_class + column);
    const bnn_word BNN_ROM *const own = at + border * count * digits * bnn_words(outs);
    bnn_dense_sliced_threshold(x, w, own, count, digits, n, outs, scratch, y);
}
