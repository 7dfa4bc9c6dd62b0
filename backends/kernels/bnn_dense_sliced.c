/* Bipolar by bipolar dense layer, bit-sliced: y[o] = 2 v - offset[o] with v of bnn_sliced.h, where
 * offset[o] is n + 2 * (number of ones among the weights of output o). */
#include "bnn_kernels.h"
#include "bnn_sliced.h"

BNN_KERNEL void bnn_dense_sliced(const bnn_word *x, const bnn_word BNN_ROM *w,
                                 const void BNN_ROM *offset, bnn_type offset_type, unsigned digits,
                                 bnn_size n, bnn_size outs, void *scratch, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    (void)scratch;
    for (bnn_size column = 0; column < columns; ++column) {
        const bnn_size first = column * BNN_WORD_BITS;
        const bnn_size lanes = bnn_lanes(outs, first);
        bnn_word v[BNN_DIGITS];
        bnn_count_sliced(x, w, n, columns, column, digits, v);
        for (bnn_size j = 0; j < lanes; ++j) {
            uint32_t value = 0;
            for (unsigned d = 0; d < digits; ++d) {
                value |= bnn_lane(v[d], j) << d;
            }
            y[first + j] = 2 * (int32_t)value - bnn_rom_load(offset, offset_type, first + j);
        }
    }
}
