/* Counting ones: in a word, and in rows of words. */
#ifndef BNN_POPCOUNT_H
#define BNN_POPCOUNT_H

#include "bnn_types.h"

/* The number of ones in v. Where the machine has an instruction for it, that is what the builtin
 * is; elsewhere it calls a library function, which is slower than these sums of 1, 2 and 4 bits
 * side by side, added up by a multiplication. */
BNN_INLINE unsigned bnn_popcount(bnn_word v)
{
#if defined(__GNUC__) && (defined(__POPCNT__) || defined(__aarch64__) || defined(__riscv_zbb))
    return (unsigned)__builtin_popcountll(v);
#else
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    v = (bnn_word)(v - ((v >> 1) & (ones / 3u)));
    v = (bnn_word)((v & (ones / 5u)) + ((v >> 2) & (ones / 5u)));
    v = (bnn_word)((bnn_word)(v + (v >> 4)) & (ones / 17u));
    return (unsigned)((bnn_word)(v * (ones / 255u)) >> (BNN_WORD_BITS - 8));
#endif
}

/* The number of places where x and w differ. */
BNN_INLINE bnn_size bnn_differing(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_size count = 0;
    for (bnn_size i = 0; i < words; ++i) {
        count += bnn_popcount((bnn_word)(x[i] ^ bnn_rom_word(w + i)));
    }
    return count;
}

/* The number of places where both x and w are 1. */
BNN_INLINE bnn_size bnn_common(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_size count = 0;
    for (bnn_size i = 0; i < words; ++i) {
        count += bnn_popcount((bnn_word)(x[i] & bnn_rom_word(w + i)));
    }
    return count;
}

/* What bit plane `plane` of `planes` weighs, modulo 2^32: a power of two, negative for the sign
 * plane. */
BNN_INLINE uint32_t bnn_plane_weight(unsigned plane, unsigned planes, int x_signed)
{
    const uint32_t weight = (uint32_t)1 << plane;
    return x_signed && plane + 1u == planes ? (uint32_t)0 - weight : weight;
}

#endif
