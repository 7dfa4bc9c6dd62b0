/* Kernels of a dense layer, or of a 3x3 convolution of a square map that is padded by -1, on made-up bits, and the loop
 * that everyone writes first, side by side: whole layers, with the loops over pixels or rows that generated code has.
 * As there, the layer's sizes are constants: LAYER_COLUMNS (0: dense), LAYER_N inputs (LAYER_BITS or integers) or
 * channels, LAYER_OUTS, the LAYER_DIGITS of its counters, and the rows of a LAYER_BAND. */
#define _POSIX_C_SOURCE 199309L
#define BNN_KERNEL static
#include <stdlib.h>
#include <time.h>

#include "bnn_convolve_nibbles.c"
#include "bnn_convolve_planes.c"
#include "bnn_convolve_row_sliced.c"
#include "bnn_dense_columns.c"
#include "bnn_dense_integer.c"
#include "bnn_dense_sliced_threshold.c"
#include "bnn_dense_threshold.c"
#include "bnn_dense_tiled_threshold.c"
#include "bnn_gather_bits.c"
#include "bnn_put_bits.c"
#include "bnn_sum_nibbles.c"

enum { WORDS = 1 << 18, OUTS = 4096 };

static bnn_word BNN_TABLE w[WORDS]; /* as generated code has tables */
static bnn_word x[WORDS], y[OUTS], part[OUTS];
static int16_t at[OUTS];
static int32_t sums[1 << 16];
static uint16_t scratch[1 << 18];

static void naive(const bnn_word *bits, bnn_size n, bnn_size outs, bnn_word *signs)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size o = 0; o < outs; ++o) {
        int32_t differing = 0;
        for (bnn_size i = 0; i < words; ++i) {
            differing += (int32_t)__builtin_popcountll(bits[i] ^ w[o * words + i]);
        }
        signs[o / 64] = (signs[o / 64] & ~((bnn_word)1 << o % 64)) |
                        (bnn_word)((int32_t)n - 2 * differing >= at[o]) << o % 64;
    }
}

/* Kernel `which` of a dense layer. */
static void dense(int which, bnn_size n, bnn_size outs)
{
    switch (which) {
    case 0:
        naive(x, n, outs, y);
        break;
    case 1:
        bnn_dense_threshold(x, w, NULL, BNN_U8, at, BNN_S16, 1, n, outs, y);
        break;
    case 2:
        bnn_dense_tiled_threshold(x, w, at, BNN_S16, 1, n, outs, y);
        break;
    case 3:
        bnn_dense_sliced_threshold(x, w, w, 1, LAYER_DIGITS, n, outs, scratch, y);
        break;
    case 4:
        bnn_dense_integer(x, BNN_U8, w, BNN_S8, n, outs, sums);
        break;
    default:
        bnn_dense_columns(x, BNN_U8, w, BNN_S8, n, outs, sums);
        break;
    }
}

/* A pixel of a map of `size` rows and columns, from its patch. */
static void pixel(int which, bnn_size size, bnn_size channels, bnn_size outs, bnn_size r,
                  bnn_size c)
{
    static bnn_word patch[OUTS];
    bnn_gather_bits(x, 1, size, size, channels, 0, channels, 3, 3, 1, 1, 1, 1, 1, 1, 0, r, c,
                    patch);
    if (which == 0) {
        naive(patch, 9 * channels, outs, part);
    } else {
        bnn_dense_tiled_threshold(patch, w, at, BNN_S16, 1, 9 * channels, outs, part);
    }
    bnn_put_bits(part, 1, outs, size * size * outs, size, r, c, y);
}

/* A row of the map; sums stay where they are. */
static void row(int which, bnn_size size, bnn_size channels, bnn_size outs, bnn_size r)
{
    switch (which) {
    case 2:
        bnn_convolve_nibbles(x, size, size, channels, 3, 3, 1, 1, 1, 1, 1, 1, r, size, outs, NULL,
                             NULL, 1, 0, w, (const uint16_t *)at, 1, scratch, part);
        break;
    case 3:
        bnn_convolve_row_sliced(x, size, size, channels, 3, 3, 1, 1, 1, 1, 1, 1, r, size, outs,
                                NULL, NULL, 1, w, w, 1, LAYER_DIGITS, scratch, part);
        break;
    default:
        bnn_sum_nibbles(x, size, size, channels, 3, 3, 1, 1, 1, 1, 1, 1, r, size, outs, NULL, NULL,
                        1, 0, w, NULL, BNN_U8, scratch, sums);
        return;
    }
    bnn_put_bits(part, 1, size * outs, size * size * outs, 1, r, 0, y);
}

/* The tables of a whole convolution, which are made elsewhere. */
static const uint16_t *taps, *codes;

void use_tables(const uint16_t *listed, const uint16_t *thresholds)
{
    taps = listed;
    codes = thresholds;
}

/* Kernel `which` of a convolution. */
static void convolve(int which, bnn_size size, bnn_size channels, bnn_size outs)
{
    if (which == 5) {
        bnn_convolve_planes(x, size, size, channels, 3, 3, 1, 1, 1, 1, size, size, outs, 1, 1, NULL,
                            NULL, 1, 1, 0, LAYER_BAND, taps, codes, 1, LAYER_DIGITS,
                            (uint8_t *)scratch, y);
        return;
    }
    for (bnn_size r = 0; r < size; ++r) {
        for (bnn_size c = 0; which < 2 && c < size; ++c) {
            pixel(which, size, channels, outs, r, c);
        }
        if (which >= 2) {
            row(which, size, channels, outs, r);
        }
    }
}

/* Seconds that a call takes, from so many: of kernel `which` of a dense layer or of a convolution. */
double measure(int which, int times)
{
    static int filled;
    struct timespec begin, end;
    for (; filled < WORDS; ++filled) {
        w[filled] = (bnn_word)rand() << 33 ^ (bnn_word)rand() << 11 ^ (bnn_word)rand();
        x[filled] = (bnn_word)rand() << 33 ^ (bnn_word)rand() << 11 ^ (bnn_word)rand();
    }
    if (LAYER_BITS && LAYER_N % 64 != 0) {
        x[LAYER_N / 64] &= ((bnn_word)1 << LAYER_N % 64) - 1u;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    for (int i = 0; i < times; ++i) {
        /* Inputs may be others, and outputs looked at: so no call is left out. */
        __asm__ volatile("" : : "g"(x), "g"(y), "g"(sums) : "memory");
        if (LAYER_COLUMNS == 0) {
            dense(which, LAYER_N, LAYER_OUTS);
        } else {
            convolve(which, LAYER_COLUMNS, LAYER_N, LAYER_OUTS);
        }
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    return ((double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec)) /
           times;
}
