/* Differing bits of two pixels and many outputs, four inputs at a time.
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

/* The row that begins at `place`, in both halves of a vector. */
BNN_INLINE __m256i bnn_pair_row(uint16_t place)
{
    const void *const row = bnn_pair_rows + place;
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
    const bnn_size whole = groups - groups % 3u;
    for (bnn_size i = 0; i < whole; i += 3u, w += 3u * BNN_NIBBLE_WORDS) {
        const __m256i rows[3] = {bnn_pair_row(codes[i]), bnn_pair_row(codes[i + 1u]),
                                 bnn_pair_row(codes[i + 2u])};
        a = bnn_three(a, rows, w);
        if (two) {
            b = bnn_three(b, rows, w + apart);
        }
    }
    for (bnn_size i = whole; i < groups; ++i, w += BNN_NIBBLE_WORDS) {
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
    const __m256i next = _mm256_loadu_si256(limit + 1);
    const __m256i b = _mm256_cmpgt_epi16(next, _mm256_loadu_si256(sum + 1));
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
/* In each half of a byte, how many of its four bits are 1. */
BNN_INLINE bnn_word bnn_half_ones(bnn_word v)
{
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    v = (bnn_word)(v - ((v >> 1) & (ones / 3u)));
    return (bnn_word)((v & (ones / 5u)) + ((v >> 2) & (ones / 5u)));
}

/* Where a word of weights differs from the codes of two pixels: the first ones in the low halves of
 * bytes, the second ones in the upper halves. */
BNN_INLINE bnn_word bnn_differ(const bnn_word BNN_ROM *w, uint16_t code)
{
    const bnn_word bytes = (bnn_word)((bnn_word)~(bnn_word)0 / 255u);
    const bnn_word row = bnn_rom_word(w);
    return (bnn_word)((bnn_word)(row | (bnn_word)(row << 4)) ^ (bnn_word)(bytes * code));
}

/* In each half of a byte, how many bits of three words are 1: as many as sums without carries have,
 * and twice as many as carries have. */
BNN_INLINE bnn_word bnn_three_ones(bnn_word a, bnn_word b, bnn_word c)
{
    const bnn_word half = (bnn_word)(a ^ b);
    const bnn_word carry = (bnn_word)((a & b) | (half & c));
    const bnn_word ones = bnn_half_ones((bnn_word)(half ^ c));
    return (bnn_word)(ones + (bnn_word)(bnn_half_ones(carry) << 1));
}

/* Adds the halves of each byte of `found` to those of `first` and `second`. */
BNN_INLINE void bnn_add_halves(bnn_word found, bnn_word *first, bnn_word *second)
{
    const bnn_word low = (bnn_word)((bnn_word)~(bnn_word)0 / 17u);
    *first = (bnn_word)(*first + (found & low));
    *second = (bnn_word)(*second + ((bnn_word)(found >> 4) & low));
}

/* Adds the differing bits of up to BNN_NIBBLE_LIMIT groups to the sums of two pixels, for one
 * tile. */
BNN_INLINE void bnn_add_tile(const uint16_t *codes, const bnn_word BNN_ROM *w, bnn_size groups,
                             uint16_t *sums)
{
    bnn_word first[BNN_NIBBLE_WORDS] = {0};
    bnn_word second[BNN_NIBBLE_WORDS] = {0};
    for (bnn_size i = 0; i < groups / 3u; ++i) {
        const bnn_word BNN_ROM *const at = w + 3u * i * BNN_NIBBLE_WORDS;
        const uint16_t *const code = codes + 3u * i;
        for (unsigned k = 0; k < BNN_NIBBLE_WORDS; ++k) {
            const bnn_word a = bnn_differ(at + k, code[0]);
            const bnn_word b = bnn_differ(at + BNN_NIBBLE_WORDS + k, code[1]);
            const bnn_word c = bnn_differ(at + 2u * BNN_NIBBLE_WORDS + k, code[2]);
            bnn_add_halves(bnn_three_ones(a, b, c), &first[k], &second[k]);
        }
    }
    for (bnn_size i = groups / 3u * 3u; i < groups; ++i) {
        for (unsigned k = 0; k < BNN_NIBBLE_WORDS; ++k) {
            const bnn_word differing = bnn_differ(w + i * BNN_NIBBLE_WORDS + k, codes[i]);
            bnn_add_halves(bnn_half_ones(differing), &first[k], &second[k]);
        }
    }
    for (unsigned o = 0; o < BNN_NIBBLE_OUTS; ++o) {
        const unsigned k = o * 8u / BNN_WORD_BITS;
        const unsigned shift = o * 8u % BNN_WORD_BITS;
        uint16_t *const other = sums + BNN_NIBBLE_STRIDE;
        sums[o] = (uint16_t)(sums[o] + (uint8_t)(first[k] >> shift));
        other[o] = (uint16_t)(other[o] + (uint8_t)(second[k] >> shift));
    }
}

/* The same for one tile or for two, the second of which is `apart` words behind the first. */
BNN_INLINE void bnn_add_groups(const uint16_t *codes, const bnn_word BNN_ROM *w, bnn_size apart,
                               int two, bnn_size groups, uint16_t *sums)
{
    bnn_add_tile(codes, w, groups, sums);
    if (two) {
        bnn_add_tile(codes, w + apart, groups, sums + BNN_NIBBLE_OUTS);
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

#endif
