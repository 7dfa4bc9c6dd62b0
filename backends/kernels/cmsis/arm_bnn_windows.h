/* Bit-sliced counters of the windows of a convolution for Cortex-M.
 *
 * A column of a window is a column of the map from the window's top to its bottom. What is 1 in it
 * is listed once, and serves all windows that have the column: the counters of a window are sums of
 * the rows of weights that the lists of its columns name, those of the first column in the weights
 * for the first, and so on. */
#ifndef ARM_BNN_WINDOWS_H
#define ARM_BNN_WINDOWS_H

#include "arm_bnn_slices.h"

/* Windows along a row. Lists begin with their length. */
typedef struct arm_bnn_windows {
    bnn_size columns; /* of a window */
    bnn_size ins;     /* of a column */
    bnn_size words;   /* of a row of weights */
    unsigned digits;  /* of a counter */
    bnn_size room;    /* of a list */
    bnn_u16 *lists;   /* of columns: a ring of as many as a window has */
    bnn_size first;   /* the place of the window's first column in it */
    bnn_u16 *rest;    /* what is left over of whole groups */
    uint32_t zeros;   /* inputs of the window that are not 1 */
    bnn_word *carry;  /* of groups */
    bnn_word *digit;  /* of counters */
} arm_bnn_windows;

/* Entries of a column's list: its length, and room for what listing and filling up write behind
 * it; even. */
BNN_INLINE bnn_size arm_bnn_list_room(bnn_size ins)
{
    return ins / 2u * 2u + 10u;
}

/* Words of carries: those of the groups of a column and of what is left over of it, for all
 * columns, and three groups that are added with the last one. */
BNN_INLINE bnn_size arm_bnn_carry_words(bnn_size columns, bnn_size ins)
{
    return columns * 4u * (ins / 32u + 1u) + 12u;
}

/* Bytes of working memory for windows: lists, what is left over of them and a group behind it,
 * carries, and eight words for each digit, of which there are eight. */
BNN_INLINE bnn_size arm_bnn_windows_size(bnn_size columns, bnn_size ins, unsigned digits)
{
    return 2u * columns * (arm_bnn_list_room(ins) + 32u) + 64u +
           4u * arm_bnn_carry_words(columns, ins) + 32u * (digits < 8u ? 8u : digits);
}

BNN_INLINE arm_bnn_windows arm_bnn_windows_in(void *buffer, bnn_size columns, bnn_size ins,
                                              bnn_size words, unsigned digits)
{
    const bnn_size room = arm_bnn_list_room(ins);
    bnn_u16 *const lists = (bnn_u16 *)buffer;
    bnn_word *const carry = (bnn_word *)buffer + columns * (room + 32u) / 2u + 16u;
    const arm_bnn_windows windows = {
        columns, ins, words, digits, room, lists, 0, lists + columns * room, 0, carry,
        carry + arm_bnn_carry_words(columns, ins)};
    return windows;
}

/* Ends a column's list, whose ones end at `end`. Where groups are small, it is filled up to a whole
 * one with rows of zeros. */
BNN_INLINE void arm_bnn_end_list(const arm_bnn_windows *windows, bnn_u16 *list, bnn_u16 *end)
{
    const bnn_size ones = (bnn_size)(end - list) - 1u;
    list[0] = (uint16_t)ones;
#if !ARM_BNN_MVE
    for (bnn_size i = 0; i < ARM_BNN_GROUP && (ones + i) % ARM_BNN_GROUP != 0; ++i) {
        *end++ = (uint16_t)(windows->ins * windows->words * ARM_BNN_UNIT);
    }
#else
    (void)windows;
#endif
}

#if ARM_BNN_MVE
/* Two words of outputs are compared at a time, each in half a vector. */
#define ARM_BNN_ABREAST 2u

/* What is left over of whole groups is one more list, filled up to a whole one. Returns how many
 * inputs of the window are 1. */
