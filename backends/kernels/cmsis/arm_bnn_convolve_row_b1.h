/* Bipolar by bipolar convolution with thresholds, a row of pixels: bits in, bits out. */
#ifndef ARM_BNN_CONVOLVE_ROW_B1_H
#define ARM_BNN_CONVOLVE_ROW_B1_H

#include "arm_bnn_types.h"
#include "arm_bnn_windows.h"

/* Bytes of working memory that arm_bnn_convolve_row_b1 wants. */
BNN_INLINE int32_t arm_bnn_convolve_row_b1_get_buffer_size(const arm_bnn_conv_params *conv_params,
                                                           const arm_bnn_dims *filter_dims)
{
    return (int32_t)arm_bnn_windows_size((bnn_size)filter_dims->w,
                                         (bnn_size)filter_dims->h * (bnn_size)filter_dims->c,
                                         (unsigned)conv_params->digits);
}

/* Lists what is 1 in column x of the map (none of it where x is its width), from the top to the
 * bottom of the windows of output row `row`. */
BNN_INLINE void arm_bnn_list_column(const arm_bnn_windows *windows,
                                    const arm_bnn_conv_params *conv_params,
                                    const arm_bnn_dims *input_dims, const bnn_word *input,
                                    bnn_size kernel_h, bnn_size row, bnn_size x, bnn_u16 *list)
{
    const bnn_size height = (bnn_size)input_dims->h;
    const bnn_size width = (bnn_size)input_dims->w;
    const bnn_size channels = (bnn_size)input_dims->c;
    const uint32_t stride = (uint32_t)windows->words * ARM_BNN_UNIT;
    bnn_u16 *end = list + 1;
    for (bnn_size i = 0; i < kernel_h; ++i) {
        const bnn_size y = bnn_tap(row, (bnn_size)conv_params->stride.h, i,
                                   (bnn_size)conv_params->dilation.h,
                                   (bnn_size)conv_params->padding.h, height);
        if (y < height && x < width) {
            end = arm_bnn_list_run(input, (y * width + x) * channels, channels,
                                   (uint32_t)(i * channels) * stride, stride, end);
        }
    }
    arm_bnn_end_list(windows, list, end);
}

/* Output channel o of a pixel is 1 where v_o = n - (ones under the window) + 2 (inputs that are 1
 * and have weight +1) reaches an odd number of its thresholds, n being the number of inputs under
 * the window. Taps outside of the map are 0.
 *
 * ctx           working memory
 * conv_params   the window, thresholds of an output, and their binary digits: enough for 2 n + 1
 * input_dims    h, w, c: the map
 * input         channel c of pixel (y, x) is bit i % 32 of word i / 32, i = (y * w + x) * c + c;
 *               1 for +1; further bits are 0
 * filter_dims   n: number of output channels; h, w: of the window; c: channels of the map
 * kernel        for each column of the window a row for each of its h * c inputs, with the weights
 *               for all outputs, and a row of zeros; rows are packed as the input is
 * threshold     of each class of pixels: row k * digits + d has digit d of threshold k for all
 *               outputs
 * column_class  the class of each pixel of the row; NULL where all are of class 0
 * output_dims   w: pixels of a row; c: number of output channels
 * row           which row of output pixels
 * output        that row, packed as the input is
 *
 * Returns ARM_BNN_ARG_ERROR where the dimensions do not go together, the working memory is too
 * small, columns of the window are no neighbours, or the kernel is larger than 16-bit offsets
 * reach: 64 KB on ARMv6-M, 256 KB elsewhere. */
BNN_INLINE arm_bnn_status arm_bnn_convolve_row_b1(
    const arm_bnn_context *ctx, const arm_bnn_conv_params *conv_params,
    const arm_bnn_dims *input_dims, const bnn_word *input, const arm_bnn_dims *filter_dims,
    const bnn_word *kernel, const bnn_word *threshold, const uint8_t *column_class,
    const arm_bnn_dims *output_dims, int32_t row, bnn_word *output)
{
    const bnn_size columns = (bnn_size)filter_dims->w;
    const bnn_size kernel_h = (bnn_size)filter_dims->h;
    const bnn_size ins = kernel_h * (bnn_size)input_dims->c;
    const bnn_size outs = (bnn_size)filter_dims->n;
    const bnn_size words = bnn_words((bnn_size)filter_dims->n);
    const bnn_size count = (bnn_size)conv_params->thresholds;
    const unsigned digits = (unsigned)conv_params->digits;
    arm_bnn_windows windows = arm_bnn_windows_in(ctx->buf, columns, ins, words, digits);
    bnn_size listed = 0; /* columns, counted from the first window's first */
    if (input_dims->c != filter_dims->c || output_dims->c != filter_dims->n ||
        ctx->size < arm_bnn_convolve_row_b1_get_buffer_size(conv_params, filter_dims) ||
        digits > ARM_BNN_DIGITS || conv_params->dilation.w != 1 ||
        columns * (ins + 1u) * words * ARM_BNN_UNIT > 65535u) {
        return ARM_BNN_ARG_ERROR;
    }
    for (bnn_size pixel = 0; pixel < (bnn_size)output_dims->w; ++pixel) {
        const bnn_size first = pixel * (bnn_size)conv_params->stride.w;
        const bnn_size border = column_class == NULL ? 0 : column_class[pixel];
        const bnn_word *const at = threshold + border * count * digits * words;
        for (; listed < first + columns; ++listed) { /* the ring turns to the window's first */
            if (listed >= first) {
                const bnn_size x = bnn_tap(listed, 1, 0, 1, (bnn_size)conv_params->padding.w,
                                           (bnn_size)input_dims->w);
                arm_bnn_list_column(&windows, conv_params, input_dims, input, kernel_h,
                                    (bnn_size)row, x,
                                    windows.lists + windows.first * windows.room);
            }
            windows.first = windows.first + 1u == columns ? 0 : windows.first + 1u;
        }
        windows.zeros = (uint32_t)(columns * ins - arm_bnn_begin_window(&windows));
        for (bnn_size o = 0; o < words; o += ARM_BNN_ABREAST) {
            const bnn_size some = words - o < ARM_BNN_ABREAST ? words - o : ARM_BNN_ABREAST;
            bnn_word odd[ARM_BNN_ABREAST];
            arm_bnn_compare_window(&windows, kernel + o, at + o, count, some, odd);
            for (bnn_size i = 0; i < some; ++i) {
                const bnn_size lane = 32u * (o + i);
                bnn_append(output, pixel * outs + lane, odd[i], bnn_lanes(outs, lane));
            }
        }
    }
    return ARM_BNN_SUCCESS;
}

#endif
