/* Windows that slide over a line (bnn_slide.h), in C: six bytes of two outputs, as many as avr-gcc
 * keeps in registers beside what it needs for addresses. 16 products take 17 to 18 cycles. */
#ifndef BNN_SLIDE_C_H
#define BNN_SLIDE_C_H

#include "bnn_slide.h"

#if !BNN_ASM

#define BNN_SLIDE_BYTES 6u  /* of a pass */
#define BNN_SMALL_BYTES 31u /* of a window whose sums are bytes */

/* How many ones a byte has. The table begins a page, so that OR adds a byte to its address. It is
 * volatile to be read at once: addresses that are made long before they are used take registers. */
BNN_INLINE uint8_t bnn_ones_of(const uint8_t *ones, uint8_t byte)
{
#if defined(__AVR__)
    return *(const volatile uint8_t *)((uintptr_t)ones | byte);
#else
    return ones[byte];
#endif
}

/* Counts for two outputs what differs in a byte of a window. That one reads the table by its
 * address in registers and the other by its name makes avr-gcc use both X and Z for it, and keep
 * the window in Y. */
BNN_INLINE void bnn_slide_byte(uint8_t byte, uint8_t one, uint8_t other, const uint8_t *ones,
                               uint8_t *first, uint8_t *second)
{
    const uint8_t differing = byte ^ one;
    *first = (uint8_t)(*first + bnn_ones_of(ones, differing));
    *second = (uint8_t)(*second + bnn_ones_in_ram[differing ^ other]);
}

/* What a pass does with the sums of a pixel. */
typedef enum bnn_pass {
    BNN_START,   /* sets bytes */
    BNN_ADD,     /* adds to bytes */
    BNN_COMPARE, /* adds to bytes, and shifts in whether sums are below the limits above them */
    BNN_CARRY    /* adds to sums of two bytes */
} bnn_pass;

/* Adds a count to a sum of two bytes. The carry is a number, for a branch would take its time. */
BNN_INLINE void bnn_add_to_sum(uint8_t *low, uint8_t *high, uint8_t count)
{
    const uint8_t sum = (uint8_t)(*low + count);
    *high = (uint8_t)(*high + (sum < count));
    *low = sum;
}

/* A bit shifted in from the top. */
BNN_INLINE uint8_t bnn_shift_in(uint8_t bits, int bit)
{
    return (uint8_t)(bit ? bits >> 1 | 0x80u : bits >> 1);
}

/* A pass over the row with n bytes of the weights of two outputs: counts what differs from them in
 * the windows. */
BNN_INLINE void bnn_slide_pass(const bnn_word *window, const bnn_word BNN_ROM *w, bnn_sums *sums,
                               uint8_t step, uint8_t pixels, const uint8_t *ones, uint8_t n,
                               bnn_pass pass)
{
    const int goes_on = pass == BNN_ADD || pass == BNN_COMPARE;
    const uint8_t a0 = bnn_rom_word(w), b0 = bnn_rom_word(w + 1),
                  a1 = n > 1u ? bnn_rom_word(w + 2) : 0, b1 = n > 1u ? bnn_rom_word(w + 3) : 0,
                  a2 = n > 2u ? bnn_rom_word(w + 4) : 0, b2 = n > 2u ? bnn_rom_word(w + 5) : 0,
                  a3 = n > 3u ? bnn_rom_word(w + 6) : 0, b3 = n > 3u ? bnn_rom_word(w + 7) : 0,
                  a4 = n > 4u ? bnn_rom_word(w + 8) : 0, b4 = n > 4u ? bnn_rom_word(w + 9) : 0,
                  a5 = n > 5u ? bnn_rom_word(w + 10) : 0, b5 = n > 5u ? bnn_rom_word(w + 11) : 0;
    for (uint8_t p = pixels; p > 0; --p) {
        const volatile bnn_sums *const own = sums; /* read at once, too */
        uint8_t first = goes_on ? own->first_low : 0, second = goes_on ? own->second_low : 0;
        bnn_slide_byte(window[0], a0, b0, ones, &first, &second);
        if (n > 1u) {
            bnn_slide_byte(window[1], a1, b1, ones, &first, &second);
        }
        if (n > 2u) {
            bnn_slide_byte(window[2], a2, b2, ones, &first, &second);
        }
        if (n > 3u) {
            bnn_slide_byte(window[3], a3, b3, ones, &first, &second);
        }
        if (n > 4u) {
            bnn_slide_byte(window[4], a4, b4, ones, &first, &second);
        }
        if (n > 5u) {
            bnn_slide_byte(window[5], a5, b5, ones, &first, &second);
        }
        if (pass == BNN_CARRY) {
            bnn_add_to_sum(&sums->first_low, &sums->first_high, first);
            bnn_add_to_sum(&sums->second_low, &sums->second_high, second);
        } else if (pass == BNN_COMPARE) {
            const uint8_t bits = bnn_shift_in(own->bits, first < own->first_high);
            sums->bits = bnn_shift_in(bits, second < own->second_high);
        } else {
            sums->first_low = first;
            sums->second_low = second;
        }
        ++sums;
        window += step;
    }
}

