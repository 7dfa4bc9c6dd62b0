/* Counting ones: in a word, and in rows of words.
 *
 * A Cortex-M has no instruction for it. In a row, eight words go through seven full adders and
 * leave digits of one, two and four, which stay, and one word of eights, which is counted (Harley
 * and Seal: Warren, "Hacker's Delight", 2nd ed., 5-1): an eighth of the counting is left. */
#ifndef BNN_POPCOUNT_H
#define BNN_POPCOUNT_H

#include "bnn_types.h"
#include "arm_bnn_compiler.h"

/* The ones of each byte of v, in that byte: sums of 1, 2 and 4 bits side by side. */
BNN_INLINE uint32_t bnn_ones_of_bytes(uint32_t v)
{
    v -= v >> 1 & UINT32_C(0x55555555);
    v = (v & UINT32_C(0x33333333)) + (v >> 2 & UINT32_C(0x33333333));
    return (v + (v >> 4)) & UINT32_C(0x0f0f0f0f);
}

/* The sum of the bytes of v. */
BNN_INLINE uint32_t bnn_sum_of_bytes(uint32_t v)
{
#if ARM_BNN_DSP
    return ARM_BNN_USAD8(v, 0u);
#else
    v = (v & UINT32_C(0x00ff00ff)) + (v >> 8 & UINT32_C(0x00ff00ff));
    return (v + (v >> 16)) & UINT32_C(0xffff);
#endif
}

/* The number of ones in v. */
BNN_INLINE unsigned bnn_popcount(bnn_word v)
{
    return (unsigned)(bnn_ones_of_bytes(v) * UINT32_C(0x01010101) >> 24);
}

/* One digit added to two others: *sum becomes the sum's digit, and the carry is returned. */
BNN_INLINE uint32_t arm_bnn_full_add(uint32_t *sum, uint32_t a, uint32_t b)
{
#if ARM_BNN_THUMB1
    uint32_t s = *sum;
    __asm__(".syntax unified\n\t"
            "eors %0, %1\n\t"
            "eors %1, %2\n\t"
            "orrs %1, %0\n\t"
            "eors %0, %2\n\t"
            "eors %1, %0"
            : "+l"(s), "+l"(a)
            : "l"(b)
            : "cc");
    *sum = s;
    return a;
#else
    const uint32_t half = *sum ^ a;
    const uint32_t total = half ^ b;
    const uint32_t carry = total ^ (half | (*sum ^ b));
    *sum = total;
    return carry;
#endif
}

/* A word of two rows: where they differ, or where both are 1. */
BNN_INLINE uint32_t bnn_both(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size i, int differ)
{
    return differ ? x[i] ^ bnn_rom_word(w + i) : x[i] & bnn_rom_word(w + i);
}

/* The ones of a row made of two. */
BNN_INLINE bnn_size bnn_count_row(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words,
                                  int differ)
{
    uint32_t one = 0, two = 0, four = 0, bytes;
    bnn_size count = 0;
    for (bnn_size i = 0; i < words / 8u * 8u; i += 8u) {
        uint32_t a, b, c;
        a = arm_bnn_full_add(&one, bnn_both(x, w, i, differ),
                             bnn_both(x, w, i + 1u, differ));
        b = arm_bnn_full_add(&one, bnn_both(x, w, i + 2u, differ),
                             bnn_both(x, w, i + 3u, differ));
        a = arm_bnn_full_add(&two, a, b);
        b = arm_bnn_full_add(&one, bnn_both(x, w, i + 4u, differ),
                             bnn_both(x, w, i + 5u, differ));
        c = arm_bnn_full_add(&one, bnn_both(x, w, i + 6u, differ),
                             bnn_both(x, w, i + 7u, differ));
        b = arm_bnn_full_add(&two, b, c);
        count += 8u * bnn_popcount(arm_bnn_full_add(&four, a, b));
    }
    bytes = bnn_ones_of_bytes(one) + 2u * bnn_ones_of_bytes(two) + 4u * bnn_ones_of_bytes(four);
    for (bnn_size i = words / 8u * 8u; i < words; ++i) {
        bytes += bnn_ones_of_bytes(bnn_both(x, w, i, differ));
    }
    return count + bnn_sum_of_bytes(bytes); /* at most 8 * (7 + 7) in a byte */
}

/* The number of places where x and w differ. */
BNN_INLINE bnn_size bnn_differing(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    return bnn_count_row(x, w, words, 1);
}

/* The number of places where both x and w are 1. */
BNN_INLINE bnn_size bnn_common(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    return bnn_count_row(x, w, words, 0);
}

/* What bit plane `plane` of `planes` weighs, modulo 2^32: a power of two, negative for the sign
 * plane. */
BNN_INLINE uint32_t bnn_plane_weight(unsigned plane, unsigned planes, int x_signed)
{
    const uint32_t weight = (uint32_t)1 << plane;
    return x_signed && plane + 1u == planes ? (uint32_t)0 - weight : weight;
}

#endif
