/* Bit-sliced counters for Cortex-M: the numbers v of bnn_sliced.h, by lists and full adders.
 *
 * The inputs that are 1 are listed once for a strip of up to 128 outputs, as offsets of their rows
 * of weights. The rows are added up for 32 outputs at a time: eight of them go through seven full
 * adders (Harley and Seal's way of counting ones, turned by 90 degrees: see Warren, "Hacker's
 * Delight", 5-1) that leave one carry of eight inputs. These carries are kept, and added up in
 * their turn, four at a time. So the digits that change with every input stay in registers. */
#ifndef ARM_BNN_SLICES_H
#define ARM_BNN_SLICES_H

#include <string.h>
#include "arm_bnn_digits.h"
#include "arm_bnn_lists.h"

#if ARM_BNN_MVE
/* Each lane of a vector adds rows of its own for the same 32 outputs; the lanes' counters are added
 * up in the end. */
typedef uint32x4_t arm_bnn_vector;

/* In place, and no load moves across it: that leaves registers for what waits to be added. */
BNN_INLINE arm_bnn_vector arm_bnn_full_add_vector(arm_bnn_vector *sum, arm_bnn_vector a,
                                                  arm_bnn_vector b)
{
    arm_bnn_vector s = *sum;
    __asm__ volatile("veor %q[s], %q[s], %q[a]\n\t"
                     "veor %q[a], %q[a], %q[b]\n\t"
                     "vorr %q[a], %q[a], %q[s]\n\t"
                     "veor %q[s], %q[s], %q[b]\n\t"
                     "veor %q[a], %q[a], %q[s]"
                     : [s] "+w"(s), [a] "+w"(a)
                     : [b] "w"(b)
                     : "memory");
    *sum = s;
    return a;
}

/* Adds groups of 32 rows, four at a time in the lanes of `sum`: its digit for one row and the two
 * above. A group's carries go to `carry`. */
#define ARM_BNN_LOAD(to)                                  \
    "vldrh.u32 %q[at], [%[row]], #8\n\t"                  \
    "vldrw.u32 %q[" to "], [%[w], %q[at], uxtw #2]\n\t"
#define ARM_BNN_ADD(sum, a, b)                            \
    "veor %q[" sum "], %q[" sum "], %q[" a "]\n\t"        \
    "veor %q[" a "], %q[" a "], %q[" b "]\n\t"            \
    "vorr %q[" a "], %q[" a "], %q[" sum "]\n\t"          \
    "veor %q[" sum "], %q[" sum "], %q[" b "]\n\t"        \
    "veor %q[" a "], %q[" a "], %q[" sum "]\n\t"

BNN_INLINE void arm_bnn_add_rows(const bnn_word *w, const bnn_u16 *row, bnn_size groups,
                                 arm_bnn_vector *sum, bnn_word *carry)
{
    arm_bnn_vector one = sum[0], two = sum[1], four = sum[2], a, b, c, d, at;
    __asm__ volatile("1:\n\t"
                     ARM_BNN_LOAD("a") ARM_BNN_LOAD("b") ARM_BNN_ADD("one", "a", "b")
                     ARM_BNN_LOAD("b") ARM_BNN_LOAD("c") ARM_BNN_ADD("one", "b", "c")
                     ARM_BNN_ADD("two", "a", "b")
                     ARM_BNN_LOAD("b") ARM_BNN_LOAD("c") ARM_BNN_ADD("one", "b", "c")
                     ARM_BNN_LOAD("c") ARM_BNN_LOAD("d") ARM_BNN_ADD("one", "c", "d")
                     ARM_BNN_ADD("two", "b", "c")
                     ARM_BNN_ADD("four", "a", "b")
                     "vstrw.32 %q[a], [%[carry]], #16\n\t"
                     "subs %[groups], %[groups], #1\n\t"
                     "bne 1b"
                     : [one] "+w"(one), [two] "+w"(two), [four] "+w"(four), [a] "=&w"(a),
                       [b] "=&w"(b), [c] "=&w"(c), [d] "=&w"(d), [at] "=&w"(at), [row] "+l"(row),
                       [groups] "+r"(groups), [carry] "+r"(carry)
                     : [w] "r"(w)
                     : "cc", "memory");
    sum[0] = one;
    sum[1] = two;
    sum[2] = four;
}

