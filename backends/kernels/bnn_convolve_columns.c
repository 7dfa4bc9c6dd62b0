/* A row of a bipolar convolution: bit o of a pixel is 1 where fewer taps than limit[o] differ from
 * the weights w[o].
 *
 * The rows of the map under the row of pixels are brought into a line, column by column; a pixel's
 * taps are `taps` words of it, and those of the next pixel lie stride_w columns further on. Taps
 * outside of the map are 0, that is -1. Weights are stored for two outputs at a time, word by word:
 * that of the first, and what the second's differs in. Limits are, too: number
 * ((row_class * pairs + pair) * classes + column_class) * 2 + 0 or 1. */
#include "bnn_kernels.h"
#include "bnn_columns.h"
#include "bnn_popcount.h"

BNN_KERNEL void bnn_convolve_columns(const bnn_word *x, bnn_size height, bnn_size width,
                                     bnn_size channels, bnn_size kernel_h, bnn_size kernel_w,
                                     bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                                     bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                                     bnn_size row, bnn_size columns, bnn_size outs,
                                     const uint8_t BNN_ROM *row_class,
                                     const uint8_t BNN_ROM *column_class, bnn_size classes,
                                     const bnn_word BNN_ROM *w, const void BNN_ROM *limit,
                                     bnn_type limit_type, bnn_word *scratch, bnn_word *y)
{
    const bnn_size words = bnn_words(kernel_h * channels), taps = kernel_w * words;
    const bnn_size pairs = (outs + 1u) / 2u, down = row_class ? bnn_rom_u8(row_class + row) : 0u;
    const bnn_word *pixel = scratch;
    (void)dilation_w; /* 1 */
    bnn_columns(x, height, width, channels, kernel_h, stride_h, dilation_h, before_h, before_w, row,
                (columns - 1u) * stride_w + kernel_w, scratch);
    for (bnn_size column = 0; column < columns; ++column) {
        const bnn_size across = column_class ? bnn_rom_u8(column_class + column) : 0u;
        const bnn_word BNN_ROM *own = w;
        for (bnn_size pair = 0; pair < pairs; ++pair) {
            const bnn_size at = ((down * pairs + pair) * classes + across) * 2u;
            const bnn_size both = 2u * pair + 1u < outs ? 2u : 1u;
            int32_t first = 0, second = 0;
            bnn_word bits;
            for (bnn_size i = 0; i < taps; ++i) {
                const bnn_word differing = (bnn_word)(pixel[i] ^ bnn_rom_word(own));
                first += (int32_t)bnn_popcount(differing);
                second += (int32_t)bnn_popcount((bnn_word)(differing ^ bnn_rom_word(own + 1)));
                own += 2;
            }
            bits = bnn_bit(first < bnn_rom_load(limit, limit_type, at), 0);
            if (both == 2u) {
                const int32_t most = bnn_rom_load(limit, limit_type, at + 1u);
                bits = (bnn_word)(bits | bnn_bit(second < most, 1));
            }
            bnn_append(y, column * outs + 2u * pair, bits, both);
        }
        pixel += stride_w * words;
    }
}
