/* Lists of ones: where the rows of weights of the inputs that are 1 lie. */
#ifndef ARM_BNN_LISTS_H
#define ARM_BNN_LISTS_H

#include "bnn_bits.h"
#include "arm_bnn_compiler.h"

/* Lists, from `end` on, the rows of the ones among 32 inputs: the first has its row at `offset`,
 * and rows are `stride` apart. Returns where the list ends now; what lies behind is overwritten, by
 * up to 3 entries. */
#if ARM_BNN_THUMB1
/* Each bit is shifted out, and skips the store if it is 0. */
#define ARM_BNN_LIST                     \
    "lsrs %[bits], %[bits], #1\n\t"      \
    "bcc 1f\n\t"                         \
    "strh %[offset], [%[end]]\n\t"       \
    "adds %[end], %[end], #2\n"          \
    "1:\n\t"                             \
    "adds %[offset], %[offset], %[stride]\n\t"
#define ARM_BNN_LIST4 ARM_BNN_LIST ARM_BNN_LIST ARM_BNN_LIST ARM_BNN_LIST

BNN_INLINE bnn_u16 *arm_bnn_list(uint32_t bits, uint32_t offset, uint32_t stride, bnn_u16 *end)
{
    for (unsigned half = 0; half < 2u && bits != 0; ++half) {
        __asm__ volatile(".syntax unified\n\t"
                         ARM_BNN_LIST4 ARM_BNN_LIST4 ARM_BNN_LIST4 ARM_BNN_LIST4
                         : [bits] "+l"(bits), [offset] "+l"(offset), [end] "+l"(end)
                         : [stride] "l"(stride)
                         : "cc", "memory");
    }
    return end;
}
#elif ARM_BNN_MVE
/* Four bits at a time: which of them are 1, and how many bytes their numbers take. The second half
 * is left out where it is 0. */
static const struct {
    uint8_t place[16][4];
    uint8_t bytes[16];
} arm_bnn_ones = {
    {{0}, {0}, {1}, {0, 1}, {2}, {0, 2}, {1, 2}, {0, 1, 2}, {3}, {0, 3}, {1, 3}, {0, 1, 3}, {2, 3},
     {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}},
    {0, 2, 2, 4, 2, 4, 4, 6, 2, 4, 4, 6, 4, 6, 6, 8},
};

#define ARM_BNN_LIST(at)                                    \
    "ubfx %[which], %[bits], #" at ", #4\n\t"               \
    "add %[from], %[ones], %[which], lsl #2\n\t"            \
    "vldrb.u32 %q[row], [%[from]]\n\t"                      \
    "ldrb %[which], [%[bytes], %[which]]\n\t"               \
    "vmlas.u32 %q[row], %q[stride], %[offset]\n\t"          \
    "vstrh.32 %q[row], [%[end]]\n\t"                        \
    "add %[offset], %[offset], %[four]\n\t"                 \
    "add %[end], %[end], %[which]\n\t"

BNN_INLINE bnn_u16 *arm_bnn_list(uint32_t bits, uint32_t offset, uint32_t stride, bnn_u16 *end)
{
    uint32_t which, from;
    uint32x4_t row;
    __asm__ volatile(ARM_BNN_LIST("0") ARM_BNN_LIST("4") ARM_BNN_LIST("8") ARM_BNN_LIST("12")
                     "lsrs %[which], %[bits], #16\n\t"
                     "beq 1f\n\t"
                     ARM_BNN_LIST("16") ARM_BNN_LIST("20") ARM_BNN_LIST("24") ARM_BNN_LIST("28")
                     "1:"
                     : [offset] "+r"(offset), [end] "+l"(end), [which] "=&r"(which),
                       [from] "=&l"(from), [row] "=&w"(row)
                     : [bits] "r"(bits), [stride] "w"(vdupq_n_u32(stride)), [four] "r"(4u * stride),
                       [ones] "r"(arm_bnn_ones.place), [bytes] "r"(arm_bnn_ones.bytes)
                     : "cc", "memory");
    return end;
}
#elif ARM_BNN_THUMB2
/* Four bits at a time: how many bytes their numbers take, and which of them are 1, two numbers a
 * word. The second half is left out where it is 0. */
static const struct {
    uint8_t bytes[16];
    uint32_t place[16][2];
} arm_bnn_ones = {
    {0, 2, 2, 4, 2, 4, 4, 6, 2, 4, 4, 6, 4, 6, 6, 8},
    {{0, 0}, {0, 0}, {1, 0}, {0x10000, 0}, {2, 0}, {0x20000, 0}, {0x20001, 0}, {0x10000, 2},
     {3, 0}, {0x30000, 0}, {0x30001, 0}, {0x10000, 3}, {0x30002, 0}, {0x20000, 3}, {0x20001, 3},
     {0x10000, 0x30002}},
};

#define ARM_BNN_LIST(at)                                    \
    "ubfx %[which], %[bits], #" at ", #4\n\t"               \
    "add %[high], %[ones], %[which], lsl #3\n\t"            \
    "ldrd %[low], %[high], [%[high], #16]\n\t"              \
    "ldrb %[which], [%[ones], %[which]]\n\t"                \
    "mla %[low], %[low], %[stride], %[offset]\n\t"          \
    "mla %[high], %[high], %[stride], %[offset]\n\t"        \
    "str %[low], [%[end]]\n\t"                              \
    "str %[high], [%[end], #4]\n\t"                         \
    "add %[offset], %[offset], %[four]\n\t"                 \
    "add %[end], %[end], %[which]\n\t"

BNN_INLINE bnn_u16 *arm_bnn_list(uint32_t bits, uint32_t offset, uint32_t stride, bnn_u16 *end)
{
    uint32_t both = offset | offset << 16; /* the offset, once for each number of a word */
    uint32_t which, low, high;
    __asm__ volatile(ARM_BNN_LIST("0") ARM_BNN_LIST("4") ARM_BNN_LIST("8") ARM_BNN_LIST("12")
                     "lsrs %[which], %[bits], #16\n\t"
                     "beq 1f\n\t"
                     ARM_BNN_LIST("16") ARM_BNN_LIST("20") ARM_BNN_LIST("24") ARM_BNN_LIST("28")
                     "1:"
                     : [offset] "+r"(both), [end] "+r"(end), [which] "=&r"(which), [low] "=&r"(low),
                       [high] "=&r"(high)
                     : [bits] "r"(bits), [stride] "r"(stride), [four] "r"(stride * 0x40004u),
                       [ones] "r"(&arm_bnn_ones)
                     : "cc", "memory");
    return end;
}
#else
BNN_INLINE bnn_u16 *arm_bnn_list(uint32_t bits, uint32_t offset, uint32_t stride, bnn_u16 *end)
{
    for (uint32_t lane = 0; lane < 32u && bits != 0; ++lane) {
        if ((bits & 1u) != 0) {
            *end++ = (uint16_t)offset;
        }
        offset += stride;
        bits >>= 1;
    }
    return end;
}
#endif

/* Lists the rows of the ones among `n` inputs, the first of which is bit `at` of x. */
ARM_BNN_SHARED bnn_u16 *arm_bnn_list_run(const bnn_word *x, bnn_size at, bnn_size n,
                                         uint32_t offset, uint32_t stride, bnn_u16 *end)
{
    for (bnn_size i = 0; i < n; i += 32u) {
        const bnn_word bits = bnn_take(x, at + i, bnn_lanes(n, i));
        if (bits != 0) {
            end = arm_bnn_list(bits, offset, stride, end);
        }
        offset += 32u * stride;
    }
    return end;
}

#endif
