/* Windows that slide over a line (bnn_slide.h), in assembly: nine bytes of two outputs in eighteen
 * registers, 10 cycles for 16 products. */
#ifndef BNN_SLIDE_ASM_H
#define BNN_SLIDE_ASM_H

#include "bnn_slide.h"

#if BNN_ASM

#define BNN_SLIDE_BYTES 9u /* of a pass */

/* Y is the slide, whose address is on the stack. */
#define BNN_SLIDE_Y "  pop r29\n  pop r28\n  push r28\n  push r29\n"
/* The next n bytes of two rows of weights, from r2 on; then Z is the pixel, Y the window `at`. */
#define BNN_SLIDE_LOAD(n, at) \
    "  ldd r30, Y+%[w]\n  ldd r31, Y+%[w]+1\n" \
    BNN_IF_FAR("  ldd r0, Y+%[w]+2\n  out 0x3b, r0\n") \
    ".irp r,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19\n" \
    "  .if \\r < 2 + 2 * " #n "\n  " BNN_LPM " r\\r, Z+\n  .endif\n" \
    ".endr\n" \
    "  std Y+%[w], r30\n  std Y+%[w]+1, r31\n" \
    BNN_IF_FAR("  in r0, 0x3b\n  std Y+%[w]+2, r0\n") \
    "  ldd r30, Y+%[pixel]\n  ldd r31, Y+%[pixel]+1\n" \
    "  ldd r0, Y+%[" at "]\n  ldd r29, Y+%[" at "]+1\n  mov r28, r0\n"
#define BNN_SLIDE_TAP(n, q, a, b) \
    ".if " #q " < " #n "\n  ldd r26, Y+" #q "\n" \
    "  eor r26, " a "\n  ld r0, X\n  add r20, r0\n" \
    "  eor r26, " b "\n  ld r0, X\n  add r21, r0\n.endif\n"
/* What differs in byte 0 of a window, in r20 and r21; what does in bytes 1 to n - 1 is added. */
#define BNN_SLIDE_FIRST \
    "  ld r26, Y\n  eor r26, r2\n  ld r20, X\n  eor r26, r3\n  ld r21, X\n"
#define BNN_SLIDE_MORE(n) \
    BNN_SLIDE_TAP(n, 1, "r4", "r5") BNN_SLIDE_TAP(n, 2, "r6", "r7") \
    BNN_SLIDE_TAP(n, 3, "r8", "r9") BNN_SLIDE_TAP(n, 4, "r10", "r11") \
    BNN_SLIDE_TAP(n, 5, "r12", "r13") BNN_SLIDE_TAP(n, 6, "r14", "r15") \
    BNN_SLIDE_TAP(n, 7, "r16", "r17") BNN_SLIDE_TAP(n, 8, "r18", "r19")
#define BNN_SLIDE_NEXT "  add r28, r24\n  adc r29, r25\n"
#define BNN_SLIDE_SAVE \
    ".irp r,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,28,29\n  push r\\r\n.endr\n" \
    "  push r24\n  push r25\n  movw r28, r24\n" \
    "  ldi r27, hi8(%[ones])\n  ldd r24, Y+%[step]\n  clr r25\n"
#define BNN_SLIDE_RESTORE \
    "  pop r25\n  pop r24\n" \
    ".irp r,29,28,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,2\n  pop r\\r\n.endr\n" \
    "  clr r1\n" BNN_IF_FAR("  out 0x3b, r1\n") "  ret\n"
#define BNN_SLIDE_PLACES \
    [w] "i"(offsetof(bnn_slide, w)), [limit] "i"(offsetof(bnn_slide, limit)), \
    [pixel] "i"(offsetof(bnn_slide, pixel)), [line] "i"(offsetof(bnn_slide, line)), \
    [last] "i"(offsetof(bnn_slide, last)), [step] "i"(offsetof(bnn_slide, step)), \
    [pixels] "i"(offsetof(bnn_slide, pixels)), [passes] "i"(offsetof(bnn_slide, passes)), \
    [pairs] "i"(offsetof(bnn_slide, pairs)), [ones] "i"(bnn_ones_in_ram)

