/* Differing bits of a row of pixels and many outputs, four inputs at a time and two pixels at once.
 *
 * The inputs of a pixel are taken in groups of four, tap by tap; where channels are no multiple of
 * four, the last group of a tap is filled up with zeros, as are its weights. The groups of two
 * neighbouring pixels make one code, first + 16 * second. Weights are in tiles of BNN_NIBBLE_OUTS
 * outputs: a tile has for each group BNN_NIBBLE_OUTS bytes, whose low halves are the weights of
 * one output each.
 *
 * With AVX2 instructions a code chooses one of 256 rows of a table, and the bytes of weights choose
 * from that row how many of their bits differ from the first pixel's (in the low half of what is
 * found) and from the second one's (in the upper half): 32 outputs, four inputs and two pixels are
 * one instruction. It is the table lookup of T-MAC (Wei et al., "T-MAC: CPU Renaissance via Table
 * Lookup for Low-Bit LLM Deployment on Edge", 2024) with bits on both sides, whence the halves.
 * Elsewhere bits are counted side by side in words. */
#ifndef BNN_NIBBLES_H
#define BNN_NIBBLES_H

#include "bnn_bits.h"

#define BNN_NIBBLE_OUTS 32u                               /* outputs of a tile */
#define BNN_NIBBLE_STRIDE 64u                             /* sums of a pixel: those of two tiles */
#define BNN_NIBBLE_WORDS (BNN_NIBBLE_OUTS * 8u / BNN_WORD_BITS) /* words of a group and a tile */
#define BNN_NIBBLE_LIMIT 63u /* groups until a byte could hold more than 255 differing bits */
#define BNN_NIBBLE_SLACK 16u /* codes that may be written behind the last one */

/* How many groups n channels have. */
BNN_INLINE bnn_size bnn_groups(bnn_size n)
{
    return n / 4u + (n % 4u != 0);
}

#if defined(__AVX2__) && BNN_WORD_BITS == 64
#include <immintrin.h>

#define BNN_ONES_OF(v) ((v) % 2 + (v) / 2 % 2 + (v) / 4 % 2 + (v) / 8 % 2)
#define BNN_PAIR(x, w) (uint8_t)(BNN_ONES_OF((x) % 16 ^ (w)) + 16 * BNN_ONES_OF((x) / 16 ^ (w)))
#define BNN_PAIRS(x)                                                                            \
    BNN_PAIR(x, 0), BNN_PAIR(x, 1), BNN_PAIR(x, 2), BNN_PAIR(x, 3), BNN_PAIR(x, 4),             \
        BNN_PAIR(x, 5), BNN_PAIR(x, 6), BNN_PAIR(x, 7), BNN_PAIR(x, 8), BNN_PAIR(x, 9),         \
        BNN_PAIR(x, 10), BNN_PAIR(x, 11), BNN_PAIR(x, 12), BNN_PAIR(x, 13), BNN_PAIR(x, 14),    \
        BNN_PAIR(x, 15)
#define BNN_ROWS_4(x) BNN_PAIRS(x), BNN_PAIRS((x) + 1), BNN_PAIRS((x) + 2), BNN_PAIRS((x) + 3)
#define BNN_ROWS_16(x) \
    BNN_ROWS_4(x), BNN_ROWS_4((x) + 4), BNN_ROWS_4((x) + 8), BNN_ROWS_4((x) + 12)
#define BNN_ROWS_64(x) \
    BNN_ROWS_16(x), BNN_ROWS_16((x) + 16), BNN_ROWS_16((x) + 32), BNN_ROWS_16((x) + 48)

/* The table: row `code` has 16 bytes, one for each four weights. */
static const uint8_t bnn_pair_rows[4096] = {BNN_ROWS_64(0), BNN_ROWS_64(64), BNN_ROWS_64(128),
                                            BNN_ROWS_64(192)};

/* Codes are stored as the places of their rows. */
#define BNN_CODE_UNIT 16u

/* The row of a code, in both halves of a vector. */
BNN_INLINE __m256i bnn_pair_row(uint16_t code)
{
    const void *const row = bnn_pair_rows + code;
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)row));
}

/* What a row has for the weights of a tile. */
BNN_INLINE __m256i bnn_look_up(__m256i row, const bnn_word *w)
{
    const void *const weights = w;
    return _mm256_shuffle_epi8(row, _mm256_loadu_si256((const __m256i *)weights));
}

/* Differing bits of a tile's outputs: of the first pixel in `first`, byte by byte; of the second
 * one in 16-bit lanes of `second`, together with 16 times those of the first in each upper byte. */
typedef struct bnn_differences {
    __m256i first;
    __m256i second;
} bnn_differences;

