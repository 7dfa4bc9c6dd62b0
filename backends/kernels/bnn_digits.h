/* Digits of the counters of bnn_sliced.h for several words of outputs at a time: vectors of GNU C,
 * which are made of whatever instructions there are, or single words. */
#ifndef BNN_DIGITS_H
#define BNN_DIGITS_H

#include <string.h>

#include "bnn_sliced.h"

/* A slice is BNN_SLICE_WORDS words of outputs, and bnn_digit a digit of their counters. */
#if !defined(BNN_SLICE_WORDS)
#if !defined(__GNUC__) || BNN_WORD_BITS != 64
#define BNN_SLICE_WORDS 1
#elif defined(__AVX512F__)
#define BNN_SLICE_WORDS 8
#elif defined(__AVX2__)
#define BNN_SLICE_WORDS 4
#elif defined(__SSE2__) || defined(__ARM_NEON)
#define BNN_SLICE_WORDS 2
#else
#define BNN_SLICE_WORDS 1
#endif
#endif

#if BNN_SLICE_WORDS > 1
typedef bnn_word bnn_digit __attribute__((__vector_size__(BNN_SLICE_WORDS * 8u)));
#else
typedef bnn_word bnn_digit;
#endif

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* The `words` words from w on (1 to BNN_SLICE_WORDS - 1), and zeros. */
#if BNN_SLICE_WORDS == 8 && defined(__AVX512F__)
BNN_INLINE bnn_digit bnn_load_part(const bnn_word *w, bnn_size words)
{
    return (bnn_digit)_mm512_maskz_loadu_epi64((__mmask8)((1u << words) - 1u), w);
}
#elif BNN_SLICE_WORDS == 4 && defined(__AVX2__)
BNN_INLINE bnn_digit bnn_load_part(const bnn_word *w, bnn_size words)
{
    const __m256i places = _mm256_setr_epi64x(0, 1, 2, 3);
    const __m256i mask = _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)words), places);
    return (bnn_digit)_mm256_maskload_epi64((const long long *)(const void *)w, mask);
}
#elif BNN_SLICE_WORDS == 2
BNN_INLINE bnn_digit bnn_load_part(const bnn_word *w, bnn_size words)
{
    const bnn_digit part = {w[0], 0};
    (void)words;
    return part;
}
#else
BNN_INLINE bnn_digit bnn_load_part(const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_word part[BNN_SLICE_WORDS] = {0};
    bnn_digit digit;
    for (bnn_size i = 0; i < words; ++i) {
        part[i] = bnn_rom_word(w + i);
    }
    memcpy(&digit, part, sizeof digit);
    return digit;
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
    return (bnn_digit)(zero - (bnn_word)bit);
}

/* bnn_full_add in the fewest instructions: two for any function of three bits with AVX-512, and
 * three where bits can be selected. Where a and b differ, the carry is what the sum was. The sum is
 * the last to be needed, as it is what the next addition waits for. With AVX-512 the sum takes the
 * place of b and the carry, from the new sum, that of the old one: nothing is copied. */
BNN_INLINE bnn_digit bnn_add_digits(bnn_digit *sum, bnn_digit a, bnn_digit b)
{
#if BNN_SLICE_WORDS == 8 && defined(__AVX512F__)
    const __m512i x = (__m512i)*sum, y = (__m512i)a, z = (__m512i)b;
    const __m512i total = _mm512_ternarylogic_epi64(z, x, y, 0x96);
    *sum = (bnn_digit)total;
    return (bnn_digit)_mm512_ternarylogic_epi64(x, y, total, 0xD4);
#else
    const bnn_digit differ = (bnn_digit)(a ^ b);
#if BNN_SLICE_WORDS == 2 && defined(__ARM_NEON)
    const uint64x2_t ours = (uint64x2_t)*sum, other = (uint64x2_t)a;
    const bnn_digit carry = (bnn_digit)vbslq_u64((uint64x2_t)differ, ours, other);
#else
    const bnn_digit carry = (bnn_digit)(a ^ (differ & (a ^ *sum)));
#endif
    *sum = (bnn_digit)(*sum ^ differ);
    return carry;
#endif
}

/* Counters begin with a number, the same in all lanes. */
BNN_INLINE void bnn_begin_slices(bnn_digit *v, unsigned digits, bnn_size number)
{
    for (unsigned d = 0; d < digits; ++d) {
        v[d] = bnn_digit_of((unsigned)(number >> d & 1u));
    }
}

/* Adds a carry into digit `from` and those above it. */
BNN_INLINE void bnn_carry_slices(bnn_digit *v, unsigned from, unsigned digits, bnn_digit carry)
{
    for (unsigned d = from; d < digits; ++d) {
        const bnn_digit digit = v[d];
        v[d] = (bnn_digit)(digit ^ carry);
        carry = (bnn_digit)(digit & carry);
    }
}

/* Where a number reaches a threshold, as far as a digit v of the one and t of the other, by whether
 * it did as far as the digit below: where they differ, v decides. */
BNN_INLINE bnn_digit bnn_reached_digit(bnn_digit reached, bnn_digit v, bnn_digit t)
{
#if BNN_SLICE_WORDS == 8 && defined(__AVX512F__)
    return (bnn_digit)_mm512_ternarylogic_epi64((__m512i)v, (__m512i)t, (__m512i)reached, 0xB2);
#elif BNN_SLICE_WORDS == 2 && defined(__ARM_NEON)
    return (bnn_digit)vbslq_u64((uint64x2_t)(v ^ t), (uint64x2_t)v, (uint64x2_t)reached);
#else
    return (bnn_digit)((v & ~t) | (reached & ~(v ^ t)));
#endif
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
            reached = bnn_reached_digit(reached, v[d], t);
        }
        odd = (bnn_digit)(odd ^ reached);
    }
    return odd;
}

#endif