/* Adds groups of 32 rows to a counter, from its digit for one row on. */
ARM_BNN_SHARED void arm_bnn_add_groups(arm_bnn_strip *strip, const bnn_word *w, bnn_size groups,
                                       bnn_word *digit)
{
    bnn_word *carry = strip->carry;
    arm_bnn_vector sum[8], a, b;
    uint32_t low = 0, high = 0; /* carries of the lower and of the upper half */
    for (unsigned d = 0; d < 8u; ++d) {
        sum[d] = vdupq_n_u32(0);
    }
    arm_bnn_add_rows(w, strip->row, groups, sum, carry);
    carry += 4u * groups;
    for (unsigned i = 0; i < 3u; ++i) {
        vst1q_u32(carry + 4u * i, vdupq_n_u32(0));
    }
    carry = strip->carry;
    for (bnn_size g = 0; g < groups; g += 4u) { /* at most 112 rows a lane: 7 digits */
        a = arm_bnn_full_add_vector(&sum[3], vld1q_u32(carry), vld1q_u32(carry + 4));
        b = arm_bnn_full_add_vector(&sum[3], vld1q_u32(carry + 8), vld1q_u32(carry + 12));
        a = arm_bnn_full_add_vector(&sum[4], a, b);
        b = vandq_u32(sum[5], a);
        sum[5] = veorq_u32(sum[5], a);
        sum[6] = veorq_u32(sum[6], b);
        carry += 16;
    }
    a = vdupq_n_u32(0);
    for (unsigned d = 0; d < 8u; ++d) {
        a = arm_bnn_full_add_vector(&sum[d], vrev64q_u32(sum[d]), a);
        low = arm_bnn_full_add(&digit[d], vgetq_lane_u32(sum[d], 0), low);
        high = arm_bnn_full_add(&digit[d], vgetq_lane_u32(sum[d], 2), high);
    }
    for (unsigned d = 8; d < ARM_BNN_DIGITS - 1u && (low | high) != 0; ++d) {
        low = arm_bnn_full_add(&digit[d], 0, low);
        high = arm_bnn_full_add(&digit[d], 0, high);
    }
}
#else
/* The word of a row whose offset is listed. */
BNN_INLINE uint32_t arm_bnn_row(const bnn_word *w, uint32_t offset)
{
#if ARM_BNN_THUMB1
    return *(const bnn_word *)(const void *)((const unsigned char *)w + offset);
#else
    return w[offset];
#endif
}

/* Adds groups of eight rows to three digits, that of one row and the two above; a group's carry
 * goes to `carry`. */
#if ARM_BNN_THUMB1
#define ARM_BNN_UNUSED __attribute__((unused))
#define ARM_BNN_LOAD(to, at) "ldrh " to ", [r1, #" at "]\n\tldr " to ", [r0, " to "]\n\t"
#define ARM_BNN_ADD(sum, a, b)    \
    "eors " sum ", " a "\n\t"     \
    "eors " a ", " b "\n\t"       \
    "orrs " a ", " sum "\n\t"     \
    "eors " sum ", " b "\n\t"     \
    "eors " a ", " sum "\n\t"

