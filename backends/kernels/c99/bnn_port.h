/* Port for any C99 compiler. A port is what differs between machines: the word that bits are
 * packed into, the type of sizes, and where constant tables live and how they are read. Other
 * ports replace this file and nothing else. */
#ifndef BNN_PORT_H
#define BNN_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "bnn_attributes.h"

/* The word: BNN_WORD_BITS is 8, 16, 32 or 64. */
#ifndef BNN_WORD_BITS
#define BNN_WORD_BITS 64
#endif
#if BNN_WORD_BITS == 8
typedef uint8_t BNN_MAY_ALIAS bnn_word;
#elif BNN_WORD_BITS == 16
typedef uint16_t BNN_MAY_ALIAS bnn_word;
#elif BNN_WORD_BITS == 32
typedef uint32_t BNN_MAY_ALIAS bnn_word;
#elif BNN_WORD_BITS == 64
typedef uint64_t BNN_MAY_ALIAS bnn_word;
#else
#error "BNN_WORD_BITS must be 8, 16, 32 or 64"
#endif

/* Counts and indices of elements. It must hold the number of elements of the largest table. */
typedef size_t bnn_size;

/* BNN_TABLE stands in the definition of a table, BNN_ROM in the type of a pointer to one. Every
 * read of a table goes through the functions of bnn_rom.h: here they are plain reads. Where words
 * have 64 bits, tables begin with a line of the cache, as reading rows of weights that straddle two
 * takes half as long again. */
#if defined(__GNUC__) && BNN_WORD_BITS == 64
#define BNN_TABLE __attribute__((__aligned__(64)))
#else
#define BNN_TABLE
#endif
#define BNN_ROM

#endif
