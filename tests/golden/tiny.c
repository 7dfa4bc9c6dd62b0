/* The network `tiny`; see tiny.h. First come the kernels that it calls, the same for every
 * network, then its tables, then its layers. */

#include "tiny.h"

#define BNN_WORD_BITS 8
#define BNN_KERNEL static

/* Attributes that GNU compilers need to hear; none changes what the code means.
 * BNN_MAY_ALIAS: the arena holds words at one time and integers at another, in the same bytes.
 * BNN_INLINE: helpers vanish into the kernels, so that constant arguments fold; some programs use
 * only a few of them.
 * BNN_OWN: a function that stays one, of use to some kernels only.
 * BNN_UNROLL: before a loop that must be unrolled for its vectors to stay in registers. */

#if defined(__GNUC__)
#define BNN_MAY_ALIAS __attribute__((__may_alias__))
#define BNN_INLINE static inline __attribute__((__always_inline__, __unused__))
#define BNN_OWN static __attribute__((__unused__))
#else
#define BNN_MAY_ALIAS
#define BNN_INLINE static inline
#define BNN_OWN static
#endif

#if defined(__GNUC__) && __GNUC__ >= 8 && !defined(__clang__)
#define BNN_UNROLL _Pragma("GCC unroll 8")
#else
#define BNN_UNROLL
#endif

/* Port for any C99 compiler. A port is what differs between machines: the word that bits are
 * packed into, the type of sizes, and where constant tables live and how they are read. Other
 * ports replace this file and nothing else. */

#include <stddef.h>
#include <stdint.h>

/* The word: BNN_WORD_BITS is 8, 16, 32 or 64. */
#ifndef BNN_WORD_BITS
#define BNN_WORD_BITS 64
#endif
#if BNN_WORD_BITS == 8
typedef uint8_t BNN_MAY_ALIAS bnn_word;
#elif BNN_WORD_BITS == 16
typedef uint16_t BNN_MAY_ALIAS bnn_word;
#elif BNN_WORD_BITS == 32
typedef uint32_t BNN_MAY_ALIAS bnn_word;
#elif BNN_WORD_BITS == 64
typedef uint64_t BNN_MAY_ALIAS bnn_word;
#else
#error "BNN_WORD_BITS must be 8, 16, 32 or 64"
#endif

/* Counts and indices of elements. It must hold the number of elements of the largest table. */
typedef size_t bnn_size;

/* BNN_TABLE stands in the definition of a table, BNN_ROM in the type of a pointer to one. Every
 * read of a table goes through the functions of bnn_rom.h: here they are plain reads. Where words
 * have 64 bits, tables begin with a line of the cache, as reading rows of weights that straddle two
 * takes half as long again. */
#if defined(__GNUC__) && BNN_WORD_BITS == 64
#define BNN_TABLE __attribute__((__aligned__(64)))
#else
#define BNN_TABLE
#endif
#define BNN_ROM

/* Reads of constant tables, where they lie in the same memory as all else. A port for a machine
 * with a memory of its own for them has its own functions, and defines BNN_READ. */

#if !defined(BNN_READ)

BNN_INLINE bnn_word bnn_rom_word(const bnn_word BNN_ROM *p)
{
    return *p;
}

