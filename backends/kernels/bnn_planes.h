/* Maps in planes: bits of which each, a lane, is a pixel; squares of bits turn words of channels
 * into words of pixels, and back.
 *
 * A plane is the rows of one channel, one after the other, each in whole bytes: bit i of a row is
 * bit i % 8 of its byte i / 8, whatever the order of bytes in a word. So the lanes of a digit
 * (bnn_slices.h) may begin at any byte, and the row below is a row of bytes further on. */
#ifndef BNN_PLANES_H
#define BNN_PLANES_H

#include <string.h>

#include "bnn_bits.h"
#include "bnn_digits.h"

BNN_INLINE bnn_digit bnn_load_lanes(const uint8_t *plane)
{
    bnn_digit lanes;
    memcpy(&lanes, plane, sizeof lanes);
    return lanes;
}

BNN_INLINE void bnn_store_lanes(uint8_t *plane, bnn_digit lanes)
{
    memcpy(plane, &lanes, sizeof lanes);
}

/* Lanes as planes have them to words whose bit i is lane i, and the other way round. */
BNN_INLINE bnn_digit bnn_by_bytes(bnn_digit lanes)
{
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    uint8_t bytes[sizeof lanes];
    bnn_word words[BNN_SLICE_WORDS] = {0};
    memcpy(bytes, &lanes, sizeof lanes);
    for (bnn_size i = 0; i < sizeof lanes; ++i) {
        const bnn_word byte = bytes[i];
        const bnn_size word = i / sizeof *words;
        words[word] = (bnn_word)(words[word] | (bnn_word)(byte << i % sizeof *words * 8u));
    }
    memcpy(&lanes, words, sizeof lanes);
#endif
    return lanes;
}

/* Exchanges the blocks of j by j bits on the other diagonal of each block of 2 j by 2 j. */
BNN_INLINE void bnn_swap_blocks(bnn_digit *squares, unsigned j)
{
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    const bnn_word next = (bnn_word)((bnn_word)1 << j);
    const bnn_word low = (bnn_word)(ones / (bnn_word)(next + 1u)); /* j of each 2 j bits */
    for (unsigned k = 0; k < BNN_WORD_BITS; k += 2u * j) {
        for (unsigned i = k; i < k + j; ++i) {
            const bnn_digit below = squares[i + j];
            const bnn_digit differ = (bnn_digit)(((squares[i] >> j) ^ below) & low);
            squares[i + j] = (bnn_digit)(below ^ differ);
            squares[i] = (bnn_digit)(squares[i] ^ (bnn_digit)(differ << j));
        }
    }
}

/* Bit i of word k becomes bit k of word i, in each of BNN_SLICE_WORDS squares side by side: a digit
 * has a word of each. */
BNN_INLINE void bnn_transpose(bnn_digit *squares)
{
    if (BNN_WORD_BITS > 32) {
        bnn_swap_blocks(squares, BNN_WORD_BITS / 2u);
    }
    if (BNN_WORD_BITS > 16) {
        bnn_swap_blocks(squares, 16u);
    }
    if (BNN_WORD_BITS > 8) {
        bnn_swap_blocks(squares, 8u);
    }
    bnn_swap_blocks(squares, 4u);
    bnn_swap_blocks(squares, 2u);
    bnn_swap_blocks(squares, 1u);
}

/* Sets those of n bits of a row of a plane, which is 0, that a map of `size` columns has when bit c
 * is its column c + by - before. */
BNN_INLINE void bnn_mark_inside(uint8_t *row, bnn_size n, bnn_size by, bnn_size before,
                                bnn_size size)
{
    for (bnn_size c = 0; c < n; ++c) {
        const unsigned inside = bnn_tap(c, 1, by, 1, before, size) < size;
        row[c / 8u] = (uint8_t)(row[c / 8u] | inside << c % 8u);
    }
}

/* The first row of a plane, of n bytes, becomes that of all its `rows`. */
BNN_INLINE void bnn_repeat_row(uint8_t *plane, bnn_size n, bnn_size rows)
{
    for (bnn_size r = 1; r < rows; ++r) {
        memcpy(plane + r * n, plane, n);
    }
}

/* Moves lanes down: lane i of `bytes` bytes becomes lane i + by of `from`, which is made of words,
 * where the mask is 1, and `fill` elsewhere. */
BNN_INLINE void bnn_shift_plane(const uint8_t *from, bnn_size by, const uint8_t *mask,
                                bnn_digit fill, bnn_size bytes, uint8_t *plane)
{
    const unsigned down = (unsigned)(by % BNN_WORD_BITS);
    from += by / BNN_WORD_BITS * sizeof(bnn_word);
    for (bnn_size b = 0; b < bytes; b += sizeof(bnn_digit)) {
        const bnn_digit inside = bnn_load_lanes(mask + b);
        bnn_digit lanes = bnn_load_lanes(from + b);
        if (down != 0) {
            const bnn_digit next = bnn_load_lanes(from + b + sizeof(bnn_word));
            lanes = (bnn_digit)((lanes >> down) | (bnn_digit)(next << (BNN_WORD_BITS - down)));
        }
        lanes = bnn_by_bytes(lanes);
        bnn_store_lanes(plane + b, (bnn_digit)(fill ^ (inside & (fill ^ lanes))));
    }
}

#endif
