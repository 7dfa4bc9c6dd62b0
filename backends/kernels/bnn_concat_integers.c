/* Two maps of integers side by side: at each pixel the integers of x, then those of z. */
#include "bnn_kernels.h"

BNN_KERNEL void bnn_concat_integers(const void *x, bnn_type x_type, bnn_size x_channels,
                                    const void *z, bnn_type z_type, bnn_size z_channels,
                                    bnn_size pixels, void *y, bnn_type y_type)
{
    bnn_size at = 0;
    for (bnn_size i = 0; i < pixels; ++i) {
        for (bnn_size c = 0; c < x_channels; ++c) {
            bnn_store(y, y_type, at + c, bnn_load(x, x_type, i * x_channels + c));
        }
        at += x_channels;
        for (bnn_size c = 0; c < z_channels; ++c) {
            bnn_store(y, y_type, at + c, bnn_load(z, z_type, i * z_channels + c));
        }
        at += z_channels;
    }
}