/* A pass over the row that adds what differs in n bytes to the sums of all pixels. */
#define BNN_SLIDE_ADD(n) \
    "2:\n" \
    BNN_SLIDE_FIRST BNN_SLIDE_MORE(n) BNN_SLIDE_NEXT \
    "  ld r0, Z\n  add r20, r0\n  st Z+, r20\n  ld r0, Z\n  adc r0, r25\n  st Z+, r0\n" \
    "  ld r0, Z\n  add r21, r0\n  st Z+, r21\n  ld r0, Z\n  adc r0, r25\n  st Z+, r0\n" \
    "  adiw r30, 1\n" \
    "  dec r1\n  breq 3f\n  rjmp 2b\n" \
    "3:\n"

/* Adds what differs from the weights of the next two outputs, whose last pass has n bytes. */
#define BNN_SLIDE_WIDE(n) \
    __attribute__((__naked__, __noinline__, __noclone__)) BNN_OWN void \
    bnn_slide_wide_##n(bnn_slide *slide __attribute__((__unused__))) \
    { \
        __asm__ volatile( \
            BNN_SLIDE_SAVE \
            "1:\n" \
            BNN_SLIDE_Y \
            "  ldd r0, Y+%[passes]\n  tst r0\n  brne 5f\n  rjmp 4f\n5:\n" \
            "  dec r0\n  std Y+%[passes], r0\n" \
            "  ldd r1, Y+%[pixels]\n" \
            BNN_SLIDE_LOAD(9, "line") \
            "  movw r22, r28\n" \
            BNN_SLIDE_ADD(9) \
            BNN_SLIDE_Y \
            "  subi r22, -9\n  sbci r23, -1\n" \
            "  std Y+%[line], r22\n  std Y+%[line]+1, r23\n" \
            "  rjmp 1b\n" \
            "4:\n" \
            "  ldd r1, Y+%[pixels]\n" \
            BNN_SLIDE_LOAD(n, "last") \
            BNN_SLIDE_ADD(n) \
            BNN_SLIDE_RESTORE :: BNN_SLIDE_PLACES); \
    }

/* The low byte of an address. */
BNN_INLINE uint8_t bnn_place(const uint8_t *p)
{
    return (uint8_t)(uintptr_t)p;
}

/* At most so many pixels are laid out as follows, for places are bytes: in runs of a class, before
 * each of which is the place where it ends and the next one begins. The last has no pixels. */
#define BNN_NARROW 60u
#define BNN_SLIDE_RUN "  ld r1, Z+\n  cp r30, r1\n"
#define BNN_SLIDE_PIXEL(loop) "  cpse r30, r1\n  rjmp " loop "b\n"

/* The bits of `pairs` times two outputs, for windows of 9 + n bytes, or of n where `passes` is 0,
 * at pixels that are bnn_small_sums. */
#define BNN_SLIDE_NARROW(n) \
    __attribute__((__naked__, __noinline__, __noclone__)) BNN_OWN void \
    bnn_slide_narrow_##n(bnn_slide *slide __attribute__((__unused__))) \
    { \
        __asm__ volatile( \
            BNN_SLIDE_SAVE \
            BNN_IF_FAR("  ldd r22, Y+%[limit]+2\n  push r22\n") \
            "  ldd r22, Y+%[limit]\n  ldd r23, Y+%[limit]+1\n  push r22\n  push r23\n" \
            "  ldd r0, Y+%[passes]\n  bst r0, 0\n" /* T: is there a pass before the last? */ \
            "1:\n" \
            "  movw r22, r28\n" \
            "  brts 2f\n  rjmp 5f\n2:\n" \
            BNN_SLIDE_LOAD(9, "line") \
            "  rjmp 4f\n" \
            "3:\n" \
            BNN_SLIDE_FIRST BNN_SLIDE_MORE(9) BNN_SLIDE_NEXT \
            "  st Z+, r20\n  st Z+, r21\n  adiw r30, 1\n" \
            BNN_SLIDE_PIXEL("3") \
            "4:\n" \
            BNN_SLIDE_RUN \
            "  breq 5f\n  rjmp 3b\n" \
            "5:\n" \
            "  movw r28, r22\n" \
            BNN_SLIDE_LOAD(n, "last") \
            "  rjmp 7f\n" \
            "6:\n" \
            "  ld r20, Z+\n  ld r21, Z+\n" \
            BNN_SLIDE_TAP(n, 0, "r2", "r3") BNN_SLIDE_MORE(n) BNN_SLIDE_NEXT \
            "  ld r0, Z\n" /* a bit is the carry of a comparison */ \
            "  cp r20, r22\n  ror r0\n  cp r21, r23\n  ror r0\n" \
            "  st Z+, r0\n" \
            BNN_SLIDE_PIXEL("6") \
            "7:\n" \
            BNN_SLIDE_RUN \
            "  breq 8f\n" \
            "  movw r20, r30\n" /* the limits of the run */ \
            "  pop r31\n  pop r30\n" BNN_IF_FAR("  pop r0\n  out 0x3b, r0\n") \
            "  " BNN_LPM " r22, Z+\n  " BNN_LPM " r23, Z+\n" \
            BNN_IF_FAR("  in r0, 0x3b\n  push r0\n") "  push r30\n  push r31\n" \
            "  movw r30, r20\n" \
            "  rjmp 6b\n" \
            "8:\n" /* the slide is below the limit on the stack */ \
            "  in r30, 0x3d\n  in r31, 0x3e\n" BNN_IF_FAR("  adiw r30, 1\n") \
            "  ldd r29, Z+3\n  ldd r28, Z+4\n" \
            "  ldd r0, Y+%[pairs]\n  dec r0\n  std Y+%[pairs], r0\n" \
            "  breq 9f\n  rjmp 1b\n" \
            "9:\n" \
            "  pop r23\n  pop r22\n  std Y+%[limit], r22\n  std Y+%[limit]+1, r23\n" \
            BNN_IF_FAR("  pop r22\n  std Y+%[limit]+2, r22\n") \
            BNN_SLIDE_RESTORE :: BNN_SLIDE_PLACES); \
    }

