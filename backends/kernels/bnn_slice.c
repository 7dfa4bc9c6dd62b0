/* Integers to bit planes: plane p of y holds bit p of each x[i], in two's complement, for the
 * `planes` low bits. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_slice(const void *x, bnn_type x_type, bnn_size n, unsigned planes, bnn_word *y)
{
    const bnn_size words = bnn_words(n);
    for (unsigned p = 0; p < planes; ++p) {
        for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
            const bnn_size lanes = bnn_lanes(n, i);
            bnn_word bits = 0;
            for (bnn_size j = 0; j < lanes; ++j) {
                bits |= bnn_bit((uint32_t)bnn_load(x, x_type, i + j) >> p & 1u, j);
            }
            y[p * words + i / BNN_WORD_BITS] = bits;
        }
    }
}
