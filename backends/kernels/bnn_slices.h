/* Bit-sliced counters for all outputs of a layer: inputs that are 1 are listed (bnn_lists.h), and
 * their rows of weights added to several words of outputs side by side (bnn_digits.h).
 *
 * Sixteen rows are fifteen full adders, whichever they are, and a carry, which is a row for the
 * digits above: eight of them are seven full adders, and only theirs runs through the digits that
 * are left. Two slices are added to at once: a row is found once for both, and most often they are
 * one line of the cache. */
#ifndef BNN_SLICES_H
#define BNN_SLICES_H

#include "bnn_lists.h"
#include "bnn_parts.h"

#define BNN_SLICES 4u                   /* slices of outputs that share a list */
#define BNN_LISTED 1024u                /* inputs that are listed at a time */
#define BNN_LIST_SLACK (16u * BNN_PARTS) /* numbers that are written behind a list */

/* Slices that are added to at once, as there are registers; and whether lists better have offsets
 * than numbers, which is so if few slices share one. */
#if defined(__aarch64__)
#define BNN_ABREAST 4u
#define BNN_OFFSETS 0
#else
#define BNN_ABREAST 2u
#define BNN_OFFSETS 1
#endif

/* Keeps compilers from adding up the parts of an address anew for each row. */
#if defined(__GNUC__)
#define BNN_ONE_ADDRESS(p) __asm__("" : "+r"(p))
#else
#define BNN_ONE_ADDRESS(p) ((void)0)
#endif

/* Asks for a row of weights before it is needed: lists of inputs are nothing that caches foresee.
 * Where that is not known to help, it is left. */
#if defined(__GNUC__) && defined(__AVX2__)
#define BNN_PREFETCH(row) __builtin_prefetch(row)
#else
#define BNN_PREFETCH(row) ((void)0)
#endif

/* Digits above those of a counter that are 0, but are added to. */
#define BNN_ABOVE 4u

/* The counters of a slice: a digit more than bnn_sliced.h has, and those above. */
typedef bnn_digit bnn_counters[BNN_DIGITS + 1u + BNN_ABOVE];

/* Carries of eight times sixteen rows. */
typedef bnn_digit bnn_carries[8];

/* What the numbers of inputs are multiplied by in a list: by the words of a row, if 16 bits hold
 * that, so that it need not be done for each slice. A number stands for `unit` words, the rest. */
BNN_INLINE bnn_size bnn_list_step(bnn_size n, bnn_size columns)
{
    return BNN_OFFSETS && n < 65535u / columns ? columns : 1u;
}

/* Lets a list end with the row of zeros, so that its rows can be taken sixteen at a time. */
BNN_INLINE void bnn_end_list(bnn_u16 *list, bnn_size count, bnn_size row)
{
    for (bnn_size i = 0; i < BNN_LIST_SLACK; ++i) {
        list[count + i] = (bnn_u16)row;
    }
}

/* Adds four listed rows, for each part of a slice, to the digit of ones; returns the pair of
 * carries. */
BNN_INLINE bnn_pair bnn_add_listed_four(bnn_digit *one, const bnn_u16 *list, bnn_size unit,
                                        const bnn_word BNN_ROM *w, bnn_size words)
{
    const bnn_size next = bnn_parts(words);
    const bnn_digit a = bnn_load_rows(w, list, unit, words);
    const bnn_digit b = bnn_load_rows(w, list + next, unit, words);
    const bnn_digit c = bnn_load_rows(w, list + 2u * next, unit, words);
    const bnn_digit d = bnn_load_rows(w, list + 3u * next, unit, words);
    return bnn_add_two_pairs(one, bnn_pair_of(a, b), bnn_pair_of(c, d));
}

/* Adds eight of them to the digits of ones, twos and fours; returns the carry. */
BNN_INLINE bnn_digit bnn_add_listed_eight(bnn_digit *low, const bnn_u16 *list, bnn_size unit,
                                          const bnn_word BNN_ROM *w, bnn_size words)
{
    const bnn_u16 *const behind = list + 4u * bnn_parts(words);
    const bnn_pair two = bnn_add_listed_four(&low[0], list, unit, w, words);
    const bnn_pair other = bnn_add_listed_four(&low[0], behind, unit, w, words);
    return bnn_add_pair(&low[2], bnn_add_two_pairs(&low[1], two, other));
}

