/* Dense layer of unsigned bit planes by bipolar weights, bit-sliced:
 * y[o] = sum_i code[i] * w[o][i] = 2 C - S, where C is the sum of the codes with weights +1, and
 * S that of all codes.
 *
 * C is a bit-sliced counter (bnn_slices.h), and the ones of plane p are added from digit p on.
 * n is below 2^16. */
#include "bnn_kernels.h"
#include "bnn_slices.h"

BNN_KERNEL void bnn_dense_sliced_planes(const bnn_word *x, unsigned planes,
                                        const bnn_word BNN_ROM *w, unsigned digits, bnn_size n,
                                        bnn_size outs, void *scratch, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    const bnn_size x_words = bnn_words(n);
    uint32_t all = 0;
    (void)scratch;
    for (unsigned p = 0; p < planes; ++p) {
        all += (uint32_t)bnn_ones(x + p * x_words, n) << p;
    }
    for (bnn_size first = 0; first < columns; first += BNN_SLICES * BNN_SLICE_WORDS) {
        bnn_block c; /* digit d is in c[d + 1]: a row is added behind the first */
        bnn_begin_block(&c, columns, first, digits + 1u, 0);
        for (unsigned p = 0; p < planes; ++p) {
            bnn_add_inputs(x + p * x_words, w, n, columns, first, p, digits + 1u - p, &c);
        }
        bnn_join_block(&c, columns, first, digits + 1u);
        for (bnn_size j = 0; j < BNN_SLICES_OUTS && first * BNN_WORD_BITS + j < outs; ++j) {
            const uint32_t value = bnn_block_lane(&c, j, 1, digits);
            y[first * BNN_WORD_BITS + j] = bnn_signed(2u * value - all);
        }
    }
}
