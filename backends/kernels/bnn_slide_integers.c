/* Room for a row in a line buffer, which holds the last `rows` rows of a map, n integers each: its
 * first row is dropped if row `row` of the layer that writes it finds the buffer full. `per` rows
 * of that layer make one of the map. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_slide_integers(bnn_size n, bnn_size rows, bnn_size per, bnn_size row, void *y,
                                   bnn_type y_type)
{
    if (row % per != 0 || row / per < rows) {
        return;
    }
    for (bnn_size i = 0; i < n * (rows - 1u); ++i) {
        bnn_store(y, y_type, i, bnn_load(y, y_type, n + i));
    }
}
