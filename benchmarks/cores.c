/* Additions, to see by their time how fast a core of x86-64 runs and whether it runs this program alone.
 *
 * An addition that needs the result of the one before takes a cycle on every core. Both operands are registers: of
 * small constants some cores add several at once. Additions that do not wait for each other take what adders there
 * are, unless another thread of the core, of this machine or of another on the same hardware, takes some of them.
 * Looks are short, and by the clock on the wall: that of a thread stands still after a hypervisor took time. */
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#define ADD(digit) "add %[one], %[" #digit "]\n\t"
#define REPEATED(count, additions) "1:\n\t.rept " #count "\n\t" additions ".endr\n\tdec %[times]\n\tjnz 1b"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of so many thousand additions, each of which waits for the one before. */
double waiting(long times)
{
    const double begin = seconds();
    unsigned long a = 0;
    __asm__ volatile(REPEATED(1000, ADD(a)) : [a] "+r"(a), [times] "+r"(times) : [one] "r"(1ul) : "cc");
    return seconds() - begin;
}

/* Seconds of so many thousand additions of which eight at a time do not. */
double independent(long times)
{
    const double begin = seconds();
    unsigned long a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    __asm__ volatile(REPEATED(125, ADD(a) ADD(b) ADD(c) ADD(d) ADD(e) ADD(f) ADD(g) ADD(h))
                     : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [e] "+r"(e), [f] "+r"(f), [g] "+r"(g),
                       [h] "+r"(h), [times] "+r"(times)
                     : [one] "r"(1ul)
                     : "cc");
    return seconds() - begin;
}