__attribute__((naked, noinline, used)) static void arm_bnn_add_rows(
    const bnn_word *w ARM_BNN_UNUSED, const bnn_u16 *row ARM_BNN_UNUSED,
    bnn_size groups ARM_BNN_UNUSED, bnn_word *digit ARM_BNN_UNUSED, bnn_word *carry ARM_BNN_UNUSED)
{
    /* r0 w, r1 row, r2 and r3 the lower digits, r8 the third, r9 carry, r10 where the rows end,
     * r11 digit */
    __asm__(".syntax unified\n\t"
            "push {r4-r7, lr}\n\t"
            "mov r4, r8\n\t"
            "mov r5, r9\n\t"
            "mov r6, r10\n\t"
            "mov r7, r11\n\t"
            "push {r4-r7}\n\t"
            "ldr r4, [sp, #36]\n\t"
            "mov r9, r4\n\t"
            "lsls r2, r2, #4\n\t"
            "adds r2, r2, r1\n\t"
            "mov r10, r2\n\t"
            "mov r11, r3\n\t"
            "ldr r2, [r3]\n\t"
            "ldr r4, [r3, #8]\n\t"
            "mov r8, r4\n\t"
            "ldr r3, [r3, #4]\n"
            "1:\n\t"
            ARM_BNN_LOAD("r4", "0") ARM_BNN_LOAD("r5", "2") ARM_BNN_ADD("r2", "r4", "r5")
            ARM_BNN_LOAD("r5", "4") ARM_BNN_LOAD("r6", "6") ARM_BNN_ADD("r2", "r5", "r6")
            ARM_BNN_ADD("r3", "r4", "r5")
            ARM_BNN_LOAD("r5", "8") ARM_BNN_LOAD("r6", "10") ARM_BNN_ADD("r2", "r5", "r6")
            ARM_BNN_LOAD("r6", "12") ARM_BNN_LOAD("r7", "14") ARM_BNN_ADD("r2", "r6", "r7")
            ARM_BNN_ADD("r3", "r5", "r6")
            "mov r7, r8\n\t"
            ARM_BNN_ADD("r7", "r4", "r5")
            "mov r8, r7\n\t"
            "mov r7, r9\n\t"
            "stm r7!, {r4}\n\t"
            "mov r9, r7\n\t"
            "adds r1, #16\n\t"
            "cmp r1, r10\n\t"
            "bne 1b\n\t"
            "mov r4, r11\n\t"
            "mov r5, r8\n\t"
            "stm r4!, {r2, r3, r5}\n\t"
            "pop {r4-r7}\n\t"
            "mov r8, r4\n\t"
            "mov r9, r5\n\t"
            "mov r10, r6\n\t"
            "mov r11, r7\n\t"
            "pop {r4-r7, pc}");
}
#else
ARM_BNN_SHARED void arm_bnn_add_rows(const bnn_word *w, const bnn_u16 *row, bnn_size groups,
                                     bnn_word *digit, bnn_word *carry)
{
    uint32_t one = digit[0], two = digit[1], four = digit[2];
    for (bnn_size g = 0; g < groups; ++g) {
        uint32_t a, b, c;
        a = arm_bnn_row(w, row[0]);
        a = arm_bnn_full_add(&one, a, arm_bnn_row(w, row[1]));
        b = arm_bnn_row(w, row[2]);
        b = arm_bnn_full_add(&one, b, arm_bnn_row(w, row[3]));
        a = arm_bnn_full_add(&two, a, b);
        b = arm_bnn_row(w, row[4]);
        b = arm_bnn_full_add(&one, b, arm_bnn_row(w, row[5]));
        c = arm_bnn_row(w, row[6]);
        c = arm_bnn_full_add(&one, c, arm_bnn_row(w, row[7]));
        b = arm_bnn_full_add(&two, b, c);
        *carry++ = arm_bnn_full_add(&four, a, b);
        row += 8;
    }
    digit[0] = one;
    digit[1] = two;
    digit[2] = four;
}
#endif

/* Adds the carries of `groups` groups to the digits from that of eight rows on. `carry` has room
 * for three more words; digits beyond those of a counter are there and stay 0. */