BNN_INLINE uint8_t bnn_rom_u8(const uint8_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int8_t bnn_rom_s8(const int8_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE uint16_t bnn_rom_u16(const uint16_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int16_t bnn_rom_s16(const int16_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int32_t bnn_rom_s32(const int32_t BNN_ROM *p)
{
    return *p;
}

BNN_INLINE int64_t bnn_rom_s64(const int64_t BNN_ROM *p)
{
    return *p;
}

#endif

/* Integers of any type by index, packed bits, and arithmetic that is the same on every machine. */

/* The element type of an argument pair `const void *x, bnn_type x_type`. It is a constant in
 * every call, so that the switches below fold away where the compiler sees kernel and call
 * together. Kernels that do not say so take no BNN_S64. */
typedef enum bnn_type { BNN_U8, BNN_S8, BNN_U16, BNN_S16, BNN_S32, BNN_S64 } bnn_type;

typedef uint16_t BNN_MAY_ALIAS bnn_u16;
typedef int16_t BNN_MAY_ALIAS bnn_s16;
typedef int32_t BNN_MAY_ALIAS bnn_s32;

/* x[i], from working memory. */
BNN_INLINE int32_t bnn_load(const void *x, bnn_type type, bnn_size i)
{
    switch (type) {
    case BNN_U8:
        return ((const uint8_t *)x)[i];
    case BNN_S8:
        return ((const int8_t *)x)[i];
    case BNN_U16:
        return ((const bnn_u16 *)x)[i];
    case BNN_S16:
        return ((const bnn_s16 *)x)[i];
    default:
        return ((const bnn_s32 *)x)[i];
    }
}

/* x[i], from a constant table. */
BNN_INLINE int32_t bnn_rom_load(const void BNN_ROM *x, bnn_type type, bnn_size i)
{
    switch (type) {
    case BNN_U8:
        return bnn_rom_u8((const uint8_t BNN_ROM *)x + i);
    case BNN_S8:
        return bnn_rom_s8((const int8_t BNN_ROM *)x + i);
    case BNN_U16:
        return bnn_rom_u16((const uint16_t BNN_ROM *)x + i);
    case BNN_S16:
        return bnn_rom_s16((const int16_t BNN_ROM *)x + i);
    default:
        return bnn_rom_s32((const int32_t BNN_ROM *)x + i);
    }
}

/* y[i] = value, which the type holds. */
BNN_INLINE void bnn_store(void *y, bnn_type type, bnn_size i, int32_t value)
{
    switch (type) {
    case BNN_U8:
        ((uint8_t *)y)[i] = (uint8_t)value;
        break;
    case BNN_S8:
        ((int8_t *)y)[i] = (int8_t)value;
        break;
    case BNN_U16:
        ((bnn_u16 *)y)[i] = (uint16_t)value;
        break;
    case BNN_S16:
        ((bnn_s16 *)y)[i] = (int16_t)value;
        break;
    default:
        ((bnn_s32 *)y)[i] = value;
        break;
    }
}

/* y[to + i] = x[from + i] for n elements, which y's type holds; x and y do not overlap. */
BNN_INLINE void bnn_copy(const void *x, bnn_type x_type, bnn_size from, bnn_size n, void *y,
                         bnn_type y_type, bnn_size to)
{
    for (bnn_size i = 0; i < n; ++i) {
        bnn_store(y, y_type, to + i, bnn_load(x, x_type, from + i));
    }
}

/* y[to + i] = value for n elements, which y's type holds. */
BNN_INLINE void bnn_fill(void *y, bnn_type y_type, bnn_size to, bnn_size n, int32_t value)
{
    for (bnn_size i = 0; i < n; ++i) {
        bnn_store(y, y_type, to + i, value);
    }
}

/* The two's complement value of v. Sums run modulo 2^32, where no order of additions overflows,
 * and end here. */
BNN_INLINE int32_t bnn_signed(uint32_t v)
{
    const uint32_t top = (uint32_t)1 << 31;
    return v < top ? (int32_t)v : (int32_t)(v - top) - INT32_MAX - 1;
}

/* How many words hold n bits. */
BNN_INLINE bnn_size bnn_words(bnn_size n)
{
    return n / BNN_WORD_BITS + (n % BNN_WORD_BITS != 0);
}

/* How many of n elements lie in the word that begins with element i. */
BNN_INLINE bnn_size bnn_lanes(bnn_size n, bnn_size i)
{
    return n - i < BNN_WORD_BITS ? n - i : BNN_WORD_BITS;
}

/* A word whose bit `lane` is `bit` (0 or 1) and whose other bits are 0. */
BNN_INLINE bnn_word bnn_bit(uint32_t bit, bnn_size lane)
{
    return (bnn_word)((bnn_word)bit << lane);
}

/* Bit `lane` of a word, as 0 or 1. */
BNN_INLINE uint32_t bnn_lane(bnn_word word, bnn_size lane)
{
    return (uint32_t)(word >> lane) & 1u;
}

/* Dot products of integers with integer weights from a table. */

/* How many integers are spread out at a time for a dot product: one word's worth. */
#define BNN_BLOCK BNN_WORD_BITS

/* sum_i x[i] * w[first + i] modulo 2^32. The type is looked at once, outside of the loop. */
BNN_INLINE uint32_t bnn_dot(const int32_t *x, bnn_size n, const void BNN_ROM *w, bnn_type w_type,
                            bnn_size first)
{
    uint32_t sum = 0;
    switch (w_type) {
    case BNN_U8:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * bnn_rom_u8((const uint8_t BNN_ROM *)w + first + i);
        }
        break;
    case BNN_S8:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * (uint32_t)bnn_rom_s8((const int8_t BNN_ROM *)w + first + i);
        }
        break;
    case BNN_U16:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * bnn_rom_u16((const uint16_t BNN_ROM *)w + first + i);
        }
        break;
    case BNN_S16:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * (uint32_t)bnn_rom_s16((const int16_t BNN_ROM *)w + first + i);
        }
        break;
    default:
        for (bnn_size i = 0; i < n; ++i) {
            sum += (uint32_t)x[i] * (uint32_t)bnn_rom_s32((const int32_t BNN_ROM *)w + first + i);
        }
        break;
    }
    return sum;
}

