/* Integers to bits: bit i of y is x[i] >= at[i % rows].
 *
 * y may begin where x begins: a word is written when the integers that lie there have been read. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_threshold(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                              bnn_type at_type, bnn_size rows, bnn_word *y)
{
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_word bits = 0;
        for (bnn_size j = 0; j < lanes; ++j) {
            bits |= bnn_bit(bnn_load(x, x_type, i + j) >= bnn_rom_load(at, at_type, row), j);
            row = row + 1u < rows ? row + 1u : 0u;
        }
        y[i / BNN_WORD_BITS] = bits;
    }
}
