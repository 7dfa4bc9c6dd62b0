/* One row of a bipolar convolution with its thresholds, bit-sliced (see the common kernel of this
 * name). */
#include "bnn_kernels.h"
#include "arm_bnn_convolve_row_b1.h"

BNN_KERNEL void bnn_convolve_row_sliced(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
    bnn_size dilation_w, bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
    bnn_size outs, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, const bnn_word BNN_ROM *w, const bnn_word BNN_ROM *at, bnn_size count,
    unsigned digits, void *scratch, bnn_word *y)
{
    const arm_bnn_conv_params params = {{(int32_t)stride_w, (int32_t)stride_h},
                                        {(int32_t)before_w, (int32_t)before_h},
                                        {(int32_t)dilation_w, (int32_t)dilation_h},
                                        (int32_t)count, (int32_t)digits};
    const arm_bnn_dims input_dims = {1, (int32_t)height, (int32_t)width, (int32_t)channels};
    const arm_bnn_dims filter_dims = {(int32_t)outs, (int32_t)kernel_h, (int32_t)kernel_w,
                                      (int32_t)channels};
    const arm_bnn_dims output_dims = {1, 1, (int32_t)columns, (int32_t)outs};
    const arm_bnn_context ctx = {scratch,
                                 arm_bnn_convolve_row_b1_get_buffer_size(&params, &filter_dims)};
    const bnn_size border = row_class == NULL ? 0 : row_class[row] * classes;
    /* The compiler calls nothing that does not fit (CortexMCosts.reach, ConvolveRowSliced). */
    (void)arm_bnn_convolve_row_b1(&ctx, &params, &input_dims, x, &filter_dims, w,
                                  at + border * count * digits * bnn_words(outs), column_class,
                                  &output_dims, (int32_t)row, y);
}
