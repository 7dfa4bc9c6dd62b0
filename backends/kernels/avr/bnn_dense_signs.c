/* Dense layer of integers by bipolar weights that are stored by input:
 * y[o] = sum_i x[i] * (2 w[i][o] - 1), twice the sum of the x[i] with w[i][o] = 1, less the
 * sum of all.
 *
 * Eight outputs are summed at a time, in sixteen registers: 256 bytes never leave 16 bits. A
 * product takes 3.5 cycles, for its bit is shifted out and two bytes are added or not. */
#include "bnn_kernels.h"

#define BNN_STRETCH_OF_SUMS 256u

#if BNN_ASM
/* Adds x, that is r19:r18, to the sum lo, lo + 1 if the next bit of r20 is 1. */
#define BNN_ADD_IF(lo, hi) "  lsr r20\n  brcc 1f\n  add " lo ", r18\n  adc " hi ", r19\n1:\n"
#define BNN_ADD_INPUT(HIGH) \
    "  ld r18, X+\n" HIGH "  " BNN_LPM " r20, Z\n  add r30, r24\n  adc r31, r25\n" \
    BNN_IF_FAR("  in r0, 0x3b\n  adc r0, r1\n  out 0x3b, r0\n") \
    BNN_ADD_IF("r2", "r3") BNN_ADD_IF("r4", "r5") BNN_ADD_IF("r6", "r7") BNN_ADD_IF("r8", "r9") \
    BNN_ADD_IF("r10", "r11") BNN_ADD_IF("r12", "r13") BNN_ADD_IF("r14", "r15") \
    BNN_ADD_IF("r16", "r17")
/* Arguments: r25:r24 x, r23:r22 w, r20 inputs (0 for 256), r19:r18 columns, r17:r16 sum; if w is
 * far, r22:r20 w, and what follows two registers lower. Four inputs are taken in a turn; the first
 * turn begins with as many as there are beyond fours. */
#if defined(BNN_FAR)
#define BNN_SUM_START \
    "  out 0x3b, r22\n  push r14\n  push r15\n" \
    "  movw r26, r24\n  movw r30, r20\n  movw r24, r16\n  mov r20, r18\n"
#else
#define BNN_SUM_START \
    "  push r16\n  push r17\n  movw r26, r24\n  movw r30, r22\n  movw r24, r18\n"
#endif
#define BNN_SUM_FOURS(HIGH) \
    __asm__ volatile(".irp r,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\n  push r\\r\n.endr\n" \
                     BNN_SUM_START \
                     "  mov r21, r20\n  dec r21\n  lsr r21\n  lsr r21\n  inc r21\n" \
                     "  clr r19\n" \
                     ".irp r,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\n  clr r\\r\n.endr\n" \
                     "  andi r20, 3\n  breq 2f\n" \
                     "  cpi r20, 2\n  brsh 1f\n  rjmp 6f\n1:\n" \
                     "  brne 1f\n  rjmp 5f\n1:\n  rjmp 4f\n" \
                     "2:\n" \
                 BNN_ADD_INPUT(HIGH) "4:\n" BNN_ADD_INPUT(HIGH) "5:\n" BNN_ADD_INPUT(HIGH) \
                     "6:\n" BNN_ADD_INPUT(HIGH) \
                     "  dec r21\n  breq 3f\n  rjmp 2b\n3:\n" \
                     "  pop r31\n  pop r30\n" \
                     ".irp r,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\n  st Z+, r\\r\n.endr\n" \
                     ".irp r,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,2\n  pop r\\r\n.endr\n" \
                     BNN_IF_FAR("  out 0x3b, r1\n") \
                     "  ret\n")

/* The sums of eight outputs over inputs whose rows of w are `columns` apart. */
__attribute__((__naked__, __noinline__, __noclone__)) BNN_OWN void
bnn_sum_unsigned(const uint8_t *x __attribute__((__unused__)),
                 const bnn_word BNN_ROM *w __attribute__((__unused__)),
                 uint8_t inputs __attribute__((__unused__)),
                 bnn_size columns __attribute__((__unused__)),
                 uint16_t *sum __attribute__((__unused__)))
{
    BNN_SUM_FOURS("");
}

