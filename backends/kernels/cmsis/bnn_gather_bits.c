/* The taps under the window at one pixel of a map of bit planes (see the common kernel of this name).
 *
 * Where the channels of a tap are whole words, taps are copied word by word; any others go bit by
 * bit, through bnn_append_run. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_gather_bits(const bnn_word *x, unsigned planes, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size group, bnn_size count,
                                bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                bnn_size before_h, bnn_size before_w, uint32_t fill, bnn_size row,
                                bnn_size column, bnn_word *y)
{
    const bnn_size x_words = bnn_words(height * width * channels);
    const bnn_size y_words = bnn_words(kernel_h * kernel_w * count);
    const bnn_size whole = channels % BNN_WORD_BITS + count % BNN_WORD_BITS == 0 ? count : 0;
    for (unsigned p = 0; p < planes; ++p) {
        const bnn_word *const from = x + p * x_words;
        bnn_word *to = y + p * y_words;
        bnn_size at = 0;
        for (bnn_size i = 0; i < kernel_h; ++i) {
            const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
            for (bnn_size j = 0; j < kernel_w; ++j) {
                const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                const int inside = h < height && w < width;
                const bnn_size first = (h * width + w) * channels + group * count;
                if (whole != 0) {
                    const bnn_word padding = 0u - (fill >> p & 1u);
                    for (bnn_size c = 0; c < whole / BNN_WORD_BITS; ++c) {
                        *to++ = inside ? from[first / BNN_WORD_BITS + c] : padding;
                    }
                } else if (inside) {
                    bnn_append_run(to, at, from, first, count);
                } else {
                    bnn_append_fill(to, at, fill >> p & 1u, count);
                }
                at += count;
            }
        }
    }
}
