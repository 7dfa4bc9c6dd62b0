/* Counting ones on AVR: in assembly by a table in flash, eight bytes at a time, as the pointer to
 * the weights and that to the table have to take turns in the one register pair that reads flash.
 * The table is near, and lpm, that reads it, leaves RAMPZ to the weights.
 * A byte takes 12.4 cycles; in C, where sums of 1, 2 and 4 bits are taken side by side, some 40. */
#ifndef BNN_POPCOUNT_H
#define BNN_POPCOUNT_H

#include "bnn_types.h"

#if BNN_ASM

#define BNN_ONES2(n) n, n + 1, n + 1, n + 2
#define BNN_ONES4(n) BNN_ONES2(n), BNN_ONES2(n + 1), BNN_ONES2(n + 1), BNN_ONES2(n + 2)
#define BNN_ONES6(n) BNN_ONES4(n), BNN_ONES4(n + 1), BNN_ONES4(n + 1), BNN_ONES4(n + 2)

/* How many ones a byte has; a page of its own, so that the byte is the low half of an address. */
static const uint8_t PROGMEM __attribute__((__aligned__(256), __unused__))
bnn_ones[256] = {BNN_ONES6(0), BNN_ONES6(1), BNN_ONES6(1), BNN_ONES6(2)};

BNN_INLINE unsigned bnn_popcount(bnn_word v)
{
    return pgm_read_byte(&bnn_ones[v]);
}

/* The ones of x OP w over `eights` times eight bytes and `rest` more. */
#define BNN_LOAD(OP, into) "ld " into ", X+\n\t" BNN_LPM " r0, Z+\n\t" OP " " into ", r0\n\t"
#define BNN_LOOK_UP(from) "mov r30, " from "\n\tlpm r0, Z\n\tadd %[sum], r0\n\t"
#define BNN_COUNT(OP) \
    __asm__ volatile(BNN_IF_FAR("out 0x3b, %[bank]\n\t") \
                     "clr %[sum]\n\t" \
                     "cp %[eights], r1\n\t" \
                     "breq 2f\n" \
                     "1:\n\t" \
                 BNN_LOAD(OP, "r18") BNN_LOAD(OP, "r19") BNN_LOAD(OP, "r20") BNN_LOAD(OP, "r21") \
                 BNN_LOAD(OP, "r22") BNN_LOAD(OP, "r23") BNN_LOAD(OP, "r24") BNN_LOAD(OP, "r25") \
                     "movw %[w], r30\n\t" \
                     "ldi r31, hi8(%[ones])\n\t" \
                     BNN_LOOK_UP("r18") BNN_LOOK_UP("r19") BNN_LOOK_UP("r20") BNN_LOOK_UP("r21") \
                     BNN_LOOK_UP("r22") BNN_LOOK_UP("r23") BNN_LOOK_UP("r24") BNN_LOOK_UP("r25") \
                     "movw r30, %[w]\n\t" \
                     "add %A[count], %[sum]\n\t" \
                     "adc %B[count], r1\n\t" \
                     "clr %[sum]\n\t" \
                     "dec %[eights]\n\t" \
                     "breq 2f\n\t" \
                     "rjmp 1b\n" \
                     "2:\n\t" \
                     "cp %[rest], r1\n\t" \
                     "breq 4f\n" \
                     "3:\n\t" \
                     BNN_LOAD(OP, "r18") \
                     "movw %[w], r30\n\t" \
                     "ldi r31, hi8(%[ones])\n\t" \
                     BNN_LOOK_UP("r18") \
                     "movw r30, %[w]\n\t" \
                     "dec %[rest]\n\t" \
                     "brne 3b\n\t" \
                     "add %A[count], %[sum]\n\t" \
                     "adc %B[count], r1\n" \
                     "4:" BNN_IF_FAR("\n\tout 0x3b, r1") \
                     : [count] "+r"(count), [eights] "+r"(eights), [rest] "+r"(rest), \
                       [sum] "=&r"(sum), [w] "=&r"(kept), "+x"(x), "+z"(at) \
                     : [ones] "i"(bnn_ones), [bank] "rL"(BNN_BANK(w)) \
                     : "r0", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "memory")

BNN_OWN uint16_t bnn_count_differing(const bnn_word *x, const bnn_word BNN_ROM *w, uint8_t eights,
                                     uint8_t rest)
{
    uint16_t at = BNN_ADDRESS(w), count = 0, kept;
    uint8_t sum;
    BNN_COUNT("eor");
    return count;
}

BNN_OWN uint16_t bnn_count_common(const bnn_word *x, const bnn_word BNN_ROM *w, uint8_t eights,
                                  uint8_t rest)
{
    uint16_t at = BNN_ADDRESS(w), count = 0, kept;
    uint8_t sum;
    BNN_COUNT("and");
    return count;
}

/* More than 255 times eight bytes are taken in stretches of 128 times eight. */
#define BNN_STRETCH 1024u
#define BNN_COUNT_ALL(kernel) \
    bnn_size count = 0; \
    for (; words > BNN_STRETCH; words -= BNN_STRETCH) { \
        count += kernel(x, w, 128, 0); \
        x += BNN_STRETCH; \
        w += BNN_STRETCH; \
    } \
    return count + kernel(x, w, (uint8_t)(words / 8u), (uint8_t)(words % 8u))

/* The number of places where x and w differ. */
BNN_INLINE bnn_size bnn_differing(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    BNN_COUNT_ALL(bnn_count_differing);
}

/* The number of places where both x and w are 1. */
BNN_INLINE bnn_size bnn_common(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    BNN_COUNT_ALL(bnn_count_common);
}

#else

/* The number of ones in v. */
BNN_INLINE unsigned bnn_popcount(bnn_word v)
{
    v = (bnn_word)(v - ((v >> 1) & 0x55u));
    v = (bnn_word)((v & 0x33u) + ((v >> 2) & 0x33u));
    return (unsigned)(v + (v >> 4)) & 0x0fu;
}

/* The number of places where x and w differ. */
BNN_INLINE bnn_size bnn_differing(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_size count = 0;
    for (bnn_size i = 0; i < words; ++i) {
        count += bnn_popcount((bnn_word)(*x++ ^ bnn_rom_word(w++)));
    }
    return count;
}

/* The number of places where both x and w are 1. */
BNN_INLINE bnn_size bnn_common(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_size count = 0;
    for (bnn_size i = 0; i < words; ++i) {
        count += bnn_popcount((bnn_word)(*x++ & bnn_rom_word(w++)));
    }
    return count;
}

#endif

/* What bit plane `plane` of `planes` weighs, modulo 2^32: a power of two, negative for the sign
 * plane. */
BNN_INLINE uint32_t bnn_plane_weight(unsigned plane, unsigned planes, int x_signed)
{
    const uint32_t weight = (uint32_t)1 << plane;
    return x_signed && plane + 1u == planes ? (uint32_t)0 - weight : weight;
}

#endif
