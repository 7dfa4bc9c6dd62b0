/* Counting thresholds. */
#ifndef BNN_REACHED_H
#define BNN_REACHED_H

#include "bnn_types.h"

/* How many of the thresholds at[first..first+count-1] the value reaches (value >= threshold). All
 * are looked at, so that the time does not depend on the data. */
BNN_INLINE unsigned bnn_reached(int32_t value, const void BNN_ROM *at, bnn_type at_type,
                                bnn_size first, bnn_size count)
{
    unsigned reached = 0;
    for (bnn_size k = 0; k < count; ++k) {
        reached += value >= bnn_rom_load(at, at_type, first + k);
    }
    return reached;
}

#endif
