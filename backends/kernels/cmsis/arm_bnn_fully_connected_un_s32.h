/* Dense layer of unsigned integers, as bit planes, by bipolar weights: pixels in, sums out. */
#ifndef ARM_BNN_FULLY_CONNECTED_UN_S32_H
#define ARM_BNN_FULLY_CONNECTED_UN_S32_H

#include "arm_bnn_slices.h"
#include "arm_bnn_types.h"

/* Bytes of working memory that arm_bnn_fully_connected_un_s32 wants, whatever the layer. */
BNN_INLINE int32_t arm_bnn_fully_connected_un_s32_get_buffer_size(const arm_bnn_dims *filter_dims)
{
    (void)filter_dims;
    return (int32_t)sizeof(arm_bnn_strip);
}

/* output[o] is the sum of the inputs, each times its weight, -1 or +1: twice the sum of those with
 * +1 less the sum of all. The ones of plane p are counted from digit p on.
 *
 * Arguments are those of arm_bnn_fully_connected_b1, without thresholds; `input` has `planes` bit
 * planes, the lowest first, and `digits` hold the sum of all inputs. Returns ARM_BNN_ARG_ERROR in
 * the same cases, and for more than 8 planes. */
BNN_INLINE arm_bnn_status arm_bnn_fully_connected_un_s32(
    const arm_bnn_context *ctx, const arm_bnn_fc_params *fc_params, const arm_bnn_dims *input_dims,
    const bnn_word *input, unsigned planes, const arm_bnn_dims *filter_dims, const bnn_word *kernel,
    const arm_bnn_dims *output_dims, int32_t *output)
{
    const bnn_size n = (bnn_size)filter_dims->n;
    const bnn_size outs = (bnn_size)filter_dims->c;
    const bnn_size columns = bnn_words((bnn_size)filter_dims->c);
    const bnn_size plane_words = bnn_words((bnn_size)filter_dims->n);
    const unsigned digits = (unsigned)fc_params->digits;
    arm_bnn_strip *const strip = (arm_bnn_strip *)ctx->buf;
    if (input_dims->c != filter_dims->n || output_dims->c != filter_dims->c ||
        ctx->size < (int32_t)sizeof *strip || digits > ARM_BNN_DIGITS || planes > 8u ||
        n * columns * ARM_BNN_UNIT > 65535u) {
        return ARM_BNN_ARG_ERROR;
    }
    for (bnn_size first = 0; first < columns; first += ARM_BNN_STRIP) {
        const bnn_size words = columns - first < ARM_BNN_STRIP ? columns - first : ARM_BNN_STRIP;
        uint32_t all = 0;
        arm_bnn_begin(strip, words, ARM_BNN_PLACES, 0);
        for (unsigned p = 0; p < planes; ++p) {
            const bnn_word *const plane = input + p * plane_words;
            const bnn_word *const w = kernel + first;
            all += (uint32_t)arm_bnn_add_plane(strip, plane, w, n, columns, words, p) << p;
        }
        for (bnn_size i = 0; i < words; ++i) {
            const bnn_size o = (first + i) * 32u;
            const bnn_size lanes = bnn_lanes(outs, o);
            arm_bnn_numbers(strip->digit[i], digits);
            for (bnn_size lane = 0; lane < lanes; ++lane) {
                output[o + lane] = bnn_signed(2u * strip->digit[i][lane] - all);
            }
        }
    }
    return ARM_BNN_SUCCESS;
}

#endif
