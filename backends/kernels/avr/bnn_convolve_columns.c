/* A row of a bipolar convolution: bit o of a pixel is 1 where fewer taps than limit[o] differ from
 * the weights w[o] (see the common kernel of this name).
 *
 * Outputs are the outer loop, two at a time, for their weights are in registers while the row is
 * gone through (bnn_slide.h). So pixels are come back to: behind the line lie their sums, and the
 * bits of eight outputs, which then go to their places in y. */
#include <string.h>

#include "bnn_kernels.h"
#include "bnn_columns.h"
#include "bnn_slide_asm.h"
#include "bnn_slide_c.h"

/* Puts the bits of outputs `first` and up, the upper `lanes` of a byte, into a pixel. The last one
 * may be of an output that makes their number even, and is 0. */
BNN_INLINE void bnn_put_outputs(bnn_word *y, bnn_size outs, bnn_size column, bnn_size first,
                                uint8_t bits, uint8_t lanes)
{
    const bnn_word low = (bnn_word)(bits >> (8u - lanes));
    bnn_or_run(y, column * outs + first, &low, bnn_lanes(outs, first));
}

/* Puts the bits of outputs `first` and up into all pixels of a row. */
BNN_INLINE void bnn_put_row(bnn_word *y, bnn_size outs, uint8_t columns, bnn_size first,
                            const bnn_sums *sums, uint8_t lanes)
{
    for (uint8_t column = 0; column < columns; ++column) {
        if (outs % 8u == 0) {
            y[column * (outs / 8u) + first / 8u] = sums[column].bits;
        } else {
            bnn_put_outputs(y, outs, column, first, sums[column].bits, lanes);
        }
    }
}

/* How many outputs are shifted into a byte, from output `first` on: an even number. */
BNN_INLINE uint8_t bnn_shifted_in(bnn_size outs, bnn_size first)
{
    return (uint8_t)(bnn_lanes(outs + (outs & 1u), first));
}

#if BNN_ASM

/* Lays out the pixels of a row in runs of a class, as bnn_slide_narrow wants them. */
BNN_INLINE void bnn_lay_out(uint8_t *next, const uint8_t BNN_ROM *column_class,
                            uint8_t columns)
{
    uint8_t *end = next++;
    if (column_class == NULL) {
        next += columns * sizeof(bnn_small_sums);
    } else {
        uint8_t own = 0;
        for (uint8_t column = 0; column < columns; ++column) {
            const uint8_t class_of = bnn_rom_u8(column_class + column);
            if (class_of != own) { /* classes come in order, from 0 on */
                own = class_of;
                *end = bnn_place(next);
                end = next++;
            }
            next += sizeof(bnn_small_sums);
        }
    }
    *end = bnn_place(next);
    *next = bnn_place(next + 1);
}

/* The outputs of windows of up to 18 bytes, whose sums and limits are bytes. */
BNN_INLINE void bnn_small_windows(bnn_slide *slide, uint8_t last, bnn_size outs,
                                  const uint8_t BNN_ROM *column_class, uint8_t columns,
                                  bnn_word *y)
{
    if (slide->passes == 0) { /* there is none that sets what the last one adds to */
        memset(slide->pixel, 0, columns * sizeof(bnn_sums));
    }
    bnn_lay_out((uint8_t *)slide->pixel, column_class, columns);
    for (bnn_size first = 0; first < outs; first += 8u) {
        const uint8_t lanes = bnn_shifted_in(outs, first);
        slide->pairs = lanes / 2u;
        bnn_slide_narrow(slide, last);
        if (outs % 8u == 0) {
            const uint8_t *const pixels = (const uint8_t *)slide->pixel;
            bnn_slide_put(pixels, columns, y + first / 8u, (uint8_t)(outs / 8u));
        } else {
            const uint8_t *next = (const uint8_t *)slide->pixel;
            uint8_t end = bnn_place(next);
            for (uint8_t column = 0; column < columns; ++column) {
                if (bnn_place(next) == end) { /* of a run */
                    end = *next++;
                }
                next += sizeof(bnn_small_sums);
                bnn_put_outputs(y, outs, column, first, next[-1], lanes);
            }
        }
    }
}

#else

#define BNN_RUNS 8u /* classes of small windows */

/* Puts the limits of two outputs above their sums, at pixels of one class after the other; returns
 * the limits of the next outputs. */
BNN_APART const bnn_word BNN_ROM *bnn_set_limits(bnn_sums *sums, const uint8_t *runs,
                                                 uint8_t classes, const bnn_word BNN_ROM *limit)
{
    for (uint8_t k = classes; k > 0; --k) {
        const uint8_t first = bnn_rom_word(limit), second = bnn_rom_word(limit + 1);
        for (uint8_t p = *runs++; p > 0; --p) {
            sums->first_high = first;
            sums->second_high = second;
            ++sums;
        }
        limit += 2;
    }
    return limit;
}

