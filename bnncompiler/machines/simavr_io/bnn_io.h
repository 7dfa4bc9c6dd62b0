/* Input and output of the main program on a simulated AVR.
 *
 * A write to GPIOR0 is a command to the simulator (run.c), which finds the command's address and
 * size in `bnn_io_box` and moves the bytes itself, from and to the chip's memory: no cycle of it
 * is on the stopwatch, and no buffer for it in the chip. GPIOR1 and GPIOR2 say where the box is.
 * The commands are numbered as in run.c. */
#ifndef BNN_IO_H
#define BNN_IO_H

#include <avr/io.h>
#include <avr/pgmspace.h>
#include <stddef.h>
#include <stdint.h>

/* Memory is what such a chip has least of. */
#define BNN_IO_GUARD 4
#define BNN_IO_PORT_ALIGN 1
#define BNN_IO_TEXT PROGMEM
#define BNN_IO_UNUSED __attribute__((__unused__)) /* the self-test alone reads no samples */

enum {
    BNN_IO_OPEN = 1,
    BNN_IO_READ,
    BNN_IO_OUTPUT,
    BNN_IO_TRACE,
    BNN_IO_SELFTEST,
    BNN_IO_START,
    BNN_IO_STOP,
    BNN_IO_FAIL,
    BNN_IO_CLOSE
};

static volatile struct {
    uint16_t address;
    uint16_t bytes;
} bnn_io_box;

/* The compiler must not keep in registers what the simulator reads or writes. */
#define BNN_IO_BARRIER __asm__ volatile("" ::: "memory")

static void bnn_io_command(uint8_t command, const volatile void *address, size_t bytes)
{
    bnn_io_box.address = (uint16_t)(uintptr_t)address;
    bnn_io_box.bytes = (uint16_t)bytes;
    BNN_IO_BARRIER;
    GPIOR0 = command;
    BNN_IO_BARRIER;
}

static void bnn_io_start(void)
{
    BNN_IO_BARRIER;
    GPIOR0 = BNN_IO_START;
    BNN_IO_BARRIER;
}

static void bnn_io_stop(void)
{
    BNN_IO_BARRIER;
    GPIOR0 = BNN_IO_STOP;
    BNN_IO_BARRIER;
}

static void bnn_io_open(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    GPIOR1 = (uint8_t)(uintptr_t)&bnn_io_box;
    GPIOR2 = (uint8_t)((uintptr_t)&bnn_io_box >> 8);
    bnn_io_command(BNN_IO_OPEN, NULL, 0);
    bnn_io_start(); /* nothing is in between: what the stopwatch itself takes */
    bnn_io_stop();
}

BNN_IO_UNUSED static int bnn_io_read(void *to, size_t bytes)
{
    bnn_io_command(BNN_IO_READ, to, bytes);
    return GPIOR0 != 0;
}

BNN_IO_UNUSED static void bnn_io_output(const void *from, size_t bytes)
{
    bnn_io_command(BNN_IO_OUTPUT, from, bytes);
}

#ifdef BNN_HARNESS_TRACE
static void bnn_io_trace(const void *from, size_t bytes)
{
    bnn_io_command(BNN_IO_TRACE, from, bytes);
}
#endif

BNN_IO_UNUSED static void bnn_io_selftest(int result)
{
    bnn_io_command(BNN_IO_SELFTEST, NULL, (size_t)result);
}

/* `what` is a text in flash. */
__attribute__((__noreturn__)) static void bnn_io_fail(const char *what)
{
    bnn_io_command(BNN_IO_FAIL, what, 0);
    for (;;) {
    }
}

static void bnn_io_close(void)
{
    bnn_io_command(BNN_IO_CLOSE, NULL, 0);
    for (;;) {
    }
}

#endif