/* Dense layer of integers by integer weights: y[o] = sum_i x[i] * w[o][i].
 *
 * A block of x is read once and used for all outputs; y holds the sums so far. */

BNN_KERNEL void bnn_dense_integer(const void *x, bnn_type x_type, const void BNN_ROM *w,
                                  bnn_type w_type, bnn_size n, bnn_size outs, int32_t *y)
{
    int32_t block[BNN_BLOCK];
    for (bnn_size o = 0; o < outs; ++o) {
        y[o] = 0;
    }
    for (bnn_size i = 0; i < n; i += BNN_BLOCK) {
        const bnn_size lanes = bnn_lanes(n, i);
        for (bnn_size j = 0; j < lanes; ++j) {
            block[j] = bnn_load(x, x_type, i + j);
        }
        for (bnn_size o = 0; o < outs; ++o) {
            y[o] = bnn_signed((uint32_t)y[o] + bnn_dot(block, lanes, w, w_type, o * n + i));
        }
    }
}

/* Counting thresholds. */

/* How many of the thresholds at[first..first+count-1] the value reaches (value >= threshold). All
 * are looked at, so that the time does not depend on the data. */
BNN_INLINE unsigned bnn_reached(int32_t value, const void BNN_ROM *at, bnn_type at_type,
                                bnn_size first, bnn_size count)
{
    unsigned reached = 0;
    for (bnn_size k = 0; k < count; ++k) {
        reached += value >= bnn_rom_load(at, at_type, first + k);
    }
    return reached;
}

/* Vectors of AVX2: integers of any type as lanes of 32 or of 64 bits, and back.
 *
 * Kernels that use them have the same loop in plain C beside, for other machines. */

#include <string.h>

/* Keeps compilers from reading ahead, into registers that they do not have: what comes after it is
 * read when a and b are there. */
#if defined(__GNUC__)
#define BNN_IN_TURN(a, b) __asm__ volatile("" : "+x"(a), "+x"(b) : : "memory")
#else
#define BNN_IN_TURN(a, b) ((void)0)
#endif

/* Keeps compilers from reading a vector from memory again for each of its uses. */
#if defined(__GNUC__)
#define BNN_IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define BNN_IN_REGISTER(v) ((void)0)
#endif

#if defined(__AVX2__)
#include <immintrin.h>

/* The address of x[i] of a type, for loads that mind no alignment. */
BNN_INLINE const void *bnn_at(const void *x, bnn_type type, bnn_size i)
{
    const bnn_size size =
        type <= BNN_S8 ? 1u : type <= BNN_S16 ? 2u : type == BNN_S32 ? 4u : 8u;
    return (const uint8_t *)x + i * size;
}

/* x[i..i+7] in lanes of 32 bits. */
BNN_INLINE __m256i bnn_load8(const void *x, bnn_type type, bnn_size i)
{
    const void *const at = bnn_at(x, type, i);
    switch (type) {
    case BNN_U8:
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)at));
    case BNN_S8:
        return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at));
    case BNN_U16:
        return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at));
    case BNN_S16:
        return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)at));
    default:
        return _mm256_loadu_si256((const __m256i *)at);
    }
}

