/* Digits in parts, for slices of few outputs: each part of a vector takes a row of its own, so that
 * a vector has several of them, and in the end the counters of all parts are added up. */
#ifndef BNN_PARTS_H
#define BNN_PARTS_H

#include "bnn_adders.h"

/* The most parts that there can be. */
#if BNN_SLICE_WORDS < 4
#define BNN_PARTS BNN_SLICE_WORDS
#else
#define BNN_PARTS 4
#endif

BNN_INLINE bnn_word bnn_get_word(bnn_digit digit, bnn_size i)
{
#if BNN_SLICE_WORDS > 1
    return digit[i];
#else
    (void)i;
    return digit;
#endif
}

/* The digit with another word i. */
BNN_INLINE bnn_digit bnn_with_word(bnn_digit digit, bnn_size i, bnn_word word)
{
#if BNN_SLICE_WORDS > 1
    digit[i] = word;
    return digit;
#else
    (void)digit;
    (void)i;
    return word;
#endif
}

/* How many parts a digit has where rows have `words` words: a power of two. */
BNN_INLINE bnn_size bnn_parts(bnn_size words)
{
    return 4u * words <= BNN_SLICE_WORDS ? 4u : 2u * words <= BNN_SLICE_WORDS ? 2u : 1u;
}

/* How many words a part has room for. */
BNN_INLINE bnn_size bnn_part_words(bnn_size words)
{
    return BNN_SLICE_WORDS / bnn_parts(words);
}

/* A row for each part: `words` words that begin list[0], list[1], ... times `unit` words behind
 * w. */
BNN_INLINE bnn_digit bnn_load_rows(const bnn_word BNN_ROM *w, const bnn_u16 *list, bnn_size unit,
                                   bnn_size words)
{
    bnn_digit rows = bnn_digit_of(0);
    if (bnn_parts(words) == 1u) {
        return bnn_load_digit(w + list[0] * unit, words);
    }
#if BNN_SLICE_WORDS == 4 && defined(__AVX2__)
    if (words == 2u) {
        const void *const first = w + list[0] * unit, *const second = w + list[1] * unit;
        const __m128i low = _mm_loadu_si128((const __m128i *)first);
        const __m128i high = _mm_loadu_si128((const __m128i *)second);
        return (bnn_digit)_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
#endif
#if BNN_SLICE_WORDS == 8 && defined(__AVX512F__)
    /* Nothing is read of what lies in front of a row, as it is masked. */
    BNN_UNROLL
    for (bnn_size k = 0; k < bnn_parts(words); ++k) {
        const bnn_size from = k * bnn_part_words(words);
        const uintptr_t row = (uintptr_t)(w + list[k] * unit) - from * sizeof *w;
        const __mmask8 mask = (__mmask8)(((1u << words) - 1u) << from);
        rows = (bnn_digit)_mm512_mask_loadu_epi64((__m512i)rows, mask, (const void *)row);
    }
#else
    BNN_UNROLL
    for (bnn_size i = 0; i < BNN_SLICE_WORDS; ++i) {
        const bnn_size word = i % bnn_part_words(words);
        if (word < words) {
            const bnn_word BNN_ROM *const row = w + list[i / bnn_part_words(words)] * unit;
            rows = bnn_with_word(rows, i, bnn_rom_word(row + word));
        }
    }
#endif
    return rows;
}

/* Counters begin with a number, which is in the first part. */
BNN_INLINE void bnn_begin_parts(bnn_digit *v, bnn_size words, unsigned digits, bnn_size number)
{
    bnn_digit first = bnn_digit_of(1);
    for (bnn_size i = bnn_part_words(words); i < BNN_SLICE_WORDS; ++i) {
        first = bnn_with_word(first, i, 0);
    }
    for (unsigned d = 0; d < digits; ++d) {
        v[d] = (bnn_digit)(bnn_digit_of((unsigned)(number >> d & 1u)) & first);
    }
}

/* Adds the counters in the words from `half` on to those in the words before. */
BNN_INLINE void bnn_join_halves(bnn_digit *v, bnn_size half, unsigned digits)
{
    bnn_digit carry = bnn_digit_of(0);
    for (unsigned d = 0; d < digits; ++d) {
        bnn_digit other = bnn_digit_of(0);
        BNN_UNROLL
        for (bnn_size i = 0; i < half; ++i) {
            other = bnn_with_word(other, i, bnn_get_word(v[d], half + i));
        }
        carry = bnn_add_digits(&v[d], other, carry);
    }
}

/* Leaves the sum of the parts' counters in the first part. */
BNN_INLINE void bnn_join_parts(bnn_digit *v, bnn_size words, unsigned digits)
{
    if (bnn_parts(words) > 1u) {
        bnn_join_halves(v, BNN_SLICE_WORDS / 2u, digits);
    }
    if (bnn_parts(words) > 2u) {
        bnn_join_halves(v, BNN_SLICE_WORDS / 4u, digits);
    }
}

#endif
