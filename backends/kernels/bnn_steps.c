/* Integers to small codes: code i of y is levels[row][k], where k counts the thresholds
 * at[row][0..count-1] that x[i] reaches (x[i] >= threshold) and row = i % rows. Without levels
 * (NULL) the code is k itself. The `planes` low bits of the codes leave as bit planes. */
#include "bnn_kernels.h"
#include "bnn_reached.h"

BNN_KERNEL void bnn_steps(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                          bnn_type at_type, bnn_size rows, bnn_size count,
                          const uint8_t BNN_ROM *levels, unsigned planes, bnn_word *y)
{
    const bnn_size words = bnn_words(n);
    bnn_size row = 0;
    for (bnn_size i = 0; i < words * planes; ++i) {
        y[i] = 0;
    }
    for (bnn_size i = 0; i < n; ++i) {
        const int32_t value = bnn_load(x, x_type, i);
        unsigned code = bnn_reached(value, at, at_type, row * count, count);
        if (levels != NULL) {
            code = bnn_rom_u8(levels + row * (count + 1u) + code);
        }
        for (unsigned p = 0; p < planes; ++p) {
            y[p * words + i / BNN_WORD_BITS] |= bnn_bit(code >> p & 1u, i % BNN_WORD_BITS);
        }
        row = row + 1u < rows ? row + 1u : 0u;
    }
}
