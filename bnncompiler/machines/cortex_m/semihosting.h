/* Semihosting: the debugger, or QEMU, does input and output for the program ("Semihosting for AArch32 and AArch64", Arm). */
#ifndef BNN_SEMIHOSTING_H
#define BNN_SEMIHOSTING_H

#include <stdint.h>

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { SEMIHOSTING_READ = 1 /* fopen's "rb" */, SEMIHOSTING_WRITE = 5 /* "wb" */ };

/* How the program ends; bnncompiler/machines/qemu.py knows what each means. */
enum { BNN_EXIT_FAILED = 90, BNN_EXIT_IO = 91, BNN_EXIT_FAULT = 92, BNN_EXIT_STACK = 93 };

/* What lies between calls of these is counted (instructions.c). They do nothing; startup.c has them. */
void bnn_count_start(void);
void bnn_count_stop(void);

/* What each operation returns, and what its argument is, is in the specification. */
static inline int32_t semihosting(int32_t operation, const void *argument)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* Ends the program with an exit code of its own. */
static inline void semihosting_exit(uint32_t code)
{
    const uint32_t block[2] = {0x20026u /* ADP_Stopped_ApplicationExit */, code};
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;)
        ;
}

#endif
