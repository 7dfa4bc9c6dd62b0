/* The largest of some integers, one after the other. */
#ifndef BNN_TOP_H
#define BNN_TOP_H

#include "bnn_types.h"

/* The index of the largest of n integers; with `last` below n, of those that come after x[last]:
 * smaller ones, and equal ones of higher index. Among equals the first comes first. */
BNN_INLINE bnn_size bnn_next_largest(const void *x, bnn_type x_type, bnn_size n, bnn_size last)
{
    bnn_size best = n;
    int32_t largest = 0;
    const int32_t limit = last < n ? bnn_load(x, x_type, last) : 0;
    for (bnn_size i = 0; i < n; ++i) {
        const int32_t value = bnn_load(x, x_type, i);
        const int after = last >= n || value < limit || (value == limit && i > last);
        if (after && (best == n || value > largest)) {
            largest = value;
            best = i;
        }
    }
    return best;
}

#endif
