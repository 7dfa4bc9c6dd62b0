/* One row of a bipolar convolution with its thresholds, bit-sliced (bnn_sliced.h): bit o of a pixel
 * is 1 where v of output o reaches an odd number of its thresholds.
 *
 * The inputs that are 1 under a column of the window are listed once, for all windows that have
 * this column. So weights are stored by column: for each column of the window a row of bits for
 * each of its kernel_h * channels inputs, and a row of zeros. Thresholds are those of
 * bnn_dense_sliced_threshold, for each class of pixels. Columns of the window are neighbours:
 * dilation_w is 1. */
#include "bnn_kernels.h"
#include "bnn_bits.h"
#include "bnn_slices.h"

/* Lists which inputs are 1 in a column of the map, of those from the window's top to its bottom:
 * first how many, then their numbers. */
BNN_INLINE void bnn_list_column(const bnn_word *x, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size kernel_h, bnn_size stride_h,
                                bnn_size dilation_h, bnn_size before_h, bnn_size row,
                                bnn_size column, bnn_size step, bnn_u16 *list)
{
    bnn_size ones = 0;
    for (bnn_size i = 0; i < kernel_h && column < width; ++i) {
        const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
        const bnn_size first = (h * width + column) * channels;
        for (bnn_size c = 0; c < channels && h < height; c += BNN_WORD_BITS) {
            const bnn_size lanes = bnn_lanes(channels, c);
            const bnn_word bits = bnn_take(x, first + c, lanes);
            ones = bnn_list_bits(bits, lanes, i * channels + c, step, list + 1, ones);
        }
    }
    list[0] = (bnn_u16)ones;
    bnn_end_list(list + 1, ones, kernel_h * channels * step);
}

/* Appends the bits of `lanes` outputs to y at bit `at`. */
BNN_INLINE void bnn_append_slice(bnn_word *y, bnn_size at, const bnn_word *bits, bnn_size lanes)
{
    for (bnn_size i = 0; i < lanes; i += BNN_WORD_BITS) {
        bnn_append(y, at + i, bits[i / BNN_WORD_BITS], bnn_lanes(lanes, i));
    }
}

BNN_KERNEL void bnn_convolve_row_sliced(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
    bnn_size dilation_w, bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
    bnn_size outs, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, const bnn_word BNN_ROM *w, const bnn_word BNN_ROM *at, bnn_size count,
    unsigned digits, void *scratch, bnn_word *y)
{
    const bnn_size ins = kernel_h * channels;
    const bnn_size words = bnn_words(outs);
    const bnn_size step = bnn_list_step(ins, words);
    const bnn_size stride = 1u + ins + BNN_LIST_SLACK; /* from list to list */
    bnn_size listed = 0; /* columns, counted from that under the first window's left */
    (void)dilation_w;
    for (bnn_size column = 0; column < columns; ++column) {
        const bnn_size first = column * stride_w;
        const bnn_size border = row_class == NULL ? 0
                                                  : bnn_rom_u8(row_class + row) * classes +
                                                        bnn_rom_u8(column_class + column);
        bnn_size zeros = kernel_w * ins;
        for (listed = listed < first ? first : listed; listed < first + kernel_w; ++listed) {
            bnn_u16 *const list = (bnn_u16 *)scratch + listed % kernel_w * stride;
            const bnn_size here = listed < before_w ? width : listed - before_w;
            bnn_list_column(x, height, width, channels, kernel_h, stride_h, dilation_h, before_h,
                            row, here, step, list);
        }
        for (bnn_size j = 0; j < kernel_w; ++j) {
            zeros -= ((const bnn_u16 *)scratch)[j * stride];
        }
        for (bnn_size o = 0; o < words; o += BNN_SLICES * BNN_SLICE_WORDS) {
            bnn_block block;
            bnn_begin_block(&block, words, o, digits, zeros);
            for (bnn_size j = 0; j < kernel_w; ++j) {
                const bnn_u16 *const list =
                    (const bnn_u16 *)scratch + (first + j) % kernel_w * stride;
                bnn_add_block(list + 1, list[0], words / step, w + j * (ins + 1u) * words, words, o,
                              0, digits, &block);
            }
            bnn_join_block(&block, words, o, digits);
            for (bnn_size b = o; b < words && b < o + BNN_SLICES * BNN_SLICE_WORDS;
                 b += BNN_SLICE_WORDS) {
                const bnn_size left = outs - b * BNN_WORD_BITS;
                const bnn_size most = BNN_SLICE_WORDS * BNN_WORD_BITS;
                bnn_word bits[BNN_SLICE_WORDS];
                bnn_reached_column(block.v[(b - o) / BNN_SLICE_WORDS],
                                   at + border * count * digits * words, count, digits, words, b,
                                   bits);
                bnn_append_slice(y, column * outs + b * BNN_WORD_BITS, bits,
                                 left < most ? left : most);
            }
        }
    }
}
