/* The start of a program on the emulated PC (boot.S), and the functions that C compilers may call
 * by themselves. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "ports.h"

extern uint8_t bnn_bss[], bnn_bss_end[]; /* from the linker script */

int main(int argc, char **argv);

/* The program begins with it. */
__attribute__((section(".start"), used)) void bnn_start(void)
{
    memset(bnn_bss, 0, (size_t)(bnn_bss_end - bnn_bss));
    main(0, NULL);
    bnn_shut_down();
}

/* Vectors as a library has them: of the last one only the first `bytes` bytes. */
static inline __mmask64 bnn_first(size_t bytes)
{
    return _cvtu64_mask64(_bzhi_u64(~(uint64_t)0, (unsigned)bytes));
}

static inline __m512i bnn_vector(const uint8_t *from, size_t bytes)
{
    return _mm512_maskz_loadu_epi8(bnn_first(bytes), from);
}

/* Keeps compilers from making a call of these functions of the loops in them. */
#define BNN_KEEP() __asm__ volatile("" : : : "memory")

void *memset(void *to, int value, size_t bytes)
{
    const __m512i vector = _mm512_set1_epi8((char)value);
    uint8_t *at = to;

    for (; bytes >= 64; bytes -= 64, at += 64) {
        _mm512_storeu_si512(at, vector);
        BNN_KEEP();
    }
    _mm512_mask_storeu_epi8(at, bnn_first(bytes), vector);
    return to;
}

/* From the first byte on: right where `to` does not begin between `from` and its end. */
static inline void bnn_copy_up(uint8_t *to, const uint8_t *from, size_t bytes)
{
    for (; bytes >= 64; bytes -= 64, from += 64, to += 64) {
        _mm512_storeu_si512(to, _mm512_loadu_si512(from));
        BNN_KEEP();
    }
    _mm512_mask_storeu_epi8(to, bnn_first(bytes), bnn_vector(from, bytes));
}

/* From the last byte on. */
static inline void bnn_copy_down(uint8_t *to, const uint8_t *from, size_t bytes)
{
    for (; bytes >= 64; bytes -= 64) {
        _mm512_storeu_si512(to + bytes - 64, _mm512_loadu_si512(from + bytes - 64));
        BNN_KEEP();
    }
    _mm512_mask_storeu_epi8(to, bnn_first(bytes), bnn_vector(from, bytes));
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    bnn_copy_up(to, from, bytes);
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    if ((uintptr_t)to <= (uintptr_t)from)
        bnn_copy_up(to, from, bytes);
    else
        bnn_copy_down(to, from, bytes);
    return to;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    for (; text[length] != '\0'; length++)
        BNN_KEEP();
    return length;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const uint8_t *p = a, *q = b;

    for (; bytes > 0; bytes--, p++, q++) {
        if (*p != *q)
            return *p < *q ? -1 : 1;
        BNN_KEEP();
    }
    return 0;
}

/* What clang calls where it does not matter which of the two is less. */
int bcmp(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes);
}
