/* Two maps of bit planes side by side: at each pixel the codes of x, then those of z. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_concat_bits(const bnn_word *x, bnn_size x_channels, const bnn_word *z,
                                bnn_size z_channels, unsigned planes, bnn_size pixels, bnn_word *y)
{
    const bnn_size channels = x_channels + z_channels;
    for (unsigned p = 0; p < planes; ++p) {
        for (bnn_size i = 0; i < pixels; ++i) {
            const bnn_size at = i * channels;
            bnn_append_run(y, at, x, i * x_channels, x_channels);
            bnn_append_run(y, at + x_channels, z, i * z_channels, z_channels);
        }
        x += bnn_words(pixels * x_channels);
        z += bnn_words(pixels * z_channels);
        y += bnn_words(pixels * channels);
    }
}