ARM_BNN_SHARED bnn_size arm_bnn_begin_window(const arm_bnn_windows *windows)
{
    const bnn_size columns = windows->columns;
    const uint32_t row_of_zeros = (uint32_t)(windows->ins * windows->words);
    bnn_u16 *const rest = windows->rest + 1;
    bnn_size place = windows->first;
    bnn_size ones = 0, listed = 0;
    uint32_t offset = 0;
    for (bnn_size j = 0; j < columns; ++j) {
        const bnn_u16 *const list = windows->lists + place * windows->room;
        const bnn_size left = list[0] % 32u;
        const bnn_u16 *const from = list + 1 + list[0] - left;
        for (bnn_size i = 0; i < 32u && i < left; i += 8u) {
            vst1q_u16(rest + listed + i, vaddq_n_u16(vld1q_u16(from + i), (uint16_t)offset));
        }
        ones += list[0];
        listed += left;
        offset += row_of_zeros + (uint32_t)windows->words;
        place = place + 1u == columns ? 0 : place + 1u;
    }
    for (bnn_size i = 0; i < 32u; i += 8u) {
        vst1q_u16(rest + listed + i, vdupq_n_u16((uint16_t)row_of_zeros));
    }
    windows->rest[0] = (uint16_t)(listed + 31u);
    return ones;
}

/* Counts the rows that are listed for a word of outputs; each lane of a vector counts a share of
 * them. Digits are eight words apart. */
ARM_BNN_SHARED void arm_bnn_count_window(const arm_bnn_windows *windows, const bnn_word *w,
                                         bnn_word *digit)
{
    const bnn_size columns = windows->columns;
    const unsigned digits = windows->digits;
    const bnn_size column_words = (windows->ins + 1u) * windows->words;
    const bnn_size room = columns * 4u * (windows->ins / 32u + 1u);
    const bnn_word *from = w;
    bnn_word *carry = windows->carry;
    bnn_size place = windows->first;
    bnn_size used;
    arm_bnn_vector sum[3], eight, sixteen, digit5, digit6, digit7, a, b;
    eight = sixteen = digit5 = digit6 = digit7 = sum[0] = sum[1] = sum[2] = vdupq_n_u32(0);
    for (bnn_size j = 0; j < columns + 1u; ++j) {
        const bnn_u16 *const own = windows->lists + place * windows->room;
        const bnn_u16 *const list = j < columns ? own : windows->rest;
        const bnn_size groups = list[0] / 32u;
        if (groups != 0) {
            arm_bnn_add_rows(j < columns ? from : w, list + 1, groups, sum, carry);
            carry += 4u * groups;
        }
        from += column_words;
        place = place + 1u == columns ? 0 : place + 1u;
    }
    used = (bnn_size)(carry - windows->carry);
    for (bnn_size i = 0; i < 12u; i += 4u) {
        vst1q_u32(carry + i, digit7);
    }
    for (unsigned d = 8; d < digits; ++d) {
        vst1q_u32(digit + 8u * d, digit7);
    }
    vst1q_u32(digit, sum[0]);
    vst1q_u32(digit + 8, sum[1]);
    vst1q_u32(digit + 16, sum[2]);
    carry = windows->carry;
    for (bnn_size i = 0; i < room && i < used; i += 16u) {
        a = arm_bnn_full_add_vector(&eight, vld1q_u32(carry), vld1q_u32(carry + 4));
        b = arm_bnn_full_add_vector(&eight, vld1q_u32(carry + 8), vld1q_u32(carry + 12));
        a = arm_bnn_full_add_vector(&sixteen, a, b);
        b = vandq_u32(digit5, a);
        digit5 = veorq_u32(digit5, a);
        a = vandq_u32(digit6, b);
        digit6 = veorq_u32(digit6, b);
        b = vandq_u32(digit7, a);
        digit7 = veorq_u32(digit7, a);
        for (unsigned d = 8; d < digits - 2u; ++d) {
            a = vld1q_u32(digit + 8u * d);
            vst1q_u32(digit + 8u * d, veorq_u32(a, b));
            b = vandq_u32(a, b);
        }
        carry += 16;
    }
    vst1q_u32(digit + 24, eight);
    vst1q_u32(digit + 32, sixteen);
    vst1q_u32(digit + 40, digit5);
    vst1q_u32(digit + 48, digit6);
    vst1q_u32(digit + 56, digit7);
}

/* The lower digit of a sum of three; the higher one is the new carry. */
BNN_INLINE arm_bnn_vector arm_bnn_digit_of(arm_bnn_vector a, arm_bnn_vector b,
                                           arm_bnn_vector *carry)
{
    const arm_bnn_vector half = veorq_u32(a, b);
    const arm_bnn_vector total = veorq_u32(half, *carry);
    *carry = veorq_u32(total, vorrq_u32(half, veorq_u32(a, *carry)));
    return total;
}

