/* Runs of bits at any place in packed words, and the taps of windows. As the common header, with a
 * short way for runs that begin and end with bytes: an AVR shifts by one place at a time. */
#ifndef BNN_BITS_H
#define BNN_BITS_H

#include <string.h>

#include "bnn_types.h"

/* The n bits (1 to 8) of x from bit `at` on, in the low bits of a word. */
BNN_INLINE bnn_word bnn_take(const bnn_word *x, bnn_size at, bnn_size n)
{
    const bnn_word *const word = x + at / 8u;
    const uint8_t shift = (uint8_t)(at % 8u);
    bnn_word bits = (bnn_word)(*word >> shift);
    if (shift + n > 8u) {
        bits = (bnn_word)(bits | (bnn_word)(word[1] << (8u - shift)));
    }
    return (bnn_word)(bits & (0xffu >> (8u - n)));
}

/* Puts n bits (1 to 8; the others of `bits` are 0) into y from bit `at` on. Runs are appended in
 * order, from bit 0 on: the bits behind this one become 0 up to the end of its word. */
BNN_INLINE void bnn_append(bnn_word *y, bnn_size at, bnn_word bits, bnn_size n)
{
    bnn_word *const word = y + at / 8u;
    const uint8_t shift = (uint8_t)(at % 8u);
    if (shift == 0) {
        *word = bits;
        return;
    }
    *word = (bnn_word)(*word | (bnn_word)(bits << shift));
    if (shift + n > 8u) {
        word[1] = (bnn_word)(bits >> (8u - shift));
    }
}

/* Appends the n bits of x from bit `from` on to y at bit `at`. */
BNN_INLINE void bnn_append_run(bnn_word *y, bnn_size at, const bnn_word *x, bnn_size from,
                               bnn_size n)
{
    if (n % 8u == 0 && ((at | from) & 7u) == 0) {
        memcpy(y + at / 8u, x + from / 8u, n / 8u);
        return;
    }
    for (bnn_size i = 0; i < n; i += 8u) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_append(y, at + i, bnn_take(x, from + i, lanes), lanes);
    }
}

/* ORs the n bits of x into y from bit `at` on. */
BNN_INLINE void bnn_or_run(bnn_word *y, bnn_size at, const bnn_word *x, bnn_size n)
{
    const uint8_t shift = (uint8_t)(at % 8u);
    bnn_word *word = y + at / 8u;
    for (bnn_size i = 0; i < n; i += 8u) {
        const bnn_word bits = *x++;
        *word = (bnn_word)(*word | (bnn_word)(bits << shift));
        ++word;
        if (shift + bnn_lanes(n, i) > 8u) {
            *word = (bnn_word)(*word | (bnn_word)(bits >> (8u - shift)));
        }
    }
}

/* Appends n bits that all are `bit` (0 or 1) to y at bit `at`. */
BNN_INLINE void bnn_append_fill(bnn_word *y, bnn_size at, uint32_t bit, bnn_size n)
{
    const bnn_word fill = bit != 0 ? 0xff : 0;
    if (n % 8u == 0 && (at & 7u) == 0) {
        memset(y + at / 8u, fill, n / 8u);
        return;
    }
    for (bnn_size i = 0; i < n; i += 8u) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_append(y, at + i, (bnn_word)(fill >> (8u - lanes)), lanes);
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
