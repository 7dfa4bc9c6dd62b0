/* Bipolar by bipolar dense layer, bit-sliced: y[o] = 2 v - offset[o] with v of bnn_sliced.h, where
 * offset[o] is n + 2 * (number of ones among the weights of output o). n is below 2^16. */
#include "bnn_kernels.h"
#include "bnn_slices.h"

BNN_KERNEL void bnn_dense_sliced(const bnn_word *x, const bnn_word BNN_ROM *w,
                                 const void BNN_ROM *offset, bnn_type offset_type, unsigned digits,
                                 bnn_size n, bnn_size outs, void *scratch, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    const bnn_size zeros = n - bnn_ones(x, n);
    (void)scratch;
    for (bnn_size first = 0; first < columns; first += BNN_SLICES * BNN_SLICE_WORDS) {
        bnn_block block;
        bnn_begin_block(&block, columns, first, digits, zeros);
        bnn_add_inputs(x, w, n, columns, first, 0, digits, &block);
        bnn_join_block(&block, columns, first, digits);
        for (bnn_size j = 0; j < BNN_SLICES_OUTS && first * BNN_WORD_BITS + j < outs; ++j) {
            const bnn_size o = first * BNN_WORD_BITS + j;
            const int32_t value = (int32_t)bnn_block_lane(&block, j, 0, digits);
            y[o] = 2 * value - bnn_rom_load(offset, offset_type, o);
        }
    }
}
