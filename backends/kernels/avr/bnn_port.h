/* Port for AVR. Working memory and program memory are two address spaces there: tables live in
 * flash and are read by an instruction of their own, `lpm`, or, where there are more of them than
 * 16 bits can address (BNN_FAR), `elpm`.
 *
 * On any other machine all of this is plain C, so that the same file runs, and can be read by
 * tools, anywhere. BNN_NO_ASM chooses the C form of the few kernels that are in assembly. */
#ifndef BNN_PORT_H
#define BNN_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "bnn_attributes.h"

/* The word is the register: 8 bits. */
#ifndef BNN_WORD_BITS
#define BNN_WORD_BITS 8
#endif
#if BNN_WORD_BITS != 8
#error "an AVR has words of 8 bits"
#endif
typedef uint8_t BNN_MAY_ALIAS bnn_word;

/* Counts and indices of elements. */
typedef size_t bnn_size;

#if defined(__AVR__) && !defined(BNN_NO_ASM)
#define BNN_ASM 1
#else
#define BNN_ASM 0
#endif

/* A function that is not inlined, so that its loop has all registers. */
#if defined(__GNUC__)
#define BNN_APART static __attribute__((__noinline__, __noclone__, __unused__))
#else
#define BNN_APART static
#endif

/* BNN_TABLE stands in the definition of a table, BNN_ROM in the type of a pointer to one. Every
 * read of a table goes through functions: those of bnn_rom.h on other machines. */
#if defined(__AVR__)
#include <avr/pgmspace.h>
#if defined(BNN_FAR)
/* Pointers have 24 bits. The tables lie behind the code, so that those which others read with
 * `lpm` stay in the first 64 KB. */
#define BNN_TABLE __memx __attribute__((__section__(".text.bnn_tables")))
#define BNN_ROM __memx
#define BNN_READ(kind, width, p) ((kind)pgm_read_##width##_far((uint_farptr_t)(__uint24)(p)))
/* In assembly, elpm takes the bits of an address above those in Z from RAMPZ, at 0x3b, and an
 * increment goes on there. It is 0 again when a kernel ends. */
#define BNN_LPM "elpm"
#define BNN_IF_FAR(text) text
#define BNN_ADDRESS(p) ((uint16_t)(__uint24)(p))
#define BNN_BANK(p) ((uint8_t)((__uint24)(p) >> 16))
#else
#define BNN_TABLE PROGMEM
#define BNN_ROM
#define BNN_READ(kind, width, p) ((kind)pgm_read_##width(p))
#define BNN_LPM "lpm"
#define BNN_IF_FAR(text) ""
#define BNN_ADDRESS(p) ((uint16_t)(p))
#define BNN_BANK(p) 0
#endif

BNN_INLINE bnn_word bnn_rom_word(const bnn_word BNN_ROM *p)
{
    return BNN_READ(bnn_word, byte, p);
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
    const uint32_t BNN_ROM *const halves = (const uint32_t BNN_ROM *)p;
    const uint64_t high = BNN_READ(uint32_t, dword, halves + 1);
    return (int64_t)(high << 32 | BNN_READ(uint32_t, dword, halves));
}

#else
#define BNN_TABLE
#define BNN_ROM
#endif

#endif
