/* Kernels of dense layers on made-up bits, and the loop that everyone writes first, side by side. */
#define _POSIX_C_SOURCE 199309L
#define BNN_KERNEL static
#include <stdlib.h>
#include <time.h>

#include "bnn_dense_columns.c"
#include "bnn_dense_integer.c"
#include "bnn_dense_sliced_threshold.c"
#include "bnn_dense_threshold.c"
#include "bnn_dense_tiled_threshold.c"

enum { WORDS = 1 << 18, OUTS = 4096 };

static bnn_word x[WORDS], w[WORDS], y[OUTS];
static int16_t at[OUTS];
static int32_t sums[OUTS];

static void naive(bnn_size n, bnn_size outs)
{
    const bnn_size words = bnn_words(n);
    for (bnn_size o = 0; o < outs; ++o) {
        int32_t differing = 0;
        for (bnn_size i = 0; i < words; ++i) {
            differing += (int32_t)__builtin_popcountll(x[i] ^ w[o * words + i]);
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
        naive(n, outs);
        break;
    case 1:
        bnn_dense_threshold(x, w, at, BNN_S16, 1, n, outs, y);
        break;
    case 2:
        bnn_dense_tiled_threshold(x, w, at, BNN_S16, 1, n, outs, y);
        break;
    case 3:
        bnn_dense_sliced_threshold(x, w, w, 1, 16, n, outs, y);
        break;
    case 4:
        bnn_dense_integer(x, BNN_U8, w, BNN_S8, n, outs, sums);
        break;
    default:
        bnn_dense_columns(x, BNN_U8, w, BNN_S8, n, outs, sums);
        break;
    }
}

/* Seconds of one call, from so many. */
double measure(int which, int n, int outs, int times)
{
    struct timespec begin, end;
    for (int i = 0; i < WORDS && w[0] == 0; ++i) {
        w[i] = (bnn_word)rand() << 33 ^ (bnn_word)rand() << 11 ^ (bnn_word)rand();
        x[i] = w[i] * 5u;
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < times; ++i) {
        x[i % 3] += 1u; /* no call is the same, so that none is left out */
        once(which, (bnn_size)n, (bnn_size)outs);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec)) / times;
}
