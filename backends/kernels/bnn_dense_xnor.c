/* Bipolar by bipolar dense layer: y[o] = sum_i x[i] * w[o][i], which is
 * n - 2 * (number of differing bits). */
#include "bnn_kernels.h"
#include "bnn_rows.h"

BNN_KERNEL void bnn_dense_xnor(const bnn_word *x, const bnn_word BNN_ROM *w,
                               const void BNN_ROM *tail, bnn_type tail_type, bnn_size n,
                               bnn_size outs, int32_t *y)
{
    const bnn_size words = bnn_row_words(n, tail);
    for (bnn_size o = 0; o < outs; ++o) {
        const bnn_size differing = bnn_row_differing(x, w, words, tail, tail_type, o);
        y[o] = (int32_t)n - 2 * (int32_t)differing;
    }
}
