/* Kernels of a dense layer, or of a row of a convolution and of a whole one, on made-up bits, and the loop that everyone
 * writes first, side by side. As in generated code the layer's sizes are constants: LAYER_COLUMNS (0: dense), LAYER_N
 * inputs or channels, LAYER_OUTS, the LAYER_DIGITS of its counters, and the rows of a LAYER_BAND. */
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
#include "bnn_sum_nibbles.c"

enum { WORDS = 1 << 18, OUTS = 4096 };

static bnn_word x[WORDS], w[WORDS], y[OUTS];
static int16_t at[OUTS];
static int32_t sums[1 << 16];
static uint16_t scratch[1 << 16];

static void naive(const bnn_word *bits, bnn_size n, bnn_size outs)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size o = 0; o < outs; ++o) {
        int32_t differing = 0;
        for (bnn_size i = 0; i < words; ++i) {
            differing += (int32_t)__builtin_popcountll(bits[i] ^ w[o * words + i]);
        }
        y[o / 64] = (y[o / 64] & ~((bnn_word)1 << o % 64)) |
                    (bnn_word)((int32_t)n - 2 * differing >= at[o]) << o % 64;
    }
}

/* Kernel `which` on n inputs and `outs` outputs. */
static void once(int which, bnn_size n, bnn_size outs)
{
    switch (which) {
    case 0:
        naive(x, n, outs);
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

/* A row of `columns` pixels of a 3x3 convolution that is padded by -1. */
static void row(int which, bnn_size columns, bnn_size channels, bnn_size outs)
{
    static bnn_word patch[OUTS];
    switch (which) {
    case 0:
    case 1:
        for (bnn_size column = 0; column < columns; ++column) {
            bnn_gather_bits(x, 1, 3, columns, channels, 0, channels, 3, 3, 1, 1, 1, 1, 1, 1, 0, 1,
                            column, patch);
            if (which == 0) {
                naive(patch, 9 * channels, outs);
            } else {
                bnn_dense_tiled_threshold(patch, w, at, BNN_S16, 1, 9 * channels, outs, y);
            }
        }
        break;
    case 2:
        bnn_convolve_nibbles(x, 3, columns, channels, 3, 3, 1, 1, 1, 1, 1, 1, 1, columns, outs,
                             NULL, NULL, 1, 0, w, (const uint16_t *)at, 1, scratch, y);
        break;
    case 3:
        bnn_convolve_row_sliced(x, 3, columns, channels, 3, 3, 1, 1, 1, 1, 1, 1, 1, columns, outs,
                                NULL, NULL, 1, w, w, 1, LAYER_DIGITS, scratch, y);
        break;
    default:
        bnn_sum_nibbles(x, 3, columns, channels, 3, 3, 1, 1, 1, 1, 1, 1, 1, columns, outs, NULL,
                        NULL, 1, 0, w, NULL, BNN_U8, scratch, sums);
        break;
    }
}

/* The tables of a whole 3x3 convolution, which are made elsewhere. */
static const uint16_t *taps, *codes;

void use_tables(const uint16_t *listed, const uint16_t *thresholds)
{
    taps = listed;
    codes = thresholds;
}

/* A 3x3 convolution of a square map that is padded by -1. */
static void map(bnn_size size, bnn_size channels, bnn_size outs)
{
    bnn_convolve_planes(x, size, size, channels, 3, 3, 1, 1, 1, 1, size, size, outs, 1, 1, NULL,
                        NULL, 1, 1, 0, LAYER_BAND, taps, codes, 1, LAYER_DIGITS,
                        (uint8_t *)scratch, y);
}

/* A thousand cycles, where the machine is known: additions that wait for each other, also for those
 * of the call before. */
static void thousand_cycles(void)
{
#if defined(__x86_64__)
    static unsigned long chain;
    __asm__ volatile(".rept 1000\n\tadd $1, %0\n\t.endr" : "+r"(chain));
#endif
}

/* Seconds of one call, from so many: of the clock where `which` is -2, of a whole convolution where
 * it is -1, and else of a dense layer or of a row. */
double measure(int which, int times)
{
    static int filled;
    struct timespec begin, end;
    for (; filled < WORDS; ++filled) {
        w[filled] = (bnn_word)rand() << 33 ^ (bnn_word)rand() << 11 ^ (bnn_word)rand();
        x[filled] = (bnn_word)rand() << 33 ^ (bnn_word)rand() << 11 ^ (bnn_word)rand();
    }
    if (LAYER_N % 64 != 0) {
        x[LAYER_N / 64] &= ((bnn_word)1 << LAYER_N % 64) - 1u;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    for (int i = 0; i < times; ++i) {
        x[i % 2] ^= 1u; /* no call is the same, so that none is left out */
        if (which == -2) {
            thousand_cycles();
        } else if (LAYER_COLUMNS == 0) {
            once(which, LAYER_N, LAYER_OUTS);
        } else if (which == -1) {
            map(LAYER_COLUMNS, LAYER_N, LAYER_OUTS);
        } else {
            row(which, LAYER_COLUMNS, LAYER_N, LAYER_OUTS);
        }
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    return ((double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec)) /
           times;
}
