/* The network `maps`; see maps.h. First come the kernels that it calls, the same for every
 * network, then its tables, then its layers. */

#include "maps.h"

#define BNN_WORD_BITS 16
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

/* Runs of bits at any place in packed words, and the taps of windows. */

/* The n bits (1 to BNN_WORD_BITS) of x from bit `at` on, in the low bits of a word. */
BNN_INLINE bnn_word bnn_take(const bnn_word *x, bnn_size at, bnn_size n)
{
    const bnn_size word = at / BNN_WORD_BITS;
    const bnn_size shift = at % BNN_WORD_BITS;
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    bnn_word bits = (bnn_word)(x[word] >> shift);
    if (shift + n > BNN_WORD_BITS) {
        bits = (bnn_word)(bits | (bnn_word)(x[word + 1u] << (BNN_WORD_BITS - shift)));
    }
    return (bnn_word)(bits & (ones >> (BNN_WORD_BITS - n)));
}

/* Puts n bits (1 to BNN_WORD_BITS; the others of `bits` are 0) into y from bit `at` on. Runs are
 * appended in order, from bit 0 on: the bits behind this one become 0 up to the end of its word. */
BNN_INLINE void bnn_append(bnn_word *y, bnn_size at, bnn_word bits, bnn_size n)
{
    const bnn_size word = at / BNN_WORD_BITS;
    const bnn_size shift = at % BNN_WORD_BITS;
    if (shift == 0) {
        y[word] = bits;
        return;
    }
    y[word] = (bnn_word)(y[word] | (bnn_word)(bits << shift));
    if (shift + n > BNN_WORD_BITS) {
        y[word + 1u] = (bnn_word)(bits >> (BNN_WORD_BITS - shift));
    }
}

/* Appends the n bits of x from bit `from` on to y at bit `at`. */
BNN_INLINE void bnn_append_run(bnn_word *y, bnn_size at, const bnn_word *x, bnn_size from,
                               bnn_size n)
{
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_append(y, at + i, bnn_take(x, from + i, lanes), lanes);
    }
}

/* ORs the n bits of x into y from bit `at` on. */
BNN_INLINE void bnn_or_run(bnn_word *y, bnn_size at, const bnn_word *x, bnn_size n)
{
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size word = (at + i) / BNN_WORD_BITS;
        const bnn_size shift = (at + i) % BNN_WORD_BITS;
        const bnn_word bits = x[i / BNN_WORD_BITS];
        y[word] = (bnn_word)(y[word] | (bnn_word)(bits << shift));
        if (shift + bnn_lanes(n, i) > BNN_WORD_BITS) {
            y[word + 1u] = (bnn_word)(y[word + 1u] | (bnn_word)(bits >> (BNN_WORD_BITS - shift)));
        }
    }
}

/* Appends n bits that all are `bit` (0 or 1) to y at bit `at`. */
BNN_INLINE void bnn_append_fill(bnn_word *y, bnn_size at, uint32_t bit, bnn_size n)
{
    const bnn_word fill = bit != 0 ? (bnn_word)~(bnn_word)0 : (bnn_word)0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        bnn_append(y, at + i, (bnn_word)(fill >> (BNN_WORD_BITS - lanes)), lanes);
    }
}

/* The coordinate in the map of tap `tap` of the window at `position`: below `size`, or `size`
 * where the tap lies outside. */
BNN_INLINE bnn_size bnn_tap(bnn_size position, bnn_size stride, bnn_size tap, bnn_size dilation,
                            bnn_size before, bnn_size size)
{
    const bnn_size at = position * stride + tap * dilation;
    return at < before || at - before >= size ? size : at - before;
}

/* Whether all taps of a window's row lie on the map, where taps are neighbours. */
BNN_INLINE int bnn_all_inside(bnn_size position, bnn_size stride, bnn_size taps, bnn_size before,
                              bnn_size size)
{
    const bnn_size first = position * stride;
    return first >= before && first - before + taps <= size;
}

