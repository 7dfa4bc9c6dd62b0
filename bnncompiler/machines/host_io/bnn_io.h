/* Input and output of the main program on this machine: files named by its arguments, which are
 * the samples, the outputs, and the trace (an empty name: none). */
#ifndef BNN_IO_H
#define BNN_IO_H

#include <stdio.h>
#include <stdlib.h>

#define BNN_IO_GUARD 64

static FILE *bnn_io_samples, *bnn_io_outputs, *bnn_io_traces;

static void bnn_io_fail(const char *what)
{
    fprintf(stderr, "bnn_harness: %s\n", what);
    exit(3);
}

static FILE *bnn_io_file(const char *name, const char *mode)
{
    FILE *file = name[0] == '\0' ? NULL : fopen(name, mode);

    if (name[0] != '\0' && file == NULL)
        bnn_io_fail("a sample file cannot be opened");
    return file;
}

static void bnn_io_open(int argc, char **argv)
{
    if (argc != 4)
        bnn_io_fail("usage: inputs outputs trace");
    bnn_io_samples = bnn_io_file(argv[1], "rb");
    bnn_io_outputs = bnn_io_file(argv[2], "wb");
    bnn_io_traces = bnn_io_file(argv[3], "wb");
}

static int bnn_io_read(void *to, size_t bytes)
{
    return fread(to, 1, bytes, bnn_io_samples) == bytes;
}

static void bnn_io_write(FILE *file, const void *from, size_t bytes)
{
    if (file != NULL && fwrite(from, 1, bytes, file) != bytes)
        bnn_io_fail("the results cannot be written");
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
    printf("%d\n", result);
}

#ifdef BNN_IO_COUNT
/* What an emulator that counts instructions knows by name; functions of the same code could become
 * one. */
__attribute__((__noinline__)) static void bnn_count_start(void)
{
    __asm__ volatile("/* start */" ::: "memory");
}

__attribute__((__noinline__)) static void bnn_count_stop(void)
{
    __asm__ volatile("/* stop */" ::: "memory");
}
#else
#define bnn_count_start() ((void)0)
#define bnn_count_stop() ((void)0)
#endif

static void bnn_io_start(void)
{
    bnn_count_start();
}

static void bnn_io_stop(void)
{
    bnn_count_stop();
}

static void bnn_io_close(void)
{
    if (fclose(bnn_io_outputs) != 0 || (bnn_io_traces != NULL && fclose(bnn_io_traces) != 0))
        bnn_io_fail("the results cannot be written");
}

#endif
