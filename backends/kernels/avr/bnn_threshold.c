/* Integers to bits: bit i of y is 1 where x[i] reaches an odd number of the thresholds
 * at[i % rows][0..count-1].
 *
 * y may begin where x begins: a word is written when the integers that lie there have been read.
 *
 * As the common kernel, but for bits that are shifted in one after the other: an AVR shifts by one
 * place at a time. */
#include "bnn_kernels.h"
#include "bnn_reached.h"

/* The bits of up to eight integers with a threshold each, in the types that they mostly have. */
BNN_APART bnn_word bnn_reached_each(const bnn_s32 *x, const int16_t BNN_ROM *at, uint8_t lanes)
{
    bnn_word bits = 0;
    for (uint8_t j = lanes; j > 0; --j) {
        bits = (bnn_word)(bits >> 1);
        if (*x++ >= bnn_rom_s16(at++)) {
            bits = (bnn_word)(bits | 0x80u);
        }
    }
    return bits;
}

BNN_KERNEL void bnn_threshold(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                              bnn_type at_type, bnn_size rows, bnn_size count, bnn_word *y)
{
    const int usual = x_type == BNN_S32 && at_type == BNN_S16 && count == 1 && rows == n;
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; i += 8u) {
        const uint8_t lanes = (uint8_t)bnn_lanes(n, i);
        bnn_word bits = 0;
        if (usual) {
            bits = bnn_reached_each((const bnn_s32 *)x + i, (const int16_t BNN_ROM *)at + i, lanes);
        } else {
            for (uint8_t j = 0; j < lanes; ++j) {
                const int32_t value = bnn_load(x, x_type, i + j);
                const unsigned reached = bnn_reached(value, at, at_type, row * count, count);
                bits = (bnn_word)(((unsigned)bits >> 1) | (reached & 1u) << 7);
                row = row + 1u < rows ? row + 1u : 0u;
            }
        }
        *y++ = (bnn_word)(bits >> (8u - lanes));
    }
}
