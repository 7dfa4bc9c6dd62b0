/* The taps under the window at one pixel of a map of integers, one after the other: for each tap
 * channels group * count to group * count + count - 1. A tap outside of the map is `fill` in every
 * channel. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_gather_integers(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                                    bnn_size channels, bnn_size group, bnn_size count,
                                    bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                    bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                    bnn_size before_h, bnn_size before_w, int32_t fill,
                                    bnn_size row, bnn_size column, void *y, bnn_type y_type)
{
    /* Where all channels of neighbouring pixels are taken, a row of taps is one run. */
    const int joined = dilation_w == 1u && count == channels &&
                       bnn_all_inside(column, stride_w, kernel_w, before_w, width);
    bnn_size at = 0;
    for (bnn_size i = 0; i < kernel_h; ++i) {
        const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
        if (joined && h < height) {
            const bnn_size first = (h * width + column * stride_w - before_w) * channels;
            for (bnn_size c = 0; c < kernel_w * count; ++c) {
                bnn_store(y, y_type, at + c, bnn_load(x, x_type, first + c));
            }
            at += kernel_w * count;
            continue;
        }
        for (bnn_size j = 0; j < kernel_w; ++j) {
            const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
            const int inside = h < height && w < width;
            const bnn_size first = (h * width + w) * channels + group * count;
            for (bnn_size c = 0; c < count; ++c) {
                bnn_store(y, y_type, at + c, inside ? bnn_load(x, x_type, first + c) : fill);
            }
            at += count;
        }
    }
}