/* x[i..i+3] in lanes of 64 bits; x may have them already. */
BNN_INLINE __m256i bnn_load4(const void *x, bnn_type type, bnn_size i)
{
    const void *const at = bnn_at(x, type, i);
    int32_t four;
    switch (type) {
    case BNN_U8:
        memcpy(&four, at, sizeof four);
        return _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
    case BNN_S8:
        memcpy(&four, at, sizeof four);
        return _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(four));
    case BNN_U16:
        return _mm256_cvtepu16_epi64(_mm_loadl_epi64((const __m128i *)at));
    case BNN_S16:
        return _mm256_cvtepi16_epi64(_mm_loadl_epi64((const __m128i *)at));
    case BNN_S32:
        return _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)at));
    default:
        return _mm256_loadu_si256((const __m256i *)at);
    }
}

/* The lower halves of the lanes of two vectors, one after the other. */
BNN_INLINE __m256i bnn_lower8(__m256i first, __m256i second)
{
    const __m256 both =
        _mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(both), 0xD8);
}

/* The upper halves. */
BNN_INLINE __m256i bnn_upper8(__m256i first, __m256i second)
{
    const __m256 both =
        _mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second), 0xDD);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(both), 0xD8);
}

/* y[i..i+7] = lanes, which the type holds. */
BNN_INLINE void bnn_store8(void *y, bnn_type type, bnn_size i, __m256i lanes)
{
    int32_t values[8];
    void *const at = type == BNN_S32 ? (void *)((bnn_s32 *)y + i) : (void *)values;
    _mm256_storeu_si256((__m256i *)at, lanes);
    if (type != BNN_S32) {
        bnn_copy(values, BNN_S32, 0, 8u, y, type, i);
    }
}
#endif

/* Integers to bits: bit i of y is 1 where x[i] reaches an odd number of the thresholds
 * at[i % rows][0..count-1].
 *
 * Elements of neighbouring rows are taken together, in a form that compilers vectorize. y may begin
 * where x begins: a word is written when the integers that lie there have been read. */

#if defined(__SSE2__) && BNN_WORD_BITS == 64
#include <emmintrin.h>
#define BNN_BYTES 16u

#if defined(__AVX2__)
/* The bits of x[i..i+7], for one threshold or two. */
BNN_INLINE unsigned bnn_threshold8(const void *x, bnn_type x_type, bnn_size i, const void *at,
                                   bnn_type at_type, bnn_size row, bnn_size step, bnn_size count)
{
    const __m256i value = bnn_load8(x, x_type, i);
    __m256i first, second, below;
    if (step == 0) {
        first = _mm256_set1_epi32(bnn_load(at, at_type, 0));
        second = _mm256_set1_epi32(bnn_load(at, at_type, count - 1u));
    } else {
        const __m256i one = bnn_load8(at, at_type, row * count);
        const __m256i other = count == 1u ? one : bnn_load8(at, at_type, row * count + 8u);
        first = count == 1u ? one : bnn_lower8(one, other);
        second = count == 1u ? one : bnn_upper8(one, other);
    }
    below = _mm256_cmpgt_epi32(first, value);
    if (count == 1u) {
        return 0xFFu ^ (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(below));
    }
    below = _mm256_xor_si256(below, _mm256_cmpgt_epi32(second, value));
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(below));
}
#endif

/* The bits of BNN_BYTES elements, of which `lanes` are there: first a byte each, then the upper
 * bits of all bytes. */
