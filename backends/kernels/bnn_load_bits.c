/* Packed input bytes to words: bit i of y is bit i % 8 of byte i / 8 of x. Bits of x behind the
 * last element are ignored. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_load_bits(const uint8_t *x, bnn_size n, bnn_word *y)
{
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        const bnn_size bytes = (lanes + 7u) / 8u;
        bnn_word bits = 0;
        for (bnn_size j = 0; j < bytes; ++j) {
            bits = (bnn_word)(bits | ((bnn_word)x[i / 8u + j] << (8u * j)));
        }
        y[i / BNN_WORD_BITS] = (bnn_word)(bits & (ones >> (BNN_WORD_BITS - lanes)));
    }
}
