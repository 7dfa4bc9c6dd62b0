/* n bits, OR-ed into the pixel of a pooled map to which pixel (row, column) belongs. The pools of
 * pool_h by pool_w pixels lie side by side. Pixels come in order: the first one of a pool begins
 * its place, and bits behind that are not kept. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_put_pooled(const bnn_word *x, bnn_size n, bnn_size columns, bnn_size pool_h,
                               bnn_size pool_w, bnn_size row, bnn_size column, bnn_word *y)
{
    const bnn_size at = (row / pool_h * columns + column / pool_w) * n;
    if (row % pool_h == 0 && column % pool_w == 0) {
        bnn_append_run(y, at, x, 0, n);
    } else {
        bnn_or_run(y, at, x, n);
    }
}
