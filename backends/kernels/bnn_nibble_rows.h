/* Rows of pixels, two by two, for bnn_nibbles.h: the codes under their windows, and how many bits
 * differ from the weights of all outputs. */
#ifndef BNN_NIBBLE_ROWS_H
#define BNN_NIBBLE_ROWS_H

#include "bnn_nibbles.h"

/* The window of a convolution on its map; see bnn_kernels.h. */
typedef struct bnn_window {
    const bnn_word *x;
    bnn_size height, width, channels;
    bnn_size kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, before_h, before_w;
    uint32_t fill; /* the bit of taps that lie outside of the map */
} bnn_window;

/* A word whose first n bits (1 to BNN_WORD_BITS) are 1. */
BNN_INLINE bnn_word bnn_first(bnn_size n)
{
    return (bnn_word)((bnn_word)~(bnn_word)0 >> (BNN_WORD_BITS - n));
}

/* `lanes` channels from channel c on of the map's pixel (h, w), which may lie outside of it. */
BNN_INLINE bnn_word bnn_channels(const bnn_window *v, bnn_size h, bnn_size w, bnn_size c,
                                 bnn_size lanes)
{
    if (h >= v->height || w >= v->width) {
        return v->fill != 0 ? bnn_first(lanes) : (bnn_word)0;
    }
    if (v->channels % BNN_WORD_BITS == 0) {
        return v->x[(h * v->width + w) * (v->channels / BNN_WORD_BITS) + c / BNN_WORD_BITS];
    }
    return bnn_take(v->x, (h * v->width + w) * v->channels + c, lanes);
}

/* The codes of a run of bits of x, from bit a on for the first pixel, and from bit b on for the
 * second; returns where the next ones go. */
BNN_INLINE uint16_t *bnn_run_codes(const bnn_word *x, bnn_size a, bnn_size b, bnn_size n,
                                   uint16_t *codes)
{
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_pair_codes(bnn_take(x, a + i, lanes), bnn_take(x, b + i, lanes), codes);
        codes += bnn_groups(lanes);
    }
    return codes;
}

/* The codes of the pixels `column` and `column + 1` at one tap, in row h of the map. */
BNN_INLINE uint16_t *bnn_tap_codes(const bnn_window *v, bnn_size h, bnn_size column, bnn_size tap,
                                   uint16_t *codes)
{
    const bnn_size a = bnn_tap(column, v->stride_w, tap, v->dilation_w, v->before_w, v->width);
    const bnn_size b = bnn_tap(column + 1u, v->stride_w, tap, v->dilation_w, v->before_w, v->width);
    for (bnn_size c = 0; c < v->channels; c += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(v->channels, c);
        bnn_pair_codes(bnn_channels(v, h, a, c, lanes), bnn_channels(v, h, b, c, lanes), codes);
        codes += bnn_groups(lanes);
    }
    return codes;
}

/* The codes of all groups of the pixels `column` and `column + 1` of a row. */
BNN_INLINE void bnn_window_codes(const bnn_window *v, bnn_size row, bnn_size column,
                                 uint16_t *codes)
{
    /* Where groups do not end with a tap and all taps are neighbours, a row of taps is one run. */
    const int joined = v->dilation_w == 1u && v->channels % 4u == 0 &&
                       bnn_all_inside(column, v->stride_w, v->kernel_w, v->before_w, v->width) &&
                       bnn_all_inside(column + 1u, v->stride_w, v->kernel_w, v->before_w, v->width);
    for (bnn_size i = 0; i < v->kernel_h; ++i) {
        const bnn_size h = bnn_tap(row, v->stride_h, i, v->dilation_h, v->before_h, v->height);
        if (joined && h < v->height) {
            const bnn_size w = h * v->width + column * v->stride_w - v->before_w;
            codes = bnn_run_codes(v->x, w * v->channels, (w + v->stride_w) * v->channels,
                                  v->kernel_w * v->channels, codes);
            continue;
        }
        for (bnn_size j = 0; j < v->kernel_w; ++j) {
            codes = bnn_tap_codes(v, h, column, j, codes);
        }
    }
}

