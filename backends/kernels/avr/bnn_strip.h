/* A strip of bit-sliced counters on AVR (bnn_sliced.h), and how rows of a batch are added to it.
 *
 * Eight rows at a time are added up for three words of outputs, a block, so that every digit in the
 * making stays in a register. The carries, worth eight each, go to memory, and are added up at the
 * end of the batch, a word of outputs at a time. With full adders of five instructions a row of a
 * word takes 9.8 cycles, and 1.5 more for its share of the carries. */
#ifndef BNN_STRIP_H
#define BNN_STRIP_H

#include "bnn_types.h"

#define BNN_GROUPS 16u              /* groups of eight rows in a batch */
#define BNN_BATCH (8u * BNN_GROUPS) /* rows listed at a time */
#define BNN_WIDTH 3u                /* words of outputs of a block */
#define BNN_BLOCKS 5u               /* blocks that share the list: a strip */
#define BNN_STRIP (BNN_BLOCKS * BNN_WIDTH)
#define BNN_DIGITS 15u              /* of a counter: a table has fewer than 2^15 rows */

/* What a strip is counted with. Its layout is known to the assembly below. */
typedef struct bnn_strip {
    bnn_word count[BNN_STRIP][BNN_DIGITS];  /* the counters, by word of outputs */
    bnn_word eights[BNN_GROUPS][BNN_WIDTH]; /* a batch's carries out of a block's lowest digits */
    uint16_t row[BNN_BATCH + 7u];           /* the rows listed: offsets of their first words in w */
} bnn_strip;

/* One digit added to two others: *sum becomes the sum's digit, and the carry is returned. */
BNN_INLINE bnn_word bnn_full_add(bnn_word *sum, bnn_word a, bnn_word b)
{
#if BNN_ASM
    bnn_word s = *sum;
    __asm__("eor %[s], %[a]\n\t"
            "eor %[a], %[b]\n\t"
            "or %[a], %[s]\n\t"
            "eor %[s], %[b]\n\t"
            "eor %[a], %[s]"
            : [s] "+r"(s), [a] "+r"(a)
            : [b] "r"(b));
    *sum = s;
    return a;
#else
    const bnn_word half = (bnn_word)(*sum ^ a);
    const bnn_word other = (bnn_word)((a ^ b) | half);
    *sum = (bnn_word)(half ^ b);
    return (bnn_word)(other ^ *sum);
#endif
}

/* The lowest digit of a number that all lanes have. */
BNN_INLINE bnn_word bnn_lowest_digit(bnn_size number)
{
    return number & 1u ? 0xff : 0;
}

/* Adds a carry to digits from the one on that it is worth. A counter never overflows. */
BNN_INLINE void bnn_carry(bnn_word *digit, bnn_word carry)
{
    for (uint8_t d = 0; d < BNN_DIGITS && carry != 0; ++d) {
        const bnn_word before = *digit;
        *digit++ = (bnn_word)(before ^ carry);
        carry = (bnn_word)(before & carry);
    }
}

/* Adds `groups` groups of eight listed rows to the counters of `blocks` blocks (in C, of `words`
 * words), the first of which begins with the word of a row that w points to. The eights of groups
 * that are not there are 0. */
#if BNN_ASM
/* Where w comes in, and how a row is addressed whose offset was listed. */
#if defined(BNN_FAR)
#define BNN_BATCH_START "  movw r24, r20\n  mov r21, r22\n  mov r23, r18\n  mov r22, r16\n"
#else
#define BNN_BATCH_START "  movw r24, r22\n  mov r23, r20\n  mov r22, r18\n"
#endif
#define BNN_ROW_BANK BNN_IF_FAR("  clr \\to\n  adc \\to, r21\n  out 0x3b, \\to\n")

