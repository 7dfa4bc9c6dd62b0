/* Dense layer of unsigned bit planes by bipolar weights, bit-sliced: y[o] = 2 C - S (see the common
 * kernel of this name). */
#include "bnn_kernels.h"
#include "arm_bnn_slices.h"

BNN_KERNEL void bnn_dense_sliced_planes(const bnn_word *x, unsigned planes,
                                        const bnn_word BNN_ROM *w, unsigned digits, bnn_size n,
                                        bnn_size outs, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    const bnn_size x_words = bnn_words(n);
    arm_bnn_strip strip;
    for (bnn_size first = 0; first < columns; first += ARM_BNN_STRIP) {
        const bnn_size words = columns - first < ARM_BNN_STRIP ? columns - first : ARM_BNN_STRIP;
        uint32_t all = 0;
        arm_bnn_begin(&strip, words, ARM_BNN_PLACES, 0);
        for (unsigned p = 0; p < planes; ++p) {
            const bnn_word *const plane = x + p * x_words;
            all += (uint32_t)arm_bnn_add_plane(&strip, plane, w + first, n, columns, words, p) << p;
        }
        for (bnn_size i = 0; i < words; ++i) {
            const bnn_size o = (first + i) * 32u;
            const bnn_size lanes = bnn_lanes(outs, o);
            arm_bnn_numbers(strip.digit[i], digits);
            for (bnn_size lane = 0; lane < lanes; ++lane) {
                y[o + lane] = bnn_signed(2u * strip.digit[i][lane] - all);
            }
        }
    }
}
