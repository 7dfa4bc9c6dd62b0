/* Bipolar by bipolar dense layer, bit-sliced: y[o] = 2 v - offset[o] (see the common kernel of this
 * name). */
#include "bnn_kernels.h"
#include "arm_bnn_slices.h"

BNN_KERNEL void bnn_dense_sliced(const bnn_word *x, const bnn_word BNN_ROM *w,
                                 const void BNN_ROM *offset, bnn_type offset_type, unsigned digits,
                                 bnn_size n, bnn_size outs, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    arm_bnn_strip strip;
    for (bnn_size first = 0; first < columns; first += ARM_BNN_STRIP) {
        const bnn_size words = columns - first < ARM_BNN_STRIP ? columns - first : ARM_BNN_STRIP;
        arm_bnn_count(&strip, x, w + first, n, columns, words, digits);
        for (bnn_size i = 0; i < words; ++i) {
            const bnn_size o = (first + i) * 32u;
            const bnn_size lanes = bnn_lanes(outs, o);
            arm_bnn_numbers(strip.digit[i], digits);
            for (bnn_size lane = 0; lane < lanes; ++lane) {
                const int32_t v = (int32_t)strip.digit[i][lane];
                y[o + lane] = 2 * v - bnn_rom_load(offset, offset_type, o + lane);
            }
        }
    }
}