BNN_INLINE bnn_word bnn_threshold_bytes(const void *x, bnn_type x_type, bnn_size i, bnn_size lanes,
                                        const void BNN_ROM *at, bnn_type at_type, bnn_size row,
                                        bnn_size step, bnn_size count)
{
    uint8_t reached[BNN_BYTES] = {0};
#if defined(__AVX2__)
    if (lanes == BNN_BYTES && count <= 2u) {
        return bnn_threshold8(x, x_type, i, at, at_type, row, step, count) |
               bnn_threshold8(x, x_type, i + 8u, at, at_type, row + 8u * step, step, count) << 8;
    }
#endif
    for (bnn_size j = 0; j < lanes; ++j) {
        const int32_t value = bnn_load(x, x_type, i + j);
        reached[j] = (uint8_t)bnn_reached(value, at, at_type, (row + j * step) * count, count);
    }
    const void *const bytes = reached;
    const __m128i upper = _mm_slli_epi16(_mm_loadu_si128((const __m128i *)bytes), 7);
    return (bnn_word)(unsigned)_mm_movemask_epi8(upper);
}

BNN_INLINE bnn_word bnn_threshold_bits(const void *x, bnn_type x_type, bnn_size i, bnn_size lanes,
                                       const void BNN_ROM *at, bnn_type at_type, bnn_size row,
                                       bnn_size step, bnn_size count)
{
    const bnn_size whole = lanes - lanes % BNN_BYTES;
    bnn_word bits = 0;
    for (bnn_size j = 0; j < whole; j += BNN_BYTES) {
        bits |= bnn_threshold_bytes(x, x_type, i + j, BNN_BYTES, at, at_type, row + j * step, step,
                                    count)
                << j;
    }
    if (whole < lanes) {
        bits |= bnn_threshold_bytes(x, x_type, i + whole, lanes - whole, at, at_type,
                                    row + whole * step, step, count)
                << whole;
    }
    return bits;
}
#else
/* The bits of `lanes` elements from x[i] on; the first one's row is `row`, and that of each further
 * one `step` rows on. */
BNN_INLINE bnn_word bnn_threshold_bits(const void *x, bnn_type x_type, bnn_size i, bnn_size lanes,
                                       const void BNN_ROM *at, bnn_type at_type, bnn_size row,
                                       bnn_size step, bnn_size count)
{
    bnn_word bits = 0;
    for (bnn_size j = 0; j < lanes; ++j) {
        const int32_t value = bnn_load(x, x_type, i + j);
        const bnn_size first = (row + j * step) * count;
        bits |= bnn_bit(bnn_reached(value, at, at_type, first, count) & 1u, j);
    }
    return bits;
}
#endif

BNN_KERNEL void bnn_threshold(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                              bnn_type at_type, bnn_size rows, bnn_size count, bnn_word *y)
{
    /* So many neighbouring rows can be taken together wherever a word begins. It pays with long
     * words alone, within which rows often end. */
    const bnn_size even = rows & (~rows + 1u);
    const bnn_size chunk = even < BNN_WORD_BITS ? even : BNN_WORD_BITS;
    const bnn_size step = rows == 1u ? 0u : 1u;
    bnn_size row = 0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_word bits = 0;
        if (step == 0 || rows - row >= lanes) {
            bits = bnn_threshold_bits(x, x_type, i, lanes, at, at_type, row, step, count);
            row = step == 0 || row + lanes == rows ? 0u : row + lanes;
        } else if (BNN_WORD_BITS == 64 && chunk >= 8u) {
            for (bnn_size j = 0; j < lanes; j += chunk) {
                const bnn_size run = lanes - j < chunk ? lanes - j : chunk;
                const bnn_word part =
                    bnn_threshold_bits(x, x_type, i + j, run, at, at_type, row, step, count);
                bits = (bnn_word)(bits | (bnn_word)(part << j));
                row = row + chunk < rows ? row + chunk : 0u;
            }
        } else {
            for (bnn_size j = 0; j < lanes; ++j) {
                const int32_t value = bnn_load(x, x_type, i + j);
                bits |= bnn_bit(bnn_reached(value, at, at_type, row * count, count) & 1u, j);
                row = row + 1u < rows ? row + 1u : 0u;
            }
        }
        y[i / BNN_WORD_BITS] = bits;
    }
}

/* Counting ones: in a word, and in rows of words. */

/* The number of ones in v. Where the machine has an instruction for it, that is what the builtin
 * is; elsewhere it calls a library function, which is slower than these sums of 1, 2 and 4 bits
 * side by side, added up by a multiplication. */