__attribute__((__naked__, __noinline__, __noclone__)) BNN_OWN void
bnn_sum_signed(const uint8_t *x __attribute__((__unused__)),
               const bnn_word BNN_ROM *w __attribute__((__unused__)),
               uint8_t inputs __attribute__((__unused__)),
               bnn_size columns __attribute__((__unused__)),
               uint16_t *sum __attribute__((__unused__)))
{
    BNN_SUM_FOURS("  clr r19\n  sbrc r18, 7\n  com r19\n");
}
#endif

/* An input in 16 bits. */
BNN_INLINE uint16_t bnn_extended(uint8_t byte, int is_signed)
{
    return (uint16_t)(is_signed && (byte & 0x80u) != 0 ? byte | 0xff00u : byte);
}

/* The sums of eight outputs over `inputs` inputs, 256 at most, modulo 2^16. */
BNN_INLINE void bnn_sum_eight(const uint8_t *x, int is_signed, const bnn_word BNN_ROM *w,
                              bnn_size inputs, bnn_size columns, uint16_t *sum)
{
#if BNN_ASM
    if (is_signed) {
        bnn_sum_signed(x, w, (uint8_t)inputs, columns, sum);
    } else {
        bnn_sum_unsigned(x, w, (uint8_t)inputs, columns, sum);
    }
#else
    for (uint8_t lane = 0; lane < 8u; ++lane) {
        sum[lane] = 0;
    }
    for (bnn_size i = 0; i < inputs; ++i) {
        const uint16_t value = bnn_extended(*x, is_signed);
        bnn_word bits = bnn_rom_word(w);
        for (uint8_t lane = 0; lane < 8u; ++lane) {
            if (bits & 1u) {
                sum[lane] = (uint16_t)(sum[lane] + value);
            }
            bits = (bnn_word)(bits >> 1);
        }
        ++x;
        w += columns;
    }
#endif
}

/* The sum of n bytes: of 256 at a time in 16 bits, of all in 32. */
BNN_INLINE int32_t bnn_sum_of_all(const uint8_t *x, int is_signed, bnn_size n)
{
    int32_t all = 0;
    for (bnn_size i = 0; i < n; i += BNN_STRETCH_OF_SUMS) {
        const bnn_size inputs = n - i < BNN_STRETCH_OF_SUMS ? n - i : BNN_STRETCH_OF_SUMS;
        uint16_t sum = 0;
        for (bnn_size k = 0; k < inputs; ++k) {
            sum = (uint16_t)(sum + bnn_extended(*x++, is_signed));
        }
        all += is_signed ? (int32_t)(int16_t)sum : (int32_t)sum;
    }
    return all;
}

BNN_KERNEL void bnn_dense_signs(const void *x, bnn_type x_type, const bnn_word BNN_ROM *w,
                                bnn_size n, bnn_size outs, int32_t *y)
{
    const uint8_t *const bytes = (const uint8_t *)x;
    const bnn_size columns = bnn_words(outs);
    const int is_signed = x_type == BNN_S8;
    const int32_t all = bnn_sum_of_all(bytes, is_signed, n);
    const int several = n > BNN_STRETCH_OF_SUMS;
    if (several) {
        for (bnn_size o = 0; o < outs; ++o) {
            y[o] = -all;
        }
    }
    for (bnn_size i = 0; i < n; i += BNN_STRETCH_OF_SUMS) {
        const bnn_size inputs = n - i < BNN_STRETCH_OF_SUMS ? n - i : BNN_STRETCH_OF_SUMS;
        int32_t *out = y;
        for (bnn_size o = 0; o < outs; o += 8u) {
            const uint8_t lanes = (uint8_t)bnn_lanes(outs, o);
            uint16_t sum[8];
            const uint16_t *part = sum;
            bnn_sum_eight(bytes + i, is_signed, w + i * columns + o / 8u, inputs, columns, sum);
            for (uint8_t lane = 0; lane < lanes; ++lane) {
                const int32_t twice = 2 * (is_signed ? (int32_t)(int16_t)*part : (int32_t)*part);
                *out = (several ? *out : -all) + twice;
                ++out;
                ++part;
            }
        }
    }
}