ARM_BNN_SHARED void arm_bnn_add_carries(bnn_word *carry, bnn_size groups, bnn_word *digit)
{
    uint32_t eight = digit[0], sixteen = digit[1], thirty_two = digit[2], sixty_four = digit[3];
    carry[groups] = 0;
    carry[groups + 1u] = 0;
    carry[groups + 2u] = 0;
    for (bnn_size g = 0; g < groups; g += 4u) {
        uint32_t a, b;
        a = arm_bnn_full_add(&eight, carry[0], carry[1]);
        b = arm_bnn_full_add(&eight, carry[2], carry[3]);
        a = arm_bnn_full_add(&sixteen, a, b);
        b = thirty_two & a;
        thirty_two ^= a;
        a = sixty_four & b;
        sixty_four ^= b;
        b = a;
        for (bnn_size d = 4; d < ARM_BNN_DIGITS - 4u && b != 0; ++d) {
            a = digit[d] & b;
            digit[d] ^= b;
            b = a;
        }
        carry += 4;
    }
    digit[0] = eight;
    digit[1] = sixteen;
    digit[2] = thirty_two;
    digit[3] = sixty_four;
}

/* Adds groups of eight rows to a counter, from its digit for one row on. */
BNN_INLINE void arm_bnn_add_groups(arm_bnn_strip *strip, const bnn_word *w, bnn_size groups,
                                   bnn_word *digit)
{
    arm_bnn_add_rows(w, strip->row, groups, digit, strip->carry);
    arm_bnn_add_carries(strip->carry, groups, digit + 3);
}
#endif

/* Adds `groups` groups of listed rows to the counters of `words` words of outputs, from digit
 * `place` on. */
ARM_BNN_SHARED void arm_bnn_add_batch(arm_bnn_strip *strip, const bnn_word *w, bnn_size words,
                                      bnn_size groups, unsigned place)
{
    for (bnn_size i = 0; i < words && groups != 0; ++i) {
        arm_bnn_add_groups(strip, w + i, groups, strip->digit[i] + place);
    }
}

/* A counter begins with a number, the same for all outputs. It has nine digits at least, so that
 * rows can be added to it in groups; those beyond its last are 0. */
BNN_INLINE void arm_bnn_begin_digits(bnn_word *digit, unsigned digits, uint32_t number)
{
    for (unsigned d = 0; d < (digits < 9u ? 9u : digits); d += 4u) {
        digit[d] = arm_bnn_spread(number, 0);
        digit[d + 1u] = arm_bnn_spread(number, 1);
        digit[d + 2u] = arm_bnn_spread(number, 2);
        digit[d + 3u] = arm_bnn_spread(number, 3);
        number >>= 4;
    }
}

/* The counters of a strip begin with a number. */
BNN_INLINE void arm_bnn_begin(arm_bnn_strip *strip, bnn_size words, unsigned digits,
                              uint32_t number)
{
    for (bnn_size i = 0; i < words; ++i) {
        arm_bnn_begin_digits(strip->digit[i], digits, number);
    }
}

/* A number is added to the counters of all outputs. */
BNN_INLINE void arm_bnn_add_number(arm_bnn_strip *strip, bnn_size words, unsigned digits,
                                   uint32_t number)
{
    for (bnn_size i = 0; i < words; ++i) {
        uint32_t carry = 0;
        for (unsigned d = 0; d < digits; ++d) {
            carry = arm_bnn_full_add(&strip->digit[i][d], arm_bnn_spread(number, d), carry);
        }
    }
}

/* Counts for `words` words of outputs, the first of which is the one that w points to; rows have
 * `columns` words, and row n is all zeros. The digits of v are in strip->digit then. */
ARM_BNN_SHARED void arm_bnn_count(arm_bnn_strip *strip, const bnn_word *x, const bnn_word *w,
                                  bnn_size n, bnn_size columns, bnn_size words, unsigned digits)
{
    const uint32_t stride = (uint32_t)columns * ARM_BNN_UNIT;
    const bnn_size x_words = bnn_words(n);
    bnn_u16 *end = strip->row;
    uint32_t offset = 0;
    bnn_size before = 0; /* ones in batches before the last one */
    bnn_size listed;
    for (bnn_size i = 0; i < x_words; ++i) {
        if (x[i] != 0) {
            end = arm_bnn_list(x[i], offset, stride, end);
        }
        offset += 32u * stride;
        if (end >= strip->row + ARM_BNN_BATCH) {
            if (before == 0) {
                arm_bnn_begin(strip, words, digits, 0);
            }
            arm_bnn_add_batch(strip, w, words, ARM_BNN_BATCH / ARM_BNN_GROUP, 1);
            before += ARM_BNN_BATCH;
            end -= ARM_BNN_BATCH;
            memcpy(strip->row, strip->row + ARM_BNN_BATCH, 32u * sizeof strip->row[0]);
        }
    }
    listed = (bnn_size)(end - strip->row);
    if (before == 0) {
        arm_bnn_begin(strip, words, digits, (uint32_t)(n - listed));
    } else {
        arm_bnn_add_number(strip, words, digits, (uint32_t)(n - before - listed));
    }
    for (bnn_size i = 0; i < ARM_BNN_GROUP && (listed + i) % ARM_BNN_GROUP != 0; ++i) {
        *end++ = (uint16_t)(n * stride);
    }
    arm_bnn_add_batch(strip, w, words, (bnn_size)(end - strip->row) / ARM_BNN_GROUP, 1);
}

