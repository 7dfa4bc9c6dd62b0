/* One row of a bipolar convolution, four inputs and two pixels at a time (bnn_nibbles.h):
 * y[pixel][o] = n - 2 * (number of differing bits) + border[class - 1][o].
 *
 * The last term is what padding adds to a pixel of class row_class[row] * classes +
 * column_class[column]; class 0, and where there are no classes every pixel, has none. */
#include "bnn_kernels.h"
#include "bnn_nibble_rows.h"

BNN_KERNEL void bnn_sum_nibbles(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
    bnn_size dilation_w, bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
    bnn_size outs, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, uint32_t fill, const bnn_word BNN_ROM *w, const void BNN_ROM *border,
    bnn_type border_type, uint16_t *scratch, int32_t *y)
{
    const bnn_window window = {x, height, width, channels, kernel_h, kernel_w, stride_h, stride_w,
                               dilation_h, dilation_w, before_h, before_w, fill};
    const bnn_pairs pairs = bnn_row_pairs(&window, row, columns, scratch);
    const int32_t n = (int32_t)(kernel_h * kernel_w * channels);
    for (bnn_size o = 0; o < outs; o += BNN_NIBBLE_STRIDE) {
        const bnn_size there = bnn_outs_from(outs, o);
        bnn_differing_outs(&pairs, w, o, outs);
        for (bnn_size column = 0; column < columns; ++column) {
            const bnn_size class_of = bnn_class_of(row_class, column_class, classes, row, column);
            const uint16_t *const differing = pairs.sums + column * BNN_NIBBLE_STRIDE;
            int32_t *const sums = y + column * outs + o;
            for (bnn_size j = 0; j < there; ++j) {
                sums[j] = n - 2 * (int32_t)differing[j];
            }
            for (bnn_size j = 0; j < there && class_of != 0; ++j) {
                sums[j] += bnn_rom_load(border, border_type, (class_of - 1u) * outs + o + j);
            }
        }
    }
}
