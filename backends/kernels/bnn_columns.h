/* The rows of a map that lie under a row of windows, column by column: what bnn_convolve_columns
 * slides its windows over. */
#ifndef BNN_COLUMNS_H
#define BNN_COLUMNS_H

#include <string.h>

#include "bnn_bits.h"

/* Clears n words of each of `pixels` columns that are `step` words apart; returns the next one. */
BNN_INLINE bnn_word *bnn_clear_columns(bnn_word *line, bnn_size step, bnn_size pixels, bnn_size n)
{
    for (; pixels > 0; --pixels) {
        memset(line, 0, n * sizeof *line);
        line += step;
    }
    return line;
}

/* Copies neighbouring pixels of n words to columns; returns the next column. */
BNN_INLINE bnn_word *bnn_copy_columns(bnn_word *line, bnn_size step, const bnn_word *pixel,
                                      bnn_size pixels, bnn_size n)
{
    for (; pixels > 0; --pixels) {
        memcpy(line, pixel, n * sizeof *line);
        pixel += n;
        line += step;
    }
    return line;
}

/* Appends neighbouring pixels of n bits, the first of which is bit `from` of x, to the `at` bits
 * that columns have so far; zeros where x is NULL. Returns the next column. */
BNN_INLINE bnn_word *bnn_append_columns(bnn_word *line, bnn_size step, bnn_size at,
                                        const bnn_word *x, bnn_size from, bnn_size pixels,
                                        bnn_size n)
{
    for (bnn_size i = 0; i < pixels; ++i) {
        if (x == NULL) {
            bnn_append_fill(line, at, 0, n);
        } else {
            bnn_append_run(line, at, x, from + i * n, n);
        }
        line += step;
    }
    return line;
}

/* The line under a row of windows, of as many columns as they span. */
BNN_INLINE void bnn_columns(const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels,
                            bnn_size kernel_h, bnn_size stride_h, bnn_size dilation_h,
                            bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
                            bnn_word *line)
{
    const bnn_size step = bnn_words(kernel_h * channels);
    const bnn_size left = before_w < columns ? before_w : columns;
    const bnn_size inside = columns - left < width ? columns - left : width;
    const bnn_size right = columns - left - inside;
    for (bnn_size tap = 0; tap < kernel_h; ++tap) {
        const bnn_size from = bnn_tap(row, stride_h, tap, dilation_h, before_h, height);
        bnn_word *column = line;
        if (channels % BNN_WORD_BITS != 0) {
            const bnn_size at = tap * channels, first = from * width * channels;
            const bnn_word *const map = from < height ? x : NULL;
            column = bnn_append_columns(column, step, at, NULL, 0, left, channels);
            column = bnn_append_columns(column, step, at, map, first, inside, channels);
            bnn_append_columns(column, step, at, NULL, 0, right, channels);
        } else {
            const bnn_size n = channels / BNN_WORD_BITS;
            column = bnn_clear_columns(column, step, left, n);
            if (from < height) {
                column = bnn_copy_columns(column, step, x + from * (width * n), inside, n);
            } else {
                column = bnn_clear_columns(column, step, inside, n);
            }
            bnn_clear_columns(column, step, right, n);
            line += n;
        }
    }
}

#endif
