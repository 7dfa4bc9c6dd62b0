/* Integers to bits: bit i of y is 1 where x[i] reaches an odd number of the thresholds
 * at[i % rows][0..count-1].
 *
 * Elements of neighbouring rows are taken together, in a form that compilers vectorize. y may begin
 * where x begins: a word is written when the integers that lie there have been read. */
#include "bnn_kernels.h"
#include "bnn_reached.h"

BNN_KERNEL void bnn_threshold(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                              bnn_type at_type, bnn_size rows, bnn_size count, bnn_word *y)
{
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_word bits = 0;
        if (rows - row >= lanes) {
            for (bnn_size j = 0; j < lanes; ++j) {
                const int32_t value = bnn_load(x, x_type, i + j);
                const bnn_size first = (row + j) * count;
                bits |= bnn_bit(bnn_reached(value, at, at_type, first, count) & 1u, j);
            }
            row = row + lanes < rows ? row + lanes : 0u;
        } else {
            for (bnn_size j = 0; j < lanes; ++j) {
                const int32_t value = bnn_load(x, x_type, i + j);
                bits |= bnn_bit(bnn_reached(value, at, at_type, row * count, count) & 1u, j);
                row = row + 1u < rows ? row + 1u : 0u;
            }
        }
        y[i / BNN_WORD_BITS] = bits;
    }
}
