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

/* BNN_TABLE stands in the definition of a table, BNN_ROM in the type of a pointer to one. Every
 * read of a table goes through the functions of bnn_rom.h. */
#if defined(__AVR__)
#include <avr/pgmspace.h>
#if defined(BNN_FAR)
/* Pointers have 24 bits. The tables lie behind the code, so that those which others read with
 * `lpm` stay in the first 64 KB. */
#define BNN_TABLE __memx __attribute__((__section__(".text.bnn_tables")))
#define BNN_ROM __memx
#define BNN_READ(kind, width, p) ((kind)pgm_read_##width##_far((uint_farptr_t)(__uint24)(p)))
#else
#define BNN_TABLE PROGMEM
#define BNN_ROM
#define BNN_READ(kind, width, p) ((kind)pgm_read_##width(p))
#endif
#define BNN_READ_WORD(p) BNN_READ(bnn_word, byte, p)
#define BNN_READ_S64(p) bnn_read_s64((const uint32_t BNN_ROM *)(p))

BNN_INLINE int64_t bnn_read_s64(const uint32_t BNN_ROM *halves)
{
    const uint64_t high = BNN_READ(uint32_t, dword, halves + 1);
    return (int64_t)(high << 32 | BNN_READ(uint32_t, dword, halves));
}
#else
#define BNN_TABLE
#define BNN_ROM
#define BNN_READ(kind, width, p) (*(p))
#define BNN_READ_WORD(p) (*(p))
#define BNN_READ_S64(p) (*(p))
#endif

#endif
