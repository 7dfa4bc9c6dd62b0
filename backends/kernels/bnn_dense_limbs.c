/* Dense layer of 16-bit integers by integer weights, in limbs, for several pixels:
 * y[p][o] = floor((sum_i x[p][i] * w[o][i] + 2^shift / 2) / 2^shift), modulo 2^32.
 *
 * Weights of many bits are sums of limbs, the digits of long multiplication, of BNN_W_LIMB bits.
 * Digits are signed, and the last one is what is left; they lie as bnn_pairs.h says, in groups of
 * BNN_GROUP outputs. So each product is one of 16-bit integers, of which vector instructions do
 * many at a time.
 *
 * shift is at most 32. `most` pairs of products of limbs fit 31 bits together with BNN_CARRY bits;
 * sums must fit 64. */
#include "bnn_kernels.h"
#include "bnn_pairs.h"

#define BNN_W_LIMB 12u

#if defined(__AVX2__)
/* Adds what a limb has for the outputs of even numbers, which lie in the lower halves of lanes. */
BNN_INLINE __m256i bnn_even_sums(__m256i sum, __m256i acc, __m256i top, unsigned limb)
{
    const int32_t unit = (int32_t)1 << limb * BNN_W_LIMB;
    const __m256i carried = _mm256_mul_epi32(top, _mm256_set1_epi64x(unit * (1 << BNN_CARRY)));
    sum = _mm256_add_epi64(sum, _mm256_mul_epi32(acc, _mm256_set1_epi64x(unit)));
    return _mm256_add_epi64(sum, carried);
}

/* The results of row r. */
BNN_INLINE void bnn_join_limbs(const bnn_sums *sums, unsigned limbs, bnn_size r, unsigned shift,
                               int32_t result[BNN_GROUP])
{
    const __m128i by = _mm_cvtsi32_si128((int)shift);
    __m256i even = _mm256_set1_epi64x((int64_t)1 << shift >> 1), odd = even;
    void *const to = result;
    for (unsigned l = 0; l < limbs; ++l) {
        const void *const acc_at = sums->acc[r][l], *const top_at = sums->top[r][l];
        const __m256i acc = _mm256_loadu_si256((const __m256i *)acc_at);
        const __m256i top = _mm256_loadu_si256((const __m256i *)top_at);
        even = bnn_even_sums(even, acc, top, l);
        odd = bnn_even_sums(odd, _mm256_srli_epi64(acc, 32), _mm256_srli_epi64(top, 32), l);
    }
    even = _mm256_srl_epi64(even, by);
    odd = _mm256_slli_epi64(_mm256_srl_epi64(odd, by), 32);
    _mm256_storeu_si256((__m256i *)to, _mm256_blend_epi32(even, odd, 0xAA));
}
#else
BNN_INLINE void bnn_join_limbs(const bnn_sums *sums, unsigned limbs, bnn_size r, unsigned shift,
                               int32_t result[BNN_GROUP])
{
    for (bnn_size o = 0; o < BNN_GROUP; ++o) {
        uint64_t total = (uint64_t)1 << shift >> 1;
        for (unsigned l = 0; l < limbs; ++l) {
            const uint64_t top = (uint64_t)sums->top[r][l][o] << BNN_CARRY;
            total += (top + (uint64_t)sums->acc[r][l][o]) << l * BNN_W_LIMB;
        }
        result[o] = bnn_signed((uint32_t)(total >> shift));
    }
}
#endif

BNN_KERNEL void bnn_dense_limbs(const void *x, bnn_type x_type, const int16_t BNN_ROM *w,
                                unsigned limbs, bnn_size most, bnn_size n, bnn_size outs,
                                bnn_size pixels, unsigned shift, int32_t *y)
{
    const bnn_size per_group = (n + n % 2u) * BNN_GROUP * limbs;
    (void)x_type; /* BNN_S16 */
    for (bnn_size o = 0; o < outs; o += BNN_GROUP) {
        const bnn_size lanes = outs - o < BNN_GROUP ? outs - o : BNN_GROUP;
        for (bnn_size first = 0; first < pixels; first += BNN_ROWS) {
            const bnn_size there = pixels - first < BNN_ROWS ? pixels - first : BNN_ROWS;
            const bnn_s16 *row[BNN_ROWS];
            bnn_sums sums;
            for (bnn_size r = 0; r < BNN_ROWS; ++r) {
                row[r] = (const bnn_s16 *)x + (first + (r < there ? r : there - 1u)) * n;
            }
            bnn_pair_sums(row, n, limbs, most, w + o / BNN_GROUP * per_group, &sums);
            for (bnn_size r = 0; r < there; ++r) {
                int32_t *const to = y + (first + r) * outs + o;
                int32_t result[BNN_GROUP];
                bnn_join_limbs(&sums, limbs, r, shift, result);
                memcpy(to, result, lanes * sizeof *to);
            }
        }
    }
}
