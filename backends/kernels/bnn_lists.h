/* Lists of the inputs that are 1, several at a time and without a branch: a table has for each four
 * bits, or eight, where their ones are. */
#ifndef BNN_LISTS_H
#define BNN_LISTS_H

#include <string.h>

#include "bnn_popcount.h"

#if defined(__AVX2__) && BNN_WORD_BITS == 64
#include <immintrin.h>

#define BNN_LIST_BITS 32u /* that are listed without asking for the end */

/* The places of the ones of eight bits, a byte for each: those of the lower four, of which there
 * are `count`, and then of the higher four. */
#define BNN_PLACES(low, count, high) ((uint64_t)(low) | (uint64_t)(high) << 8 * (count))
#define BNN_PLACES_OF_LOW(high)                                                                \
    BNN_PLACES(0, 0, high), BNN_PLACES(0, 1, high), BNN_PLACES(1, 1, high),                    \
        BNN_PLACES(0x100, 2, high), BNN_PLACES(2, 1, high), BNN_PLACES(0x200, 2, high),        \
        BNN_PLACES(0x201, 2, high), BNN_PLACES(0x20100, 3, high), BNN_PLACES(3, 1, high),      \
        BNN_PLACES(0x300, 2, high), BNN_PLACES(0x301, 2, high), BNN_PLACES(0x30100, 3, high),  \
        BNN_PLACES(0x302, 2, high), BNN_PLACES(0x30200, 3, high), BNN_PLACES(0x30201, 3, high), \
        BNN_PLACES(0x3020100, 4, high)

static const uint64_t bnn_ones_of[256] = {
    BNN_PLACES_OF_LOW(0),       BNN_PLACES_OF_LOW(4),       BNN_PLACES_OF_LOW(5),
    BNN_PLACES_OF_LOW(0x504),   BNN_PLACES_OF_LOW(6),       BNN_PLACES_OF_LOW(0x604),
    BNN_PLACES_OF_LOW(0x605),   BNN_PLACES_OF_LOW(0x60504), BNN_PLACES_OF_LOW(7),
    BNN_PLACES_OF_LOW(0x704),   BNN_PLACES_OF_LOW(0x705),   BNN_PLACES_OF_LOW(0x70504),
    BNN_PLACES_OF_LOW(0x706),   BNN_PLACES_OF_LOW(0x70604), BNN_PLACES_OF_LOW(0x70605),
    BNN_PLACES_OF_LOW(0x7060504)};

/* Appends to a list of `count` numbers those of the first n bits that are 1, of which the lowest
 * has the number `first`, times `step`; returns how many there are then. All numbers, multiplied
 * too, are below 2^16. Up to eight more are written behind them. */
BNN_INLINE bnn_size bnn_list_bits(bnn_word bits, bnn_size n, bnn_size first, bnn_size step,
                                  bnn_u16 *list, bnn_size count)
{
    const __m128i steps = _mm_set1_epi16((short)step);
    const __m128i eights = _mm_set1_epi16((short)(8u * step));
    __m128i lowest = _mm_set1_epi16((short)(first * step));
    for (bnn_size i = 0; i < n; i += BNN_LIST_BITS) {
        BNN_UNROLL
        for (bnn_size j = i; j < i + BNN_LIST_BITS; j += 8u) {
            const bnn_word eight = bits >> j & 255u;
            const __m128i bytes = _mm_cvtsi64_si128((long long)bnn_ones_of[eight]);
            const __m128i places = _mm_mullo_epi16(_mm_cvtepu8_epi16(bytes), steps);
            const __m128i numbers = _mm_add_epi16(places, lowest);
            memcpy(list + count, &numbers, sizeof numbers);
            lowest = _mm_add_epi16(lowest, eights);
            count += bnn_popcount(eight);
        }
    }
    return count;
}
#else
static const uint16_t bnn_ones_of[16][4] = {
    {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {2, 0, 0, 0}, {0, 2, 0, 0},
    {1, 2, 0, 0}, {0, 1, 2, 0}, {3, 0, 0, 0}, {0, 3, 0, 0}, {1, 3, 0, 0}, {0, 1, 3, 0},
    {2, 3, 0, 0}, {0, 2, 3, 0}, {1, 2, 3, 0}, {0, 1, 2, 3}};
static const uint8_t bnn_count_of[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

/* Appends to a list of `count` numbers those of the first n bits that are 1, of which the lowest
 * has the number `first`, times `step`; returns how many there are then. All numbers, multiplied
 * too, are below 2^16. Up to eight more are written behind them. */
BNN_INLINE bnn_size bnn_list_bits(bnn_word bits, bnn_size n, bnn_size first, bnn_size step,
                                  bnn_u16 *list, bnn_size count)
{
    for (bnn_size i = 0; i < n; i += 4u) {
        const unsigned four = (unsigned)(bits >> i) & 15u;
        uint64_t numbers; /* four of 16 bits, to each of which the same is added */
        memcpy(&numbers, bnn_ones_of[four], sizeof numbers);
        numbers += (uint64_t)(first + i) * 0x0001000100010001u;
        numbers *= step;
        memcpy(list + count, &numbers, sizeof numbers);
        count += bnn_count_of[four];
    }
    return count;
}
#endif

#endif
