/* Runs of bits at any place in packed words, and the taps of windows. */
#ifndef BNN_BITS_H
#define BNN_BITS_H

#include "bnn_types.h"

/* The n bits (1 to BNN_WORD_BITS) of x from bit `at` on, in the low bits of a word. */
BNN_INLINE bnn_word bnn_take(const bnn_word *x, bnn_size at, bnn_size n)
{
    const bnn_size word = at / BNN_WORD_BITS;
    const bnn_size shift = at % BNN_WORD_BITS;
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    bnn_word bits = (bnn_word)(x[word] >> shift);
    if (shift + n > BNN_WORD_BITS) {
        bits = (bnn_word)(bits | (bnn_word)(x[word + 1u] << (BNN_WORD_BITS - shift)));
    }
    return (bnn_word)(bits & (ones >> (BNN_WORD_BITS - n)));
}

/* Puts n bits (1 to BNN_WORD_BITS; the others of `bits` are 0) into y from bit `at` on. Runs are
 * appended in order, from bit 0 on: the bits behind this one become 0 up to the end of its word. */
BNN_INLINE void bnn_append(bnn_word *y, bnn_size at, bnn_word bits, bnn_size n)
{
    const bnn_size word = at / BNN_WORD_BITS;
    const bnn_size shift = at % BNN_WORD_BITS;
    if (shift == 0) {
        y[word] = bits;
        return;
    }
    y[word] = (bnn_word)(y[word] | (bnn_word)(bits << shift));
    if (shift + n > BNN_WORD_BITS) {
        y[word + 1u] = (bnn_word)(bits >> (BNN_WORD_BITS - shift));
    }
}

/* Appends the n bits of x from bit `from` on to y at bit `at`. */
BNN_INLINE void bnn_append_run(bnn_word *y, bnn_size at, const bnn_word *x, bnn_size from,
                               bnn_size n)
{
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_append(y, at + i, bnn_take(x, from + i, lanes), lanes);
    }
}

/* ORs the n bits of x into y from bit `at` on. */
BNN_INLINE void bnn_or_run(bnn_word *y, bnn_size at, const bnn_word *x, bnn_size n)
{
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size word = (at + i) / BNN_WORD_BITS;
        const bnn_size shift = (at + i) % BNN_WORD_BITS;
        const bnn_word bits = x[i / BNN_WORD_BITS];
        y[word] = (bnn_word)(y[word] | (bnn_word)(bits << shift));
        if (shift + bnn_lanes(n, i) > BNN_WORD_BITS) {
            y[word + 1u] = (bnn_word)(y[word + 1u] | (bnn_word)(bits >> (BNN_WORD_BITS - shift)));
        }
    }
}

/* Appends n bits that all are `bit` (0 or 1) to y at bit `at`. */
BNN_INLINE void bnn_append_fill(bnn_word *y, bnn_size at, uint32_t bit, bnn_size n)
{
    const bnn_word fill = bit != 0 ? (bnn_word)~(bnn_word)0 : (bnn_word)0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_append(y, at + i, (bnn_word)(fill >> (BNN_WORD_BITS - lanes)), lanes);
    }
}

/* The coordinate in the map of tap `tap` of the window at `position`: below `size`, or `size`
 * where the tap lies outside. */
BNN_INLINE bnn_size bnn_tap(bnn_size position, bnn_size stride, bnn_size tap, bnn_size dilation,
                            bnn_size before, bnn_size size)
{
    const bnn_size at = position * stride + tap * dilation;
    return at < before || at - before >= size ? size : at - before;
}

/* Whether all taps of a window's row lie on the map, where taps are neighbours. */
BNN_INLINE int bnn_all_inside(bnn_size position, bnn_size stride, bnn_size taps, bnn_size before,
                              bnn_size size)
{
    const bnn_size first = position * stride;
    return first >= before && first - before + taps <= size;
}

#endif
