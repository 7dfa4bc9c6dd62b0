/* Bipolar by bipolar dense layer: y[o] = sum_i x[i] * w[o][i], which is
 * n - 2 * (number of differing bits). */
#include "bnn_kernels.h"
#include "bnn_popcount.h"

BNN_KERNEL void bnn_dense_xnor(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size n,
                               bnn_size outs, int32_t *y)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size o = 0; o < outs; ++o) {
        y[o] = (int32_t)n - 2 * (int32_t)bnn_differing(x, w + o * words, words);
    }
}
