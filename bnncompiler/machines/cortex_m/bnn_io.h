/* Input and output of the main program on a bare Cortex-M: files of the host, by semihosting. They are inputs.bin, outputs.bin
 * and, with a trace, trace.bin; the self-test's result, the stack and errors go into result.txt. */
#ifndef BNN_IO_H
#define BNN_IO_H

#include <stddef.h>
#include <stdint.h>

#include "semihosting.h"

#define BNN_IO_GUARD 64
#define BNN_IO_PAINT 0x5AA5C33Cu

extern uint32_t bnn_stack_limit[]; /* from the linker script */

static int32_t bnn_io_samples, bnn_io_outputs, bnn_io_results;
#ifdef BNN_HARNESS_TRACE
static int32_t bnn_io_traces;
#else
static uint32_t *bnn_io_stack; /* the stack pointer where the model is called */
static size_t bnn_io_deepest;  /* bytes of stack below it that were used so far */
#endif

#ifdef BNN_HARNESS_PROFILE
/* The model says when a call is done: its count ends, and the next one's begins. */
#define BNN_TRACE(index, address, bytes) (bnn_count_stop(), bnn_count_start())
#endif

static void bnn_io_write(int32_t file, const void *from, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)from, (uint32_t)bytes};

    if (bytes != 0 && semihosting(SYS_WRITE, block) != 0)
        semihosting_exit(BNN_EXIT_IO);
}

static void bnn_io_text(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0')
        length++;
    bnn_io_write(bnn_io_results, text, length);
}

static void bnn_io_number(const char *name, uint32_t value)
{
    char digits[12];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    digits[--at] = '\n';
    do {
        digits[--at] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    bnn_io_text(name);
    bnn_io_text(digits + at);
}

static void bnn_io_fail(const char *what)
{
    bnn_io_text("failed ");
    bnn_io_text(what);
    bnn_io_text("\n");
    semihosting_exit(BNN_EXIT_FAILED);
}

static int32_t bnn_io_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t block[3] = {(uint32_t)(uintptr_t)name, mode, length};
    const int32_t file = semihosting(SYS_OPEN, block);

    if (file == -1)
        semihosting_exit(BNN_EXIT_IO);
    return file;
}

#define BNN_IO_FILE(name, mode) bnn_io_file(name, sizeof name - 1, mode)

static void bnn_io_open(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    bnn_io_results = BNN_IO_FILE("result.txt", SEMIHOSTING_WRITE);
    bnn_io_samples = BNN_IO_FILE("inputs.bin", SEMIHOSTING_READ);
    bnn_io_outputs = BNN_IO_FILE("outputs.bin", SEMIHOSTING_WRITE);
#ifdef BNN_HARNESS_TRACE
    bnn_io_traces = BNN_IO_FILE("trace.bin", SEMIHOSTING_WRITE);
#endif
}

static int bnn_io_read(void *to, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)bnn_io_samples, (uint32_t)(uintptr_t)to, (uint32_t)bytes};

    return semihosting(SYS_READ, block) == 0; /* the number of bytes that are missing */
}

static void bnn_io_output(const void *from, size_t bytes)
{
    bnn_io_write(bnn_io_outputs, from, bytes);
}

#ifdef BNN_HARNESS_TRACE
static void bnn_io_trace(const void *from, size_t bytes)
{
    bnn_io_write(bnn_io_traces, from, bytes);
}
#endif

static void bnn_io_selftest(int result)
{
    bnn_io_number("selftest ", (uint32_t)result);
}

/* Only a program without a trace is measured. These are inlined, so that the stack pointer is that
 * of the caller of the model. */
static inline __attribute__((always_inline)) void bnn_io_start(void)
{
#ifndef BNN_HARNESS_TRACE
    uint32_t *sp;

    __asm__ volatile("mov %0, sp" : "=r"(sp));
    bnn_io_stack = sp;
    for (uint32_t *p = bnn_stack_limit; p < sp; p++)
        *(volatile uint32_t *)p = BNN_IO_PAINT;
    bnn_count_start();
#endif
}

static inline __attribute__((always_inline)) void bnn_io_stop(void)
{
#ifndef BNN_HARNESS_TRACE
    const uint32_t *p = bnn_stack_limit;
    size_t used;

    bnn_count_stop();
    while (p < bnn_io_stack && *(const volatile uint32_t *)p == BNN_IO_PAINT)
        p++;
    used = (size_t)(bnn_io_stack - p) * sizeof *p;
    if (used > bnn_io_deepest)
        bnn_io_deepest = used;
#endif
}

static void bnn_io_close(void)
{
    const int32_t files[] = {
        bnn_io_outputs,
#ifdef BNN_HARNESS_TRACE
        bnn_io_traces,
#endif
        bnn_io_results,
    };

#ifndef BNN_HARNESS_TRACE
    bnn_io_number("stack ", (uint32_t)bnn_io_deepest);
#endif
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const uint32_t block[1] = {(uint32_t)files[i]};
        if (semihosting(SYS_CLOSE, block) != 0)
            semihosting_exit(BNN_EXIT_IO);
    }
}

#endif
