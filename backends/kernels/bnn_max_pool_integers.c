/* The largest integer under each window, channel by channel. Taps outside of the map do not
 * count; every window has one inside.
 *
 * BNN_CHANNELS channels are taken together, in a form that compilers vectorize. y may begin where x
 * begins: what lies under a window is read for so many channels before these are written. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

#define BNN_CHANNELS 8u

/* best[i] = the larger of itself and x[at + i], for `lanes` channels. */
BNN_INLINE void bnn_largest(const void *x, bnn_type x_type, bnn_size at, bnn_size lanes,
                            int32_t best[BNN_CHANNELS])
{
    for (bnn_size i = 0; i < lanes; ++i) {
        const int32_t value = bnn_load(x, x_type, at + i);
        best[i] = value > best[i] ? value : best[i];
    }
}

BNN_KERNEL void bnn_max_pool_integers(const void *x, bnn_type x_type, bnn_size height,
                                      bnn_size width, bnn_size channels, bnn_size rows,
                                      bnn_size columns, bnn_size kernel_h, bnn_size kernel_w,
                                      bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                                      bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                                      void *y, bnn_type y_type)
{
    for (bnn_size pixel = 0; pixel < rows * columns; ++pixel) {
        const bnn_size row = pixel / columns;
        const bnn_size column = pixel % columns;
        for (bnn_size c = 0; c < channels; c += BNN_CHANNELS) {
            const bnn_size lanes = channels - c < BNN_CHANNELS ? channels - c : BNN_CHANNELS;
            int32_t best[BNN_CHANNELS];
            for (bnn_size i = 0; i < BNN_CHANNELS; ++i) {
                best[i] = -INT32_MAX - 1;
            }
            for (bnn_size i = 0; i < kernel_h; ++i) {
                const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
                for (bnn_size j = 0; j < kernel_w; ++j) {
                    const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                    const bnn_size at = (h * width + w) * channels + c;
                    if (h < height && w < width && lanes == BNN_CHANNELS) {
                        bnn_largest(x, x_type, at, BNN_CHANNELS, best);
                    } else if (h < height && w < width) {
                        bnn_largest(x, x_type, at, lanes, best);
                    }
                }
            }
            bnn_copy(best, BNN_S32, 0, lanes, y, y_type, pixel * channels + c);
        }
    }
}