__attribute__((__naked__, __noinline__, __noclone__)) BNN_OWN void
bnn_add_batch(bnn_strip *s __attribute__((__unused__)),
              const bnn_word BNN_ROM *w __attribute__((__unused__)),
              uint8_t blocks __attribute__((__unused__)),
              uint8_t groups __attribute__((__unused__)))
{
    /* In registers all the time: r25:r24 (and r21, where tables are far) the address of the block's
     * first word in row 0, r22 groups. r23 counts. On the stack: where the eights begin, and above
     * that how many blocks are left. */
    __asm__ volatile(
        /* sum += a + b, the carry in a */
        ".macro bnn_fa sum a b\n"
        "  eor \\sum, \\a\n"
        "  eor \\a, \\b\n"
        "  or \\a, \\sum\n"
        "  eor \\sum, \\b\n"
        "  eor \\a, \\sum\n"
        ".endm\n"
        /* the same for the three words of a block: words of equal meaning are 7 registers apart */
        ".macro bnn_fa3 sum a b\n"
        "  bnn_fa \\sum, \\a, \\b\n"
        "  bnn_fa 7+\\sum, 7+\\a, 7+\\b\n"
        "  bnn_fa 14+\\sum, 14+\\a, 14+\\b\n"
        ".endm\n"
        /* the next listed row */
        ".macro bnn_row to\n"
        "  ld r30, X+\n"
        "  ld r31, X+\n"
        "  add r30, r24\n"
        "  adc r31, r25\n"
        BNN_ROW_BANK
        "  " BNN_LPM " \\to, Z+\n"
        "  " BNN_LPM " 7+\\to, Z+\n"
        "  " BNN_LPM " 14+\\to, Z\n"
        ".endm\n"
        /* eight carries of a word, from Y + at on, into the digits 2, 3 and 4; the carry in r5 */
        ".macro bnn_eights at to\n"
        "  ldd \\to, Y+\\at\n"
        "  ldd r7, Y+\\at+3\n"
        "  bnn_fa 2, \\to, 7\n"
        "  ldd r7, Y+\\at+6\n"
        "  ldd r8, Y+\\at+9\n"
        "  bnn_fa 2, 7, 8\n"
        "  bnn_fa 3, \\to, 7\n"
        "  ldd r7, Y+\\at+12\n"
        "  ldd r8, Y+\\at+15\n"
        "  bnn_fa 2, 7, 8\n"
        "  ldd r8, Y+\\at+18\n"
        "  ldd r9, Y+\\at+21\n"
        "  bnn_fa 2, 8, 9\n"
        "  bnn_fa 3, 7, 8\n"
        "  bnn_fa 4, \\to, 7\n"
        ".endm\n"

        ".irp r,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,28,29\n  push r\\r\n.endr\n"
        "  movw r28, r24\n" /* Y: the counters of the block */
        BNN_BATCH_START
        "  movw r30, r28\n"
        "  subi r30, lo8(-(%[eights]))\n"
        "  sbci r31, hi8(-(%[eights]))\n"
        "  push r30\n"
        "  push r31\n"

        "1:\n" /* a block; r23 are left */
        "  push r23\n"
        "  push r28\n"
        "  push r29\n"
        /* digits of the words: worth 1 in 0, 7, 14, worth 2 in 1, 8, 15, worth 4 in 2, 9, 16 */
        "  ld r0, Y\n  ldd r1, Y+1\n  ldd r2, Y+2\n"
        "  ldd r7, Y+15\n  ldd r8, Y+16\n  ldd r9, Y+17\n"
        "  ldd r14, Y+30\n  ldd r15, Y+31\n  ldd r16, Y+32\n"
        "  movw r28, r30\n" /* Y: where carries go; X: the list */
        "  movw r26, r30\n"
        "  adiw r26, %[rows]\n"
        "  mov r23, r22\n"
        "2:\n" /* a group of eight rows */
        "  bnn_row 3\n"
        "  bnn_row 4\n"
        "  bnn_fa3 0, 3, 4\n" /* twos in 3 */
        "  bnn_row 4\n"
        "  bnn_row 5\n"
        "  bnn_fa3 0, 4, 5\n" /* twos in 3, 4 */
        "  bnn_fa3 1, 3, 4\n" /* fours in 3 */
        "  bnn_row 4\n"
        "  bnn_row 5\n"
        "  bnn_fa3 0, 4, 5\n" /* fours in 3, twos in 4 */
        "  bnn_row 5\n"
        "  bnn_row 6\n"
        "  bnn_fa3 0, 5, 6\n" /* fours in 3, twos in 4, 5 */
        "  bnn_fa3 1, 4, 5\n" /* fours in 3, 4 */
        "  bnn_fa3 2, 3, 4\n" /* eights in 3 */
        "  st Y+, r3\n  st Y+, r10\n  st Y+, r17\n"
        "  dec r23\n"
        "  breq 3f\n"
        "  rjmp 2b\n"
        "3:\n"
        "  pop r31\n" /* Z: the counter of a word; Y: its eights */
        "  pop r30\n"
        "  st Z, r0\n  std Z+1, r1\n  std Z+2, r2\n"
        "  std Z+15, r7\n  std Z+16, r8\n  std Z+17, r9\n"
        "  std Z+30, r14\n  std Z+31, r15\n  std Z+32, r16\n"
        "  in r28, 0x3d\n"
        "  in r29, 0x3e\n"
        "  ldd r23, Y+3\n"
        "  ldd r28, Y+2\n"
        "  mov r29, r28\n"
        "  mov r28, r23\n"
        "  ldi r23, 3\n"
        "4:\n"
        "  ldd r2, Z+3\n  ldd r3, Z+4\n  ldd r4, Z+5\n  ldd r10, Z+6\n"
        "  bnn_eights 0 5\n"
        "  clr r6\n"
        "  cpi r22, 9\n"
        "  brlo 5f\n"
        "  bnn_eights 24 6\n"
        "5:\n"
        "  bnn_fa 10, 5, 6\n"
        "  std Z+3, r2\n  std Z+4, r3\n  std Z+5, r4\n  std Z+6, r10\n"
        "  movw r26, r30\n"
        "  adiw r26, 7\n"
        "  tst r5\n"
        "  breq 7f\n"
        "6:\n" /* the carry into the digits above, as long as there is one */
        "  ld r2, X\n"
        "  mov r3, r2\n"
        "  eor r3, r5\n"
        "  st X+, r3\n"
        "  and r5, r2\n"
        "  brne 6b\n"
        "7:\n"
        "  adiw r28, 1\n"
        "  adiw r30, %[digits]\n"
        "  dec r23\n"
        "  breq 8f\n"
        "  rjmp 4b\n"
        "8:\n"
        "  adiw r24, 3\n"
        "  brcc 9f\n"
        "  inc r21\n"
        "9:\n"
        "  movw r28, r30\n" /* the next block's counters; its eights are where this one's were */
        "  pop r23\n"
        "  pop r31\n"
        "  pop r30\n"
        "  dec r23\n"
        "  breq 10f\n"
        "  push r30\n"
        "  push r31\n"
        "  rjmp 1b\n"
        "10:\n"
        ".irp r,29,28,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,2\n  pop r\\r\n.endr\n"
        "  clr r1\n"
        BNN_IF_FAR("  out 0x3b, r1\n")
        "  ret\n"
        ".purgem bnn_fa\n.purgem bnn_fa3\n.purgem bnn_row\n.purgem bnn_eights\n" ::
        [eights] "i"(offsetof(bnn_strip, eights)),
        [rows] "i"(offsetof(bnn_strip, row) - offsetof(bnn_strip, eights)),
        [digits] "i"(BNN_DIGITS));
}
#else
BNN_OWN void bnn_add_batch(bnn_strip *s, const bnn_word BNN_ROM *w, uint8_t words, uint8_t groups)
{
    for (uint8_t i = 0; i < words; ++i) {
        bnn_word *const count = s->count[i];
        bnn_word *eight = &s->eights[0][i % BNN_WIDTH];
        const uint16_t *row = s->row;
        bnn_word one = count[0], two = count[1], four = count[2];
        bnn_word a, b, c;
        for (uint8_t g = groups; g > 0; --g) {
            a = bnn_rom_word(w + *row++);
            a = bnn_full_add(&one, a, bnn_rom_word(w + *row++));
            b = bnn_rom_word(w + *row++);
            b = bnn_full_add(&one, b, bnn_rom_word(w + *row++));
            a = bnn_full_add(&two, a, b);
            b = bnn_rom_word(w + *row++);
            b = bnn_full_add(&one, b, bnn_rom_word(w + *row++));
            c = bnn_rom_word(w + *row++);
            c = bnn_full_add(&one, c, bnn_rom_word(w + *row++));
            b = bnn_full_add(&two, b, c);
            *eight = bnn_full_add(&four, a, b);
            eight += BNN_WIDTH;
        }
        count[0] = one;
        count[1] = two;
        count[2] = four;
        one = count[3];
        two = count[4];
        four = count[5];
        for (bnn_size g = 0; g < groups; g += 8u) {
            bnn_word *digit = count + 6;
            eight = &s->eights[g][i % BNN_WIDTH];
            a = bnn_full_add(&one, eight[0], eight[3]);
            b = bnn_full_add(&one, eight[6], eight[9]);
            a = bnn_full_add(&two, a, b);
            b = bnn_full_add(&one, eight[12], eight[15]);
            c = bnn_full_add(&one, eight[18], eight[21]);
            b = bnn_full_add(&two, b, c);
            a = bnn_full_add(&four, a, b);
            bnn_carry(digit, a);
        }
        count[3] = one;
        count[4] = two;
        count[5] = four;
        ++w;
    }
}
#endif

#endif
