/* Dense layer of 16-bit integers by integer weights, in limbs, for several pixels:
 * y[p][o] = floor((sum_i x[p][i] * w[o][i] + 2^shift / 2) / 2^shift), modulo 2^32.
 *
 * Weights of many bits are sums of limbs, the digits of long multiplication: one or two, the first
 * of BNN_W_LIMB bits. Digits are signed, and the last one is what is left; they lie as bnn_pairs.h
 * says, in groups of BNN_GROUP outputs, a pair's limbs one after the other. So each product is one
 * of 16-bit integers, of which vector instructions do many at a time.
 *
 * The sums of `most` pairs of products of limbs fit 31 bits together with BNN_CARRY bits, and those
 * of all of them fit 30 + BNN_CARRY; shift is at most 32. */
#include "bnn_kernels.h"
#include "bnn_pairs.h"

#define BNN_W_LIMB 12

#if defined(BNN_VECTOR)
/* (high * 2^28 + middle * 2^16 + low + 2^shift / 2) / 2^shift, where low has 16 bits: of what is to
 * be shifted, each part is added to the next higher one that stays. */
BNN_INLINE BNN_VECTOR bnn_shifted(BNN_VECTOR high, BNN_VECTOR middle, BNN_VECTOR low,
                                  unsigned shift)
{
    const unsigned whole = shift > 28u ? 28u : shift > 16u ? 16u : 0u;
    const BNN_VECTOR half = BNN_VECTOR_ALL((int32_t)((uint32_t)1 << (shift - whole) >> 1));
    if (shift > 28u) {
        high = BNN_VECTOR_ADD(high, BNN_VECTOR_RIGHT(middle, 12));
        return BNN_VECTOR_RIGHT(BNN_VECTOR_ADD(high, half), shift - whole);
    }
    high = BNN_VECTOR_LEFT(high, 28u - shift);
    if (shift > 16u) {
        middle = BNN_VECTOR_RIGHT(BNN_VECTOR_ADD(middle, half), shift - whole);
        return BNN_VECTOR_ADD(high, middle);
    }
    middle = BNN_VECTOR_LEFT(middle, 16u - shift);
    low = BNN_VECTOR_RIGHT(BNN_VECTOR_ADD(low, half), shift);
    return BNN_VECTOR_ADD(BNN_VECTOR_ADD(high, middle), low);
}

/* The results of a row whose limbs are the two vectors of weights. */
BNN_INLINE BNN_VECTOR bnn_join_limbs(const BNN_VECTOR acc[2], const BNN_VECTOR top[2],
                                     unsigned shift)
{
    const BNN_VECTOR low = BNN_VECTOR_ADD(acc[0], BNN_VECTOR_LEFT(acc[1], BNN_W_LIMB));
    const BNN_VECTOR carried = BNN_VECTOR_RIGHT(low, BNN_CARRY);
    return bnn_shifted(top[1], BNN_VECTOR_ADD(top[0], carried),
                       BNN_VECTOR_SUB(low, BNN_VECTOR_LEFT(carried, BNN_CARRY)), shift);
}

/* y[0], y[1], ..., as far as there are such outputs. */
BNN_INLINE void bnn_put_results(BNN_VECTOR results, bnn_size outs, int32_t *y)
{
    int32_t some[BNN_VECTOR_LANES];
    void *const to = outs < BNN_VECTOR_LANES ? some : y;
    BNN_VECTOR_STORE((BNN_VECTOR *)to, results);
    if (outs < BNN_VECTOR_LANES) {
        memcpy(y, some, outs * sizeof *y);
    }
}

/* So many rows, for the outputs of the vectors of weights that begin with output o: of both limbs,
 * or where there is one of two groups. */
BNN_INLINE void bnn_limb_tile(const bnn_s16 *x, bnn_size rows, bnn_size n, bnn_size most,
                              const int16_t *w, unsigned limbs, bnn_size o, bnn_size outs,
                              unsigned shift, int32_t *y)
{
    const bnn_size step = 2u * BNN_GROUP * limbs, group = (n + 1u) / 2u * step;
    const bnn_size next = limbs == 1u && outs - o > BNN_GROUP ? BNN_GROUP : 0;
    bnn_tile tile;
    bnn_tile_sums(x, rows, n, most, w + o / BNN_GROUP * group + 2u * (o % BNN_GROUP), step,
                  limbs == 2u ? 2u * BNN_GROUP : next ? group : 0, &tile);
    BNN_UNROLL
    for (bnn_size r = 0; r < rows; ++r) {
        int32_t *const to = y + r * outs + o;
        if (limbs == 2u) {
            bnn_put_results(bnn_join_limbs(tile.acc[r], tile.top[r], shift), outs - o, to);
        } else {
            const BNN_VECTOR none = BNN_VECTOR_ALL(0), *const acc = tile.acc[r];
            const BNN_VECTOR *const top = tile.top[r];
            bnn_put_results(bnn_shifted(none, top[0], acc[0], shift), outs - o, to);
            if (next) {
                bnn_put_results(bnn_shifted(none, top[1], acc[1], shift), outs - o - next,
                                to + next);
            }
        }
    }
}