/* Adds what was found for up to three groups. */
BNN_INLINE bnn_differences bnn_found(bnn_differences sum, __m256i found)
{
    const __m256i low = _mm256_and_si256(found, _mm256_set1_epi8(15));
    sum.first = _mm256_add_epi8(sum.first, low);
    sum.second = _mm256_add_epi16(sum.second, _mm256_srli_epi16(found, 4));
    return sum;
}

/* Adds the weights of three groups. */
BNN_INLINE bnn_differences bnn_three(bnn_differences sum, const __m256i *rows, const bnn_word *w)
{
    const __m256i a = bnn_look_up(rows[0], w);
    const __m256i b = bnn_look_up(rows[1], w + BNN_NIBBLE_WORDS);
    const __m256i c = bnn_look_up(rows[2], w + 2u * BNN_NIBBLE_WORDS);
    return bnn_found(sum, _mm256_add_epi8(_mm256_add_epi8(a, b), c));
}

BNN_INLINE void bnn_add_vector(uint16_t *sums, __m256i v)
{
    void *const at = sums;
    _mm256_storeu_si256((__m256i *)at, _mm256_add_epi16(_mm256_loadu_si256((__m256i *)at), v));
}

/* Adds to the sums of both pixels, those of even outputs first and then those of odd ones. */
BNN_INLINE void bnn_add_differences(bnn_differences d, uint16_t *sums)
{
    const __m256i low = _mm256_set1_epi16(255);
    const __m256i odd = _mm256_srli_epi16(d.first, 8);
    const __m256i second = _mm256_sub_epi16(d.second, _mm256_slli_epi16(odd, 4));
    uint16_t *const other = sums + BNN_NIBBLE_STRIDE;
    bnn_add_vector(sums, _mm256_and_si256(d.first, low));
    bnn_add_vector(sums + 16, odd);
    bnn_add_vector(other, _mm256_and_si256(second, low));
    bnn_add_vector(other + 16, _mm256_srli_epi16(second, 8));
}

/* Adds the differing bits of up to BNN_NIBBLE_LIMIT groups to the sums of two pixels, for one tile
 * or for two, the second of which is `apart` words behind the first. */
BNN_INLINE void bnn_add_groups(const uint16_t *codes, const bnn_word *w, bnn_size apart, int two,
                               bnn_size groups, uint16_t *sums)
{
    const __m256i zero = _mm256_setzero_si256();
    bnn_differences a = {zero, zero};
    bnn_differences b = {zero, zero};
    bnn_size i = 0;
    for (; i + 3u <= groups; i += 3u, w += 3u * BNN_NIBBLE_WORDS) {
        const __m256i rows[3] = {bnn_pair_row(codes[i]), bnn_pair_row(codes[i + 1u]),
                                 bnn_pair_row(codes[i + 2u])};
        a = bnn_three(a, rows, w);
        if (two) {
            b = bnn_three(b, rows, w + apart);
        }
    }
    for (; i < groups; ++i, w += BNN_NIBBLE_WORDS) {
        const __m256i row = bnn_pair_row(codes[i]);
        a = bnn_found(a, bnn_look_up(row, w));
        if (two) {
            b = bnn_found(b, bnn_look_up(row, w + apart));
        }
    }
    bnn_add_differences(a, sums);
    if (two) {
        bnn_add_differences(b, sums + BNN_NIBBLE_OUTS);
    }
}

/* Puts the sums of a tile into the order of its outputs. */
BNN_INLINE void bnn_order(uint16_t *sums)
{
    void *const low = sums;
    void *const high = sums + 16;
    const __m256i even = _mm256_loadu_si256((const __m256i *)low);
    const __m256i odd = _mm256_loadu_si256((const __m256i *)high);
    const __m256i a = _mm256_unpacklo_epi16(even, odd);
    const __m256i b = _mm256_unpackhi_epi16(even, odd);
    _mm256_storeu_si256((__m256i *)low, _mm256_permute2x128_si256(a, b, 0x20));
    _mm256_storeu_si256((__m256i *)high, _mm256_permute2x128_si256(a, b, 0x31));
}

/* Which of 32 sums are below their limits. Sums and limits are below 2^15. */
BNN_INLINE bnn_word bnn_below_32(const uint16_t *sums, const uint16_t *limits)
{
    const void *const s = sums;
    const void *const l = limits;
    const __m256i *const sum = (const __m256i *)s;
    const __m256i *const limit = (const __m256i *)l;
    const __m256i a = _mm256_cmpgt_epi16(_mm256_loadu_si256(limit), _mm256_loadu_si256(sum));
    const __m256i b = _mm256_cmpgt_epi16(_mm256_loadu_si256(limit + 1), _mm256_loadu_si256(sum + 1));
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8);
    return (uint32_t)_mm256_movemask_epi8(bytes);
}

