/* Dense layer of integers by integer weights, in limbs, for several pixels:
 * y[p][o] = floor((sum_i x[p][i] * w[o][i] + 2^shift / 2) / 2^shift), modulo 2^32.
 *
 * Numbers of many bits are sums of limbs, the digits of long multiplication: those of x have
 * BNN_X_LIMB bits and are split here, those of w have BNN_W_LIMB and lie limb by limb, lowest
 * first, in groups of BNN_GROUP outputs as bnn_pairs.h says. Digits are signed, and the last one is
 * what is left. So each product is one of 16-bit integers, of which vector instructions do many at
 * a time.
 *
 * x_limbs is 1 or 2, shift at most 32. `most` pairs of products of limbs fit 31 bits together with
 * BNN_CARRY bits; sums must fit 64. scratch holds BNN_ROWS rows of n elements, made even. */
#include "bnn_kernels.h"
#include "bnn_pairs.h"

#define BNN_X_LIMB 14u
#define BNN_W_LIMB 12u

/* Row r of scratch is limb r % x_limbs of pixel first + r / x_limbs, or of the last pixel. */
static void bnn_split(const void *x, bnn_type x_type, unsigned x_limbs, bnn_size n, bnn_size pixels,
                      bnn_size first, bnn_size stride, bnn_s16 *scratch)
{
    const int32_t base = (int32_t)1 << BNN_X_LIMB;
    for (bnn_size r = 0; r < BNN_ROWS; ++r) {
        const bnn_size wanted = first + r / x_limbs;
        const bnn_size from = (wanted < pixels ? wanted : pixels - 1u) * n;
        bnn_s16 *const row = scratch + r * stride;
        row[stride - 1u] = 0;
        if (x_limbs == 1u) {
            for (bnn_size i = 0; i < n; ++i) {
                row[i] = (int16_t)bnn_load(x, x_type, from + i);
            }
        } else if (r % 2u == 0) {
            for (bnn_size i = 0; i < n; ++i) {
                const uint32_t value = (uint32_t)bnn_load(x, x_type, from + i);
                const uint32_t digit = (value + (uint32_t)base / 2u) % (uint32_t)base;
                row[i] = (int16_t)((int32_t)digit - base / 2);
            }
        } else {
            for (bnn_size i = 0; i < n; ++i) {
                row[i] = (int16_t)((bnn_load(x, x_type, from + i) - row[i - stride]) / base);
            }
        }
    }
}

/* The sums of all rows for a group of outputs, modulo 2^64. */
BNN_INLINE void bnn_limb_sums(const bnn_s16 *x, const int16_t BNN_ROM *w, unsigned w_limbs,
                              bnn_size most, bnn_size stride, uint64_t total[BNN_ROWS][BNN_GROUP])
{
    bnn_sums sums;
    for (unsigned limb = 0; limb < w_limbs; ++limb) {
        bnn_pair_sums(x, stride, stride / 2u, most, w + limb * stride * BNN_GROUP, &sums);
        for (bnn_size r = 0; r < BNN_ROWS; ++r) {
            for (bnn_size o = 0; o < BNN_GROUP; ++o) {
                const uint64_t top = (uint64_t)sums.top[r][o] << BNN_CARRY;
                const uint64_t sum = top + (uint64_t)sums.acc[r][o];
                total[r][o] = (limb == 0 ? 0u : total[r][o]) + (sum << limb * BNN_W_LIMB);
            }
        }
    }
}

BNN_KERNEL void bnn_dense_limbs(const void *x, bnn_type x_type, const int16_t BNN_ROM *w,
                                unsigned x_limbs, unsigned w_limbs, bnn_size most, bnn_size n,
                                bnn_size outs, bnn_size pixels, unsigned shift, int16_t *scratch,
                                int32_t *y)
{
    const bnn_size stride = n + n % 2u;
    const uint64_t half = (uint64_t)1 << shift >> 1;
    bnn_s16 *const split = (bnn_s16 *)(void *)scratch;
    for (bnn_size first = 0; first < pixels; first += BNN_ROWS / x_limbs) {
        bnn_split(x, x_type, x_limbs, n, pixels, first, stride, split);
        for (bnn_size o = 0; o < outs; o += BNN_GROUP) {
            const bnn_size lanes = outs - o < BNN_GROUP ? outs - o : BNN_GROUP;
            uint64_t total[BNN_ROWS][BNN_GROUP];
            bnn_limb_sums(split, w + o * w_limbs * stride, w_limbs, most, stride, total);
            for (bnn_size r = 0; r < BNN_ROWS && first + r / x_limbs < pixels; r += x_limbs) {
                uint32_t shifted[BNN_GROUP];
                for (bnn_size j = 0; j < BNN_GROUP; ++j) {
                    const uint64_t upper = x_limbs == 1u ? 0u : total[r + 1u][j] << BNN_X_LIMB;
                    shifted[j] = (uint32_t)((total[r][j] + upper + half) >> shift);
                }
                for (bnn_size j = 0; j < lanes; ++j) {
                    y[(first + r / x_limbs) * outs + o + j] = bnn_signed(shifted[j]);
                }
            }
        }
    }
}