/* All pixels, tile by tile. */
BNN_INLINE void bnn_limb_columns(const bnn_s16 *x, const int16_t *w, unsigned limbs,
                                 bnn_size most, bnn_size n, bnn_size outs, bnn_size pixels,
                                 unsigned shift, bnn_size o, int32_t *y)
{
    bnn_size rows;
    for (bnn_size p = 0; p < pixels; p += rows) {
        rows = bnn_next_rows(pixels, &p);
        const bnn_s16 *const from = x + p * n;
        int32_t *const to = y + p * outs;
        if (rows == BNN_ROWS) {
            bnn_limb_tile(from, BNN_ROWS, n, most, w, limbs, o, outs, shift, to);
        } else if (rows == BNN_FEW_ROWS) {
            bnn_limb_tile(from, BNN_FEW_ROWS, n, most, w, limbs, o, outs, shift, to);
        } else {
            bnn_limb_tile(from, 1u, n, most, w, limbs, o, outs, shift, to);
        }
    }
}

BNN_KERNEL void bnn_dense_limbs(const void *x, bnn_type x_type, const int16_t BNN_ROM *w,
                                unsigned limbs, bnn_size most, bnn_size n, bnn_size outs,
                                bnn_size pixels, unsigned shift, int32_t *y)
{
    (void)x_type; /* BNN_S16 */
    for (bnn_size o = 0; o < outs; o += BNN_GROUP * (3u - limbs)) {
        for (bnn_size i = o; i < outs && i - o < BNN_GROUP; i += BNN_VECTOR_LANES) {
            bnn_limb_columns((const bnn_s16 *)x, w, limbs, most, n, outs, pixels, shift, i, y);
        }
    }
}
#else
/* The sums of a pixel's products with a limb of a group: acc + top * 2^BNN_CARRY. */
BNN_INLINE void bnn_limb_sums(const bnn_s16 *x, bnn_size n, bnn_size most,
                              const int16_t BNN_ROM *w, bnn_size step, int32_t acc[BNN_GROUP],
                              int32_t top[BNN_GROUP])
{
    const bnn_size pairs = (n + 1u) / 2u, alone = n % 2u;
    for (bnn_size o = 0; o < BNN_GROUP; ++o) {
        acc[o] = top[o] = 0;
    }
    for (bnn_size i = 0; i < pairs; ++i) {
        const int32_t first = i == 0 && alone ? 0 : x[2u * i - alone];
        const int32_t second = x[2u * i + 1u - alone];
        for (bnn_size o = 0; o < BNN_GROUP; ++o) {
            acc[o] += first * bnn_rom_s16(w + i * step + 2u * o) +
                      second * bnn_rom_s16(w + i * step + 2u * o + 1u);
        }
        if ((i + 1u) % most == 0) {
            for (bnn_size o = 0; o < BNN_GROUP; ++o) {
                const int32_t lower = acc[o] & (((int32_t)1 << BNN_CARRY) - 1);
                top[o] += (acc[o] - lower) / ((int32_t)1 << BNN_CARRY);
                acc[o] = lower;
            }
        }
    }
}

BNN_KERNEL void bnn_dense_limbs(const void *x, bnn_type x_type, const int16_t BNN_ROM *w,
                                unsigned limbs, bnn_size most, bnn_size n, bnn_size outs,
                                bnn_size pixels, unsigned shift, int32_t *y)
{
    const bnn_size step = 2u * BNN_GROUP * limbs, group = (n + 1u) / 2u * step;
    (void)x_type; /* BNN_S16 */
    for (bnn_size p = 0; p < pixels; ++p) {
        for (bnn_size o = 0; o < outs; o += BNN_GROUP) {
            const bnn_size lanes = outs - o < BNN_GROUP ? outs - o : BNN_GROUP;
            uint64_t total[BNN_GROUP];
            for (bnn_size i = 0; i < BNN_GROUP; ++i) {
                total[i] = (uint64_t)1 << shift >> 1;
            }
            for (unsigned l = 0; l < limbs; ++l) {
                int32_t acc[BNN_GROUP], top[BNN_GROUP];
                bnn_limb_sums((const bnn_s16 *)x + p * n, n, most,
                              w + o / BNN_GROUP * group + 2u * BNN_GROUP * l, step, acc, top);
                for (bnn_size i = 0; i < BNN_GROUP; ++i) {
                    total[i] += (((uint64_t)top[i] << BNN_CARRY) + (uint64_t)acc[i])
                                << l * BNN_W_LIMB;
                }
            }
            for (bnn_size i = 0; i < lanes; ++i) {
                y[p * outs + o + i] = bnn_signed((uint32_t)(total[i] >> shift));
            }
        }
    }
}
#endif
