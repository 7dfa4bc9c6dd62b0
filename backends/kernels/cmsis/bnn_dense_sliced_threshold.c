/* Bipolar by bipolar dense layer with its thresholds, bit-sliced: bit o of y is 1 where v of
 * output o reaches an odd number of its thresholds (see the common kernel of this name). */
#include "bnn_kernels.h"
#include "arm_bnn_fully_connected_b1.h"

BNN_KERNEL void bnn_dense_sliced_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                           const bnn_word BNN_ROM *at, bnn_size count,
                                           unsigned digits, bnn_size n, bnn_size outs,
                                           void *scratch, bnn_word *y)
{
    const arm_bnn_context ctx = {scratch, (int32_t)sizeof(arm_bnn_strip)};
    const arm_bnn_fc_params params = {(int32_t)count, (int32_t)digits};
    const arm_bnn_dims input_dims = {1, 1, 1, (int32_t)n};
    const arm_bnn_dims filter_dims = {(int32_t)n, 1, 1, (int32_t)outs};
    const arm_bnn_dims output_dims = {1, 1, 1, (int32_t)outs};
    /* The compiler calls nothing that does not fit (CortexMCosts.reach, sliced.fits). */
    (void)arm_bnn_fully_connected_b1(&ctx, &params, &input_dims, x, &filter_dims, w, at,
                                     &output_dims, y);
}
