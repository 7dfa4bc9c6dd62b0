/* Bipolar by bipolar dense layer without thresholds: bits in, sums out. */
#ifndef ARM_BNN_FULLY_CONNECTED_B1_S32_H
#define ARM_BNN_FULLY_CONNECTED_B1_S32_H

#include "arm_bnn_slices.h"
#include "arm_bnn_types.h"

/* Bytes of working memory that arm_bnn_fully_connected_b1_s32 wants, whatever the layer. */
BNN_INLINE int32_t arm_bnn_fully_connected_b1_s32_get_buffer_size(const arm_bnn_dims *filter_dims)
{
    (void)filter_dims;
    return (int32_t)sizeof(arm_bnn_strip);
}

/* output[o] = 2 v_o - offset[o], v_o being that of arm_bnn_fully_connected_b1. With an offset of
 * n + 2 (weights of o that are +1) it is the sum over n bipolar inputs and weights.
 *
 * Arguments are those of arm_bnn_fully_connected_b1, without thresholds; `offset` has integers of
 * offset_type. Returns ARM_BNN_ARG_ERROR in the same cases. */
BNN_INLINE arm_bnn_status arm_bnn_fully_connected_b1_s32(
    const arm_bnn_context *ctx, const arm_bnn_fc_params *fc_params, const arm_bnn_dims *input_dims,
    const bnn_word *input, const arm_bnn_dims *filter_dims, const bnn_word *kernel,
    const void *offset, bnn_type offset_type, const arm_bnn_dims *output_dims, int32_t *output)
{
    const bnn_size n = (bnn_size)filter_dims->n;
    const bnn_size outs = (bnn_size)filter_dims->c;
    const bnn_size columns = bnn_words((bnn_size)filter_dims->c);
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
            const bnn_size o = (first + i) * 32u;
            const bnn_size lanes = bnn_lanes(outs, o);
            arm_bnn_numbers(strip->digit[i], digits);
            for (bnn_size lane = 0; lane < lanes; ++lane) {
                const int32_t v = (int32_t)strip->digit[i][lane];
                output[o + lane] = 2 * v - bnn_rom_load(offset, offset_type, o + lane);
            }
        }
    }
    return ARM_BNN_SUCCESS;
}

#endif
