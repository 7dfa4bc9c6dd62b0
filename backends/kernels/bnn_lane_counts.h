/* Counters of lanes (bnn_planes.h): planes that are listed in a table are added up, and the sums
 * compared with thresholds that differ from lane to lane.
 *
 * Sums are in digits, as in bnn_slices.h. Lists say at which byte of the planes to begin, and are
 * as long as a multiple of eight. A threshold's digit is a code: bit k of it is the digit in the
 * lanes of class k. The digits of all codes are in a table of 2^classes digits, each the OR of what
 * classes have. */
#ifndef BNN_LANE_COUNTS_H
#define BNN_LANE_COUNTS_H

#include "bnn_adders.h"
#include "bnn_planes.h"

/* Adds eight listed planes to the digits of ones and twos; returns the pair of carries. */
BNN_INLINE bnn_pair bnn_count_eight(bnn_digit *low, const uint16_t BNN_ROM *list,
                                    const uint8_t *planes)
{
    bnn_digit rows[8];
    BNN_UNROLL
    for (unsigned i = 0; i < 8u; ++i) {
        rows[i] = bnn_load_lanes(planes + bnn_rom_u16(list + i));
    }
    return bnn_add_eight(low, rows);
}

/* Adds sixteen of them to the digits of ones, twos and fours. */
BNN_INLINE bnn_pair bnn_count_sixteen(bnn_digit *low, const uint16_t BNN_ROM *list,
                                      const uint8_t *planes)
{
    const bnn_pair four = bnn_count_eight(low, list, planes);
    return bnn_add_two_pairs(&low[2], four, bnn_count_eight(low, list + 8, planes));
}

/* Adds 32 of them to the digits of ones to eights. */
BNN_INLINE bnn_pair bnn_count_thirty_two(bnn_digit *low, const uint16_t BNN_ROM *list,
                                   const uint8_t *planes)
{
    const bnn_pair eight = bnn_count_sixteen(low, list, planes);
    return bnn_add_two_pairs(&low[3], eight, bnn_count_sixteen(low, list + 16, planes));
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
        const bnn_pair sixteen = bnn_count_thirty_two(low, list, planes);
        bnn_carry_slices(v, 5, digits, bnn_add_pair(&low[4], sixteen));
        list += 32;
    }
    v[4] = low[4];
    if (eights / 2u % 2u != 0) {
        const bnn_pair eight = bnn_count_sixteen(low, list, planes);
        bnn_carry_slices(v, 4, digits, bnn_add_pair(&low[3], eight));
        list += 16;
    }
    v[3] = low[3];
    if (eights % 2u != 0) {
        const bnn_pair four = bnn_count_eight(low, list, planes);
        bnn_carry_slices(v, 3, digits, bnn_add_pair(&low[2], four));
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
            reached = bnn_reached_digit(reached, v[d], t);
        }
        odd = (bnn_digit)(odd ^ reached);
    }
    return odd;
}

#endif
