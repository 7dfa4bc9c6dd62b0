/* Bipolar by bipolar dense layer with thresholds: bits in, bits out. */
#ifndef ARM_BNN_FULLY_CONNECTED_B1_H
#define ARM_BNN_FULLY_CONNECTED_B1_H

#include "arm_bnn_slices.h"
#include "arm_bnn_types.h"

/* Bytes of working memory that arm_bnn_fully_connected_b1 wants, whatever the layer. */
BNN_INLINE int32_t arm_bnn_fully_connected_b1_get_buffer_size(const arm_bnn_dims *filter_dims)
{
    (void)filter_dims;
    return (int32_t)sizeof(arm_bnn_strip);
}

/* Output o is 1 where v_o = n - (ones of the input) + 2 (inputs that are 1 and have weight +1)
 * reaches an odd number of its thresholds, n being the number of inputs.
 *
 * ctx          working memory
 * fc_params    thresholds of an output, and their binary digits: enough for 2 n + 1
 * input_dims   c: number of inputs
 * input        element i is bit i % 32 of word i / 32, 1 for +1; further bits are 0
 * filter_dims  n: number of inputs, c: number of outputs
 * kernel       row i has the weights of input i for all outputs, packed as the input is; row n is 0
 * threshold    row k * digits + d has digit d of threshold k for all outputs
 * output_dims  c: number of outputs
 * output       packed as the input is
 *
 * Returns ARM_BNN_ARG_ERROR where the dimensions do not go together, the working memory is too
 * small, or the kernel is larger than 16-bit offsets reach: 64 KB on ARMv6-M, 256 KB elsewhere. */
BNN_INLINE arm_bnn_status arm_bnn_fully_connected_b1(
    const arm_bnn_context *ctx, const arm_bnn_fc_params *fc_params, const arm_bnn_dims *input_dims,
    const bnn_word *input, const arm_bnn_dims *filter_dims, const bnn_word *kernel,
    const bnn_word *threshold, const arm_bnn_dims *output_dims, bnn_word *output)
{
    const bnn_size n = (bnn_size)filter_dims->n;
    const bnn_size columns = bnn_words((bnn_size)filter_dims->c);
    const bnn_size thresholds = (bnn_size)fc_params->thresholds;
    const unsigned digits = (unsigned)fc_params->digits;
    arm_bnn_strip *const strip = (arm_bnn_strip *)ctx->buf;
    if (input_dims->c != filter_dims->n || output_dims->c != filter_dims->c ||
        ctx->size < (int32_t)sizeof *strip || digits > ARM_BNN_DIGITS ||
        n * columns * ARM_BNN_UNIT > 65535u) {
        return ARM_BNN_ARG_ERROR;
    }
    for (bnn_size first = 0; first < columns; first += ARM_BNN_STRIP) {
        const bnn_size words = columns - first < ARM_BNN_STRIP ? columns - first : ARM_BNN_STRIP;
        arm_bnn_count(strip, input, kernel + first, n, columns, words, digits);
        for (bnn_size i = 0; i < words; ++i) {
            const bnn_word *at = threshold + first + i;
            bnn_word bits = 0;
            for (bnn_size k = 0; k < thresholds; ++k) {
                bits ^= arm_bnn_reached(strip->digit[i], at, columns, digits);
                at += digits * columns;
            }
            output[first + i] = bits;
        }
    }
    return ARM_BNN_SUCCESS;
}

#endif
