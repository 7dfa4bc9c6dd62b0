/* Bit-sliced counters on AVR: lane j of a word belongs to output j, and the words of a counter are
 * the binary digits of a number for each lane. What is counted, for each output, is the inputs that
 * are 1 and have a weight of 1; weights are stored by input, row i with the bits of all outputs.
 *
 *  1. The rows of inputs that are 1 are listed, BNN_BATCH at a time.
 *  2. Eight rows at a time are added up for three words of outputs, a block, so that every digit
 *     in the making stays in a register. The carries, worth eight each, go to memory.
 *  3. The carries of a batch are added up, a word of outputs at a time.
 *
 * bnn_add_batch does 2 and 3, with full adders of five instructions each: a row of a word takes
 * 9.8 cycles, and 1.5 more for its share of 3. */
#ifndef BNN_SLICED_H
#define BNN_SLICED_H

#include <string.h>

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

/* Lists the rows of inputs that are 1, from word `next` on, until none is left or a batch is full;
 * returns the end of the list. `offset` is that of the row of the word's first input. */
#if BNN_ASM
#define BNN_LIST_BIT \
    "lsr %[bits]\n\t" \
    "brcc 1f\n\t" \
    "st X+, %A[offset]\n\t" \
    "st X+, %B[offset]\n\t" \
    "1: add %A[offset], %A[columns]\n\t" \
    "adc %B[offset], %B[columns]\n\t"

BNN_INLINE uint16_t *bnn_list(const bnn_word **next, const bnn_word *last, bnn_size words,
                              uint16_t *offset, uint16_t columns, uint16_t *end,
                              const uint16_t *full)
{
    const uint16_t eight = (uint16_t)(columns * 8u);
    const bnn_word *x = *next;
    uint16_t at = *offset;
    bnn_word bits;
    (void)words; /* how many there are at most */
    /* No .rept: the compiler tells how far it is over a statement by counting lines. */
    __asm__ volatile("2: cp %A[x], %A[last]\n\t"
                     "cpc %B[x], %B[last]\n\t"
                     "breq 3f\n\t"
                     "ld %[bits], %a[x]+\n\t"
                     "tst %[bits]\n\t"
                     "breq 4f\n\t"
                     BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT
                     BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT BNN_LIST_BIT
                     "cp r26, %A[full]\n\t"
                     "cpc r27, %B[full]\n\t"
                     "brlo 2b\n\t"
                     "rjmp 3f\n"
                     "4: add %A[offset], %A[eight]\n\t"
                     "adc %B[offset], %B[eight]\n\t"
                     "rjmp 2b\n"
                     "3:"
                     : [bits] "=&r"(bits), [offset] "+r"(at), [end] "+x"(end), [x] "+z"(x)
                     : [columns] "r"(columns), [eight] "r"(eight), [last] "r"(last),
                       [full] "r"(full)
                     : "memory");
    *next = x;
    *offset = at;
    return end;
}
#else
BNN_INLINE uint16_t *bnn_list(const bnn_word **next, const bnn_word *last, bnn_size words,
                              uint16_t *offset, uint16_t columns, uint16_t *end,
                              const uint16_t *full)
{
    const bnn_word *x = *next;
    uint16_t word = *offset;
    for (bnn_size i = 0; i < words && (x != last && end < full); ++i) {
        bnn_word bits = *x++;
        uint16_t row = word;
        for (uint8_t lane = 0; lane < 8u && bits != 0; ++lane) {
            if (bits & 1u) {
                *end++ = row;
            }
            row = (uint16_t)(row + columns);
            bits = (bnn_word)(bits >> 1);
        }
        word = (uint16_t)(word + columns * 8u);
    }
    *next = x;
    *offset = word;
    return end;
}
#endif

/* How many words the strip has that begins with word `first` of `columns`. */
BNN_INLINE uint8_t bnn_strip_words(bnn_size columns, bnn_size first)
{
    return (uint8_t)(columns - first < BNN_STRIP ? columns - first : BNN_STRIP);
}

/* Counts for a strip of `words` words, the first of a row being the one that w points to; returns
 * how many inputs are 1. In assembly whole blocks are counted: one that sticks out of the strip
 * counts garbage that nobody reads. */
BNN_OWN bnn_size bnn_count_strip(bnn_strip *s, const bnn_word *x, const bnn_word BNN_ROM *w,
                                bnn_size n, bnn_size columns, uint8_t words)
{
#if BNN_ASM
    const uint8_t share = (uint8_t)((words + BNN_WIDTH - 1u) / BNN_WIDTH);
#else
    const uint8_t share = words;
#endif
    const uint16_t *const full = s->row + BNN_BATCH;
    const bnn_size words_of_x = bnn_words(n);
    const bnn_word *const last = x + words_of_x;
    const bnn_size batches = n / BNN_BATCH;
    uint16_t *end = s->row;
    uint16_t offset = 0;
    bnn_size ones = 0;
    uint8_t rest;
    bnn_word *count = s->count[0];
    for (uint8_t i = 0; i < BNN_STRIP * BNN_DIGITS / 5u; ++i) {
        count[0] = 0;
        count[1] = 0;
        count[2] = 0;
        count[3] = 0;
        count[4] = 0;
        count += 5;
    }
    end = bnn_list(&x, last, words_of_x, &offset, (uint16_t)columns, end, full);
    for (bnn_size i = 0; i < batches && end >= full; ++i) {
        bnn_add_batch(s, w, share, BNN_GROUPS);
        ones += BNN_BATCH;
        memcpy(s->row, full, 7u * sizeof s->row[0]);
        end = bnn_list(&x, last, words_of_x, &offset, (uint16_t)columns, end - BNN_BATCH, full);
    }
    rest = (uint8_t)(end - s->row);
    if (rest != 0) { /* fill up the last group with the row behind the inputs', which is 0 */
        const uint16_t zero = (uint16_t)(n * columns);
        for (uint8_t i = rest % 8u; i < 8u && i != 0; ++i) {
            *end++ = zero;
        }
        memset(s->eights, 0, sizeof s->eights);
        bnn_add_batch(s, w, share, (uint8_t)((rest + 7u) / 8u));
    }
    return ones + rest;
}

