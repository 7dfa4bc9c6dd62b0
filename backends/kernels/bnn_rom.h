/* Reads of constant tables, where they lie in the same memory as all else. A port for a machine
 * with a memory of its own for them has its own functions, and defines BNN_READ. */
#ifndef BNN_ROM_H
#define BNN_ROM_H

#include "bnn_port.h"

#if !defined(BNN_READ)

BNN_INLINE bnn_word bnn_rom_word(const bnn_word BNN_ROM *p)
{
    return *p;
}

BNN_INLINE uint8_t bnn_rom_u8(const uint8_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int8_t bnn_rom_s8(const int8_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE uint16_t bnn_rom_u16(const uint16_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int16_t bnn_rom_s16(const int16_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int32_t bnn_rom_s32(const int32_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int64_t bnn_rom_s64(const int64_t BNN_ROM *p)
{
    return *p;
}

#endif

#endif
