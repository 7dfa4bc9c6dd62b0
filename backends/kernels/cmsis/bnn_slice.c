/* Integers to bit planes (see the common kernel of this name).
 *
 * Bytes go 32 at a time: eight words, of which bit p of byte l of word j becomes bit 4 j + l of
 * plane p. Each of five steps exchanges a digit of the place in a word with one of the word's
 * number (Warren, "Hacker's Delight", 2nd ed., 7-3, and 7-8 on permuting digits of addresses). */
#include <string.h>
#include "bnn_kernels.h"

/* Swaps the bits of b under the mask with those of a that are `by` places above. */
BNN_INLINE void bnn_swap_bits(uint32_t *a, uint32_t *b, uint32_t mask, unsigned by)
{
    const uint32_t differ = (*a >> by ^ *b) & mask;
    *b ^= differ;
    *a ^= differ << by;
}

/* Swaps the upper half of each 2 `by` bits of a word with the lower half of those of the word
 * `apart` (1, 2 or 4) behind it, in four pairs. */
BNN_INLINE void bnn_swap_words(uint32_t *w, unsigned apart, uint32_t mask, unsigned by)
{
    const unsigned second = apart == 1u ? 2u : 1u;
    const unsigned third = apart == 4u ? 2u : 4u;
    bnn_swap_bits(w, w + apart, mask, by);
    bnn_swap_bits(w + second, w + second + apart, mask, by);
    bnn_swap_bits(w + third, w + third + apart, mask, by);
    bnn_swap_bits(w + third + second, w + third + second + apart, mask, by);
}

/* Bits `first` to first + 7 of 32 integers from the i-th on, as bytes; 0 from the n-th on. */
BNN_INLINE void bnn_bytes(const void *x, bnn_type x_type, bnn_size i, bnn_size n, unsigned first,
                          uint32_t *w)
{
    if (first == 0 && (x_type == BNN_U8 || x_type == BNN_S8)) {
        if (i + 32u <= n) {
            memcpy(w, (const uint8_t *)x + i, 32);
        } else {
            memset(w, 0, 32);
            memcpy(w, (const uint8_t *)x + i, n - i);
        }
        return;
    }
    for (unsigned j = 0; j < 8u; ++j) {
        w[j] = 0;
        for (unsigned l = 0; l < 4u && i + 4u * j + l < n; ++l) {
            const uint32_t bits = (uint32_t)bnn_load(x, x_type, i + 4u * j + l) >> first;
            w[j] |= (bits & 255u) << 8u * l;
        }
    }
}

/* Writes a word of plane p, if there is one. */
BNN_INLINE void bnn_put_plane(bnn_word *y, bnn_size words, unsigned p, unsigned planes,
                              uint32_t bits)
{
    if (p < planes) {
        y[p * words] = bits;
    }
}

/* Turns 32 bytes into a word of each plane; word p is `words` behind word p - 1. */
BNN_INLINE void bnn_turn(const uint32_t *bytes, unsigned planes, bnn_size words, bnn_word *y)
{
    uint32_t w[8] = {bytes[0], bytes[1], bytes[2], bytes[3],
                     bytes[4], bytes[5], bytes[6], bytes[7]};
    bnn_swap_words(w, 4, UINT32_C(0x0000ffff), 16);
    bnn_swap_words(w, 2, UINT32_C(0x00ff00ff), 8);
    bnn_swap_words(w, 1, UINT32_C(0x0f0f0f0f), 4);
    bnn_swap_words(w, 4, UINT32_C(0x33333333), 2);
    bnn_swap_words(w, 2, UINT32_C(0x55555555), 1);
    bnn_put_plane(y, words, 0, planes, w[0]);
    bnn_put_plane(y, words, 1, planes, w[2]);
    bnn_put_plane(y, words, 2, planes, w[4]);
    bnn_put_plane(y, words, 3, planes, w[6]);
    bnn_put_plane(y, words, 4, planes, w[1]);
    bnn_put_plane(y, words, 5, planes, w[3]);
    bnn_put_plane(y, words, 6, planes, w[5]);
    bnn_put_plane(y, words, 7, planes, w[7]);
}

BNN_KERNEL void bnn_slice(const void *x, bnn_type x_type, bnn_size n, unsigned planes, bnn_word *y)
{
    const bnn_size words = bnn_words(n);
    for (unsigned first = 0; first < planes; first += 8u) {
        for (bnn_size i = 0; i < n; i += 32u) {
            uint32_t bytes[8]; /* before anything is written */
            bnn_bytes(x, x_type, i, n, first, bytes);
            bnn_turn(bytes, planes - first, words, y + first * words + i / 32u);
        }
    }
}