BNN_INLINE unsigned bnn_popcount(bnn_word v)
{
#if defined(__GNUC__) && (defined(__POPCNT__) || defined(__aarch64__) || defined(__riscv_zbb))
    return (unsigned)__builtin_popcountll(v);
#else
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    v = (bnn_word)(v - ((v >> 1) & (ones / 3u)));
    v = (bnn_word)((v & (ones / 5u)) + ((v >> 2) & (ones / 5u)));
    v = (bnn_word)((bnn_word)(v + (v >> 4)) & (ones / 17u));
    return (unsigned)((bnn_word)(v * (ones / 255u)) >> (BNN_WORD_BITS - 8));
#endif
}

/* The number of places where x and w differ. */
BNN_INLINE bnn_size bnn_differing(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_size count = 0;
    for (bnn_size i = 0; i < words; ++i) {
        count += bnn_popcount((bnn_word)(x[i] ^ bnn_rom_word(w + i)));
    }
    return count;
}

/* The number of places where both x and w are 1. */
BNN_INLINE bnn_size bnn_common(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words)
{
    bnn_size count = 0;
    for (bnn_size i = 0; i < words; ++i) {
        count += bnn_popcount((bnn_word)(x[i] & bnn_rom_word(w + i)));
    }
    return count;
}

/* What bit plane `plane` of `planes` weighs, modulo 2^32: a power of two, negative for the sign
 * plane. */
BNN_INLINE uint32_t bnn_plane_weight(unsigned plane, unsigned planes, int x_signed)
{
    const uint32_t weight = (uint32_t)1 << plane;
    return x_signed && plane + 1u == planes ? (uint32_t)0 - weight : weight;
}

/* Rows of bits in constant tables: whole words in one, and what is left of each row, its tail, in
 * another one, whose elements are the smallest that hold it. Where there are no tails, the last
 * words of rows are not full. */

/* How many words of a row of n bits are in the table of words. */
BNN_INLINE bnn_size bnn_row_words(bnn_size n, const void BNN_ROM *tail)
{
    return tail == NULL ? bnn_words(n) : n / BNN_WORD_BITS;
}

/* The tail of row o. */
BNN_INLINE bnn_word bnn_row_tail(const void BNN_ROM *tail, bnn_type tail_type, bnn_size o)
{
    return (bnn_word)(uint32_t)bnn_rom_load(tail, tail_type, o);
}

/* The number of places where x and row o differ. */
BNN_INLINE bnn_size bnn_row_differing(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words,
                                      const void BNN_ROM *tail, bnn_type tail_type, bnn_size o)
{
    bnn_size count = words == 0 ? 0 : bnn_differing(x, w + o * words, words);
    if (tail != NULL) {
        count += bnn_popcount((bnn_word)(x[words] ^ bnn_row_tail(tail, tail_type, o)));
    }
    return count;
}

/* The number of places where both x and row o are 1. */
BNN_INLINE bnn_size bnn_row_common(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size words,
                                   const void BNN_ROM *tail, bnn_type tail_type, bnn_size o)
{
    bnn_size count = words == 0 ? 0 : bnn_common(x, w + o * words, words);
    if (tail != NULL) {
        count += bnn_popcount((bnn_word)(x[words] & bnn_row_tail(tail, tail_type, o)));
    }
    return count;
}

/* Bipolar by bipolar dense layer with its thresholds: bit o of y is 1 where sum_i x[i] * w[o][i]
 * reaches an odd number of the thresholds at[o][0..count-1].
 *
 * A product of two bipolar values is +1 where their bits are equal and -1 where they differ, so
 * that the sum is n - 2 * (number of differing bits). */

BNN_KERNEL void bnn_dense_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                    const void BNN_ROM *tail, bnn_type tail_type,
                                    const void BNN_ROM *at, bnn_type at_type,
                                    bnn_size count, bnn_size n, bnn_size outs, bnn_word *y)
{
    const bnn_size words = bnn_row_words(n, tail);
    for (bnn_size o = 0; o < outs; o += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(outs, o);
        bnn_word bits = 0;
        for (bnn_size j = 0; j < lanes; ++j) {
            const bnn_size differing = bnn_row_differing(x, w, words, tail, tail_type, o + j);
            const int32_t sum = (int32_t)n - 2 * (int32_t)differing;
            bits |= bnn_bit(bnn_reached(sum, at, at_type, (o + j) * count, count) & 1u, j);
        }
        y[o / BNN_WORD_BITS] = bits;
    }
}

