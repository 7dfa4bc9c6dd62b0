/* The counters of bnn_sliced.h for several words of outputs at a time, in vectors where the C
 * compiler has them: inputs that are 1 are listed (bnn_lists.h), and their rows of weights added
 * sixteen at a time.
 *
 * Sixteen rows are fifteen full adders, whichever they are, and one carry that may run through the
 * digits above. Vectors are those of GNU C, which are made of whatever instructions there are. */
#ifndef BNN_SLICES_H
#define BNN_SLICES_H

#include "bnn_lists.h"
#include "bnn_sliced.h"

#define BNN_SLICES 4u    /* slices of outputs that share a list */
#define BNN_LISTED 512u /* inputs that are listed at a time */

/* A slice is BNN_SLICE_WORDS words of outputs, and bnn_digit a digit of their counters. In a vector
 * with fewer words in it, from w on, the others are 0. */
#if defined(__GNUC__) && defined(__AVX2__) && BNN_WORD_BITS == 64
#define BNN_SLICE_WORDS 4u
typedef bnn_word bnn_digit __attribute__((__vector_size__(32)));

BNN_INLINE bnn_digit bnn_load_part(const bnn_word *w, bnn_size words)
{
    const bnn_digit part = {w[0], words > 1u ? w[1] : 0, words > 2u ? w[2] : 0, 0};
    return part;
}
#elif defined(__GNUC__) && (defined(__SSE2__) || defined(__ARM_NEON)) && BNN_WORD_BITS == 64
#define BNN_SLICE_WORDS 2u
typedef bnn_word bnn_digit __attribute__((__vector_size__(16)));

BNN_INLINE bnn_digit bnn_load_part(const bnn_word *w, bnn_size words)
{
    const bnn_digit part = {w[0], 0};
    (void)words;
    return part;
}
#else
#define BNN_SLICE_WORDS 1u
typedef bnn_word bnn_digit;

BNN_INLINE bnn_digit bnn_load_part(const bnn_word BNN_ROM *w, bnn_size words)
{
    (void)words;
    return bnn_rom_word(w);
}
#endif

/* The `words` words from w on (1 to BNN_SLICE_WORDS), and zeros. */
BNN_INLINE bnn_digit bnn_load_digit(const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_digit whole;
    if (words < BNN_SLICE_WORDS) {
        return bnn_load_part(w, words);
    }
    memcpy(&whole, w, sizeof whole);
    return whole;
}

/* All bits of a slice, as 0 or 1. */
BNN_INLINE bnn_digit bnn_digit_of(unsigned bit)
{
    const bnn_digit zero = {0};
    return bit != 0 ? (bnn_digit)~zero : zero;
}

/* bnn_full_add: where a and b differ, the carry is what the sum was. The sum is the last to be
 * needed, as it is what the next addition waits for. */
BNN_INLINE bnn_digit bnn_add_digits(bnn_digit *sum, bnn_digit a, bnn_digit b)
{
    const bnn_digit differ = (bnn_digit)(a ^ b);
    const bnn_digit carry = (bnn_digit)(a ^ (differ & (a ^ *sum)));
    *sum = (bnn_digit)(*sum ^ differ);
    return carry;
}

/* Counters begin with a number, the same in all lanes. At least those digits are set that eight or
 * sixteen rows change. */
BNN_INLINE void bnn_begin_slices(bnn_digit *v, unsigned digits, bnn_size number)
{
    const unsigned set = digits < 6u ? 6u : digits;
    for (unsigned d = 0; d < set; ++d) {
        v[d] = bnn_digit_of((unsigned)(number >> d & 1u));
    }
}

/* Adds a carry into digit `from` and those above it. */
BNN_INLINE void bnn_carry_slices(bnn_digit *v, unsigned from, unsigned digits,
                                 bnn_digit carry)
{
    for (unsigned d = from; d < digits; ++d) {
        const bnn_digit digit = v[d];
        v[d] = (bnn_digit)(digit ^ carry);
        carry = (bnn_digit)(digit & carry);
    }
}

/* The rows of two listed inputs into the digit of ones; returns the carry. */
BNN_INLINE bnn_digit bnn_add_two(bnn_digit *one, const bnn_u16 *list, const bnn_word BNN_ROM *w,
                                 bnn_size columns, bnn_size words)
{
    return bnn_add_digits(one, bnn_load_digit(w + list[0] * columns, words),
                          bnn_load_digit(w + list[1] * columns, words));
}

/* The rows of eight listed inputs into the digits of ones, twos and fours; returns the carry. */
BNN_INLINE bnn_digit bnn_add_eight(bnn_digit *low, const bnn_u16 *list,
                                   const bnn_word BNN_ROM *w, bnn_size columns, bnn_size words)
{
    const bnn_digit two_a = bnn_add_two(&low[0], list, w, columns, words);
    const bnn_digit two_b = bnn_add_two(&low[0], list + 2, w, columns, words);
    const bnn_digit four_a = bnn_add_digits(&low[1], two_a, two_b);
    const bnn_digit two_c = bnn_add_two(&low[0], list + 4, w, columns, words);
    const bnn_digit two_d = bnn_add_two(&low[0], list + 6, w, columns, words);
    const bnn_digit four_b = bnn_add_digits(&low[1], two_c, two_d);
    return bnn_add_digits(&low[2], four_a, four_b);
}

/* Adds the rows of `ones` listed inputs to v, whose digit 0 no input changes: `words` words from w
 * on of rows of `columns` words. The list is filled up to a multiple of eight by the number of the
 * row of zeros. */
