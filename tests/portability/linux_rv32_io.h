/* Input and output of the main program on RISC-V without a C library: system calls of Linux, which qemu-riscv32 has, on files
 * with fixed names; and what the compiler and the main program expect of a library. */
#ifndef BNN_IO_H
#define BNN_IO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BNN_IO_GUARD 64

enum { AT_FDCWD = -100, O_WRITE = 01 | 0100 | 01000, SYS_OPENAT = 56, SYS_READ = 63, SYS_WRITE = 64, SYS_EXIT = 93 };

static int bnn_io_samples, bnn_io_outputs, bnn_io_traces;

static long bnn_io_call(long number, long a, long b, long c, long d)
{
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a7) : "memory");
    return a0;
}

static void bnn_io_write(int file, const void *from, size_t bytes)
{
    if (bnn_io_call(SYS_WRITE, file, (long)from, (long)bytes, 0) != (long)bytes)
        bnn_io_call(SYS_EXIT, 4, 0, 0, 0);
}

static void bnn_io_fail(const char *what)
{
    size_t length = 0;

    while (what[length] != '\0')
        length++;
    bnn_io_write(2, what, length);
    bnn_io_call(SYS_EXIT, 3, 0, 0, 0);
}

static int bnn_io_file(const char *name, int mode)
{
    const long file = bnn_io_call(SYS_OPENAT, AT_FDCWD, (long)name, mode, 0600);

    if (file < 0)
        bnn_io_fail("a sample file cannot be opened");
    return (int)file;
}

static void bnn_io_open(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    bnn_io_samples = bnn_io_file("inputs.bin", 0);
    bnn_io_outputs = bnn_io_file("outputs.bin", O_WRITE);
    bnn_io_traces = bnn_io_file("trace.bin", O_WRITE);
}

static int bnn_io_read(void *to, size_t bytes)
{
    return bnn_io_call(SYS_READ, bnn_io_samples, (long)to, (long)bytes, 0) == (long)bytes;
}

static void bnn_io_output(const void *from, size_t bytes)
{
    bnn_io_write(bnn_io_outputs, from, bytes);
}

static void bnn_io_trace(const void *from, size_t bytes)
{
    bnn_io_write(bnn_io_traces, from, bytes);
}

static void bnn_io_selftest(int result)
{
    const char digit = (char)('0' + result);

    bnn_io_write(1, &digit, 1);
}

static void bnn_io_start(void)
{
}

static void bnn_io_stop(void)
{
}

static void bnn_io_close(void)
{
}

int main(int argc, char **argv);
void _start(void);

__attribute__((noreturn)) void _start(void)
{
    __asm__ volatile(".option push\n.option norelax\nla gp, __global_pointer$\n.option pop");
    bnn_io_call(SYS_EXIT, main(0, NULL), 0, 0, 0);
    for (;;)
        ;
}

void *memset(void *to, int value, size_t bytes)
{
    volatile unsigned char *p = to;

    while (bytes-- > 0)
        *p++ = (unsigned char)value;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    volatile unsigned char *p = to;
    const unsigned char *q = from;

    while (bytes-- > 0)
        *p++ = *q++;
    return to;
}

#endif
