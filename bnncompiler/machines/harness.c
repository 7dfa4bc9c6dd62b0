/* The main program around a generated model: reads samples, runs each, writes what comes out.
 *
 * The model's source is part of this file, so that its trace hook shows what every kernel call
 * leaves in memory (where BNN_HARNESS_TRACE is defined; else the model is just as a user has it).
 * The model gets an arena of exactly the size and alignment that its header asks for, filled with
 * garbage before each sample and guarded on both sides: whatever relies on zeros or strays out of
 * bounds shows.
 *
 * With BNN_HARNESS_ONLY_SELFTEST nothing but the self-test is run, with BNN_HARNESS_NO_SELFTEST
 * everything else: where memory is small, there is not enough for both at once.
 *
 * A machine's bnn_io.h has
 *   BNN_IO_GUARD                        bytes of a guard
 *   BNN_IO_PORT_ALIGN                   what inputs and outputs are aligned to; 8 where it is left out
 *   BNN_IO_TEXT                         an attribute of the messages; nothing where it is left out
 *   void bnn_io_open(int, char **)      begin, with main's arguments
 *   int bnn_io_read(void *, size_t)     the next bytes of the samples; 0 where there are no more
 *   void bnn_io_output(const void *, size_t)
 *   void bnn_io_trace(const void *, size_t)
 *   void bnn_io_selftest(int)           the result of the self-test
 *   void bnn_io_start(void), bnn_io_stop(void)
 *                                       a sample's run begins and ends: what is measured
 *   void bnn_io_fail(const char *)      ends the program with a message
 *   void bnn_io_close(void)             all samples are done */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bnn_io.h"

#ifndef BNN_IO_PORT_ALIGN
#define BNN_IO_PORT_ALIGN 8
#endif
#ifndef BNN_IO_TEXT
#define BNN_IO_TEXT
#endif

#ifdef BNN_HARNESS_TRACE
static int bnn_harness_tracing;

static void bnn_harness_trace(size_t index, const void *address, size_t bytes)
{
    uint32_t head[2];

    if (!bnn_harness_tracing)
        return;
    head[0] = (uint32_t)index;
    head[1] = (uint32_t)bytes;
    bnn_io_trace(head, sizeof head);
    bnn_io_trace(address, bytes);
}
#define BNN_TRACE(index, address, bytes) \
    bnn_harness_trace((size_t)(index), (address), (size_t)(bytes))
#endif

/* Bytes that hold `size` bytes between guards, at an address that is a multiple of `align` and of
 * nothing larger. */
#define BNN_HARNESS_BLOCK(size, align) ((size) + 2 * BNN_IO_GUARD + 3 * (align))
#define BNN_HARNESS_GARBAGE 0xA5

#include "bnn_harness_model.h"

static unsigned char bnn_harness_arena[BNN_HARNESS_BLOCK(BNN_HARNESS_ARENA, BNN_HARNESS_ALIGN)];

static unsigned char *bnn_harness_place(unsigned char *block, size_t size, size_t align)
{
    const size_t over = (size_t)((uintptr_t)(block + BNN_IO_GUARD) % (2 * align));

    block += BNN_IO_GUARD + (over <= align ? align - over : 3 * align - over);
    memset(block - BNN_IO_GUARD, BNN_HARNESS_GARBAGE, size + 2 * BNN_IO_GUARD);
    return block;
}

static const char BNN_IO_TEXT bnn_harness_astray[] = "the program writes outside of the arena";
#ifndef BNN_HARNESS_ONLY_SELFTEST
static const char BNN_IO_TEXT bnn_harness_astray_port[] =
    "the program writes outside of an input or output";
static const char BNN_IO_TEXT bnn_harness_cut[] = "the inputs are cut off";
#endif

static void bnn_harness_check(const unsigned char *block, size_t size, const char *what)
{
    size_t i;

    for (i = 0; i < BNN_IO_GUARD; i++)
        if (block[-1 - (ptrdiff_t)i] != BNN_HARNESS_GARBAGE || block[size + i] != BNN_HARNESS_GARBAGE)
            bnn_io_fail(what);
}

#ifndef BNN_HARNESS_ONLY_SELFTEST
static void bnn_harness_samples(unsigned char *arena)
{
    unsigned char *port[BNN_HARNESS_PORTS];
    size_t p;

    for (p = 0; p < BNN_HARNESS_PORTS; p++)
        port[p] = bnn_harness_place(bnn_harness_block[p], bnn_harness_size[p], BNN_IO_PORT_ALIGN);
#ifdef BNN_HARNESS_TRACE
    bnn_harness_tracing = 1;
#endif
    while (bnn_io_read(port[0], bnn_harness_size[0])) {
        for (p = 1; p < BNN_HARNESS_INPUTS; p++)
            if (!bnn_io_read(port[p], bnn_harness_size[p]))
                bnn_io_fail(bnn_harness_cut);
        for (p = BNN_HARNESS_INPUTS; p < BNN_HARNESS_PORTS; p++)
            memset(port[p], BNN_HARNESS_GARBAGE, bnn_harness_size[p]);
        memset(arena, BNN_HARNESS_GARBAGE, BNN_HARNESS_ARENA);
        bnn_io_start();
        BNN_HARNESS_RUN;
        bnn_io_stop();
        bnn_harness_check(arena, BNN_HARNESS_ARENA, bnn_harness_astray);
        for (p = 0; p < BNN_HARNESS_PORTS; p++)
            bnn_harness_check(port[p], bnn_harness_size[p], bnn_harness_astray_port);
        for (p = BNN_HARNESS_INPUTS; p < BNN_HARNESS_PORTS; p++)
            bnn_io_output(port[p], bnn_harness_size[p]);
    }
}
#endif

int main(int argc, char **argv)
{
    unsigned char *arena = bnn_harness_place(bnn_harness_arena, BNN_HARNESS_ARENA, BNN_HARNESS_ALIGN);

    bnn_io_open(argc, argv);
#ifndef BNN_HARNESS_NO_SELFTEST
    bnn_io_selftest(BNN_HARNESS_SELFTEST(arena));
    bnn_harness_check(arena, BNN_HARNESS_ARENA, bnn_harness_astray);
#endif
#ifndef BNN_HARNESS_ONLY_SELFTEST
    bnn_harness_samples(arena);
#endif
    bnn_io_close();
    return 0;
}
