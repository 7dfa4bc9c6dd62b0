/* Reads of constant tables. How memory is read that tables live in is the port's affair:
 * BNN_READ(kind, width, p) is the integer of type `kind` that p points to, where `width` is byte
 * (8 bits), word (16) or dword (32); BNN_READ_WORD(p) is a word of packed bits. */
#ifndef BNN_ROM_H
#define BNN_ROM_H

#include "bnn_port.h"

BNN_INLINE bnn_word bnn_rom_word(const bnn_word BNN_ROM *p)
{
    return BNN_READ_WORD(p);
}

BNN_INLINE uint8_t bnn_rom_u8(const uint8_t BNN_ROM *p)
{
    return BNN_READ(uint8_t, byte, p);
}

BNN_INLINE int8_t bnn_rom_s8(const int8_t BNN_ROM *p)
{
    return BNN_READ(int8_t, byte, p);
}

BNN_INLINE uint16_t bnn_rom_u16(const uint16_t BNN_ROM *p)
{
    return BNN_READ(uint16_t, word, p);
}

BNN_INLINE int16_t bnn_rom_s16(const int16_t BNN_ROM *p)
{
    return BNN_READ(int16_t, word, p);
}

BNN_INLINE int32_t bnn_rom_s32(const int32_t BNN_ROM *p)
{
    return BNN_READ(int32_t, dword, p);
}

BNN_INLINE int64_t bnn_rom_s64(const int64_t BNN_ROM *p)
{
    return BNN_READ_S64(p);
}

#endif
