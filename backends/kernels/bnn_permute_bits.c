/* Codes in another order: code i of y is code i / period * stride + index[i % period] of x, a value
 * of x_n codes. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_permute_bits(const bnn_word *x, bnn_size x_n, unsigned planes,
                                 const void BNN_ROM *index, bnn_type index_type, bnn_size period,
                                 bnn_size stride, bnn_size n, bnn_word *y)
{
    for (unsigned p = 0; p < planes; ++p) {
        for (bnn_size i = 0; i < n; ++i) {
            const bnn_size from = (bnn_size)bnn_rom_load(index, index_type, i % period);
            bnn_append(y, i, bnn_take(x, i / period * stride + from, 1), 1);
        }
        x += bnn_words(x_n);
        y += bnn_words(n);
    }
}
