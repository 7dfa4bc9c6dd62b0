/* Bipolar by bipolar dense layer, bit-sliced: y[o] = 2 v - offset[o] (see the common kernel of this
 * name, and bnn_sliced.h). */
#include "bnn_kernels.h"
#include "bnn_sliced.h"

BNN_KERNEL void bnn_dense_sliced(const bnn_word *x, const bnn_word BNN_ROM *w,
                                 const void BNN_ROM *offset, bnn_type offset_type, unsigned digits,
                                 bnn_size n, bnn_size outs, void *scratch, int32_t *y)
{
    const bnn_size columns = bnn_words(outs);
    bnn_strip strip;
    (void)scratch;
    for (bnn_size first = 0; first < columns; first += BNN_STRIP) {
        const uint8_t words = bnn_strip_words(columns, first);
        const bnn_size rest = n - bnn_count_strip(&strip, x, w + first, n, columns, words);
        for (uint8_t word = 0; word < words; ++word) {
            const bnn_size o = (first + word) * 8u;
            const uint8_t lanes = (uint8_t)bnn_lanes(outs, o);
            for (uint8_t lane = 0; lane < lanes; ++lane) {
                const uint32_t counted = bnn_lane_of(strip.count[word], lane, digits);
                const int32_t v = (int32_t)(2u * counted + rest);
                y[o + lane] = 2 * v - bnn_rom_load(offset, offset_type, o + lane);
            }
        }
    }
}
