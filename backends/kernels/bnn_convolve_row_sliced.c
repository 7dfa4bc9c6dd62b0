/* One row of a bipolar convolution with its thresholds, bit-sliced (bnn_sliced.h): bit o of a pixel
 * is 1 where v of output o reaches an odd number of its thresholds.
 *
 * The inputs that are 1 under a column of the window are listed once, for all windows that have
 * this column. So weights are stored by column: for each column of the window a row of bits for
 * each of its kernel_h * channels inputs, and a row of zeros. Several pixels are computed column by
 * column of their windows, so that weights are still in the first-level cache for all but the first
 * of them. Thresholds are those of bnn_dense_sliced_threshold, for each class of pixels. Columns of
 * the window are neighbours: dilation_w is 1. */
#include "bnn_kernels.h"
#include "bnn_bits.h"
#include "bnn_slices.h"

/* Pixels that are computed at a time, and bytes of weights of a column of the window up to which
 * they are: a first-level cache. */
#if BNN_WORD_BITS == 64
#define BNN_TILE 4u
#else
#define BNN_TILE 1u
#endif
#define BNN_NEAR 32768u

/* How many pixels to compute at a time: a block must have all their outputs. */
BNN_INLINE bnn_size bnn_tile_pixels(bnn_size ins, bnn_size words)
{
    const int fits = ins * words * sizeof(bnn_word) <= BNN_NEAR;
    return fits && words <= BNN_SLICES * BNN_SLICE_WORDS ? BNN_TILE : 1u;
}

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

/* Appends the outputs of a pixel from column `first` on, of which there is a block, to y: where its
 * counters reach the thresholds. */
BNN_INLINE void bnn_append_block(bnn_block *block, const bnn_word BNN_ROM *at, bnn_size count,
                                 unsigned digits, bnn_size columns, bnn_size first, bnn_size outs,
                                 bnn_word *y, bnn_size pixel)
{
    bnn_join_block(block, columns, first, digits);
    for (bnn_size s = 0; s < BNN_SLICES && first + s * BNN_SLICE_WORDS < columns; ++s) {
        const bnn_size column = first + s * BNN_SLICE_WORDS;
        bnn_word bits[BNN_SLICE_WORDS];
        bnn_reached_column(block->v[s], at, count, digits, columns, column, bits);
        for (bnn_size i = 0; i < bnn_slice_words(columns, column); ++i) {
            const bnn_size o = (column + i) * BNN_WORD_BITS;
            bnn_append(y, pixel * outs + o, bits[i], bnn_lanes(outs, o));
        }
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
    const bnn_size tile = bnn_tile_pixels(ins, words);
    const bnn_size lists = kernel_w + (tile - 1u) * stride_w;
    const bnn_size stride = 1u + ins + BNN_LIST_SLACK; /* from list to list */
    bnn_u16 *const list = (bnn_u16 *)scratch;
    bnn_size listed = 0; /* columns, counted from that under the first window's left */
    (void)dilation_w;
    for (bnn_size first = 0; first < columns; first += tile) {
        const bnn_size pixels = columns - first < tile ? columns - first : tile;
        const bnn_size left = first * stride_w;
        const bnn_size right = left + (pixels - 1u) * stride_w + kernel_w;
        for (listed = listed < left ? left : listed; listed < right; ++listed) {
            const bnn_size here = listed < before_w ? width : listed - before_w;
            bnn_list_column(x, height, width, channels, kernel_h, stride_h, dilation_h, before_h,
                            row, here, step, list + listed % lists * stride);
        }
        for (bnn_size o = 0; o < words; o += BNN_SLICES * BNN_SLICE_WORDS) {
            bnn_block block[BNN_TILE];
            for (bnn_size p = 0; p < pixels; ++p) {
                bnn_size zeros = kernel_w * ins;
                for (bnn_size j = 0; j < kernel_w; ++j) {
                    zeros -= list[(left + p * stride_w + j) % lists * stride];
                }
                bnn_begin_block(&block[p], words, o, digits, zeros);
            }
            for (bnn_size j = 0; j < kernel_w; ++j) {
                for (bnn_size p = 0; p < pixels; ++p) {
                    const bnn_u16 *const own = list + (left + p * stride_w + j) % lists * stride;
                    bnn_add_block(own + 1, own[0], words / step, w + j * (ins + 1u) * words, words,
                                  o, 0, digits, &block[p]);
                }
            }
            for (bnn_size p = 0; p < pixels; ++p) {
                const bnn_size border = row_class == NULL
                                            ? 0
                                            : bnn_rom_u8(row_class + row) * classes +
                                                  bnn_rom_u8(column_class + first + p);
                bnn_append_block(&block[p], at + border * count * digits * words, count, digits,
                                 words, o, outs, y, first + p);
            }
        }
    }
}
