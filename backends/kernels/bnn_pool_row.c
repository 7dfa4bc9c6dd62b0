/* The OR of each pool_w neighbouring pixels of a row of `columns` pixels of n bits; the last pool
 * has what is left. Pools come out without gaps. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_pool_row(const bnn_word *x, bnn_size columns, bnn_size n, bnn_size pool_w,
                             bnn_word *y)
{
    bnn_size at = 0;
    for (bnn_size first = 0; first < columns; first += pool_w) {
        for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
            const bnn_size lanes = bnn_lanes(n, i);
            bnn_word bits = 0;
            for (bnn_size column = first; column < first + pool_w && column < columns; ++column) {
                bits = (bnn_word)(bits | bnn_take(x, column * n + i, lanes));
            }
            bnn_append(y, at, bits, lanes);
            at += lanes;
        }
    }
}
