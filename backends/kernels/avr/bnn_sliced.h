/* Bit-sliced counters on AVR: lane j of a word belongs to output j, and the words of a counter are
 * the binary digits of a number for each lane. What is counted, for each output, is the inputs that
 * are 1 and have a weight of 1; weights are stored by input, row i with the bits of all outputs.
 *
 * The rows of inputs that are 1 are listed, BNN_BATCH at a time, and each batch is added to the
 * counters of a strip of outputs (bnn_strip.h). */
#ifndef BNN_SLICED_H
#define BNN_SLICED_H

#include <string.h>

#include "bnn_strip.h"

/* Lists the rows of inputs that are 1, from word `next` on, until none is left or a batch is full;
 * returns the end of the list. `offset` is that of the row of the word's first input. */
#if BNN_ASM
#define BNN_LIST_BIT \
    "lsr %[bits]\n\t" \
    "brcc 1f\n\t" \
    "st X+, %A[offset]\n\t" \
    "st X+, %B[offset]\n\t" \
    "1: add %A[offset], %A[columns]\n\t" \
    "adc %B[offset], %B[columns]\n\t"

BNN_INLINE uint16_t *bnn_list(const bnn_word **next, const bnn_word *last, bnn_size words,
                              uint16_t *offset, uint16_t columns, uint16_t *end,
                              const uint16_t *full)
{
    const uint16_t eight = (uint16_t)(columns * 8u);
    const bnn_word *x = *next;
    uint16_t at = *offset;
    bnn_word bits;
    (void)words; /* how many there are at most */
    /* No .rept: the compiler tells how far it is over a statement by counting lines. */
    __asm__ volatile("2: cp %A[x], %A[last]\n\t"
                     "cpc %B[x], %B[last]\n\t"
                     "breq 3f\n\t"
                     "ld %[bits], %a[x]+\n\t"
                     "tst %[bits]\n\t"
                     "breq 4f\n\t"
                     BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT
                     BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT
                     "cp r26, %A[full]\n\t"
                     "cpc r27, %B[full]\n\t"
                     "brlo 2b\n\t"
                     "rjmp 3f\n"
                     "4: add %A[offset], %A[eight]\n\t"
                     "adc %B[offset], %B[eight]\n\t"
                     "rjmp 2b\n"
                     "3:"
                     : [bits] "=&r"(bits), [offset] "+r"(at), [end] "+x"(end), [x] "+z"(x)
                     : [columns] "r"(columns), [eight] "r"(eight), [last] "r"(last),
                       [full] "r"(full)
                     : "memory");
    *next = x;
    *offset = at;
    return end;
}
#else
BNN_INLINE uint16_t *bnn_list(const bnn_word **next, const bnn_word *last, bnn_size words,
                              uint16_t *offset, uint16_t columns, uint16_t *end,
                              const uint16_t *full)
{
    const bnn_word *x = *next;
    uint16_t word = *offset;
    for (bnn_size i = 0; i < words && (x != last && end < full); ++i) {
        bnn_word bits = *x++;
        uint16_t row = word;
        for (uint8_t lane = 0; lane < 8u && bits != 0; ++lane) {
            if (bits & 1u) {
                *end++ = row;
            }
            row = (uint16_t)(row + columns);
            bits = (bnn_word)(bits >> 1);
        }
        word = (uint16_t)(word + columns * 8u);
    }
    *next = x;
    *offset = word;
    return end;
}
#endif

/* How many words the strip has that begins with word `first` of `columns`. */
BNN_INLINE uint8_t bnn_strip_words(bnn_size columns, bnn_size first)
{
    return (uint8_t)(columns - first < BNN_STRIP ? columns - first : BNN_STRIP);
}

/* Counts for a strip of `words` words, the first of a row being the one that w points to; returns
 * how many inputs are 1. In assembly whole blocks are counted: one that sticks out of the strip
 * counts garbage that nobody reads. */
BNN_OWN bnn_size bnn_count_strip(bnn_strip *s, const bnn_word *x, const bnn_word BNN_ROM *w,
                                bnn_size n, bnn_size columns, uint8_t words)
{
#if BNN_ASM
    const uint8_t share = (uint8_t)((words + BNN_WIDTH - 1u) / BNN_WIDTH);
#else
    const uint8_t share = words;
#endif
    const uint16_t *const full = s->row + BNN_BATCH;
    const bnn_size words_of_x = bnn_words(n);
    const bnn_word *const last = x + words_of_x;
    const bnn_size batches = n / BNN_BATCH;
    uint16_t *end = s->row;
    uint16_t offset = 0;
    bnn_size ones = 0;
    uint8_t rest;
    bnn_word *count = s->count[0];
    for (uint8_t i = 0; i < BNN_STRIP * BNN_DIGITS / 5u; ++i) {
        count[0] = 0;
        count[1] = 0;
        count[2] = 0;
        count[3] = 0;
        count[4] = 0;
        count += 5;
    }
    end = bnn_list(&x, last, words_of_x, &offset, (uint16_t)columns, end, full);
    for (bnn_size i = 0; i < batches && end >= full; ++i) {
        bnn_add_batch(s, w, share, BNN_GROUPS);
        ones += BNN_BATCH;
        memcpy(s->row, full, 7u * sizeof s->row[0]);
        end = bnn_list(&x, last, words_of_x, &offset, (uint16_t)columns, end - BNN_BATCH, full);
    }
    rest = (uint8_t)(end - s->row);
    if (rest != 0) { /* fill up the last group with the row behind the inputs', which is 0 */
        const uint16_t zero = (uint16_t)(n * columns);
        for (uint8_t i = rest % 8u; i < 8u && i != 0; ++i) {
            *end++ = zero;
        }
        memset(s->eights, 0, sizeof s->eights);
        bnn_add_batch(s, w, share, (uint8_t)((rest + 7u) / 8u));
    }
    return ones + rest;
}