/* A lane's count. */
BNN_INLINE uint16_t bnn_lane_of(const bnn_word *count, uint8_t lane, unsigned digits)
{
    uint16_t number = 0;
    for (uint8_t d = (uint8_t)(digits - 1u); d > 0; --d) {
        number = (uint16_t)(number << 1 | bnn_lane(count[d - 1u], lane));
    }
    return number;
}

/* Makes a word's counter v = 2 * count + rest, digit d of it in place of digit d - 1, and compares
 * it with a threshold whose digits are `columns` words apart: v reaches t if v - t, that is
 * v + ~t + 1, carries out of the highest digit. Digit 0 of v is the same for all lanes. */
#if BNN_ASM
BNN_OWN bnn_word bnn_finish(bnn_word *count, const bnn_word BNN_ROM *at, bnn_size columns,
                            bnn_size rest, uint8_t digits)
{
    bnn_word reached, carry, digit, t;
    uint16_t address = BNN_ADDRESS(at);
    __asm__ volatile(BNN_IF_FAR("out 0x3b, %[bank]\n\t")
                     "dec %[digits]\n\t"
                     "lsr %B[rest]\n\t"
                     "ror %A[rest]\n\t"
                     "sbc %[reached], %[reached]\n\t" /* all ones if a one was shifted out */
                     BNN_LPM " %[t], Z\n\t"
                     "com %[t]\n\t"
                     "or %[reached], %[t]\n\t"
                     "clr %[carry]\n"
                     "1:\n\t"
                     "add r30, %A[columns]\n\t"
                     "adc r31, %B[columns]\n\t"
                     BNN_IF_FAR("in r0, 0x3b\n\tadc r0, r1\n\tout 0x3b, r0\n\t")
                     BNN_LPM " %[t], Z\n\t"
                     "com %[t]\n\t"
                     "ld %[digit], X\n\t"
                     "lsr %B[rest]\n\t"
                     "ror %A[rest]\n\t"
                     "sbc r0, r0\n\t"
                     "eor %[digit], %[carry]\n\t" /* digit + carry + rest */
                     "eor %[carry], r0\n\t"
                     "or %[carry], %[digit]\n\t"
                     "eor %[digit], r0\n\t"
                     "eor %[carry], %[digit]\n\t"
                     "st X+, %[digit]\n\t"
                     "eor %[digit], %[reached]\n\t" /* digit + reached + ~t */
                     "eor %[reached], %[t]\n\t"
                     "or %[reached], %[digit]\n\t"
                     "eor %[digit], %[t]\n\t"
                     "eor %[reached], %[digit]\n\t"
                     "dec %[digits]\n\t"
                     "brne 1b"
                     BNN_IF_FAR("\n\tout 0x3b, r1")
                     : [reached] "=&r"(reached), [carry] "=&r"(carry), [digit] "=&r"(digit),
                       [t] "=&r"(t), [rest] "+r"(rest), [digits] "+r"(digits), "+x"(count),
                       "+z"(address)
                     : [columns] "r"(columns), [bank] "rL"(BNN_BANK(at))
                     : "r0", "memory");
    return reached;
}
#else
BNN_OWN bnn_word bnn_finish(bnn_word *count, const bnn_word BNN_ROM *at, bnn_size columns,
                           bnn_size rest, uint8_t digits)
{
    bnn_word reached = (bnn_word)(bnn_lowest_digit(rest) | (bnn_word)~bnn_rom_word(at));
    bnn_word carry = 0;
    for (uint8_t d = 1; d < digits; ++d) {
        bnn_word digit = *count;
        rest >>= 1;
        at += columns;
        carry = bnn_full_add(&digit, carry, bnn_lowest_digit(rest));
        *count++ = digit;
        reached = bnn_full_add(&digit, reached, (bnn_word)~bnn_rom_word(at));
    }
    return reached;
}
#endif

/* Compares a finished counter with another threshold. */
BNN_INLINE bnn_word bnn_reached_sliced(const bnn_word *v, const bnn_word BNN_ROM *at,
                                       bnn_size columns, bnn_size rest, uint8_t digits)
{
    bnn_word reached = (bnn_word)(bnn_lowest_digit(rest) | (bnn_word)~bnn_rom_word(at));
    for (uint8_t d = 1; d < digits; ++d) {
        bnn_word digit = *v++;
        at += columns;
        reached = bnn_full_add(&digit, reached, (bnn_word)~bnn_rom_word(at));
    }
    return reached;
}

#endif
