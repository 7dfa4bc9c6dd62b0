/* Port for Arm Cortex-M: words of 32 bits, one address space, the lowest byte first. */
#ifndef BNN_PORT_H
#define BNN_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "bnn_attributes.h"

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
 * read of a table goes through the functions of bnn_rom.h: here they are plain reads. */
#define BNN_TABLE
#define BNN_ROM

#endif
