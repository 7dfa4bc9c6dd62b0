/* Rows of bits in constant tables: whole words in one, and what is left of each row, its tail, in
 * another one, whose elements are the smallest that hold it. Where there are no tails, the last
 * words of rows are not full. */
#ifndef BNN_ROWS_H
#define BNN_ROWS_H

#include "bnn_popcount.h"

/* How many words of a row of n bits are in the table of words. */
BNN_INLINE bnn_size bnn_row_words(bnn_size n, const void BNN_ROM *tail)
{
    return tail == NULL ? bnn_words(n) : n / BNN_WORD_BITS;
}

/* The tail of row o. */
BNN_INLINE bnn_word bnn_row_tail(const void BNN_ROM *tail, bnn_type tail_type, bnn_size o)
{
    return (bnn_word)(uint32_t)bnn_rom_load(tail, tail_type, o);
}

/* The number of places where x and row o differ. */
BNN_INLINE bnn_size bnn_row_differing(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words,
                                      const void BNN_ROM *tail, bnn_type tail_type, bnn_size o)
{
    bnn_size count = words == 0 ? 0 : bnn_differing(x, w + o * words, words);
    if (tail != NULL) {
        count += bnn_popcount((bnn_word)(x[words] ^ bnn_row_tail(tail, tail_type, o)));
    }
    return count;
}

/* The number of places where both x and row o are 1. */
BNN_INLINE bnn_size bnn_row_common(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words,
                                   const void BNN_ROM *tail, bnn_type tail_type, bnn_size o)
{
    bnn_size count = words == 0 ? 0 : bnn_common(x, w + o * words, words);
    if (tail != NULL) {
        count += bnn_popcount((bnn_word)(x[words] & bnn_row_tail(tail, tail_type, o)));
    }
    return count;
}

#endif