/* Bipolar by bipolar dense layer: y[o] = sum_i x[i] * w[o][i], which is
 * n - 2 * (number of differing bits). */

BNN_KERNEL void bnn_dense_xnor(const bnn_word *x, const bnn_word BNN_ROM *w,
                               const void BNN_ROM *tail, bnn_type tail_type, bnn_size n,
                               bnn_size outs, int32_t *y)
{
    const bnn_size words = bnn_row_words(n, tail);
    for (bnn_size o = 0; o < outs; ++o) {
        const bnn_size differing = bnn_row_differing(x, w, words, tail, tail_type, o);
        y[o] = (int32_t)n - 2 * (int32_t)differing;
    }
}

/* What the tables were made for; a negative size here means another machine. */
typedef char bnn_check_word[sizeof(bnn_word) * 8 == 8 ? 1 : -1];
typedef char bnn_check_size[(bnn_size)-1 >= 189 ? 1 : -1];

static const int8_t BNN_TABLE fc1_weights[189] = {
     7,  3,  0, -4, -4, -9, -8, -9, -6,  6,  3,  8,  0,  2,  9,  4,  3,  1,
     1,  8, -4,  6,  3, -9, -2,  7,  1, -9,  5,  4,  7, -6, -8,  7, -9,  1,
    -8, -4,  0, -1, -2, -9, -9, -7, -9,  3,  0,  3, -5,  2,  5, -2, -1,  9,
     6,  9, -2,  4,  9,  3,  6,  4,  4, -2,  7, -7,  1,  4,  7,  0, -2, -4,
    -1,  0,  4,  7, -8,  8,  1, -3,  3,  1, -5, -3,  4,  2,  0, -3,  5, -2,
    -3,  7, -4, -5,  4,  2, -9, -8, -2,  6, -2,  5, -3, -5,  6,  7, -8, -8,
     3, -3,  1, -7,  7, -1,  8,  6,  4, -5,  5, -9,  1, -2,  9, -6,  8, -8,
     2,  2,  8, -4,  8,  3,  7, -6,  5,  8, -9, -3,  3, -7,  0,  2,  5,  8,
    -2, -1,  0,  9, -6,  0, -9, -1,  8,  2, -3,  9,  2,  9, -9, -1,  6,  5,
    -2,  0, -2,  1, -5,  5, -8, -2, -4,  4,  5,  4,  8,  8, -6, -7, -7,  4,
     9,  8,  3,  9,  7, -9, -7,  7, -8
};

static const int16_t BNN_TABLE fc1_at[21] = {
     1924,  1309,  1828,  -559, -1405,    67,  1890,  -532,  1559,  -465,  1289, -1082,   -81,
     -693, -1071,  1570,  1207, -1442,  1694,  1883,  -936
};

static const bnn_word BNN_TABLE fc2_weights[63] = {
    0x66, 0xdb, 0x08, 0xc7, 0x62, 0x03, 0x42, 0xbf, 0x00, 0x3f, 0xb5, 0x0c, 0x37, 0x60, 0x1f,
    0x04, 0x70, 0x1a, 0xdb, 0xa1, 0x1e, 0xbf, 0xb4, 0x1e, 0xf7, 0x2c, 0x1f, 0xcb, 0x7e, 0x1a,
    0xd4, 0x30, 0x1b, 0x09, 0x0f, 0x11, 0x3c, 0x72, 0x07, 0x6d, 0xb7, 0x09, 0x0b, 0xb6, 0x17,
    0x23, 0x0b, 0x05, 0xaa, 0xb8, 0x0f, 0x34, 0x8f, 0x00, 0x99, 0xfa, 0x18, 0xdd, 0x89, 0x1b,
    0x49, 0xcb, 0x09
};

static const int8_t BNN_TABLE fc2_at[21] = {
    -1,  4, -2, -2, -2, -3,  4,  4, -2,  1,  4,  0,  4, -3, -3, -5,  1, -5, -4,  1, -1
};

