/* Room for a row in a line buffer, which holds the last `rows` rows of a map, n codes each, in bit
 * planes: its first row is dropped if row `row` of the layer that writes it finds the buffer full.
 * `per` rows of that layer make one of the map. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_slide_bits(unsigned planes, bnn_size n, bnn_size rows, bnn_size per,
                               bnn_size row, bnn_word *y)
{
    const bnn_size kept = n * (rows - 1u);
    if (row % per != 0 || row / per < rows) {
        return;
    }
    for (unsigned p = 0; p < planes; ++p) {
        for (bnn_size i = 0; i < kept; i += BNN_WORD_BITS) {
            y[i / BNN_WORD_BITS] = bnn_take(y, n + i, bnn_lanes(kept, i));
        }
        y += bnn_words(n * rows);
    }
}
