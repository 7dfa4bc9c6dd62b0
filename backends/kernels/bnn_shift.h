/* Shifts of integers of 64 bits. */
#ifndef BNN_SHIFT_H
#define BNN_SHIFT_H

#include "bnn_types.h"

/* floor(v / 2^shift): C leaves open what >> does to a negative number. */
BNN_INLINE int64_t bnn_floor_shift(int64_t v, unsigned shift)
{
#if (-1 >> 1) == -1
    return v >> shift;
#else
    return v >= 0 ? v >> shift : ~(~v >> shift);
#endif
}

#endif
