/* The taps under the windows of all `columns` pixels of a row of a map of integers, pixel by pixel:
 * what bnn_gather_integers takes for each, of all channels. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

/* The taps of a pixel all of whose columns are neighbours on the map: a row of them is one run. It
 * has a length that compilers know, and so have the copies of bnn_gather_taps. */
BNN_INLINE void bnn_gather_runs(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size kernel_h, bnn_size kernel_w,
                                bnn_size stride_h, bnn_size dilation_h, bnn_size before_h,
                                int32_t fill, bnn_size row, bnn_size first, void *y,
                                bnn_type y_type, bnn_size at)
{
    for (bnn_size i = 0; i < kernel_h; ++i) {
        const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
        if (h < height) {
            bnn_copy(x, x_type, (h * width + first) * channels, kernel_w * channels, y, y_type, at);
        } else {
            bnn_fill(y, y_type, at, kernel_w * channels, fill);
        }
        at += kernel_w * channels;
    }
}

/* The taps of any pixel, tap by tap. */
BNN_INLINE void bnn_gather_taps(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size kernel_h, bnn_size kernel_w,
                                bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                                bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                                int32_t fill, bnn_size row, bnn_size column, void *y,
                                bnn_type y_type, bnn_size at)
{
    for (bnn_size i = 0; i < kernel_h; ++i) {
        const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
        for (bnn_size j = 0; j < kernel_w; ++j) {
            const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
            if (h < height && w < width) {
                bnn_copy(x, x_type, (h * width + w) * channels, channels, y, y_type, at);
            } else {
                bnn_fill(y, y_type, at, channels, fill);
            }
            at += channels;
        }
    }
}

BNN_KERNEL void bnn_gather_row(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                               bnn_size channels, bnn_size kernel_h, bnn_size kernel_w,
                               bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                               bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                               int32_t fill, bnn_size row, bnn_size columns, void *y,
                               bnn_type y_type)
{
    const bnn_size patch = kernel_h * kernel_w * channels;
    for (bnn_size column = 0; column < columns; ++column) {
        if (dilation_w == 1u && bnn_all_inside(column, stride_w, kernel_w, before_w, width)) {
            bnn_gather_runs(x, x_type, height, width, channels, kernel_h, kernel_w, stride_h,
                            dilation_h, before_h, fill, row, column * stride_w - before_w, y,
                            y_type, column * patch);
        } else {
            bnn_gather_taps(x, x_type, height, width, channels, kernel_h, kernel_w, stride_h,
                            stride_w, dilation_h, dilation_w, before_h, before_w, fill, row, column,
                            y, y_type, column * patch);
        }
    }
}