/* Where the outputs of the words w[0] and w[1] (if `some` is 2) reach an odd number of `count`
 * thresholds. */
ARM_BNN_SHARED void arm_bnn_compare_window(const arm_bnn_windows *windows, const bnn_word *w,
                                           const bnn_word *at, bnn_size count, bnn_size some,
                                           bnn_word *odd)
{
    const uint32_t second = some == 2u;
    const arm_bnn_vector which = vsetq_lane_u32(second, vdupq_n_u32(0), 2);
    const unsigned digits = windows->digits - 1u;
    const bnn_size words = windows->words;
    const uint32_t zeros = windows->zeros;
    arm_bnn_vector bits, a, b, c, v, t, below;
    bnn_word *const digit = windows->digit;
    for (bnn_size i = 0; i < some; ++i) {
        arm_bnn_count_window(windows, w + i, digit + 4u * i);
    }
    bits = a = b = c = vdupq_n_u32(0);
    for (unsigned d = 0; d < digits; ++d) { /* of v / 2: lanes, pairs of them, and the zeros */
        const uint32x4x2_t lanes = vld2q_u32(digit + 8u * d);
        v = arm_bnn_digit_of(lanes.val[0], lanes.val[1], &a);
        v = arm_bnn_digit_of(v, vrev64q_u32(v), &b);
        v = arm_bnn_digit_of(v, vdupq_n_u32(arm_bnn_spread(zeros >> 1, d)), &c);
        vst1q_u32(digit + 8u * d, v);
    }
    for (bnn_size k = 0; k < count; ++k) {
        t = vldrwq_gather_shifted_offset_u32(at, which);
        below = vbicq_u32(t, vdupq_n_u32(arm_bnn_spread(zeros, 0)));
        at += words;
        for (unsigned d = 0; d < digits; ++d) {
            v = vld1q_u32(digit + 8u * d);
            t = vldrwq_gather_shifted_offset_u32(at, which);
            below = veorq_u32(below, vandq_u32(veorq_u32(v, t), veorq_u32(below, t)));
            at += words;
        }
        bits = veorq_u32(bits, vmvnq_u32(below));
    }
    odd[0] = vgetq_lane_u32(bits, 0);
    odd[1] = vgetq_lane_u32(bits, 2);
}
#else
#define ARM_BNN_ABREAST 1u

/* How many inputs of the window are 1. */
BNN_INLINE bnn_size arm_bnn_begin_window(const arm_bnn_windows *windows)
{
    bnn_size ones = 0;
    for (bnn_size j = 0; j < windows->columns; ++j) {
        ones += windows->lists[j * windows->room];
    }
    return ones;
}

/* Where the outputs of the word w[0] reach an odd number of `count` thresholds. */
ARM_BNN_SHARED void arm_bnn_compare_window(const arm_bnn_windows *windows, const bnn_word *w,
                                           const bnn_word *at, bnn_size count, bnn_size some,
                                           bnn_word *odd)
{
    const bnn_size columns = windows->columns;
    const bnn_size column_words = (windows->ins + 1u) * windows->words;
    const unsigned digits = windows->digits;
    bnn_word *const digit = windows->digit;
    bnn_word *carry = windows->carry;
    bnn_size place = windows->first;
    bnn_word bits = 0;
    (void)some;
    arm_bnn_begin_digits(digit, digits, windows->zeros);
    for (bnn_size j = 0; j < columns; ++j) {
        const bnn_u16 *const list = windows->lists + place * windows->room;
        const bnn_size groups = (list[0] + 7u) / 8u;
        if (groups != 0) {
            arm_bnn_add_rows(w, list + 1, groups, digit + 1, carry);
            carry += groups;
        }
        w += column_words;
        place = place + 1u == columns ? 0 : place + 1u;
    }
    arm_bnn_add_carries(windows->carry, (bnn_size)(carry - windows->carry), digit + 4);
    for (bnn_size k = 0; k < count; ++k) {
        bits ^= arm_bnn_reached(digit, at, windows->words, digits);
        at += digits * windows->words;
    }
    *odd = bits;
}
#endif

#endif
