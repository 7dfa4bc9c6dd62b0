/* Dense layer of unsigned bit planes by bipolar weights, bit-sliced (see the common kernel of this
 * name). */
#include "bnn_kernels.h"
#include "arm_bnn_fully_connected_un_s32.h"

BNN_KERNEL void bnn_dense_sliced_planes(const bnn_word *x, unsigned planes,
                                        const bnn_word BNN_ROM *w, unsigned digits, bnn_size n,
                                        bnn_size outs, void *scratch, int32_t *y)
{
    const arm_bnn_context ctx = {scratch, (int32_t)sizeof(arm_bnn_strip)};
    const arm_bnn_fc_params params = {0, (int32_t)digits};
    const arm_bnn_dims input_dims = {1, 1, 1, (int32_t)n};
    const arm_bnn_dims filter_dims = {(int32_t)n, 1, 1, (int32_t)outs};
    const arm_bnn_dims output_dims = {1, 1, 1, (int32_t)outs};
    /* The compiler calls nothing that does not fit (CortexMCosts.reach, sliced.fits). */
    (void)arm_bnn_fully_connected_un_s32(&ctx, &params, &input_dims, x, planes, &filter_dims, w,
                                         &output_dims, y);
}
