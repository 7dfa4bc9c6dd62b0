/* Codes in another order: code i of y is code index[i % period] + start[b % blocks] + b / blocks *
 * stride of x, a value of x_n codes, where b = i / period. */
#include "bnn_kernels.h"
#include "bnn_bits.h"

BNN_KERNEL void bnn_permute_bits(const bnn_word *x, bnn_size x_n, unsigned planes,
                                 const void BNN_ROM *index, bnn_type index_type, bnn_size period,
                                 const void BNN_ROM *start, bnn_type start_type, bnn_size blocks,
                                 bnn_size stride, bnn_size n, bnn_word *y)
{
    for (unsigned p = 0; p < planes; ++p) {
        for (bnn_size i = 0; i < n; i += period) {
            const bnn_size block = i / period;
            const int32_t first = bnn_rom_load(start, start_type, block % blocks);
            for (bnn_size j = 0; j < period; ++j) {
                const int32_t from = first + bnn_rom_load(index, index_type, j);
                bnn_append(y, i + j, bnn_take(x, (bnn_size)from + block / blocks * stride, 1), 1);
            }
        }
        x += bnn_words(x_n);
        y += bnn_words(n);
    }
}
