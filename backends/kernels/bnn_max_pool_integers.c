/* The largest integer under each window, channel by channel. Taps outside of the map do not
 * count; every window has one inside.
 *
 * y may begin where x begins: a channel of a pixel is written when all that is under the window
 * has been read for it; vectors take eight channels at a time. */
#include "bnn_kernels.h"
#include "bnn_bits.h"
#include "bnn_vectors.h"

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
#if defined(__AVX2__)
        const bnn_size whole = channels - channels % 8u;
        for (bnn_size c = 0; c < whole; c += 8u) {
            __m256i best = _mm256_set1_epi32(-INT32_MAX - 1);
            for (bnn_size i = 0; i < kernel_h; ++i) {
                const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
                for (bnn_size j = 0; j < kernel_w; ++j) {
                    const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                    if (h < height && w < width) {
                        const bnn_size at = (h * width + w) * channels + c;
                        best = _mm256_max_epi32(best, bnn_load8(x, x_type, at));
                    }
                }
            }
            bnn_store8(y, y_type, pixel * channels + c, best);
        }
#else
        const bnn_size whole = 0;
#endif
        for (bnn_size c = whole; c < channels; ++c) {
            int32_t best = -INT32_MAX - 1;
            for (bnn_size i = 0; i < kernel_h; ++i) {
                const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
                for (bnn_size j = 0; j < kernel_w; ++j) {
                    const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                    if (h < height && w < width) {
                        const bnn_size at = (h * width + w) * channels + c;
                        const int32_t value = bnn_load(x, x_type, at);
                        best = value > best ? value : best;
                    }
                }
            }
            bnn_store(y, y_type, pixel * channels + c, best);
        }
    }
}
