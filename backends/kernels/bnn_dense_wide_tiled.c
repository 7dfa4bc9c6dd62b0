/* Dense layer of integers by 32-bit integer weights, in 64 bits, for several pixels:
 * y[p][o] = floor((sum_i x[p][i] * w[o][i] + 2^shift / 2) / 2^shift), modulo 2^32.
 *
 * Weights lie in tiles of BNN_WIDE_TILE outputs, input by input, which BNN_WIDE_ROWS pixels read
 * together. Sums must fit 64 bits; shift is at most 32. */
#include "bnn_kernels.h"
#include "bnn_vectors.h"

#define BNN_WIDE_TILE 8u
#define BNN_WIDE_ROWS 4u

#if defined(__AVX2__)
/* Vectors multiply the lower halves of 64 bits: a tile is its outputs of even numbers, and those of
 * odd ones, which lie above. */
BNN_INLINE void bnn_wide_sums(const void *x, bnn_type x_type, const bnn_size row[BNN_WIDE_ROWS],
                              const int32_t *w, bnn_size n, unsigned shift,
                              int32_t y[BNN_WIDE_ROWS][BNN_WIDE_TILE])
{
    const __m128i by = _mm_cvtsi32_si128((int)shift);
    __m256i even[BNN_WIDE_ROWS], odd[BNN_WIDE_ROWS];
    BNN_UNROLL
    for (bnn_size r = 0; r < BNN_WIDE_ROWS; ++r) {
        even[r] = odd[r] = _mm256_set1_epi64x((int64_t)1 << shift >> 1);
    }
    for (bnn_size i = 0; i < n; ++i) {
        const void *const at = w + i * BNN_WIDE_TILE;
        __m256i lower = _mm256_loadu_si256((const __m256i *)at);
        BNN_IN_REGISTER(lower);
        const __m256i upper = _mm256_srli_epi64(lower, 32);
        BNN_UNROLL
        for (bnn_size r = 0; r < BNN_WIDE_ROWS; ++r) {
            const __m256i input = _mm256_set1_epi32(bnn_load(x, x_type, row[r] + i));
            even[r] = _mm256_add_epi64(even[r], _mm256_mul_epi32(input, lower));
            odd[r] = _mm256_add_epi64(odd[r], _mm256_mul_epi32(input, upper));
        }
    }
    BNN_UNROLL
    for (bnn_size r = 0; r < BNN_WIDE_ROWS; ++r) {
        const __m256i lower = _mm256_srl_epi64(even[r], by);
        const __m256i upper = _mm256_slli_epi64(_mm256_srl_epi64(odd[r], by), 32);
        void *const to = y[r];
        _mm256_storeu_si256((__m256i *)to, _mm256_blend_epi32(lower, upper, 0xAA));
    }
}
#else
BNN_INLINE void bnn_wide_sums(const void *x, bnn_type x_type, const bnn_size row[BNN_WIDE_ROWS],
                              const int32_t BNN_ROM *w, bnn_size n, unsigned shift,
                              int32_t y[BNN_WIDE_ROWS][BNN_WIDE_TILE])
{
    for (bnn_size r = 0; r < BNN_WIDE_ROWS; ++r) {
        uint64_t sum[BNN_WIDE_TILE];
        for (bnn_size o = 0; o < BNN_WIDE_TILE; ++o) {
            sum[o] = (uint64_t)1 << shift >> 1;
        }
        for (bnn_size i = 0; i < n; ++i) {
            const int64_t input = bnn_load(x, x_type, row[r] + i);
            for (bnn_size o = 0; o < BNN_WIDE_TILE; ++o) {
                sum[o] += (uint64_t)(input * bnn_rom_s32(w + i * BNN_WIDE_TILE + o));
            }
        }
        for (bnn_size o = 0; o < BNN_WIDE_TILE; ++o) {
            y[r][o] = bnn_signed((uint32_t)(sum[o] >> shift));
        }
    }
}
#endif

BNN_KERNEL void bnn_dense_wide_tiled(const void *x, bnn_type x_type, const int32_t BNN_ROM *w,
                                     bnn_size n, bnn_size outs, bnn_size pixels, unsigned shift,
                                     int32_t *y)
{
    for (bnn_size o = 0; o < outs; o += BNN_WIDE_TILE) {
        const bnn_size lanes = outs - o < BNN_WIDE_TILE ? outs - o : BNN_WIDE_TILE;
        for (bnn_size first = 0; first < pixels; first += BNN_WIDE_ROWS) {
            const bnn_size there = pixels - first < BNN_WIDE_ROWS ? pixels - first : BNN_WIDE_ROWS;
            bnn_size row[BNN_WIDE_ROWS];
            int32_t result[BNN_WIDE_ROWS][BNN_WIDE_TILE];
            for (bnn_size r = 0; r < BNN_WIDE_ROWS; ++r) {
                row[r] = (first + (r < there ? r : there - 1u)) * n;
            }
            bnn_wide_sums(x, x_type, row, w + o * n, n, shift, result);
            for (bnn_size r = 0; r < there; ++r) {
                int32_t *const to = y + (first + r) * outs + o;
                memcpy(to, result[r], lanes * sizeof *to);
            }
        }
    }
}
