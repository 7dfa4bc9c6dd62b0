/* Integers of any type by index, packed bits, and arithmetic that is the same on every machine. */
#ifndef BNN_TYPES_H
#define BNN_TYPES_H

#include "bnn_port.h"
#include "bnn_rom.h"

/* The element type of an argument pair `const void *x, bnn_type x_type`. It is a constant in
 * every call, so that the switches below fold away where the compiler sees kernel and call
 * together. Kernels that do not say so take no BNN_S64. */
typedef enum bnn_type { BNN_U8, BNN_S8, BNN_U16, BNN_S16, BNN_S32, BNN_S64 } bnn_type;

typedef uint16_t BNN_MAY_ALIAS bnn_u16;
typedef int16_t BNN_MAY_ALIAS bnn_s16;
typedef int32_t BNN_MAY_ALIAS bnn_s32;

/* x[i], from working memory. */
BNN_INLINE int32_t bnn_load(const void *x, bnn_type type, bnn_size i)
{
    switch (type) {
    case BNN_U8:
        return ((const uint8_t *)x)[i];
    case BNN_S8:
        return ((const int8_t *)x)[i];
    case BNN_U16:
        return ((const bnn_u16 *)x)[i];
    case BNN_S16:
        return ((const bnn_s16 *)x)[i];
    default:
        return ((const bnn_s32 *)x)[i];
    }
}

/* x[i], from a constant table. */
BNN_INLINE int32_t bnn_rom_load(const void BNN_ROM *x, bnn_type type, bnn_size i)
{
    switch (type) {
    case BNN_U8:
        return bnn_rom_u8((const uint8_t BNN_ROM *)x + i);
    case BNN_S8:
        return bnn_rom_s8((const int8_t BNN_ROM *)x + i);
    case BNN_U16:
        return bnn_rom_u16((const uint16_t BNN_ROM *)x + i);
    case BNN_S16:
        return bnn_rom_s16((const int16_t BNN_ROM *)x + i);
    default:
        return bnn_rom_s32((const int32_t BNN_ROM *)x + i);
    }
}

/* y[i] = value, which the type holds. */
BNN_INLINE void bnn_store(void *y, bnn_type type, bnn_size i, int32_t value)
{
    switch (type) {
    case BNN_U8:
        ((uint8_t *)y)[i] = (uint8_t)value;
        break;
    case BNN_S8:
        ((int8_t *)y)[i] = (int8_t)value;
        break;
    case BNN_U16:
        ((bnn_u16 *)y)[i] = (uint16_t)value;
        break;
    case BNN_S16:
        ((bnn_s16 *)y)[i] = (int16_t)value;
        break;
    default:
        ((bnn_s32 *)y)[i] = value;
        break;
    }
}

/* y[to + i] = x[from + i] for n elements, which y's type holds; x and y do not overlap. */
BNN_INLINE void bnn_copy(const void *x, bnn_type x_type, bnn_size from, bnn_size n, void *y,
                         bnn_type y_type, bnn_size to)
{
    for (bnn_size i = 0; i < n; ++i) {
        bnn_store(y, y_type, to + i, bnn_load(x, x_type, from + i));
    }
}

/* y[to + i] = value for n elements, which y's type holds. */
BNN_INLINE void bnn_fill(void *y, bnn_type y_type, bnn_size to, bnn_size n, int32_t value)
{
    for (bnn_size i = 0; i < n; ++i) {
        bnn_store(y, y_type, to + i, value);
    }
}

/* The two's complement value of v. Sums run modulo 2^32, where no order of additions overflows,
 * and end here. */
BNN_INLINE int32_t bnn_signed(uint32_t v)
{
    const uint32_t top = (uint32_t)1 << 31;
    return v < top ? (int32_t)v : (int32_t)(v - top) - INT32_MAX - 1;
}

/* How many words hold n bits. */
BNN_INLINE bnn_size bnn_words(bnn_size n)
{
    return n / BNN_WORD_BITS + (n % BNN_WORD_BITS != 0);
}

/* How many of n elements lie in the word that begins with element i. */
BNN_INLINE bnn_size bnn_lanes(bnn_size n, bnn_size i)
{
    return n - i < BNN_WORD_BITS ? n - i : BNN_WORD_BITS;
}

/* A word whose bit `lane` is `bit` (0 or 1) and whose other bits are 0. */
BNN_INLINE bnn_word bnn_bit(uint32_t bit, bnn_size lane)
{
    return (bnn_word)((bnn_word)bit << lane);
}

/* Bit `lane` of a word, as 0 or 1. */
BNN_INLINE uint32_t bnn_lane(bnn_word word, bnn_size lane)
{
    return (uint32_t)(word >> lane) & 1u;
}

#endif
