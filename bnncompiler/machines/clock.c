/* The main program that times a generated model call by call: runs one sample again and again and
 * writes how long each kernel call took.
 *
 * The model's source is part of this file, so that its trace hook can look at the clock. Arguments:
 * the sample, a file for the times (nanoseconds, uint64_t, a row of calls for each run), and for how
 * many milliseconds to run. The first run warms up and is not written. */
#define _POSIX_C_SOURCE 199309L

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BNN_IO_PORT_ALIGN 64
#define BNN_HARNESS_BLOCK(size, align) ((size) + (align))
#define BNN_CLOCK_RUNS 1000 /* at most */
#define BNN_CLOCK_LEAST 3

static uint64_t *bnn_clock_at; /* when the calls of this run ended */
static const void *volatile bnn_clock_seen; /* so that results are in memory by then */

static uint64_t bnn_clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define BNN_TRACE(index, address, bytes) \
    ((void)(bytes), bnn_clock_seen = (address), bnn_clock_at[index] = bnn_clock_now())

#include "bnn_harness_model.h"

static unsigned char bnn_clock_arena[BNN_HARNESS_BLOCK(BNN_HARNESS_ARENA, BNN_IO_PORT_ALIGN)];

static unsigned char *bnn_clock_place(unsigned char *block)
{
    return block + (BNN_IO_PORT_ALIGN - (uintptr_t)block % BNN_IO_PORT_ALIGN) % BNN_IO_PORT_ALIGN;
}

static int bnn_clock_fail(const char *what)
{
    fprintf(stderr, "bnn_clock: %s\n", what);
    return 3;
}

int main(int argc, char **argv)
{
    static uint64_t ends[BNN_CLOCK_CALLS];
    unsigned char *port[BNN_HARNESS_PORTS], *const arena = bnn_clock_place(bnn_clock_arena);
    FILE *sample, *times;
    uint64_t until;
    int run;
    size_t i;

    if (argc != 4)
        return bnn_clock_fail("usage: sample times milliseconds");
    sample = fopen(argv[1], "rb");
    times = fopen(argv[2], "wb");
    if (sample == NULL || times == NULL)
        return bnn_clock_fail("a file cannot be opened");
    for (i = 0; i < BNN_HARNESS_PORTS; i++) {
        port[i] = bnn_clock_place(bnn_harness_block[i]);
        if (i < BNN_HARNESS_INPUTS && fread(port[i], 1, bnn_harness_size[i], sample) != bnn_harness_size[i])
            return bnn_clock_fail("the sample is cut off");
    }
    bnn_clock_at = ends;
    until = bnn_clock_now() + (uint64_t)atoi(argv[3]) * 1000000u;
    for (run = 0; run <= BNN_CLOCK_LEAST || (run <= BNN_CLOCK_RUNS && ends[BNN_CLOCK_CALLS - 1] < until); run++) {
        uint64_t last = bnn_clock_now(), row[BNN_CLOCK_CALLS];

        BNN_HARNESS_RUN;
        for (i = 0; i < BNN_CLOCK_CALLS; i++) {
            row[i] = ends[i] - last;
            last = ends[i];
        }
        if (run > 0 && fwrite(row, sizeof row, 1, times) != 1)
            return bnn_clock_fail("the times cannot be written");
    }
    if (fclose(times) != 0)
        return bnn_clock_fail("the times cannot be written");
    return 0;
}
