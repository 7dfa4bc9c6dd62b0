/* Dot products of integers with integer weights from a table. */
#ifndef BNN_DOT_H
#define BNN_DOT_H

#include "bnn_types.h"

/* How many integers are spread out at a time for a dot product: one word's worth. */
#define BNN_BLOCK BNN_WORD_BITS

/* sum_i x[i] * w[first + i] modulo 2^32. The type is looked at once, outside of the loop. */
BNN_INLINE uint32_t bnn_dot(const int32_t *x, bnn_size n, const void BNN_ROM *w, bnn_type w_type,
                            bnn_size first)
{
    uint32_t sum = 0;
    switch (w_type) {
    case BNN_U8:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * bnn_rom_u8((const uint8_t BNN_ROM *)w + first + i);
        }
        break;
    case BNN_S8:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * (uint32_t)bnn_rom_s8((const int8_t BNN_ROM *)w + first + i);
        }
        break;
    case BNN_U16:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * bnn_rom_u16((const uint16_t BNN_ROM *)w + first + i);
        }
        break;
    case BNN_S16:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * (uint32_t)bnn_rom_s16((const int16_t BNN_ROM *)w + first + i);
        }
        break;
    default:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * (uint32_t)bnn_rom_s32((const int32_t BNN_ROM *)w + first + i);
        }
        break;
    }
    return sum;
}

#endif
