/* Bit-sliced counters for all outputs of a layer: inputs that are 1 are listed (bnn_lists.h), and
 * their rows of weights added to several words of outputs side by side (bnn_digits.h).
 *
 * Sixteen rows are fifteen full adders, whichever they are, and a carry, which is a row for the
 * digits above: eight of them are seven full adders, and only theirs runs through the digits that
 * are left. Two slices are added to at once: a row is found once for both, and most often they are
 * one line of the cache. */
#ifndef BNN_SLICES_H
#define BNN_SLICES_H

#include "bnn_digits.h"
#include "bnn_lists.h"

#define BNN_SLICES 4u    /* slices of outputs that share a list */
#define BNN_LISTED 1024u /* inputs that are listed at a time */

/* Slices that are added to at once, as there are registers. */
#if defined(__aarch64__)
#define BNN_ABREAST 4u
#else
#define BNN_ABREAST 2u
#endif

/* Keeps compilers from adding up the parts of an address anew for each row. */
#if defined(__GNUC__)
#define BNN_ONE_ADDRESS(p) __asm__("" : "+r"(p))
#else
#define BNN_ONE_ADDRESS(p) ((void)0)
#endif

/* Digits above those of a counter that are 0, but are added to. */
#define BNN_ABOVE 4u

/* The counters of a slice: a digit more than bnn_sliced.h has, and those above. */
typedef bnn_digit bnn_counters[BNN_DIGITS + 1u + BNN_ABOVE];

/* Carries of eight times sixteen rows. */
typedef bnn_digit bnn_carries[8];

static const bnn_u16 bnn_in_order[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/* Where the rows of eight listed inputs begin. */
BNN_INLINE void bnn_find_eight(const bnn_u16 *list, bnn_size columns, bnn_size *rows)
{
    BNN_UNROLL
    for (unsigned i = 0; i < 8u; ++i) {
        rows[i] = list[i] * columns;
    }
}

/* Two rows into the digit of ones; returns the carry. */
BNN_INLINE bnn_digit bnn_add_two(bnn_digit *one, const bnn_word BNN_ROM *w, const bnn_size *rows,
                                 bnn_size words)
{
    return bnn_add_digits(one, bnn_load_digit(w + rows[0], words),
                          bnn_load_digit(w + rows[1], words));
}

/* Eight rows into the digits of ones, twos and fours; returns the carry. */
BNN_INLINE bnn_digit bnn_add_eight(bnn_digit *low, const bnn_word BNN_ROM *w, const bnn_size *rows,
                                   bnn_size words)
{
    const bnn_digit two_a = bnn_add_two(&low[0], w, rows, words);
    const bnn_digit two_b = bnn_add_two(&low[0], w, rows + 2, words);
    const bnn_digit four_a = bnn_add_digits(&low[1], two_a, two_b);
    const bnn_digit two_c = bnn_add_two(&low[0], w, rows + 4, words);
    const bnn_digit two_d = bnn_add_two(&low[0], w, rows + 6, words);
    const bnn_digit four_b = bnn_add_digits(&low[1], two_c, two_d);
    return bnn_add_digits(&low[2], four_a, four_b);
}

/* Sixteen rows into the digits of ones to eights of `slices` slices; each one's carry is the one
 * with the number `at` of its carries. */
BNN_INLINE void bnn_add_sixteen(const bnn_u16 *list, const bnn_word BNN_ROM *w, bnn_size columns,
                                bnn_size slices, bnn_size words, bnn_digit (*low)[4],
                                bnn_carries *carries, bnn_size at)
{
    bnn_size rows[8];
    bnn_digit eight[BNN_ABREAST];
    bnn_find_eight(list, columns, rows);
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        eight[s] = bnn_add_eight(low[s], w + s * BNN_SLICE_WORDS, rows, words);
    }
    bnn_find_eight(list + 8, columns, rows);
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        const bnn_digit other = bnn_add_eight(low[s], w + s * BNN_SLICE_WORDS, rows, words);
        carries[s][at] = bnn_add_digits(&low[s][3], eight[s], other);
    }
}

/* Adds `count` carries of sixteen rows, 1 to 8, to the digits v of counters from that on that they
 * belong to, of which there are `digits`: a few one by one. */
