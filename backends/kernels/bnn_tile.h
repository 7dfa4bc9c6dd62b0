/* Differing bits for a tile of BNN_TILE outputs at once, whose weights lie side by side: word i of
 * a tile is w[i * BNN_TILE] to w[i * BNN_TILE + BNN_TILE - 1], one for each output.
 *
 * Each word of x is compared with a vector of weights, and outputs stay in their lanes, so that
 * short rows lose nothing to a vector's width. With AVX2 instructions ones are counted by looking
 * up halves of bytes (Mula, Kurz and Lemire, "Faster Population Counts Using AVX2 Instructions",
 * 2018), where there is none that counts them: that one compilers make of the plain loop. */
#ifndef BNN_TILE_H
#define BNN_TILE_H

#include "bnn_popcount.h"

#define BNN_TILE 4u

#if defined(__AVX2__) && !defined(__AVX512VPOPCNTDQ__) && BNN_WORD_BITS == 64
#include <immintrin.h>

/* Words until a byte could hold more than 255 ones. */
#define BNN_TILE_WORDS 31u

/* The ones in each byte of v. */
BNN_INLINE __m256i bnn_byte_ones(__m256i v)
{
    const __m256i ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                          2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i half = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(v, half);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), half);
    return _mm256_add_epi8(_mm256_shuffle_epi8(ones, low), _mm256_shuffle_epi8(ones, high));
}

/* differing[t] is the number of places where x and the weights of output t of the tile differ. */
BNN_INLINE void bnn_differing_tile(const bnn_word *x, const bnn_word *w, bnn_size words,
                                   bnn_size *differing)
{
    __m256i sum = _mm256_setzero_si256();
    for (bnn_size i = 0; i < words; i += BNN_TILE_WORDS) {
        const bnn_size end = words - i < BNN_TILE_WORDS ? words : i + BNN_TILE_WORDS;
        __m256i bytes = _mm256_setzero_si256();
        for (bnn_size j = i; j < end; ++j) {
            const __m256i input = _mm256_set1_epi64x((long long)x[j]);
            const void *const at = w + j * BNN_TILE;
            const __m256i row = _mm256_loadu_si256((const __m256i *)at);
            bytes = _mm256_add_epi8(bytes, bnn_byte_ones(_mm256_xor_si256(input, row)));
        }
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
    }
    _mm256_storeu_si256((__m256i *)(void *)differing, sum);
}
#else
BNN_INLINE void bnn_differing_tile(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words,
                                   bnn_size *differing)
{
    for (unsigned t = 0; t < BNN_TILE; ++t) {
        differing[t] = 0;
    }
    for (bnn_size i = 0; i < words; ++i) {
        for (unsigned t = 0; t < BNN_TILE; ++t) {
            const bnn_word row = bnn_rom_word(w + i * BNN_TILE + t);
            differing[t] += bnn_popcount((bnn_word)(x[i] ^ row));
        }
    }
}
#endif

#endif