/* The outputs of windows whose sums and limits are bytes. */
BNN_INLINE void bnn_small_windows(bnn_slide *slide, uint8_t last, bnn_size outs,
                                  const uint8_t BNN_ROM *column_class, uint8_t columns,
                                  uint8_t classes, bnn_word *y)
{
    bnn_sums *const sums = (bnn_sums *)slide->pixel;
    uint8_t runs[BNN_RUNS] = {0};
    for (uint8_t column = 0; column < columns; ++column) { /* classes come in order */
        ++runs[column_class ? bnn_rom_u8(column_class + column) : 0];
    }
    memset(sums, 0, columns * sizeof *sums); /* what a pass that is the only one adds to */
    for (bnn_size first = 0; first < outs; first += 8u) {
        const uint8_t lanes = bnn_shifted_in(outs, first);
        for (bnn_size lane = 0; lane < lanes; lane += 2u) {
            slide->limit = bnn_set_limits(sums, runs, classes, slide->limit);
            bnn_slide_narrow(slide, last);
        }
        bnn_put_row(y, outs, columns, first, sums, lanes);
    }
}

#endif

/* Sets the sums of two outputs to what each pixel's lack to their limits, below 0. */
BNN_INLINE void bnn_start_sums(bnn_sums *sums, const uint8_t BNN_ROM *column_class, uint8_t columns,
                               const void BNN_ROM *limit, bnn_type limit_type, bnn_size at)
{
    uint8_t own = 0xff;
    uint16_t first = 0, second = 0;
    for (uint8_t column = columns; column > 0; --column) {
        const uint8_t class_of = column_class ? bnn_rom_u8(column_class++) : 0;
        if (class_of != own) {
            own = class_of;
            first = (uint16_t)(0u - (uint16_t)bnn_rom_load(limit, limit_type, at + 2u * own));
            second = (uint16_t)(0u - (uint16_t)bnn_rom_load(limit, limit_type, at + 2u * own + 1u));
        }
        sums->first_low = (uint8_t)first;
        sums->first_high = (uint8_t)(first >> 8);
        sums->second_low = (uint8_t)second;
        sums->second_high = (uint8_t)(second >> 8);
        ++sums;
    }
}

/* The outputs of any windows. */
BNN_INLINE void bnn_large_windows(bnn_slide *slide, bnn_size taps, bnn_size outs,
                                  const uint8_t BNN_ROM *column_class, uint8_t columns,
                                  bnn_size classes, const void BNN_ROM *limit, bnn_type limit_type,
                                  bnn_size at, bnn_word *y)
{
    bnn_sums *const sums = (bnn_sums *)slide->pixel;
    const bnn_word *const line = slide->line;
    const uint8_t passes = (uint8_t)((taps - 1u) / BNN_SLIDE_BYTES);
    for (bnn_size first = 0; first < outs; first += 8u) {
        const uint8_t lanes = bnn_shifted_in(outs, first);
        for (bnn_size lane = 0; lane < lanes; lane += 2u) {
            bnn_sums *pixel = sums;
            bnn_start_sums(sums, column_class, columns, limit, limit_type, at);
            slide->line = line;
            slide->passes = passes;
            bnn_slide_wide(slide, (uint8_t)(taps - passes * BNN_SLIDE_BYTES));
            for (uint8_t p = columns; p > 0; --p) { /* a sum below 0 is below its limit */
                const uint8_t bits = (uint8_t)(pixel->bits >> 1 | (pixel->first_high & 0x80u));
                pixel->bits = (uint8_t)(bits >> 1 | (pixel->second_high & 0x80u));
                ++pixel;
            }
            at += 2u * classes;
        }
        bnn_put_row(y, outs, columns, first, sums, lanes);
    }
}

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
    const bnn_size line = (columns - 1u) * stride_w + kernel_w;
    const bnn_size down = row_class ? bnn_rom_u8(row_class + row) : 0u;
    const bnn_size at = down * ((outs + 1u) / 2u) * classes * 2u;
    const uint8_t passes = (uint8_t)((taps - 1u) / BNN_SLIDE_BYTES);
    bnn_slide slide;
    (void)dilation_w; /* 1 */
    bnn_columns(x, height, width, channels, kernel_h, stride_h, dilation_h, before_h, before_w, row,
                line, scratch);
    if (outs % 8u != 0) {
        memset(y, 0, bnn_words(columns * outs));
    }
    slide.w = w;
    slide.pixel = scratch + line * words;
    slide.line = scratch;
    slide.last = scratch + passes * BNN_SLIDE_BYTES;
    slide.step = (uint8_t)(stride_w * words);
    slide.pixels = (uint8_t)columns;
    slide.passes = passes;
#if BNN_ASM
    if (taps <= 2u * BNN_SLIDE_BYTES && columns <= BNN_NARROW && limit_type == BNN_U8) {
        slide.limit = (const bnn_word BNN_ROM *)limit + at;
        bnn_small_windows(&slide, (uint8_t)(taps - passes * BNN_SLIDE_BYTES), outs, column_class,
                          (uint8_t)columns, y);
        return;
    }
#else
    if (taps <= BNN_SMALL_BYTES && limit_type == BNN_U8 && classes <= BNN_RUNS) {
        slide.limit = (const bnn_word BNN_ROM *)limit + at;
        bnn_small_windows(&slide, (uint8_t)(taps - passes * BNN_SLIDE_BYTES), outs, column_class,
                          (uint8_t)columns, (uint8_t)classes, y);
        return;
    }
#endif
    bnn_large_windows(&slide, taps, outs, column_class, (uint8_t)columns, classes, limit,
                      limit_type, at, y);
}