/* Adds sixteen of them to the digits of ones to eights of `slices` slices; each one's carry is the
 * one with the number `at` of its carries. */
BNN_INLINE void bnn_add_sixteen(const bnn_u16 *list, bnn_size unit, const bnn_word BNN_ROM *w,
                                bnn_size slices, bnn_size words, bnn_digit (*low)[4],
                                bnn_carries *carries, bnn_size at)
{
    const bnn_u16 *const behind = list + 8u * bnn_parts(words);
    bnn_digit eight[BNN_ABREAST];
    if (slices > 1u) {
        BNN_UNROLL
        for (unsigned i = 0; i < 8u; ++i) {
            BNN_PREFETCH(w + list[16u + i] * unit);
        }
    }
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        eight[s] = bnn_add_listed_eight(low[s], list, unit, w + s * BNN_SLICE_WORDS, words);
    }
    if (slices > 1u) {
        BNN_UNROLL
        for (unsigned i = 0; i < 8u; ++i) {
            BNN_PREFETCH(w + behind[16u + i] * unit);
        }
    }
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        const bnn_digit other =
            bnn_add_listed_eight(low[s], behind, unit, w + s * BNN_SLICE_WORDS, words);
        carries[s][at] = bnn_add_digits(&low[s][3], eight[s], other);
    }
}

BNN_INLINE void bnn_clear_carries(bnn_carries *carries, bnn_size slices)
{
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        BNN_UNROLL
        for (unsigned i = 0; i < 8u; ++i) {
            carries[s][i] = bnn_digit_of(0);
        }
    }
}

/* Adds carries of sixteen rows to the digits v of a counter from that on that they belong to, of
 * which there are `digits`. */
BNN_INLINE void bnn_add_carries(const bnn_digit *carries, unsigned digits, bnn_digit *v)
{
    const bnn_pair fours = bnn_add_eight(v, carries);
    bnn_carry_slices(v, 3, digits, bnn_add_pair(&v[2], fours));
}

/* Adds the rows of `ones` listed inputs to the counters v of `slices` slices side by side, from
 * digit `from` on, which no input changes itself: `words` words of each slice, from w on. The
 * list has an end. */
BNN_INLINE void bnn_add_listed(const bnn_u16 *list, bnn_size ones, bnn_size unit,
                               const bnn_word BNN_ROM *w, bnn_size slices, bnn_size words,
                               unsigned from, unsigned digits, bnn_counters *v)
{
    const bnn_size each = 16u * bnn_parts(words);
    const bnn_size sixteens = (ones + each - 1u) / each;
    bnn_digit low[BNN_ABREAST][4]; /* ones, twos, fours and eights */
    BNN_ONE_ADDRESS(w);
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        BNN_UNROLL
        for (unsigned d = 0; d < 4u; ++d) {
            low[s][d] = v[s][from + 1u + d];
        }
    }
    for (bnn_size i = 0; i < sixteens; i += 8u) {
        const bnn_size count = sixteens - i < 8u ? sixteens - i : 8u;
        bnn_carries carries[BNN_ABREAST];
        if (count < 8u) {
            bnn_clear_carries(carries, slices);
        }
        for (bnn_size j = 0; j < count; ++j) {
            bnn_add_sixteen(list + (i + j) * each, unit, w, slices, words, low, carries, j);
        }
        BNN_UNROLL
        for (bnn_size s = 0; s < slices; ++s) {
            bnn_add_carries(carries[s], digits < 5u ? 0 : digits - 5u, &v[s][from + 5u]);
        }
    }
    BNN_UNROLL
    for (bnn_size s = 0; s < slices; ++s) {
        BNN_UNROLL
        for (unsigned d = 0; d < 4u; ++d) {
            v[s][from + 1u + d] = low[s][d];
        }
    }
}

/* How many words of outputs the slice has that begins in column `column`. */
BNN_INLINE bnn_size bnn_slice_words(bnn_size columns, bnn_size column)
{
    return columns - column < BNN_SLICE_WORDS ? columns - column : BNN_SLICE_WORDS;
}

/* bnn_add_listed for the slice of outputs that begins in column `column` of the rows w. A whole one
 * is a case of its own, so that it is known to be whole. */
