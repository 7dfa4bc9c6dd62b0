/* Made-up inputs for the self-test. */
#ifndef BNN_NOISE_H
#define BNN_NOISE_H

#include "bnn_port.h"

/* The 32-bit finalizer of MurmurHash3 (Appleby, public domain): the i-th number of a fixed
 * sequence, without state. */
BNN_INLINE uint32_t bnn_noise(uint32_t i)
{
    i = (i ^ (i >> 16)) * UINT32_C(0x85ebca6b);
    i = (i ^ (i >> 13)) * UINT32_C(0xc2b2ae35);
    return i ^ (i >> 16);
}

#endif