/* Passes of six bytes, and of fewer. */
BNN_APART void bnn_slide_start(const bnn_word *window, const bnn_word BNN_ROM *w, bnn_sums *sums,
                               uint8_t step, uint8_t pixels, const uint8_t *ones)
{
    bnn_slide_pass(window, w, sums, step, pixels, ones, BNN_SLIDE_BYTES, BNN_START);
}

BNN_APART void bnn_slide_add(const bnn_word *window, const bnn_word BNN_ROM *w, bnn_sums *sums,
                             uint8_t step, uint8_t pixels, const uint8_t *ones)
{
    bnn_slide_pass(window, w, sums, step, pixels, ones, BNN_SLIDE_BYTES, BNN_ADD);
}

BNN_APART void bnn_slide_compare(const bnn_word *window, const bnn_word BNN_ROM *w, bnn_sums *sums,
                                 uint8_t step, uint8_t pixels, const uint8_t *ones)
{
    bnn_slide_pass(window, w, sums, step, pixels, ones, BNN_SLIDE_BYTES, BNN_COMPARE);
}

BNN_APART void bnn_slide_carry(const bnn_word *window, const bnn_word BNN_ROM *w, bnn_sums *sums,
                               uint8_t step, uint8_t pixels, const uint8_t *ones)
{
    bnn_slide_pass(window, w, sums, step, pixels, ones, BNN_SLIDE_BYTES, BNN_CARRY);
}

BNN_APART void bnn_slide_compare_rest(const bnn_word *window, const bnn_word BNN_ROM *w,
                                      bnn_sums *sums, uint8_t step, uint8_t pixels,
                                      const uint8_t *ones, uint8_t n)
{
    bnn_slide_pass(window, w, sums, step, pixels, ones, n, BNN_COMPARE);
}

BNN_APART void bnn_slide_carry_rest(const bnn_word *window, const bnn_word BNN_ROM *w,
                                    bnn_sums *sums, uint8_t step, uint8_t pixels,
                                    const uint8_t *ones, uint8_t n)
{
    bnn_slide_pass(window, w, sums, step, pixels, ones, n, BNN_CARRY);
}

/* The bits of the next two outputs, where sums are bytes; the last pass has `last` bytes. */
BNN_INLINE void bnn_slide_narrow(bnn_slide *slide, uint8_t last)
{
    bnn_sums *const sums = (bnn_sums *)slide->pixel;
    const bnn_word *window = slide->line;
    const bnn_word BNN_ROM *w = slide->w;
    const uint8_t step = slide->step, pixels = slide->pixels;
    for (uint8_t passes = slide->passes; passes > 0; --passes) {
        if (passes == slide->passes) {
            bnn_slide_start(window, w, sums, step, pixels, bnn_ones_in_ram);
        } else {
            bnn_slide_add(window, w, sums, step, pixels, bnn_ones_in_ram);
        }
        window += BNN_SLIDE_BYTES;
        w += 2u * BNN_SLIDE_BYTES;
    }
    if (last == BNN_SLIDE_BYTES) {
        bnn_slide_compare(window, w, sums, step, pixels, bnn_ones_in_ram);
    } else {
        bnn_slide_compare_rest(window, w, sums, step, pixels, bnn_ones_in_ram, last);
    }
    slide->w = w + 2u * last;
}

/* Adds what differs from the weights of the next two outputs to the sums of all pixels. */
BNN_INLINE void bnn_slide_wide(bnn_slide *slide, uint8_t last)
{
    bnn_sums *const sums = (bnn_sums *)slide->pixel;
    const bnn_word *window = slide->line;
    const bnn_word BNN_ROM *w = slide->w;
    const uint8_t step = slide->step, pixels = slide->pixels;
    const uint8_t full = (uint8_t)(slide->passes + (last == BNN_SLIDE_BYTES));
    for (uint8_t passes = full; passes > 0; --passes) {
        bnn_slide_carry(window, w, sums, step, pixels, bnn_ones_in_ram);
        window += BNN_SLIDE_BYTES;
        w += 2u * BNN_SLIDE_BYTES;
    }
    if (last != BNN_SLIDE_BYTES) {
        bnn_slide_carry_rest(window, w, sums, step, pixels, bnn_ones_in_ram, last);
        w += 2u * last;
    }
    slide->w = w;
}

#endif

#endif
