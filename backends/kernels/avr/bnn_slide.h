/* Windows that slide over a line: for two outputs at a time, how many bits differ from their
 * weights at each pixel of a row (bnn_convolve_columns.c).
 *
 * Some bytes of the weights of two outputs fill registers. They stay there for the whole row, and a
 * byte of a pixel meets both of them: it is read, made different by the first's byte, looked up in
 * a table of ones, made different by what the second's differs in, and looked up again. Longer
 * windows take several passes over the row. Here is what the forms in assembly (bnn_slide_asm.h)
 * and in C (bnn_slide_c.h) share. */
#ifndef BNN_SLIDE_H
#define BNN_SLIDE_H

#include "bnn_types.h"

/* How many ones a byte has. A constant without a place in flash is in RAM, where it is read in 2
 * cycles instead of 3 and by another register pair; a page of its own, so that the byte is the low
 * half of an address. */
#if defined(__GNUC__)
#define BNN_PAGE __attribute__((__aligned__(256), __unused__))
#else
#define BNN_PAGE
#endif
static const uint8_t BNN_PAGE bnn_ones_in_ram[256] = {
    0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 1, 2, 2, 3, 2, 3, 3, 4, 2, 3, 3, 4, 3, 4, 4, 5,
    1, 2, 2, 3, 2, 3, 3, 4, 2, 3, 3, 4, 3, 4, 4, 5, 2, 3, 3, 4, 3, 4, 4, 5, 3, 4, 4, 5, 4, 5, 5, 6,
    1, 2, 2, 3, 2, 3, 3, 4, 2, 3, 3, 4, 3, 4, 4, 5, 2, 3, 3, 4, 3, 4, 4, 5, 3, 4, 4, 5, 4, 5, 5, 6,
    2, 3, 3, 4, 3, 4, 4, 5, 3, 4, 4, 5, 4, 5, 5, 6, 3, 4, 4, 5, 4, 5, 5, 6, 4, 5, 5, 6, 5, 6, 6, 7,
    1, 2, 2, 3, 2, 3, 3, 4, 2, 3, 3, 4, 3, 4, 4, 5, 2, 3, 3, 4, 3, 4, 4, 5, 3, 4, 4, 5, 4, 5, 5, 6,
    2, 3, 3, 4, 3, 4, 4, 5, 3, 4, 4, 5, 4, 5, 5, 6, 3, 4, 4, 5, 4, 5, 5, 6, 4, 5, 5, 6, 5, 6, 6, 7,
    2, 3, 3, 4, 3, 4, 4, 5, 3, 4, 4, 5, 4, 5, 5, 6, 3, 4, 4, 5, 4, 5, 5, 6, 4, 5, 5, 6, 5, 6, 6, 7,
    3, 4, 4, 5, 4, 5, 5, 6, 4, 5, 5, 6, 5, 6, 6, 7, 4, 5, 5, 6, 5, 6, 6, 7, 5, 6, 6, 7, 6, 7, 7, 8,
};

/* A pixel of a row, for two outputs: their sums, and the bits of eight outputs so far, shifted in
 * from the top. */
typedef struct bnn_sums {
    uint8_t first_low, first_high, second_low, second_high, bits;
} bnn_sums;

/* The same where a byte holds a sum. */
typedef struct bnn_small_sums {
    uint8_t first, second, bits;
} bnn_small_sums;

/* A row: the weights that come next, their limits, the pixels, the line, where its window's last
 * bytes begin, how far a window is from the next, and how many there are. */
typedef struct bnn_slide {
    const bnn_word BNN_ROM *w;
    const bnn_word BNN_ROM *limit;
    void *pixel;
    const bnn_word *line;
    const bnn_word *last;
    uint8_t step;
    uint8_t pixels;
    uint8_t passes; /* before the last */
    uint8_t pairs;
} bnn_slide;

#endif