/* What the kernels work in: codes of a row of pixels, and the sums of its pixels for two tiles. */
typedef struct bnn_pairs {
    uint16_t *codes;
    uint16_t *sums; /* sums[pixel * BNN_NIBBLE_STRIDE + o] */
    bnn_size count, groups;
} bnn_pairs;

/* Finds the codes of a row of `columns` pixels, two by two. */
BNN_INLINE bnn_pairs bnn_row_pairs(const bnn_window *v, bnn_size row, bnn_size columns,
                                   uint16_t *scratch)
{
    const bnn_size groups = v->kernel_h * v->kernel_w * bnn_groups(v->channels);
    const bnn_size count = (columns + 1u) / 2u;
    const bnn_pairs pairs = {scratch, scratch + count * groups + BNN_NIBBLE_SLACK, count, groups};
    for (bnn_size i = 0; i < count; ++i) {
        bnn_window_codes(v, row, 2u * i, scratch + i * groups);
    }
    return pairs;
}

/* Counts the differing bits of all pixels, for the outputs of one or two tiles of weights w, which
 * are read once for all pixels. */
BNN_INLINE void bnn_differing_tiles(const bnn_pairs *pairs, const bnn_word BNN_ROM *w, int two)
{
    const bnn_size apart = pairs->groups * BNN_NIBBLE_WORDS;
    for (bnn_size i = 0; i < pairs->count * 2u * BNN_NIBBLE_STRIDE; ++i) {
        pairs->sums[i] = 0;
    }
    for (bnn_size i = 0; i < pairs->groups; i += BNN_NIBBLE_LIMIT) {
        const bnn_size left = pairs->groups - i;
        const bnn_size groups = left < BNN_NIBBLE_LIMIT ? left : BNN_NIBBLE_LIMIT;
        for (bnn_size p = 0; p < pairs->count; ++p) {
            const uint16_t *const codes = pairs->codes + p * pairs->groups + i;
            bnn_add_groups(codes, w + i * BNN_NIBBLE_WORDS, apart, two, groups,
                           pairs->sums + p * 2u * BNN_NIBBLE_STRIDE);
        }
    }
    for (bnn_size i = 0; i < pairs->count * 2u * BNN_NIBBLE_STRIDE; i += BNN_NIBBLE_OUTS) {
        bnn_order(pairs->sums + i);
    }
}

/* How many outputs from output o on are counted at a time. */
BNN_INLINE bnn_size bnn_outs_from(bnn_size outs, bnn_size o)
{
    return outs - o < BNN_NIBBLE_STRIDE ? outs - o : BNN_NIBBLE_STRIDE;
}

/* Counts the differing bits of all pixels, for the outputs from o on, a multiple of
 * BNN_NIBBLE_STRIDE. */
BNN_INLINE void bnn_differing_outs(const bnn_pairs *pairs, const bnn_word BNN_ROM *w, bnn_size o,
                                   bnn_size outs)
{
    const bnn_word BNN_ROM *const tile =
        w + o / BNN_NIBBLE_OUTS * pairs->groups * BNN_NIBBLE_WORDS;
    if (bnn_outs_from(outs, o) > BNN_NIBBLE_OUTS) {
        bnn_differing_tiles(pairs, tile, 1);
    } else {
        bnn_differing_tiles(pairs, tile, 0);
    }
}

/* The class of a pixel: see bnn_add_border.c; 0 where there are no tables of classes. */
BNN_INLINE bnn_size bnn_class_of(const uint8_t BNN_ROM *row_class,
                                 const uint8_t BNN_ROM *column_class, bnn_size classes,
                                 bnn_size row, bnn_size column)
{
    if (row_class == NULL || column_class == NULL) {
        return 0;
    }
    return bnn_rom_u8(row_class + row) * classes + bnn_rom_u8(column_class + column);
}

#endif
