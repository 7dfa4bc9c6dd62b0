/* Rows of bits added up two by two.
 *
 * A full adder takes five instructions where there are only those of two operands. Two of them one
 * behind the other take eight, not ten, if each pair of rows comes as its first row and where the
 * second differs, and the two carries leave in the same form, ready for the digit above (the "MDFA"
 * block of Demenkov, Kojevnikov, Kulikov and Yaroslavtsev, "New upper bounds on the Boolean circuit
 * complexity of symmetric functions", 2010). So a row takes 4.5 instructions, not 5. Where full
 * adders take two or three, a pair is just its two rows. */
#ifndef BNN_ADDERS_H
#define BNN_ADDERS_H

#include "bnn_digits.h"

#if (defined(__AVX512F__) || defined(__ARM_NEON)) && BNN_SLICE_WORDS > 1
#define BNN_DIFFERENCES 0
#else
#define BNN_DIFFERENCES 1
#endif

/* Two rows of the same weight; `second` is where they differ if BNN_DIFFERENCES is 1. */
typedef struct bnn_pair {
    bnn_digit first, second;
} bnn_pair;

BNN_INLINE bnn_pair bnn_pair_of(bnn_digit a, bnn_digit b)
{
    const bnn_pair pair = {a, BNN_DIFFERENCES ? (bnn_digit)(a ^ b) : b};
    return pair;
}

/* A pair of rows added to a digit; returns the carry, which is the sum where all three are equal,
 * and else its opposite. */
BNN_INLINE bnn_digit bnn_add_pair(bnn_digit *sum, bnn_pair x)
{
#if BNN_DIFFERENCES
    const bnn_digit unequal = (bnn_digit)((*sum ^ x.first) | x.second);
    *sum = (bnn_digit)(*sum ^ x.second);
    return (bnn_digit)(*sum ^ unequal);
#else
    return bnn_add_digits(sum, x.first, x.second);
#endif
}

/* Two pairs of rows added to a digit; returns the pair of carries. Where the second pair differs,
 * its carry is the opposite of what `unequal` would say of it, and so is the sum. */
BNN_INLINE bnn_pair bnn_add_two_pairs(bnn_digit *sum, bnn_pair x, bnn_pair y)
{
#if BNN_DIFFERENCES
    const bnn_digit unequal = (bnn_digit)((*sum ^ x.first) | x.second);
    const bnn_digit half = (bnn_digit)(*sum ^ x.second);
    const bnn_digit other = (bnn_digit)((half ^ y.first) & ~y.second);
    const bnn_pair carries = {(bnn_digit)(half ^ unequal), (bnn_digit)(unequal ^ other)};
    *sum = (bnn_digit)(half ^ y.second);
    return carries;
#else
    const bnn_digit first = bnn_add_pair(sum, x);
    return bnn_pair_of(first, bnn_add_pair(sum, y));
#endif
}

/* Four rows into the digit of ones; returns the pair of carries. */
BNN_INLINE bnn_pair bnn_add_four(bnn_digit *one, const bnn_digit *rows)
{
    return bnn_add_two_pairs(one, bnn_pair_of(rows[0], rows[1]), bnn_pair_of(rows[2], rows[3]));
}

/* Eight rows into the digits of ones and twos; returns the pair of carries. */
BNN_INLINE bnn_pair bnn_add_eight(bnn_digit *low, const bnn_digit *rows)
{
    const bnn_pair two = bnn_add_four(&low[0], rows);
    return bnn_add_two_pairs(&low[1], two, bnn_add_four(&low[0], rows + 4));
}

#endif