static const bnn_word BNN_TABLE fc3_weights[9] = {
    0x9a, 0xc6, 0x1a, 0xda, 0xe8, 0x13, 0xec, 0xf1, 0x10
};

/* Define BNN_TRACE to look at every result: call number, address and size in bytes. */
#ifndef BNN_TRACE
#define BNN_TRACE(call, address, bytes) ((void)0)
#endif

void tiny_run(const uint8_t *input, int32_t *logits, void *arena)
{
    unsigned char *const memory = (unsigned char *)arena;
    int32_t *const fc1 = (int32_t *)(void *)(memory + 0);
    bnn_word *const h1 = (bnn_word *)(void *)(memory + 0);
    bnn_word *const h2 = (bnn_word *)(void *)(memory + 3);

    /* fc1: 9 x uint8 -> 21 x 1 bit, 189 MACs
     *   steps: bipolar[21]
     *   from /fc1/Gemm:Gemm, /bn1:BatchNormalization, /sign1:Sign
     *   Dense layer of integers by integer weights: `y[o] = sum_i x[i] * w[o][i]`.
     *   Bit `i` of `y` is `x[i] >= at[i % rows]`. */
    bnn_dense_integer(input, BNN_U8, fc1_weights, BNN_S8, 9, 21, fc1);
    BNN_TRACE(0, fc1, 84);
    bnn_threshold(fc1, BNN_S32, 21, fc1_at, BNN_S16, 21, 1, h1);
    BNN_TRACE(1, h1, 3);

    /* fc2: 21 x 1 bit -> 21 x 1 bit, 441 MACs
     *   steps: bipolar[21]
     *   from /fc2/Gemm:Gemm, /sign2:Sign
     *   Bipolar dense layer with its threshold: bit `o` of `y` is `n - 2 popcount(x ^ w[o]) >=
     *   at[o]`. */
    bnn_dense_threshold(h1, fc2_weights, NULL, BNN_U8, fc2_at, BNN_S8, 1, 21, 21, h2);
    BNN_TRACE(2, h2, 3);

    /* fc3: 21 x 1 bit -> 3 x int32, 63 MACs
     *   integer_dense: {-21..21 step 2}[3]
     *   from /fc3/Gemm:Gemm
     *   Bipolar by bipolar dense layer: `y[o] = n - 2 popcount(x ^ w[o])`. */
    bnn_dense_xnor(h2, fc3_weights, NULL, BNN_U8, 21, 3, logits);
    BNN_TRACE(3, logits, 12);
}

int tiny_classify(const uint8_t *input, void *arena)
{
    int32_t logits[3];
    int best = 0;
    tiny_run(input, logits, arena);
    for (int i = 1; i < 3; ++i) {
        if (logits[i] > logits[best]) {
            best = i;
        }
    }
    return best;
}

#ifndef TINY_NO_SELFTEST

/* Made-up inputs for the self-test. */

/* The 32-bit finalizer of MurmurHash3 (Appleby, public domain): the i-th number of a fixed
 * sequence, without state. */
BNN_INLINE uint32_t bnn_noise(uint32_t i)
{
    i = (i ^ (i >> 16)) * UINT32_C(0x85ebca6b);
    i = (i ^ (i >> 13)) * UINT32_C(0xc2b2ae35);
    return i ^ (i >> 16);
}

static const int32_t BNN_TABLE selftest_0[12] = {
    -5, -7,  3, -1, -7, -5, -3, -5, -3, -3, -9, -7
};

int tiny_selftest(void *arena)
{
    uint8_t input[9];
    int32_t logits[3];
    uint32_t draw = 0;
    for (bnn_size vector = 0; vector < 4; ++vector) {
        for (bnn_size i = 0; i < 9; ++i) {
            input[i] = (uint8_t)((int32_t)(bnn_noise(++draw) % 256u));
        }
        tiny_run(input, logits, arena);
        for (bnn_size i = 0; i < 3; ++i) {
            const int32_t wanted = bnn_rom_s32(selftest_0 + vector * 3 + i);
            if (logits[i] != wanted) {
                return (int)vector + 1;
            }
        }
    }
    return 0;
}

#endif
