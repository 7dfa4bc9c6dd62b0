/* The taps under the windows of all `columns` pixels of a row of a map of integers, pixel by pixel:
 * what bnn_gather_integers takes for each, of all channels. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_gather_row(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                               bnn_size channels, bnn_size kernel_h, bnn_size kernel_w,
                               bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                               bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                               int32_t fill, bnn_size row, bnn_size columns, void *y,
                               bnn_type y_type)
{
    bnn_size at = 0;
    for (bnn_size column = 0; column < columns; ++column) {
        const int joined =
            dilation_w == 1u && bnn_all_inside(column, stride_w, kernel_w, before_w, width);
        for (bnn_size i = 0; i < kernel_h; ++i) {
            const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
            /* Where neighbouring pixels are taken, a row of taps is one run. */
            const bnn_size runs = joined ? 1u : kernel_w;
            const bnn_size count = joined ? kernel_w * channels : channels;
            for (bnn_size j = 0; j < runs; ++j) {
                const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                if (h < height && w < width) {
                    bnn_copy(x, x_type, (h * width + w) * channels, count, y, y_type, at);
                } else {
                    for (bnn_size c = 0; c < count; ++c) {
                        bnn_store(y, y_type, at + c, fill);
                    }
                }
                at += count;
            }
        }
    }
}