/* Which of a word's sums are below their limits; there are two whole tiles of both. */
BNN_INLINE bnn_word bnn_below(const uint16_t *sums, const uint16_t *limits)
{
    return bnn_below_32(sums, limits) | bnn_below_32(sums + 32, limits + 32) << 32;
}

/* The codes of BNN_WORD_BITS inputs of two pixels. */
BNN_INLINE void bnn_pair_codes(bnn_word first, bnn_word second, uint16_t *codes)
{
    void *const at = codes;
    const __m128i low = _mm_set1_epi8(15);
    const __m128i a = _mm_cvtsi64_si128((long long)first);
    const __m128i b = _mm_cvtsi64_si128((long long)second);
    const __m128i a_high = _mm_and_si128(_mm_srli_epi16(a, 4), low);
    const __m128i b_low = _mm_slli_epi16(_mm_and_si128(b, low), 4);
    const __m128i even = _mm_or_si128(_mm_and_si128(a, low), b_low);
    const __m128i odd = _mm_or_si128(a_high, _mm_andnot_si128(low, b));
    const __m256i wide = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd));
    _mm256_storeu_si256((__m256i *)at, _mm256_slli_epi16(wide, 4));
}
#else
#define BNN_CODE_UNIT 1u

/* In each half of a byte, how many of its four bits are 1. */
BNN_INLINE bnn_word bnn_half_ones(bnn_word v)
{
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    v = (bnn_word)(v - ((v >> 1) & (ones / 3u)));
    return (bnn_word)((v & (ones / 5u)) + ((v >> 2) & (ones / 5u)));
}

/* Adds the differing bits of up to BNN_NIBBLE_LIMIT groups to the sums of two pixels, for one tile
 * or for two, the second of which is `apart` words behind the first. */
BNN_INLINE void bnn_add_groups(const uint16_t *codes, const bnn_word BNN_ROM *w, bnn_size apart,
                               int two, bnn_size groups, uint16_t *sums)
{
    const bnn_word bytes = (bnn_word)((bnn_word)~(bnn_word)0 / 255u);
    const bnn_word low = (bnn_word)(bytes * 15u);
    for (unsigned tile = 0; tile < (two ? 2u : 1u); ++tile) {
        bnn_word first[BNN_NIBBLE_WORDS] = {0};
        bnn_word second[BNN_NIBBLE_WORDS] = {0};
        for (bnn_size i = 0; i < groups; ++i) {
            const bnn_word code = (bnn_word)(bytes * (bnn_word)codes[i]);
            for (unsigned k = 0; k < BNN_NIBBLE_WORDS; ++k) {
                const bnn_word row = bnn_rom_word(w + tile * apart + i * BNN_NIBBLE_WORDS + k);
                const bnn_word found = bnn_half_ones((bnn_word)((row | row << 4) ^ code));
                first[k] = (bnn_word)(first[k] + (found & low));
                second[k] = (bnn_word)(second[k] + ((bnn_word)(found >> 4) & low));
            }
        }
        for (unsigned o = 0; o < BNN_NIBBLE_OUTS; ++o) {
            const unsigned k = o * 8u / BNN_WORD_BITS;
            const unsigned shift = o * 8u % BNN_WORD_BITS;
            uint16_t *const at = sums + tile * BNN_NIBBLE_OUTS + o;
            at[0] = (uint16_t)(at[0] + (uint8_t)(first[k] >> shift));
            at[BNN_NIBBLE_STRIDE] = (uint16_t)(at[BNN_NIBBLE_STRIDE] + (uint8_t)(second[k] >> shift));
        }
    }
}

/* Sums are in order as they are. */
BNN_INLINE void bnn_order(uint16_t *sums)
{
    (void)sums;
}

/* Which of a word's sums are below their limits. */
BNN_INLINE bnn_word bnn_below(const uint16_t *sums, const uint16_t BNN_ROM *limits)
{
    bnn_word bits = 0;
    for (unsigned o = 0; o < BNN_WORD_BITS; ++o) {
        bits = (bnn_word)(bits | bnn_bit(sums[o] < bnn_rom_u16(limits + o), o));
    }
    return bits;
}

/* The codes of BNN_WORD_BITS inputs of two pixels. */
BNN_INLINE void bnn_pair_codes(bnn_word first, bnn_word second, uint16_t *codes)
{
    for (unsigned i = 0; i < BNN_WORD_BITS / 4u; ++i) {
        codes[i] = (uint16_t)((first & 15u) | (uint16_t)((second & 15u) << 4));
        first = (bnn_word)(first >> 4);
        second = (bnn_word)(second >> 4);
    }
}
#endif

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
            bnn_add_groups(pairs->codes + p * pairs->groups + i, w + i * BNN_NIBBLE_WORDS, apart, two,
                           groups, pairs->sums + p * 2u * BNN_NIBBLE_STRIDE);
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