/* Puts the bits of all pixels into bytes that are `step` apart. */
BNN_INLINE void bnn_slide_put(const uint8_t *next, uint8_t pixels, bnn_word *y, uint8_t step)
{
    uint8_t end, bits;
    __asm__ volatile("mov %[end], r30\n" /* of the run before the first */
                     "1:\n\t"
                     "cpse r30, %[end]\n\t"
                     "rjmp 2f\n\t"
                     "ld %[end], Z+\n"
                     "2:\n\t"
                     "ldd %[bits], Z+%[at]\n\t"
                     "adiw r30, %[size]\n\t"
                     "st X, %[bits]\n\t"
                     "add r26, %[step]\n\t"
                     "adc r27, r1\n\t"
                     "dec %[pixels]\n\t"
                     "brne 1b"
                     : [end] "=&r"(end), [bits] "=&r"(bits), [pixels] "+r"(pixels), "+z"(next),
                       "+x"(y)
                     : [step] "r"(step), [at] "i"(offsetof(bnn_small_sums, bits)),
                       [size] "i"(sizeof(bnn_small_sums))
                     : "memory");
}

/* One function for each number of bytes; those that no layer of a program wants are left out. */
#define BNN_EACH_NUMBER(make) \
    make(1) make(2) make(3) make(4) make(5) make(6) make(7) make(8) make(9)
BNN_EACH_NUMBER(BNN_SLIDE_WIDE)
BNN_EACH_NUMBER(BNN_SLIDE_NARROW)

#define BNN_CASE(kind, n) \
    case n: \
        bnn_slide_##kind##_##n(slide); \
        break;

/* Adds what differs from the weights of the next two outputs to the sums of all pixels. */
BNN_INLINE void bnn_slide_wide(bnn_slide *slide, uint8_t last)
{
    switch (last) {
        BNN_CASE(wide, 1) BNN_CASE(wide, 2) BNN_CASE(wide, 3) BNN_CASE(wide, 4)
        BNN_CASE(wide, 5) BNN_CASE(wide, 6) BNN_CASE(wide, 7) BNN_CASE(wide, 8)
    default:
        bnn_slide_wide_9(slide);
    }
}

/* The bits of the next `slide->pairs` times two outputs. */
BNN_INLINE void bnn_slide_narrow(bnn_slide *slide, uint8_t last)
{
    switch (last) {
        BNN_CASE(narrow, 1) BNN_CASE(narrow, 2) BNN_CASE(narrow, 3) BNN_CASE(narrow, 4)
        BNN_CASE(narrow, 5) BNN_CASE(narrow, 6) BNN_CASE(narrow, 7) BNN_CASE(narrow, 8)
    default:
        bnn_slide_narrow_9(slide);
    }
}

#endif

#endif
