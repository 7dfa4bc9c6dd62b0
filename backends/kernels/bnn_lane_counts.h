/* Counters of lanes (bnn_planes.h): planes that are listed in a table are added up, and the sums
 * compared with thresholds that differ from lane to lane.
 *
 * Sums are in digits, as in bnn_slices.h. Lists say at which byte of the planes to begin, and are
 * as long as a multiple of eight. A threshold's digit is a code: bit k of it is the digit in the
 * lanes of class k. The digits of all codes are in a table of 2^classes digits, each the OR of what
 * classes have. */
#ifndef BNN_LANE_COUNTS_H
#define BNN_LANE_COUNTS_H

#include "bnn_planes.h"

/* Adds two listed planes to the digit of ones; returns the carry. */
BNN_INLINE bnn_digit bnn_count_two(bnn_digit *one, const uint16_t BNN_ROM *list,
                                   const uint8_t *planes)
{
    return bnn_add_digits(one, bnn_load_lanes(planes + bnn_rom_u16(list)),
                          bnn_load_lanes(planes + bnn_rom_u16(list + 1)));
}

/* Adds eight of them to the digits of ones, twos and fours. */
BNN_INLINE bnn_digit bnn_count_eight(bnn_digit *low, const uint16_t BNN_ROM *list,
                                     const uint8_t *planes)
{
    const bnn_digit two_a = bnn_count_two(&low[0], list, planes);
    const bnn_digit two_b = bnn_count_two(&low[0], list + 2, planes);
    const bnn_digit four_a = bnn_add_digits(&low[1], two_a, two_b);
    const bnn_digit two_c = bnn_count_two(&low[0], list + 4, planes);
    const bnn_digit two_d = bnn_count_two(&low[0], list + 6, planes);
    const bnn_digit four_b = bnn_add_digits(&low[1], two_c, two_d);
    return bnn_add_digits(&low[2], four_a, four_b);
}

/* Adds sixteen of them to four digits. */
BNN_INLINE bnn_digit bnn_count_sixteen(bnn_digit *low, const uint16_t BNN_ROM *list,
                                       const uint8_t *planes)
{
    const bnn_digit eight_a = bnn_count_eight(low, list, planes);
    const bnn_digit eight_b = bnn_count_eight(low, list + 8, planes);
    return bnn_add_digits(&low[3], eight_a, eight_b);
}

/* v = begin and the planes of a list, of which there are `eights` times eight; v may be begin.
 * Returns the end of the list. */
BNN_INLINE const uint16_t BNN_ROM *bnn_count_planes(const uint16_t BNN_ROM *list, bnn_size eights,
                                                    const uint8_t *planes, unsigned digits,
                                                    const bnn_digit *begin, bnn_digit *v)
{
    bnn_digit low[5] = {begin[0], begin[1], begin[2], begin[3], begin[4]};
    for (unsigned d = 5; d < digits && v != begin; ++d) {
        v[d] = begin[d];
    }
    for (bnn_size i = eights / 4u; i > 0; --i) {
        const bnn_digit sixteen_a = bnn_count_sixteen(low, list, planes);
        const bnn_digit sixteen_b = bnn_count_sixteen(low, list + 16, planes);
        bnn_carry_slices(v, 5, digits, bnn_add_digits(&low[4], sixteen_a, sixteen_b));
        list += 32;
    }
    v[4] = low[4];
    if (eights / 2u % 2u != 0) {
        bnn_carry_slices(v, 4, digits, bnn_count_sixteen(low, list, planes));
        list += 16;
    }
    v[3] = low[3];
    if (eights % 2u != 0) {
        bnn_carry_slices(v, 3, digits, bnn_count_eight(low, list, planes));
        list += 8;
    }
    v[2] = low[2];
    v[1] = low[1];
    v[0] = low[0];
    return list;
}

/* The digits of all codes, from the planes of classes that are `bytes` apart; where there are none,
 * all lanes are of one class. */
BNN_INLINE void bnn_digits_of_codes(const uint8_t *borders, bnn_size bytes, bnn_size classes,
                                    uint8_t *digits)
{
    bnn_store_lanes(digits, bnn_digit_of(0));
    for (bnn_size k = 0; k < classes; ++k) {
        const bnn_digit own =
            borders == NULL ? bnn_digit_of(1) : bnn_load_lanes(borders + k * bytes);
        const bnn_size codes = (bnn_size)1 << k;
        for (bnn_size i = 0; i < codes; ++i) {
            const bnn_digit others = bnn_load_lanes(digits + i * sizeof own);
            bnn_store_lanes(digits + (codes + i) * sizeof own, (bnn_digit)(own | others));
        }
    }
}

/* Where v reaches an odd number of `count` thresholds, or an even one where the code at[0] is 1.
 * Digit d of threshold k has the code at[1 + k * digits + d]. */
BNN_INLINE bnn_digit bnn_reached_codes(const bnn_digit *v, const uint16_t BNN_ROM *at,
                                       bnn_size count, unsigned digits, const uint8_t *codes)
{
    bnn_digit odd = bnn_load_lanes(codes + bnn_rom_u16(at++) * sizeof odd);
    for (bnn_size k = 0; k < count; ++k) {
        bnn_digit reached = bnn_digit_of(1);
        for (unsigned d = 0; d < digits; ++d) {
            const bnn_digit t = bnn_load_lanes(codes + bnn_rom_u16(at++) * sizeof odd);
            reached = (bnn_digit)((v[d] & ~t) | (reached & ~(v[d] ^ t)));
        }
        odd = (bnn_digit)(odd ^ reached);
    }
    return odd;
}

#endif
