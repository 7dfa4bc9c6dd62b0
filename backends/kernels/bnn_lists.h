/* Lists of the inputs that are 1, four at a time and without a branch: a table has for each four
 * bits where their ones are. */
#ifndef BNN_LISTS_H
#define BNN_LISTS_H

#include <string.h>

#include "bnn_types.h"

#define BNN_LIST_SLACK 8u /* numbers that are written behind a list */

static const uint16_t bnn_ones_of[16][4] = {
    {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {2, 0, 0, 0}, {0, 2, 0, 0},
    {1, 2, 0, 0}, {0, 1, 2, 0}, {3, 0, 0, 0}, {0, 3, 0, 0}, {1, 3, 0, 0}, {0, 1, 3, 0},
    {2, 3, 0, 0}, {0, 2, 3, 0}, {1, 2, 3, 0}, {0, 1, 2, 3}};
static const uint8_t bnn_count_of[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

/* Appends to a list of `count` numbers those of the first n bits that are 1, of which the lowest
 * has the number `first`; returns how many there are then. All numbers are below 2^16. */
BNN_INLINE bnn_size bnn_list_bits(bnn_word bits, bnn_size n, bnn_size first, bnn_u16 *list,
                                  bnn_size count)
{
    for (bnn_size i = 0; i < n; i += 4u) {
        const unsigned four = (unsigned)(bits >> i) & 15u;
        uint64_t numbers; /* four of 16 bits, to each of which the same is added */
        memcpy(&numbers, bnn_ones_of[four], sizeof numbers);
        numbers += (uint64_t)(first + i) * 0x0001000100010001u;
        memcpy(list + count, &numbers, sizeof numbers);
        count += bnn_count_of[four];
    }
    return count;
}

/* Fills a list up to a multiple of eight. */
BNN_INLINE void bnn_end_list(bnn_u16 *list, bnn_size count, bnn_size number)
{
    for (bnn_size i = 0; i < BNN_LIST_SLACK; ++i) {
        list[count + i] = (bnn_u16)number;
    }
}

#endif