BNN_INLINE void bnn_add_carries(bnn_carries carries, bnn_size count, unsigned digits, bnn_digit *v)
{
    const void *const w = carries;
    bnn_size rows[8];
    if (count < 4u) {
        for (bnn_size i = 0; i < count; ++i) {
            bnn_carry_slices(v, 0, digits, carries[i]);
        }
    } else {
        for (bnn_size i = count; i < 8u; ++i) {
            carries[i] = bnn_digit_of(0);
        }
        bnn_find_eight(bnn_in_order, BNN_SLICE_WORDS, rows);
        bnn_carry_slices(v, 3, digits,
                         bnn_add_eight(v, (const bnn_word *)w, rows, BNN_SLICE_WORDS));
    }
}

/* Adds the rows of `ones` listed inputs to the counters v of `slices` slices side by side, from
 * digit `from` on, which no input changes itself: `words` words of each slice, from w on, of rows
 * of `columns` words. Behind its end the list has the row of zeros, fifteen times at least. */
BNN_INLINE void bnn_add_listed(const bnn_u16 *list, bnn_size ones, const bnn_word BNN_ROM *w,
                               bnn_size columns, bnn_size slices, bnn_size words, unsigned from,
                               unsigned digits, bnn_counters *v)
{
    const bnn_size sixteens = (ones + 15u) / 16u;
    bnn_digit low[BNN_ABREAST][4]; /* ones, twos, fours and eights */
    BNN_ONE_ADDRESS(w);
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        memcpy(low[s], &v[s][from + 1u], sizeof low[s]);
    }
    for (bnn_size i = 0; i < sixteens; i += 8u) {
        const bnn_size count = sixteens - i < 8u ? sixteens - i : 8u;
        bnn_carries carries[BNN_ABREAST];
        for (bnn_size j = 0; j < count; ++j) {
            bnn_add_sixteen(list + (i + j) * 16u, w, columns, slices, words, low, carries, j);
        }
        BNN_UNROLL
        for (bnn_size s = 0; s < slices; ++s) {
            bnn_add_carries(carries[s], count, digits < 5u ? 0 : digits - 5u, &v[s][from + 5u]);
        }
    }
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        memcpy(&v[s][from + 1u], low[s], sizeof low[s]);
    }
}

/* How many words of outputs the slice has that begins in column `column`. */
BNN_INLINE bnn_size bnn_slice_words(bnn_size columns, bnn_size column)
{
    return columns - column < BNN_SLICE_WORDS ? columns - column : BNN_SLICE_WORDS;
}

/* bnn_add_listed for the slice of outputs that begins in column `column` of the rows w. A whole one
 * is a case of its own, so that it is known to be whole. */
BNN_INLINE void bnn_add_column(const bnn_u16 *list, bnn_size ones, const bnn_word BNN_ROM *w,
                               bnn_size columns, bnn_size column, unsigned from, unsigned digits,
                               bnn_counters *v)
{
    if (columns - column >= BNN_SLICE_WORDS) {
        bnn_add_listed(list, ones, w + column, columns, 1u, BNN_SLICE_WORDS, from, digits, v);
    } else {
        bnn_add_listed(list, ones, w + column, columns, 1u, columns % BNN_SLICE_WORDS, from, digits,
                       v);
    }
}

/* The same for BNN_ABREAST slices, as many of them as there are. */
BNN_INLINE void bnn_add_columns(const bnn_u16 *list, bnn_size ones, const bnn_word BNN_ROM *w,
                                bnn_size columns, bnn_size column, unsigned from, unsigned digits,
                                bnn_counters *v)
{
    if (columns - column >= BNN_ABREAST * BNN_SLICE_WORDS) {
        bnn_add_listed(list, ones, w + column, columns, BNN_ABREAST, BNN_SLICE_WORDS, from, digits,
                       v);
    } else {
        for (bnn_size s = 0; s < BNN_ABREAST && column + s * BNN_SLICE_WORDS < columns; ++s) {
            bnn_add_column(list, ones, w, columns, column + s * BNN_SLICE_WORDS, from, digits,
                           v + s);
        }
    }
}

/* The counters of a block of slices. */
typedef struct bnn_block {
    bnn_counters v[BNN_SLICES];
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
        for (bnn_size s = 0; s < BNN_SLICES; s += BNN_ABREAST) {
            const bnn_size at = column + s * BNN_SLICE_WORDS;
            if (at < columns) {
                bnn_add_columns(list, ones, w, columns, at, from, digits, block->v + s);
            }
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