/* Adds the rows of the inputs that are 1 to counters that have begun, from digit `place` on;
 * returns how many these are. */
ARM_BNN_SHARED bnn_size arm_bnn_add_plane(arm_bnn_strip *strip, const bnn_word *x,
                                          const bnn_word *w, bnn_size n, bnn_size columns,
                                          bnn_size words, unsigned place)
{
    const uint32_t stride = (uint32_t)columns * ARM_BNN_UNIT;
    const bnn_size x_words = bnn_words(n);
    bnn_u16 *end = strip->row;
    uint32_t offset = 0;
    bnn_size ones = 0;
    bnn_size listed;
    for (bnn_size i = 0; i < x_words; ++i) {
        if (x[i] != 0) {
            end = arm_bnn_list(x[i], offset, stride, end);
        }
        offset += 32u * stride;
        if (end >= strip->row + ARM_BNN_BATCH) {
            arm_bnn_add_batch(strip, w, words, ARM_BNN_BATCH / ARM_BNN_GROUP, place);
            ones += ARM_BNN_BATCH;
            end -= ARM_BNN_BATCH;
            memcpy(strip->row, strip->row + ARM_BNN_BATCH, 32u * sizeof strip->row[0]);
        }
    }
    listed = (bnn_size)(end - strip->row);
    for (bnn_size i = 0; i < ARM_BNN_GROUP && (listed + i) % ARM_BNN_GROUP != 0; ++i) {
        *end++ = (uint16_t)(n * stride);
    }
    arm_bnn_add_batch(strip, w, words, (bnn_size)(end - strip->row) / ARM_BNN_GROUP, place);
    return ones + listed;
}

/* Makes a counter's digits the numbers of its 32 outputs, in place: a matrix of 32 by 32 bits is
 * turned over its diagonal (Warren, "Hacker's Delight", 7-3). Digits that are none are 0. */
ARM_BNN_SHARED void arm_bnn_numbers(bnn_word *digit, unsigned digits)
{
    uint32_t mask = UINT32_C(0x0000ffff);
    for (unsigned d = digits; d < 32u; ++d) {
        digit[d] = 0;
    }
    for (unsigned step = 0; step < 5u; ++step) {
        const unsigned by = 16u >> step;
        for (unsigned k = 0; k < 16u; ++k) {
            bnn_word *const a = digit + 2u * (k & ~(by - 1u)) + (k & (by - 1u));
            const uint32_t differ = (a[0] >> by ^ a[by]) & mask;
            a[by] ^= differ;
            a[0] ^= differ << by;
        }
        mask ^= mask << (by / 2u);
    }
}

/* Where the counter reaches the threshold whose digits are `columns` words apart: a number reaches
 * another if its digit is larger, or equal and the digits below reach. */
BNN_INLINE uint32_t arm_bnn_reached(const bnn_word *digit, const bnn_word *at, bnn_size columns,
                                    unsigned digits)
{
    uint32_t below = 0; /* where it does not */
    for (unsigned d = 0; d < digits; ++d) {
        const uint32_t t = at[d * columns];
        below ^= (digit[d] ^ t) & (below ^ t);
    }
    return ~below;
}

#endif
