/* Bit-sliced counters for Cortex-M: their form, and adding digits. */
#ifndef ARM_BNN_DIGITS_H
#define ARM_BNN_DIGITS_H

#include "bnn_popcount.h"

#define ARM_BNN_DIGITS 20u /* of a counter */
#define ARM_BNN_PLACES 32u /* with those behind, which are looked at, too */
#define ARM_BNN_STRIP 4u   /* words of outputs that share a list */
#define ARM_BNN_BATCH 448u /* rows that are added up at a time */

/* What an offset counts: bytes, which 16-bit instructions address, or words, which lets it reach
 * four times as far. */
#if ARM_BNN_THUMB1
#define ARM_BNN_UNIT 4u
#else
#define ARM_BNN_UNIT 1u
#endif

/* How many rows are added up before there is a carry: eight, in each lane of a vector. */
#if ARM_BNN_MVE
#define ARM_BNN_GROUP 32u
#else
#define ARM_BNN_GROUP 8u
#endif

/* The state of a strip: counters of each word of outputs, and what they are made from. `row` has
 * room for what a word's inputs write beyond a batch. */
typedef struct arm_bnn_strip {
    bnn_word digit[ARM_BNN_STRIP][ARM_BNN_PLACES];
    bnn_word carry[ARM_BNN_BATCH / 8u + 16u];
    bnn_u16 row[ARM_BNN_BATCH + 36u];
} BNN_MAY_ALIAS arm_bnn_strip;

/* All bits of the word are bit `d` of `number`. */
BNN_INLINE uint32_t arm_bnn_spread(uint32_t number, unsigned d)
{
    return 0u - (number >> d & 1u);
}

#endif