/* A lane's count. */
BNN_INLINE uint16_t bnn_lane_of(const bnn_word *count, uint8_t lane, unsigned digits)
{
    uint16_t number = 0;
    for (uint8_t d = (uint8_t)(digits - 1u); d > 0; --d) {
        number = (uint16_t)(number << 1 | bnn_lane(count[d - 1u], lane));
    }
    return number;
}

/* Makes a word's counter v = 2 * count + rest, digit d of it in place of digit d - 1, and compares
 * it with a threshold whose digits are `columns` words apart: v reaches t if v - t, that is
 * v + ~t + 1, carries out of the highest digit. Digit 0 of v is the same for all lanes. */
#if BNN_ASM
BNN_OWN bnn_word bnn_finish(bnn_word *count, const bnn_word BNN_ROM *at, bnn_size columns,
                            bnn_size rest, uint8_t digits)
{
    bnn_word reached, carry, digit, t;
    uint16_t address = BNN_ADDRESS(at);
    __asm__ volatile(BNN_IF_FAR("out 0x3b, %[bank]\n\t")
                     "dec %[digits]\n\t"
                     "lsr %B[rest]\n\t"
                     "ror %A[rest]\n\t"
                     "sbc %[reached], %[reached]\n\t" /* all ones if a one was shifted out */
                     BNN_LPM " %[t], Z\n\t"
                     "com %[t]\n\t"
                     "or %[reached], %[t]\n\t"
                     "clr %[carry]\n"
                     "1:\n\t"
                     "add r30, %A[columns]\n\t"
                     "adc r31, %B[columns]\n\t"
                     BNN_IF_FAR("in r0, 0x3b\n\tadc r0, r1\n\tout 0x3b, r0\n\t")
                     BNN_LPM " %[t], Z\n\t"
                     "com %[t]\n\t"
                     "ld %[digit], X\n\t"
                     "lsr %B[rest]\n\t"
                     "ror %A[rest]\n\t"
                     "sbc r0, r0\n\t"
                     "eor %[digit], %[carry]\n\t" /* digit + carry + rest */
                     "eor %[carry], r0\n\t"
                     "or %[carry], %[digit]\n\t"
                     "eor %[digit], r0\n\t"
                     "eor %[carry], %[digit]\n\t"
                     "st X+, %[digit]\n\t"
                     "eor %[digit], %[reached]\n\t" /* digit + reached + ~t */
                     "eor %[reached], %[t]\n\t"
                     "or %[reached], %[digit]\n\t"
                     "eor %[digit], %[t]\n\t"
                     "eor %[reached], %[digit]\n\t"
                     "dec %[digits]\n\t"
                     "brne 1b"
                     BNN_IF_FAR("\n\tout 0x3b, r1")
                     : [reached] "=&r"(reached), [carry] "=&r"(carry), [digit] "=&r"(digit),
                       [t] "=&r"(t), [rest] "+r"(rest), [digits] "+r"(digits), "+x"(count),
                       "+z"(address)
                     : [columns] "r"(columns), [bank] "rL"(BNN_BANK(at))
                     : "r0", "memory");
    return reached;
}
#else
BNN_OWN bnn_word bnn_finish(bnn_word *count, const bnn_word BNN_ROM *at, bnn_size columns,
                           bnn_size rest, uint8_t digits)
{
    bnn_word reached = (bnn_word)(bnn_lowest_digit(rest) | (bnn_word)~bnn_rom_word(at));
    bnn_word carry = 0;
    for (uint8_t d = 1; d < digits; ++d) {
        bnn_word digit = *count;
        rest >>= 1;
        at += columns;
        carry = bnn_full_add(&digit, carry, bnn_lowest_digit(rest));
        *count++ = digit;
        reached = bnn_full_add(&digit, reached, (bnn_word)~bnn_rom_word(at));
    }
    return reached;
}
#endif

/* Compares a finished counter with another threshold. */
BNN_INLINE bnn_word bnn_reached_sliced(const bnn_word *v, const bnn_word BNN_ROM *at,
                                       bnn_size columns, bnn_size rest, uint8_t digits)
{
    bnn_word reached = (bnn_word)(bnn_lowest_digit(rest) | (bnn_word)~bnn_rom_word(at));
    for (uint8_t d = 1; d < digits; ++d) {
        bnn_word digit = *v++;
        at += columns;
        reached = bnn_full_add(&digit, reached, (bnn_word)~bnn_rom_word(at));
    }
    return reached;
}

#endif
