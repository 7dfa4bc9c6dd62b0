/* Bit planes to integers: y[i] = lo + step * code[i], the codes unsigned. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_unpack(const bnn_word *x, bnn_size n, unsigned planes, int32_t lo, int32_t step,
                           void *y, bnn_type y_type)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size i = 0; i < n; ++i) {
        uint32_t code = 0;
        for (unsigned p = 0; p < planes; ++p) {
            code |= bnn_lane(x[p * words + i / BNN_WORD_BITS], i % BNN_WORD_BITS) << p;
        }
        bnn_store(y, y_type, i, bnn_signed((uint32_t)lo + (uint32_t)step * code));
    }
}
