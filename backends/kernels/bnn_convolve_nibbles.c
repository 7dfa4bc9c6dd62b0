/* One row of a bipolar convolution with its thresholds, four inputs and two pixels at a time
 * (bnn_nibbles.h): bit o of a pixel is 1 where fewer bits differ than an odd number of its limits
 * says.
 *
 * Limits are at[(class * count + k) * padded + o] for the k-th threshold, with outputs padded to a
 * multiple of BNN_NIBBLE_STRIDE; `class` is that of the pixel, row_class[row] * classes +
 * column_class[column], or 0 where there are no classes. */
#include "bnn_kernels.h"
#include "bnn_nibble_rows.h"

BNN_KERNEL void bnn_convolve_nibbles(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
    bnn_size dilation_w, bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
    bnn_size outs, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, uint32_t fill, const bnn_word BNN_ROM *w, const uint16_t BNN_ROM *at,
    bnn_size count, uint16_t *scratch, bnn_word *y)
{
    const bnn_window window = {x, height, width, channels, kernel_h, kernel_w, stride_h, stride_w,
                               dilation_h, dilation_w, before_h, before_w, fill};
    const bnn_pairs pairs = bnn_row_pairs(&window, row, columns, scratch);
    const bnn_size padded = (outs + BNN_NIBBLE_STRIDE - 1u) / BNN_NIBBLE_STRIDE * BNN_NIBBLE_STRIDE;
    for (bnn_size i = 0; i < bnn_words(columns * outs); ++i) {
        y[i] = 0;
    }
    for (bnn_size o = 0; o < outs; o += BNN_NIBBLE_STRIDE) {
        const bnn_size there = bnn_outs_from(outs, o);
        bnn_differing_outs(&pairs, w, o, outs);
        for (bnn_size column = 0; column < columns; ++column) {
            const bnn_size border = bnn_class_of(row_class, column_class, classes, row, column);
            for (bnn_size j = 0; j < there; j += BNN_WORD_BITS) {
                const uint16_t *const sums = pairs.sums + column * BNN_NIBBLE_STRIDE + j;
                const uint16_t BNN_ROM *const limits = at + border * count * padded + o + j;
                const bnn_size lanes = bnn_lanes(there, j);
                bnn_word bits = 0;
                for (bnn_size k = 0; k < count; ++k) {
                    bits = (bnn_word)(bits ^ bnn_below(sums, limits + k * padded));
                }
                bits = (bnn_word)(bits & bnn_first(lanes));
                bnn_or_run(y, column * outs + o + j, &bits, lanes);
            }
        }
    }
}
