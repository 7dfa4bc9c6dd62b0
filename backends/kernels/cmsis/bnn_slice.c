/* Integers to bit planes (see the common kernel of this name).
 *
 * Bytes go eight at a time, as a matrix of bits that is turned over its diagonal: Warren, "Hacker's
 * Delight", 2nd ed., 7-3. */
#include <string.h>
#include "bnn_kernels.h"

/* Swaps the bits of v under the mask with those `by` places above. */
static uint32_t bnn_swap_bits(uint32_t v, uint32_t mask, unsigned by)
{
    const uint32_t differ = (v ^ v >> by) & mask;
    return v ^ differ ^ differ << by;
}

/* Eight integers as a matrix of bits, four in each half: bits `first` to first + 7 of each. */
BNN_INLINE uint32_t bnn_four(const void *x, bnn_type x_type, bnn_size i, bnn_size count,
                             unsigned first)
{
    uint32_t bytes = 0;
    if (count >= 4u && first == 0 && (x_type == BNN_U8 || x_type == BNN_S8)) {
        memcpy(&bytes, (const uint8_t *)x + i, sizeof bytes);
        return bytes;
    }
    for (bnn_size k = 0; k < count && k < 4u; ++k) {
        bytes |= ((uint32_t)bnn_load(x, x_type, i + k) >> first & 255u) << 8u * k;
    }
    return bytes;
}

BNN_KERNEL void bnn_slice(const void *x, bnn_type x_type, bnn_size n, unsigned planes, bnn_word *y)
{
    const bnn_size words = bnn_words(n);
    for (unsigned first = 0; first < planes; first += 8u) {
        const unsigned some = planes - first < 8u ? planes - first : 8u;
        bnn_word *const to = y + first * words;
        for (bnn_size word = 0; word < words; ++word) {
            uint32_t plane[8]; /* a word is written when its integers have been read */
            for (unsigned p = 0; p < 8u; ++p) {
                plane[p] = 0;
            }
            for (bnn_size j = 0; j < 32u; j += 8u) {
                const bnn_size i = word * 32u + j;
                uint32_t low = 0, high = 0, bits;
                if (i < n) {
                    low = bnn_four(x, x_type, i, n - i, first);
                }
                if (i + 4u < n) {
                    high = bnn_four(x, x_type, i + 4u, n - i - 4u, first);
                }
                low = bnn_swap_bits(low, UINT32_C(0x00aa00aa), 7);
                low = bnn_swap_bits(low, UINT32_C(0x0000cccc), 14);
                high = bnn_swap_bits(high, UINT32_C(0x00aa00aa), 7);
                high = bnn_swap_bits(high, UINT32_C(0x0000cccc), 14);
                bits = (low & UINT32_C(0x0f0f0f0f)) | (high & UINT32_C(0x0f0f0f0f)) << 4;
                high = (low >> 4 & UINT32_C(0x0f0f0f0f)) | (high & UINT32_C(0xf0f0f0f0));
                for (unsigned p = 0; p < some; ++p) {
                    plane[p] |= (bits & 255u) << j;
                    bits = p == 3u ? high : bits >> 8;
                }
            }
            for (unsigned p = 0; p < some; ++p) {
                to[p * words + word] = plane[p];
            }
        }
    }
}