/* The taps under the window at one pixel of a map of integers, one after the other: for each tap
 * channels group * count to group * count + count - 1. A tap outside of the map is `fill` in every
 * channel. */

BNN_KERNEL void bnn_gather_integers(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                                    bnn_size channels, bnn_size group, bnn_size count,
                                    bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                    bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                    bnn_size before_h, bnn_size before_w, int32_t fill,
                                    bnn_size row, bnn_size column, void *y, bnn_type y_type)
{
    /* Where all channels of neighbouring pixels are taken, a row of taps is one run. */
    const int joined = dilation_w == 1u && count == channels &&
                       bnn_all_inside(column, stride_w, kernel_w, before_w, width);
    bnn_size at = 0;
    for (bnn_size i = 0; i < kernel_h; ++i) {
        const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
        if (joined && h < height) {
            const bnn_size first = (h * width + column * stride_w - before_w) * channels;
            for (bnn_size c = 0; c < kernel_w * count; ++c) {
                bnn_store(y, y_type, at + c, bnn_load(x, x_type, first + c));
            }
            at += kernel_w * count;
            continue;
        }
        for (bnn_size j = 0; j < kernel_w; ++j) {
            const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
            const int inside = h < height && w < width;
            const bnn_size first = (h * width + w) * channels + group * count;
            for (bnn_size c = 0; c < count; ++c) {
                bnn_store(y, y_type, at + c, inside ? bnn_load(x, x_type, first + c) : fill);
            }
            at += count;
        }
    }
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

/* Shifts of integers of 64 bits. */

/* floor(v / 2^shift): C leaves open what >> does to a negative number. */
BNN_INLINE int64_t bnn_floor_shift(int64_t v, unsigned shift)
{
#if (-1 >> 1) == -1
    return v >> shift;
#else
    return v >= 0 ? v >> shift : ~(~v >> shift);
#endif
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

/* Integers to integers by linear pieces:
 * y[i] = clamp(floor((x[i] * multiplier + bias) / 2^shift), lo, hi).
 *
 * The tables have an entry for each piece and row, those of piece k from k * rows on; the piece is
 * the last one whose start x[i] reaches, in row i % rows. The first one has no start: starts begin
 * with those of piece 1. Product and sum are taken in 64 bits and must fit; shift is below 63.
 *
 * y may begin where x begins if its elements are not larger: y[i] is written after x[i] is read. */

/* A bias, of a type that may have 64 bits. */
BNN_INLINE int64_t bnn_rom_bias(const void BNN_ROM *bias, bnn_type type, bnn_size i)
{
    return type == BNN_S64 ? bnn_rom_s64((const int64_t BNN_ROM *)bias + i)
                           : bnn_rom_load(bias, type, i);
}

/* The result for a value by the pieces of a row. */
BNN_INLINE int32_t bnn_requantized(int32_t value, const void BNN_ROM *start, bnn_type start_type,
                                   const void BNN_ROM *multiplier, bnn_type multiplier_type,
                                   const void BNN_ROM *bias, bnn_type bias_type, bnn_size row,
                                   bnn_size rows, bnn_size pieces, unsigned shift, int32_t lo,
                                   int32_t hi)
{
    bnn_size piece = row;
    int32_t factor;
    int64_t added;
    if (rows == 1u && pieces == 2u) {
        /* Tables of two entries: gcc 12.2 -O3 -mavx2 reads them wrong at an index that is a truth
         * value. */
        const int upper = value >= bnn_rom_load(start, start_type, 0);
        factor = upper ? bnn_rom_load(multiplier, multiplier_type, 1u)
                       : bnn_rom_load(multiplier, multiplier_type, 0);
        added = upper ? bnn_rom_bias(bias, bias_type, 1u) : bnn_rom_bias(bias, bias_type, 0);
    } else {
        for (bnn_size k = 1; k < pieces; ++k) {
            const int32_t first = bnn_rom_load(start, start_type, (k - 1u) * rows + row);
            piece += value >= first ? rows : 0u;
        }
        factor = bnn_rom_load(multiplier, multiplier_type, piece);
        added = bnn_rom_bias(bias, bias_type, piece);
    }
    const int64_t scaled = bnn_floor_shift((int64_t)value * factor + added, shift);
    return scaled < lo ? lo : scaled > hi ? hi : (int32_t)scaled;
}

#if defined(__AVX2__)
/* Four neighbouring entries of a table, or one for all of them. */
BNN_INLINE __m256i bnn_entries(const void *table, bnn_type type, bnn_size i, int alike)
{
    return alike ? _mm256_set1_epi64x(bnn_rom_bias(table, type, i)) : bnn_load4(table, type, i);
}

/* The results of x[i..i+3], which are of neighbouring rows from `row` on or of one, in the lower
 * halves of lanes; shift is below 32. Clamping comes first, so that no sign is lost. */
BNN_INLINE __m256i bnn_requantized4(const void *x, bnn_type x_type, bnn_size i, const void *start,
                                    bnn_type start_type, const void *multiplier,
                                    bnn_type multiplier_type, const void *bias, bnn_type bias_type,
                                    bnn_size row, bnn_size rows, bnn_size pieces, unsigned shift,
                                    int32_t lo, int32_t hi)
{
    const int alike = rows == 1u;
    const int64_t unit = (int64_t)1 << shift;
    const __m256i least = _mm256_set1_epi64x(lo * unit);
    const __m256i most = _mm256_set1_epi64x(hi * unit + (unit - 1));
    const __m256i value = bnn_load4(x, x_type, i);
    __m256i factor = bnn_entries(multiplier, multiplier_type, row, alike);
    __m256i added = bnn_entries(bias, bias_type, row, alike);
    __m256i sum;
    for (bnn_size k = 1; k < pieces; ++k) {
        const bnn_size at = k * rows + row;
        const __m256i first = bnn_entries(start, start_type, at - rows, alike);
        const __m256i below = _mm256_cmpgt_epi64(first, value);
        const __m256i next = bnn_entries(multiplier, multiplier_type, at, alike);
        factor = _mm256_blendv_epi8(next, factor, below);
        added = _mm256_blendv_epi8(bnn_entries(bias, bias_type, at, alike), added, below);
    }
    sum = _mm256_add_epi64(_mm256_mul_epi32(value, factor), added);
    sum = _mm256_blendv_epi8(sum, least, _mm256_cmpgt_epi64(least, sum));
    sum = _mm256_blendv_epi8(sum, most, _mm256_cmpgt_epi64(sum, most));
    return _mm256_srl_epi64(sum, _mm_cvtsi32_si128((int)shift));
}
#endif

BNN_KERNEL void bnn_requantize(const void *x, bnn_type x_type, bnn_size n,
                               const void BNN_ROM *start, bnn_type start_type,
                               const void BNN_ROM *multiplier, bnn_type multiplier_type,
                               const void BNN_ROM *bias, bnn_type bias_type, bnn_size rows,
                               bnn_size pieces, unsigned shift, int32_t lo, int32_t hi, void *y,
                               bnn_type y_type)
{
    /* Inner loops are over neighbouring rows, or over elements that have one row. */
    const bnn_size run = rows == 1u ? n : rows;
    for (bnn_size i = 0; i < n; i += run) {
        const bnn_size end = n - i < run ? n : i + run;
#if defined(__AVX2__)
        const bnn_size whole = shift < 32u ? end - (end - i) % 8u : i;
        for (bnn_size j = i; j < whole; j += 8u) {
            const bnn_size row = rows == 1u ? 0 : j - i, next = rows == 1u ? 0 : row + 4u;
            const __m256i first = bnn_requantized4(x, x_type, j, start, start_type, multiplier,
                                                   multiplier_type, bias, bias_type, row, rows,
                                                   pieces, shift, lo, hi);
            const __m256i second = bnn_requantized4(x, x_type, j + 4u, start, start_type,
                                                    multiplier, multiplier_type, bias, bias_type,
                                                    next, rows, pieces, shift, lo, hi);
            bnn_store8(y, y_type, j, bnn_lower8(first, second));
        }
#else
        const bnn_size whole = i;
#endif
        for (bnn_size j = whole; j < end; ++j) {
            const int32_t result = bnn_requantized(
                bnn_load(x, x_type, j), start, start_type, multiplier, multiplier_type, bias,
                bias_type, rows == 1u ? 0 : j - i, rows, pieces, shift, lo, hi);
            bnn_store(y, y_type, j, result);
        }
    }
}

/* n integers, as pixel row * columns + column of a map. */

BNN_KERNEL void bnn_put_integers(const void *x, bnn_type x_type, bnn_size n, bnn_size columns,
                                 bnn_size row, bnn_size column, void *y, bnn_type y_type)
{
    const bnn_size at = (row * columns + column) * n;
    for (bnn_size i = 0; i < n; ++i) {
        bnn_store(y, y_type, at + i, bnn_load(x, x_type, i));
    }
}

/* The largest integer under each window, channel by channel. Taps outside of the map do not
 * count; every window has one inside.
 *
 * y may begin where x begins: a channel of a pixel is written when all that is under the window
 * has been read for it; vectors take eight channels at a time. */

BNN_KERNEL void bnn_max_pool_integers(const void *x, bnn_type x_type, bnn_size height,
                                      bnn_size width, bnn_size channels, bnn_size rows,
                                      bnn_size columns, bnn_size kernel_h, bnn_size kernel_w,
                                      bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                                      bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                                      void *y, bnn_type y_type)
{
    for (bnn_size pixel = 0; pixel < rows * columns; ++pixel) {
        const bnn_size row = pixel / columns;
        const bnn_size column = pixel % columns;
#if defined(__AVX2__)
        const bnn_size whole = channels - channels % 8u;
        for (bnn_size c = 0; c < whole; c += 8u) {
            __m256i best = _mm256_set1_epi32(-INT32_MAX - 1);
            for (bnn_size i = 0; i < kernel_h; ++i) {
                const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
                for (bnn_size j = 0; j < kernel_w; ++j) {
                    const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                    if (h < height && w < width) {
                        const bnn_size at = (h * width + w) * channels + c;
                        best = _mm256_max_epi32(best, bnn_load8(x, x_type, at));
                    }
                }
            }
            bnn_store8(y, y_type, pixel * channels + c, best);
        }
#else
        const bnn_size whole = 0;
#endif
        for (bnn_size c = whole; c < channels; ++c) {
            int32_t best = -INT32_MAX - 1;
            for (bnn_size i = 0; i < kernel_h; ++i) {
                const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
                for (bnn_size j = 0; j < kernel_w; ++j) {
                    const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                    if (h < height && w < width) {
                        const bnn_size at = (h * width + w) * channels + c;
                        const int32_t value = bnn_load(x, x_type, at);
                        best = value > best ? value : best;
                    }
                }
            }
            bnn_store(y, y_type, pixel * channels + c, best);
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

/* The taps under the window at one pixel of a map of bit planes, packed without gaps: for each tap
 * the codes of channels group * count to group * count + count - 1. A tap outside of the map has
 * the code `fill`. */

BNN_KERNEL void bnn_gather_bits(const bnn_word *x, unsigned planes, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size group, bnn_size count,
                                bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                bnn_size before_h, bnn_size before_w, uint32_t fill, bnn_size row,
                                bnn_size column, bnn_word *y)
{
    const bnn_size x_words = bnn_words(height * width * channels);
    const bnn_size y_words = bnn_words(kernel_h * kernel_w * count);
    /* Where all channels of neighbouring pixels are taken, a row of taps is one run. */
    const int joined = dilation_w == 1u && count == channels &&
                       bnn_all_inside(column, stride_w, kernel_w, before_w, width);
    for (unsigned p = 0; p < planes; ++p) {
        const bnn_word *const from = x + p * x_words;
        bnn_word *const to = y + p * y_words;
        bnn_size at = 0;
        for (bnn_size i = 0; i < kernel_h; ++i) {
            const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
            if (joined && h < height) {
                const bnn_size w = column * stride_w - before_w;
                bnn_append_run(to, at, from, (h * width + w) * channels, kernel_w * count);
                at += kernel_w * count;
                continue;
            }
            for (bnn_size j = 0; j < kernel_w; ++j) {
                const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                if (h < height && w < width) {
                    const bnn_size first = (h * width + w) * channels + group * count;
                    bnn_append_run(to, at, from, first, count);
                } else {
                    bnn_append_fill(to, at, fill >> p & 1u, count);
                }
                at += count;
            }
        }
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

/* What padding adds to the sums of pixels of a row: y[p][o] += values[class - 1][o].
 *
 * A bipolar map has no code for 0, so that taps outside of it are gathered as another value; what
 * is wrong with the sums then depends on which taps lie outside and on nothing else. Pixels with
 * the same taps outside are one class; class 0 has none and nothing to add. */

BNN_KERNEL void bnn_add_border(const uint8_t BNN_ROM *row_class,
                               const uint8_t BNN_ROM *column_class, bnn_size classes,
                               const void BNN_ROM *values, bnn_type values_type, bnn_size n,
                               bnn_size row, bnn_size column, bnn_size pixels, int32_t *y)
{
    const bnn_size down = bnn_rom_u8(row_class + row);
    for (bnn_size p = 0; p < pixels; ++p) {
        const bnn_size border = down * classes + bnn_rom_u8(column_class + column + p);
        if (border != 0) {
            for (bnn_size i = 0; i < n; ++i) {
                const int32_t value = bnn_rom_load(values, values_type, (border - 1u) * n + i);
                y[p * n + i] = bnn_signed((uint32_t)y[p * n + i] + (uint32_t)value);
            }
        }
    }
}

/* n codes in bit planes, as pixel row * columns + column of a map of `total` codes. Pixels come in
 * order, from the first one on: bits behind those of this pixel are not kept. */

BNN_KERNEL void bnn_put_bits(const bnn_word *x, unsigned planes, bnn_size n, bnn_size total,
                             bnn_size columns, bnn_size row, bnn_size column, bnn_word *y)
{
    const bnn_size x_words = bnn_words(n);
    const bnn_size y_words = bnn_words(total);
    const bnn_size at = (row * columns + column) * n;
    for (unsigned p = 0; p < planes; ++p) {
        bnn_append_run(y + p * y_words, at, x + p * x_words, 0, n);
    }
}

/* The OR of the bits under each window, channel by channel. Taps outside of the map do not
 * count. */

BNN_KERNEL void bnn_max_pool_bits(const bnn_word *x, bnn_size height, bnn_size width,
                                  bnn_size channels, bnn_size rows, bnn_size columns,
                                  bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                  bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                  bnn_size before_h, bnn_size before_w, bnn_word *y)
{
    for (bnn_size pixel = 0; pixel < rows * columns; ++pixel) {
        const bnn_size row = pixel / columns;
        const bnn_size column = pixel % columns;
        for (bnn_size c = 0; c < channels; c += BNN_WORD_BITS) {
            const bnn_size lanes = bnn_lanes(channels, c);
            bnn_word bits = 0;
            for (bnn_size i = 0; i < kernel_h; ++i) {
                const bnn_size h = bnn_tap(row, stride_h, i, dilation_h, before_h, height);
                for (bnn_size j = 0; j < kernel_w; ++j) {
                    const bnn_size w = bnn_tap(column, stride_w, j, dilation_w, before_w, width);
                    if (h < height && w < width) {
                        const bnn_size at = (h * width + w) * channels + c;
                        bits = (bnn_word)(bits | bnn_take(x, at, lanes));
                    }
                }
            }
            bnn_append(y, pixel * channels + c, bits, lanes);
        }
    }
}

/* What the tables were made for; a negative size here means another machine. */
typedef char bnn_check_word[sizeof(bnn_word) * 8 == 16 ? 1 : -1];
typedef char bnn_check_size[(bnn_size)-1 >= 168 ? 1 : -1];

static const int8_t BNN_TABLE conv1_weights[108] = {
     6, -8, -6, -5, -6,  6,  7,  2, -9, -8, -3, -1,  2,  0, -4, -6,  4,  4,
    -9, -7, -1, -2,  7,  0, -2, -1,  3,  2, -6,  5,  5,  9,  5, -4, -3,  3,
     3,  4,  7, -4,  8, -9, -8,  9,  8, -4, -7, -4, -9,  7,  3,  2, -5, -1,
    -6,  5,  0, -9, -5,  4,  0, -2, -5, -8,  2,  3,  0,  8,  8, -6,  2,  2,
    -5, -4,  0,  5, -4,  4,  3, -5, -2,  6,  7,  3, -9,  3, -5,  6,  8, -1,
     9,  5, -3,  7, -2, -8,  2,  7,  3, -2,  8,  0, -2, -7, -5,  4,  6, -4
};

static const int8_t BNN_TABLE conv1_multiplier[1] = {
    3
};

static const int8_t BNN_TABLE conv1_bias[1] = {
    9
};

static const int8_t BNN_TABLE sign_at[1] = {
    0
};

static const bnn_word BNN_TABLE conv2_weights[20] = {
    0x9633, 0xf63a, 0x05bf, 0x000d, 0xf3e0, 0xae99, 0x4f51, 0x0023, 0x0425, 0xbafa, 0xc857, 0x0016,
    0x3619, 0xc04c, 0xced7, 0x0032, 0xc0bc, 0x9719, 0xa868, 0x0020
};

static const uint8_t BNN_TABLE conv2_row_class[3] = {
    1, 0, 2
};

static const uint8_t BNN_TABLE conv2_column_class[3] = {
    1, 0, 2
};

static const int8_t BNN_TABLE conv2_border[40] = {
      6,  12,  14,  11,   7,  -2,   2, -12,   2,   0,   6,  -1,  -7,   0,   6,
    -11,   4,  -6,  11,   3,  -1, -17, -18, -10,   1,  -1,  13, -14,   5,  -4,
      5, -15,  -4, -13,  -5, -11,   8,   7, -16,  -7
};

static const int8_t BNN_TABLE conv2_at[5] = {
     4,  2, -3,  1,  0
};

static const bnn_word BNN_TABLE conv3_weights[5] = {
    0x0007, 0x0009, 0x0004, 0x0002, 0x0006
};

static const int8_t BNN_TABLE conv3_at[2] = {
    -2,  2
};

static const bnn_word BNN_TABLE fc_weights[3] = {
    0x0010, 0x0016, 0x0009
};

/* Define BNN_TRACE to look at every result: call number, address and size in bytes. */
#ifndef BNN_TRACE
#define BNN_TRACE(call, address, bytes) ((void)0)
#endif

void maps_run(const uint8_t *input, int32_t *logits, void *arena)
{
    unsigned char *const memory = (unsigned char *)arena;
    uint8_t *const group_2 = (uint8_t *)(void *)(memory + 276);
    int32_t *const acc1 = (int32_t *)(void *)(memory + 252);
    int8_t *const pixel1 = (int8_t *)(void *)(memory + 294);
    int8_t *const h1 = (int8_t *)(void *)(memory + 0);
    int8_t *const h2 = (int8_t *)(void *)(memory + 0);
    bnn_word *const bits = (bnn_word *)(void *)(memory + 54);
    bnn_word *const patch2 = (bnn_word *)(void *)(memory + 20);
    int32_t *const acc2 = (int32_t *)(void *)(memory + 0);
    bnn_word *const pixel2 = (bnn_word *)(void *)(memory + 34);
    bnn_word *const h3 = (bnn_word *)(void *)(memory + 28);
    bnn_word *const patch3 = (bnn_word *)(void *)(memory + 24);
    int32_t *const row_2 = (int32_t *)(void *)(memory + 0);
    bnn_word *const column_2 = (bnn_word *)(void *)(memory + 26);
    bnn_word *const h5 = (bnn_word *)(void *)(memory + 20);
    bnn_word *const h6 = (bnn_word *)(void *)(memory + 0);

    /* conv1: 7x6x4 x uint8 -> 7x6x6 x int8, 4,536 MACs
     *   from /conv1/Conv:Conv
     *   For each of 7x6 pixels and each of 2 groups of channels:
     *     The taps under the window at pixel `(row, column)`: one group's `count` channels of
     *     each.
     *     Dense layer of integers by integer weights: `y[o] = sum_i x[i] * w[o][i]`.
     *   Then for the pixel:
     *     `y[i] = clamp((x[i] * multiplier + bias) >> shift, lo, hi)` with the row's piece that
     *     `x[i]` falls into.
     *     `n` integers as pixel `row * columns + column` of a map. */
    for (bnn_size row = 0; row < 7; ++row) {
        for (bnn_size column = 0; column < 6; ++column) {
            for (bnn_size group = 0; group < 2; ++group) {
                bnn_gather_integers(input, BNN_U8, 7, 6, 4, group, 2, 3, 3, 1, 1, 1, 1, 1, 1, 0,
                                    row, column, group_2, BNN_U8);
                bnn_dense_integer(group_2, BNN_U8, conv1_weights + group * 54, BNN_S8, 18, 3,
                                  acc1 + group * 3);
            }
            bnn_requantize(acc1, BNN_S32, 6, NULL, BNN_S8, conv1_multiplier, BNN_S8, conv1_bias,
                           BNN_S8, 1, 1, 5, -128, 127, pixel1, BNN_S8);
            bnn_put_integers(pixel1, BNN_S8, 6, 6, row, column, h1, BNN_S8);
        }
    }
    BNN_TRACE(0, h1, 252);

    /* pool1: 7x6x6 x int8 -> 3x3x6 x int8
     *   The largest integer under each window; taps outside of the map do not count. */
    bnn_max_pool_integers(h1, BNN_S8, 7, 6, 6, 3, 3, 2, 2, 2, 2, 1, 1, 0, 0, h2, BNN_S8);
    BNN_TRACE(1, h2, 54);

    /* sign: 54 x int8 -> 54 x 1 bit
     *   Bit `i` of `y` is `x[i] >= at[i % rows]`. */
    bnn_threshold(h2, BNN_S8, 54, sign_at, BNN_S8, 1, 1, bits);
    BNN_TRACE(2, bits, 8);

    /* conv2: 3x3x6 x 1 bit -> 3x3x5 x 1 bit, 2,430 MACs
     *   from /conv2/Conv:Conv
     *   For each of 3x3 pixels:
     *     The taps under the window at pixel `(row, column)`: the codes of one group's `count`
     *     channels of each.
     *     Bipolar by bipolar dense layer: `y[o] = n - 2 popcount(x ^ w[o])`.
     *     What padded taps would have added is taken back: `y[p][o] += values[class][o]`, for a
     *     pixel or several.
     *     Bit `i` of `y` is `x[i] >= at[i % rows]`.
     *     `n` codes in `planes` bit planes, as pixel `row * columns + column` of a map of
     *     `total` codes. */
    for (bnn_size row = 0; row < 3; ++row) {
        for (bnn_size column = 0; column < 3; ++column) {
            bnn_gather_bits(bits, 1, 3, 3, 6, 0, 6, 3, 3, 1, 1, 1, 1, 1, 1, 0, row, column, patch2);
            bnn_dense_xnor(patch2, conv2_weights, NULL, BNN_U8, 54, 5, acc2);
            bnn_add_border(conv2_row_class, conv2_column_class, 3, conv2_border, BNN_S8, 5, row,
                           column, 1, acc2);
            bnn_threshold(acc2, BNN_S32, 5, conv2_at, BNN_S8, 5, 1, pixel2);
            bnn_put_bits(pixel2, 1, 5, 45, 3, row, column, h3);
        }
    }
    BNN_TRACE(3, h3, 6);

    /* conv3: 3x3x5 x 1 bit -> 2x2x5 x 1 bit, 80 MACs
     *   from /conv3/Conv:Conv
     *   For each of 2x2 pixels and each of 5 groups of channels:
     *     The taps under the window at pixel `(row, column)`: the codes of one group's `count`
     *     channels of each.
     *     Bipolar by bipolar dense layer: `y[o] = n - 2 popcount(x ^ w[o])`.
     *   Then for the pixel:
     *     Bit `i` of `y` is the parity of how many of the `count` thresholds `at[i % rows]`
     *     `x[i]` reaches.
     *     `n` codes in `planes` bit planes, as pixel `row * columns + column` of a map of
     *     `total` codes. */
    for (bnn_size row = 0; row < 2; ++row) {
        for (bnn_size column = 0; column < 2; ++column) {
            for (bnn_size group = 0; group < 5; ++group) {
                bnn_gather_bits(h3, 1, 3, 3, 5, group, 1, 2, 2, 1, 1, 1, 1, 0, 0, 0, row, column,
                                patch3);
                bnn_dense_xnor(patch3, conv3_weights + group * 1, NULL, BNN_U8, 4, 1,
                               row_2 + group * 1);
            }
            bnn_threshold(row_2, BNN_S32, 5, conv3_at, BNN_S8, 1, 2, column_2);
            bnn_put_bits(column_2, 1, 5, 20, 2, row, column, h5);
        }
    }
    BNN_TRACE(4, h5, 4);

    /* pool3: 2x2x5 x 1 bit -> 1x1x5 x 1 bit
     *   The OR of the bits under each window; taps outside of the map do not count. */
    bnn_max_pool_bits(h5, 2, 2, 5, 1, 1, 2, 2, 1, 1, 1, 1, 0, 0, h6);
    BNN_TRACE(5, h6, 2);

    /* fc: 5 x 1 bit -> 3 x int32, 15 MACs
     *   Bipolar by bipolar dense layer: `y[o] = n - 2 popcount(x ^ w[o])`. */
    bnn_dense_xnor(h6, fc_weights, NULL, BNN_U8, 5, 3, logits);
    BNN_TRACE(6, logits, 12);
}

int maps_classify(const uint8_t *input, void *arena)
{
    int32_t logits[3];
    int best = 0;
    maps_run(input, logits, arena);
    for (int i = 1; i < 3; ++i) {
        if (logits[i] > logits[best]) {
            best = i;
        }
    }
    return best;
}

#ifndef MAPS_NO_SELFTEST

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
    -3,  1, -1, -3,  1, -1, -3,  1, -1, -3,  1, -1
};

int maps_selftest(void *arena)
{
    uint8_t input[168];
    int32_t logits[3];
    uint32_t draw = 0;
    for (bnn_size vector = 0; vector < 4; ++vector) {
        for (bnn_size i = 0; i < 168; ++i) {
            input[i] = (uint8_t)((int32_t)(bnn_noise(++draw) % 256u));
        }
        maps_run(input, logits, arena);
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
