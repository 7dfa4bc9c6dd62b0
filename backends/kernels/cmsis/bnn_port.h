/* Port for Arm Cortex-M: words of 32 bits, one address space, the lowest byte first. */
#ifndef BNN_PORT_H
#define BNN_PORT_H

#include <stddef.h>
#include <stdint.h>

/* Attributes that GNU compilers need to hear; none changes what the code means.
 * BNN_MAY_ALIAS: the arena holds words at one time and integers at another, in the same bytes.
 * BNN_INLINE: helpers vanish into the kernels, so that constant arguments fold; some programs use
 * only a few of them. */
#if defined(__GNUC__)
#define BNN_MAY_ALIAS __attribute__((__may_alias__))
#define BNN_INLINE static inline __attribute__((__always_inline__, __unused__))
#else
#define BNN_MAY_ALIAS
#define BNN_INLINE static inline
#endif

/* The word is the register: 32 bits. */
#ifndef BNN_WORD_BITS
#define BNN_WORD_BITS 32
#endif
#if BNN_WORD_BITS != 32
#error "a Cortex-M has words of 32 bits"
#endif
#if defined(__ARM_BIG_ENDIAN)
#error "these kernels are for Cortex-M with the lowest byte first"
#endif
typedef uint32_t BNN_MAY_ALIAS bnn_word;

/* Counts and indices of elements. It must hold the number of elements of the largest table. */
typedef size_t bnn_size;

/* BNN_TABLE stands in the definition of a table, BNN_ROM in the type of a pointer to one. Every
 * read of a table goes through the functions below: here they are plain reads. */
#define BNN_TABLE
#define BNN_ROM

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