BNN_INLINE void bnn_add_column(const bnn_u16 *list, bnn_size ones, bnn_size unit,
                               const bnn_word BNN_ROM *w, bnn_size columns, bnn_size column,
                               unsigned from, unsigned digits, bnn_counters *v)
{
    if (columns - column >= BNN_SLICE_WORDS) {
        bnn_add_listed(list, ones, unit, w + column, 1u, BNN_SLICE_WORDS, from, digits, v);
    } else {
        bnn_add_listed(list, ones, unit, w + column, 1u, columns % BNN_SLICE_WORDS, from, digits,
                       v);
    }
}

/* The same for BNN_ABREAST slices, as many of them as there are. */
BNN_INLINE void bnn_add_columns(const bnn_u16 *list, bnn_size ones, bnn_size unit,
                                const bnn_word BNN_ROM *w, bnn_size columns, bnn_size column,
                                unsigned from, unsigned digits, bnn_counters *v)
{
    if (columns - column >= BNN_ABREAST * BNN_SLICE_WORDS) {
        bnn_add_listed(list, ones, unit, w + column, BNN_ABREAST, BNN_SLICE_WORDS, from, digits, v);
    } else {
        for (bnn_size s = 0; s < BNN_ABREAST && column + s * BNN_SLICE_WORDS < columns; ++s) {
            bnn_add_column(list, ones, unit, w, columns, column + s * BNN_SLICE_WORDS, from, digits,
                           v + s);
        }
    }
}

/* The counters of a block of slices. */
typedef struct bnn_block {
    bnn_counters v[BNN_SLICES];
} bnn_block;

/* The counters of the outputs from column `column` on begin with a number. */
BNN_INLINE void bnn_begin_block(bnn_block *block, bnn_size columns, bnn_size column,
                                unsigned digits, bnn_size number)
{
    for (bnn_size s = 0; s < BNN_SLICES && column + s * BNN_SLICE_WORDS < columns; ++s) {
        const bnn_size words = bnn_slice_words(columns, column + s * BNN_SLICE_WORDS);
        bnn_begin_parts(block->v[s], words, digits + BNN_ABOVE, number);
    }
}

/* Adds listed rows to the counters of a block, from digit `from` on, for the outputs from column
 * `column` on. */
BNN_INLINE void bnn_add_block(const bnn_u16 *list, bnn_size ones, bnn_size unit,
                              const bnn_word BNN_ROM *w, bnn_size columns, bnn_size column,
                              unsigned from, unsigned digits, bnn_block *block)
{
    for (bnn_size s = 0; s < BNN_SLICES; s += BNN_ABREAST) {
        if (column + s * BNN_SLICE_WORDS < columns) {
            bnn_add_columns(list, ones, unit, w, columns, column + s * BNN_SLICE_WORDS, from,
                            digits, block->v + s);
        }
    }
}

/* Adds the rows of those of n inputs that are 1 to the counters of a block, from digit `from` on,
 * for the outputs from column `column` on; n is below 2^16. */
BNN_INLINE void bnn_add_inputs(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size n,
                               bnn_size columns, bnn_size column, unsigned from, unsigned digits,
                               bnn_block *block)
{
    const bnn_size step = bnn_list_step(n, columns);
    for (bnn_size first = 0; first < n; first += BNN_LISTED) {
        bnn_u16 list[BNN_LISTED + BNN_LIST_SLACK];
        bnn_size ones = 0;
        for (bnn_size i = first; i < n && i < first + BNN_LISTED; i += BNN_WORD_BITS) {
            ones = bnn_list_bits(x[i / BNN_WORD_BITS], bnn_lanes(n, i), i, step, list, ones);
        }
        bnn_end_list(list, ones, n * step);
        bnn_add_block(list, ones, columns / step, w, columns, column, from, digits, block);
    }
}

/* Adds up the parts of the counters of a block. */
BNN_INLINE void bnn_join_block(bnn_block *block, bnn_size columns, bnn_size column, unsigned digits)
{
    for (bnn_size s = 0; s < BNN_SLICES && column + s * BNN_SLICE_WORDS < columns; ++s) {
        bnn_join_parts(block->v[s], bnn_slice_words(columns, column + s * BNN_SLICE_WORDS), digits);
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