BNN_INLINE void bnn_add_listed(const bnn_u16 *list, bnn_size ones, const bnn_word BNN_ROM *w,
                               bnn_size columns, bnn_size words, unsigned digits, bnn_digit *v)
{
    bnn_digit low[3] = {v[1], v[2], v[3]};
    bnn_digit eights = v[4];
    const bnn_size sixteens = ones - ones % 16u;
    for (bnn_size i = 0; i < sixteens; i += 16u) {
        const bnn_digit a = bnn_add_eight(low, list + i, w, columns, words);
        const bnn_digit b = bnn_add_eight(low, list + i + 8u, w, columns, words);
        bnn_carry_slices(v, 5, digits, bnn_add_digits(&eights, a, b));
    }
    v[4] = eights;
    for (bnn_size i = sixteens; i < ones; i += 8u) {
        bnn_carry_slices(v, 4, digits, bnn_add_eight(low, list + i, w, columns, words));
    }
    v[1] = low[0];
    v[2] = low[1];
    v[3] = low[2];
}

/* How many words of outputs the slice has that begins in column `column`. */
BNN_INLINE bnn_size bnn_slice_words(bnn_size columns, bnn_size column)
{
    return columns - column < BNN_SLICE_WORDS ? columns - column : BNN_SLICE_WORDS;
}

/* bnn_add_listed for the slice of outputs that begins in column `column` of the rows w. A whole one
 * is a case of its own, so that it is known to be whole. */
BNN_INLINE void bnn_add_column(const bnn_u16 *list, bnn_size ones, const bnn_word BNN_ROM *w,
                               bnn_size columns, bnn_size column, unsigned digits, bnn_digit *v)
{
    if (columns - column >= BNN_SLICE_WORDS) {
        bnn_add_listed(list, ones, w + column, columns, BNN_SLICE_WORDS, digits, v);
    } else {
        bnn_add_listed(list, ones, w + column, columns, columns % BNN_SLICE_WORDS, digits, v);
    }
}

/* The counters of a block of slices; there is one digit more than bnn_sliced.h has. */
typedef struct bnn_block {
    bnn_digit v[BNN_SLICES][BNN_DIGITS + 1u];
} bnn_block;

/* Adds the rows of those of n inputs that are 1 to the counters of a block, from digit `from` on,
 * for the outputs from column `column` on; n is below 2^16. */
BNN_INLINE void bnn_add_inputs(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size n,
                               bnn_size columns, bnn_size column, unsigned from, unsigned digits,
                               bnn_block *block)
{
    for (bnn_size first = 0; first < n; first += BNN_LISTED) {
        bnn_u16 list[BNN_LISTED + BNN_LIST_SLACK];
        bnn_size ones = 0;
        for (bnn_size i = first; i < n && i < first + BNN_LISTED; i += BNN_WORD_BITS) {
            ones = bnn_list_bits(x[i / BNN_WORD_BITS], bnn_lanes(n, i), i, list, ones);
        }
        bnn_end_list(list, ones, n);
        for (bnn_size b = 0; b < BNN_SLICES && column + b * BNN_SLICE_WORDS < columns; ++b) {
            bnn_add_column(list, ones, w, columns, column + b * BNN_SLICE_WORDS, digits,
                           block->v[b] + from);
        }
    }
}

#define BNN_SLICES_OUTS (BNN_SLICES * BNN_SLICE_WORDS * BNN_WORD_BITS) /* of a block */

/* The number that `digits` digits from digit `from` on are for output o of a block. */
BNN_INLINE uint32_t bnn_block_lane(const bnn_block *block, bnn_size o, unsigned from,
                                   unsigned digits)
{
    const bnn_size word = o / BNN_WORD_BITS;
    uint32_t value = 0;
    for (unsigned d = 0; d < digits; ++d) {
        const bnn_digit *const digit = &block->v[word / BNN_SLICE_WORDS][from + d];
        bnn_word words[BNN_SLICE_WORDS];
        memcpy(words, digit, sizeof words);
        value |= bnn_lane(words[word % BNN_SLICE_WORDS], o % BNN_WORD_BITS) << d;
    }
    return value;
}

/* Where v reaches an odd number of `count` thresholds: bnn_reached_sliced for a slice. */
BNN_INLINE bnn_digit bnn_reached_slices(const bnn_digit *v, const bnn_word BNN_ROM *at,
                                        bnn_size count, unsigned digits, bnn_size columns,
                                        bnn_size words)
{
    bnn_digit odd = bnn_digit_of(0);
    for (bnn_size k = 0; k < count; ++k) {
        bnn_digit reached = bnn_digit_of(1);
        for (unsigned d = 0; d < digits; ++d) {
            const bnn_digit t = bnn_load_digit(at + (k * digits + d) * columns, words);
            reached = (bnn_digit)(v[d] ^ ((v[d] ^ reached) & ~(v[d] ^ t)));
        }
        odd = (bnn_digit)(odd ^ reached);
    }
    return odd;
}

/* bnn_reached_slices for the slice of outputs that begins in column `column`, as words. */
BNN_INLINE void bnn_reached_column(const bnn_digit *v, const bnn_word BNN_ROM *at, bnn_size count,
                                   unsigned digits, bnn_size columns, bnn_size column,
                                   bnn_word *bits)
{
    bnn_digit odd;
    if (columns - column >= BNN_SLICE_WORDS) {
        odd = bnn_reached_slices(v, at + column, count, digits, columns, BNN_SLICE_WORDS);
    } else {
        odd = bnn_reached_slices(v, at + column, count, digits, columns, columns % BNN_SLICE_WORDS);
    }
    memcpy(bits, &odd, sizeof odd);
}

#endif
