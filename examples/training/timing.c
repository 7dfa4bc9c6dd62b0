/* Prints the nanoseconds that an image takes on this machine: the shortest of several rounds over all images of a file.
 *
 *     cc -O2 timing.c network.c -o timing && ./timing images.bin
 */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>

#include "network.h"

#define IMAGES 64
#define ROUNDS 200

static uint8_t images[IMAGES][NETWORK_INPUT_SIZE];
static int32_t logits[NETWORK_OUTPUT_SIZE];
static uint64_t arena[(NETWORK_ARENA_SIZE + 7) / 8];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t count = file ? fread(images, NETWORK_INPUT_SIZE, IMAGES, file) : 0;
    double best = 0;
    if (count == 0) {
        fputs("usage: timing IMAGES.bin\n", stderr);
        return 1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (size_t i = 0; i < count; i++)
            network_run(images[i], logits, arena);
        double took = (now() - start) / (double)count;
        if (round == 0 || took < best)
            best = took;
    }
    printf("%.0f\n", best);
    return 0;
}
