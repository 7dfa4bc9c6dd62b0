/* n codes in bit planes, as pixel row * columns + column of a map of `total` codes. Pixels come in
 * order, from the first one on: bits behind those of this pixel are not kept. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_put_bits(const bnn_word *x, unsigned planes, bnn_size n, bnn_size total,
                             bnn_size columns, bnn_size row, bnn_size column, bnn_word *y)
{
    const bnn_size x_words = bnn_words(n);
    const bnn_size y_words = bnn_words(total);
    const bnn_size at = (row * columns + column) * n;
    for (unsigned p = 0; p < planes; ++p) {
        bnn_append_run(y + p * y_words, at, x + p * x_words, 0, n);
    }
}
