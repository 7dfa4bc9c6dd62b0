/* Dense layer of integers by bipolar weights that are stored by input (see the common kernel of
 * this name).
 *
 * Bytes are added to eight outputs at a time, two sums in a word: a word of S = low + 2^16 high
 * grows by x * p, where p has a 1 in each half whose weight is +1. Halves are in signed 16-bit
 * range while no more than 128 bytes were added, and come apart then. */
#include "bnn_kernels.h"

#define BNN_SIGNS_BATCH 128u

/* The halves of two words that belong to four weights. */
static const struct {
    uint32_t of[16][2];
} bnn_halves = {{
    {0, 0},       {1, 0},       {0x10000, 0},       {0x10001, 0},
    {0, 1},       {1, 1},       {0x10000, 1},       {0x10001, 1},
    {0, 0x10000}, {1, 0x10000}, {0x10000, 0x10000}, {0x10001, 0x10000},
    {0, 0x10001}, {1, 0x10001}, {0x10000, 0x10001}, {0x10001, 0x10001},
}};

/* The lower half of v, with its sign, modulo 2^32. */
BNN_INLINE uint32_t bnn_low_half(uint32_t v)
{
    return ((v & UINT32_C(0xffff)) ^ UINT32_C(0x8000)) - UINT32_C(0x8000);
}

/* Adds the inputs from the first on, as many as a batch has, to the sums of eight outputs whose
 * weights are in bits `shift` to shift + 7 of the words w. */
BNN_INLINE void bnn_add_batch(const void *x, bnn_type x_type, const bnn_word *w, bnn_size columns,
                              unsigned shift, bnn_size first, bnn_size n, uint32_t *sum)
{
    uint32_t a = 0, b = 0, c = 0, d = 0;
    for (bnn_size i = first; i < n && i < first + BNN_SIGNS_BATCH; ++i) {
        const uint32_t value = (uint32_t)bnn_load(x, x_type, i);
        const uint32_t bits = w[i * columns] >> shift;
        const uint32_t *const lower = bnn_halves.of[bits & 15u];
        const uint32_t *const upper = bnn_halves.of[bits >> 4 & 15u];
        a += value * lower[0];
        b += value * lower[1];
        c += value * upper[0];
        d += value * upper[1];
    }
    sum[0] += bnn_low_half(a);
    sum[1] += bnn_low_half((a - bnn_low_half(a)) >> 16);
    sum[2] += bnn_low_half(b);
    sum[3] += bnn_low_half((b - bnn_low_half(b)) >> 16);
    sum[4] += bnn_low_half(c);
    sum[5] += bnn_low_half((c - bnn_low_half(c)) >> 16);
    sum[6] += bnn_low_half(d);
    sum[7] += bnn_low_half((d - bnn_low_half(d)) >> 16);
}

/* Adds all inputs, whatever their type. */
BNN_INLINE void bnn_add_wide(const void *x, bnn_type x_type, const bnn_word *w, bnn_size columns,
                             unsigned shift, bnn_size n, uint32_t *sum)
{
    for (bnn_size i = 0; i < n; ++i) {
        const uint32_t value = (uint32_t)bnn_load(x, x_type, i);
        for (unsigned k = 0; k < 8u; ++k) {
            sum[k] += value & ((uint32_t)0 - (w[i * columns] >> (shift + k) & 1u));
        }
    }
}

BNN_KERNEL void bnn_dense_signs(const void *x, bnn_type x_type, const bnn_word BNN_ROM *w,
                                bnn_size n, bnn_size outs, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    uint32_t all = 0;
    for (bnn_size i = 0; i < n; ++i) {
        all += (uint32_t)bnn_load(x, x_type, i);
    }
    for (bnn_size o = 0; o < outs; o += 8u) {
        const unsigned shift = (unsigned)(o % 32u);
        uint32_t sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (x_type == BNN_U8 || x_type == BNN_S8) {
            for (bnn_size first = 0; first < n; first += BNN_SIGNS_BATCH) {
                bnn_add_batch(x, x_type, w + o / 32u, columns, shift, first, n, sum);
            }
        } else {
            bnn_add_wide(x, x_type, w + o / 32u, columns, shift, n, sum);
        }
        for (bnn_size k = 0; k < 8u && o + k < outs; ++k) {
            y[o + k] = bnn_signed(2u * sum[k] - all);
        }
    }
}
