/* Input and output of the main program on the emulated PC (boot.S): disks. They have the samples,
 * the outputs, the trace, and, as lines of text, what else there is to say. */
#ifndef BNN_IO_H
#define BNN_IO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ports.h"

#define BNN_IO_GUARD 64

static bnn_disk bnn_io_samples = BNN_DISK(0), bnn_io_outputs = BNN_DISK(1),
                bnn_io_traces = BNN_DISK(2), bnn_io_said = BNN_DISK(3);

static void bnn_io_say(const char *text)
{
    if (!bnn_disk_write(&bnn_io_said, text, strlen(text)))
        bnn_shut_down();
}

static void bnn_io_number(const char *name, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    digits[--at] = '\n';
    do {
        digits[--at] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    bnn_io_say(name);
    bnn_io_say(digits + at);
}

static void bnn_io_fail(const char *what)
{
    bnn_io_say("failed ");
    bnn_io_say(what);
    bnn_io_say("\n");
    bnn_disk_close(&bnn_io_said);
    bnn_shut_down();
}

static void bnn_io_open(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    if (!bnn_disk_open(&bnn_io_samples))
        bnn_io_fail("the samples cannot be read");
}

static int bnn_io_read(void *to, size_t bytes)
{
    return bnn_disk_read(&bnn_io_samples, to, bytes);
}

static void bnn_io_output(const void *from, size_t bytes)
{
    if (!bnn_disk_write(&bnn_io_outputs, from, bytes))
        bnn_io_fail("the results cannot be written");
}

static inline void bnn_io_trace(const void *from, size_t bytes)
{
    if (!bnn_disk_write(&bnn_io_traces, from, bytes))
        bnn_io_fail("the results cannot be written");
}

static inline void bnn_io_selftest(int result)
{
    bnn_io_number("selftest ", (uint64_t)result);
}

/* The time stamp counter counts instructions: those between reading it twice, and
 * BNN_IO_COUNTING. */
#define BNN_IO_COUNTING 3u
#define BNN_IO_COUNT(number) \
    __asm__ volatile("rdtsc\n\tmovl %%eax, %0\n\tmovl %%edx, 4+%0" \
                     : "=o"(number) : : "eax", "edx", "memory")

static uint64_t bnn_io_before;

static inline __attribute__((always_inline)) void bnn_io_start(void)
{
    BNN_IO_COUNT(bnn_io_before);
}

static inline __attribute__((always_inline)) void bnn_io_stop(void)
{
    uint64_t now;

    BNN_IO_COUNT(now);
    bnn_io_number("count ", now - bnn_io_before - BNN_IO_COUNTING);
}

#ifdef BNN_HARNESS_PROFILE
/* The model says when a call is done: its count ends, and the next one's begins. */
#define BNN_TRACE(index, address, bytes) (bnn_io_stop(), bnn_io_start())
#endif

static void bnn_io_close(void)
{
    if (!bnn_disk_close(&bnn_io_outputs) || !bnn_disk_close(&bnn_io_traces))
        bnn_io_fail("the results cannot be written");
    bnn_io_say("done\n");
    bnn_disk_close(&bnn_io_said);
}

#endif
