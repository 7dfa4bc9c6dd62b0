/* Dense layer of unsigned bit planes by bipolar weights, bit-sliced:
 * y[o] = sum_i code[i] * w[o][i] = 2 C - S, where C is the sum of the codes with weights +1, and
 * S that of all codes.
 *
 * C is a bit-sliced counter (bnn_sliced.h), and the ones of plane p are added from digit p on. */
#include "bnn_kernels.h"
#include "bnn_sliced.h"

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
    for (bnn_size column = 0; column < columns; ++column) {
        const bnn_size first = column * BNN_WORD_BITS;
        const bnn_size lanes = bnn_lanes(outs, first);
        bnn_word c[BNN_DIGITS + 1u]; /* digit d is in c[d + 1]: a row is added behind the first */
        for (unsigned d = 0; d <= digits; ++d) {
            c[d] = 0;
        }
        for (unsigned p = 0; p < planes; ++p) {
            bnn_add_ones(x + p * x_words, w, n, columns, column, digits + 1u - p, c + p);
        }
        for (bnn_size j = 0; j < lanes; ++j) {
            uint32_t value = 0;
            for (unsigned d = 0; d < digits; ++d) {
                value |= bnn_lane(c[d + 1u], j) << d;
            }
            y[first + j] = bnn_signed(2u * value - all);
        }
    }
}
