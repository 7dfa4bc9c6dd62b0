/* Integers times integers: y[i] = x[i] * z[i], which y's type holds.
 *
 * y may begin where x begins if its elements are not larger: y[i] is written after x[i] is read. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_mul_integers(const void *x, bnn_type x_type, const void *z, bnn_type z_type,
                                 bnn_size n, void *y, bnn_type y_type)
{
    for (bnn_size i = 0; i < n; ++i) {
        const uint32_t factor = (uint32_t)bnn_load(z, z_type, i);
        bnn_store(y, y_type, i, bnn_signed((uint32_t)bnn_load(x, x_type, i) * factor));
    }
}
