/* The network `branches`; see branches.h. First come the kernels that it calls, the same for
 * every network, then its tables, then its layers. */

#include "branches.h"

#define BNN_WORD_BITS 32
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

/* Packed input bytes to words: bit i of y is bit i % 8 of byte i / 8 of x. Bits of x behind the
 * last element are ignored. */

BNN_KERNEL void bnn_load_bits(const uint8_t *x, bnn_size n, bnn_word *y)
{
    const bnn_word ones = (bnn_word)~(bnn_word)0;
    for (bnn_size i = 0; i < n; i += BNN_WORD_BITS) {
        const bnn_size lanes = bnn_lanes(n, i);
        const bnn_size bytes = (lanes + 7u) / 8u;
        bnn_word bits = 0;
        for (bnn_size j = 0; j < bytes; ++j) {
            bits = (bnn_word)(bits | ((bnn_word)x[i / 8u + j] << (8u * j)));
        }
        y[i / BNN_WORD_BITS] = (bnn_word)(bits & (ones >> (BNN_WORD_BITS - lanes)));
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

/* The index of the largest integer: y[0] is the first i with x[i] >= x[j] for every j.
 *
 * y may begin where x begins: it is written when all of x has been read. */

BNN_KERNEL void bnn_argmax(const void *x, bnn_type x_type, bnn_size n, int32_t *y)
{
    bnn_size best = 0;
    int32_t largest = bnn_load(x, x_type, 0);
    for (bnn_size i = 1; i < n; ++i) {
        const int32_t value = bnn_load(x, x_type, i);
        if (value > largest) {
            largest = value;
            best = i;
        }
    }
    y[0] = (int32_t)best;
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

/* Integers to small codes: code i of y is levels[row][k], where k counts the thresholds
 * at[row][0..count-1] that x[i] reaches (x[i] >= threshold) and row = i % rows. Without levels
 * (NULL) the code is k itself. The `planes` low bits of the codes leave as bit planes. */

BNN_KERNEL void bnn_steps(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                          bnn_type at_type, bnn_size rows, bnn_size count,
                          const uint8_t BNN_ROM *levels, unsigned planes, bnn_word *y)
{
    const bnn_size words = bnn_words(n);
    bnn_size row = 0;
    for (bnn_size i = 0; i < words * planes; ++i) {
        y[i] = 0;
    }
    for (bnn_size i = 0; i < n; ++i) {
        const int32_t value = bnn_load(x, x_type, i);
        unsigned code = bnn_reached(value, at, at_type, row * count, count);
        if (levels != NULL) {
            code = bnn_rom_u8(levels + row * (count + 1u) + code);
        }
        for (unsigned p = 0; p < planes; ++p) {
            y[p * words + i / BNN_WORD_BITS] |= bnn_bit(code >> p & 1u, i % BNN_WORD_BITS);
        }
        row = row + 1u < rows ? row + 1u : 0u;
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

/* What the tables were made for; a negative size here means another machine. */
typedef char bnn_check_word[sizeof(bnn_word) * 8 == 32 ? 1 : -1];
typedef char bnn_check_size[(bnn_size)-1 >= 6 ? 1 : -1];

static const bnn_word BNN_TABLE v_int[4] = {
    0x09f324ce, 0x514b5c12, 0x7b3f9b87, 0x3f8d6a7c
};

static const uint8_t BNN_TABLE int_tail[4] = {
    17,  7,  3, 12
};

static const int16_t BNN_TABLE v_bnn_load[3] = {
    -30000,      0,  30000
};

static const int32_t BNN_TABLE start[1] = {
    5
};

static const int32_t BNN_TABLE v_arena_2[2] = {
    (-2147483647 - 1),                 7
};

static const int64_t BNN_TABLE bias[2] = {
    -9223301668110598144,        1099511627776
};

/* Define BNN_TRACE to look at every result: call number, address and size in bytes. */
#ifndef BNN_TRACE
#define BNN_TRACE(call, address, bytes) ((void)0)
#endif

void branches_run(const uint8_t *v2nd_e_input,
                  const int16_t *v_for,
                  int32_t *v2nd_e_input_2,
                  int32_t *v_arena,
                  void *arena)
{
    unsigned char *const memory = (unsigned char *)arena;
    bnn_word *const packed = (bnn_word *)(void *)(memory + 16);
    int32_t *const acc = (int32_t *)(void *)(memory + 0);
    bnn_word *const codes = (bnn_word *)(void *)(memory + 0);

    /* load: 37 x uint8 -> 37 x 1 bit
     *   Packed input bytes (bit `i` is bit `i % 8` of byte `i // 8`) into words. */
    bnn_load_bits(v2nd_e_input, 37, packed);
    BNN_TRACE(0, packed, 8);

    /* a* /b: 37 x 1 bit -> 4 x int32, 148 MACs
     *   from a* /b? ?/:MatMul
     *   Bipolar by bipolar dense layer: `y[o] = n - 2 popcount(x ^ w[o])`. */
    bnn_dense_xnor(packed, v_int, int_tail, BNN_U8, 37, 4, acc);
    BNN_TRACE(1, acc, 16);

    /* argmax: 4 x int32 -> 1 x int32
     *   from ArgMax
     *   `y[0]` is the index of the first of the largest of `x[0..n-1]`. */
    bnn_argmax(acc, BNN_S32, 4, v2nd_e_input_2);
    BNN_TRACE(2, v2nd_e_input_2, 4);

    /* steps: 6 x int16 -> 6 x 2 bit
     *   Code `i` of `y` is `levels[i % rows][k]`, `k` the count of the row's thresholds that
     *   `x[i]` reaches. */
    bnn_steps(v_for, BNN_S16, 6, v_bnn_load, BNN_S16, 1, 3, NULL, 2, codes);
    BNN_TRACE(3, codes, 8);

    /* scale: 6 x int16 -> 6 x int32
     *   `y[i] = clamp((x[i] * multiplier + bias) >> shift, lo, hi)` with the row's piece that
     *   `x[i]` falls into. */
    bnn_requantize(v_for, BNN_S16, 6, start, BNN_S32, v_arena_2, BNN_S32, bias, BNN_S64, 1, 2, 20,
                   (-2147483647 - 1), 2147483647, v_arena, BNN_S32);
    BNN_TRACE(4, v_arena, 24);
}

#ifndef BRANCHES_NO_SELFTEST

/* Made-up inputs for the self-test. */

/* The 32-bit finalizer of MurmurHash3 (Appleby, public domain): the i-th number of a fixed
 * sequence, without state. */
BNN_INLINE uint32_t bnn_noise(uint32_t i)
{
    i = (i ^ (i >> 16)) * UINT32_C(0x85ebca6b);
    i = (i ^ (i >> 13)) * UINT32_C(0xc2b2ae35);
    return i ^ (i >> 16);
}

static const int32_t BNN_TABLE selftest_0[3] = {
    -32768,      0,      7
};

static const int32_t BNN_TABLE selftest_1[3] = {
    65536,     4,     3
};

static const int32_t BNN_TABLE selftest_2[4] = {
    0, 0, 0, 0
};

static const int32_t BNN_TABLE selftest_3[24] = {
    (-2147483647 - 1), (-2147483647 - 1),           1048576, (-2147483647 - 1), (-2147483647 - 1),
              1048576,
              1048576, (-2147483647 - 1),           1048576, (-2147483647 - 1), (-2147483647 - 1),
              1048576,
              1048576, (-2147483647 - 1),           1048576,           1048576, (-2147483647 - 1),
              1048576,
              1048576, (-2147483647 - 1),           1048576,           1048576, (-2147483647 - 1),
              1048576
};

int branches_selftest(void *arena)
{
    uint8_t v2nd_e_input[5];
    int16_t v_for[6];
    int32_t v2nd_e_input_2[1];
    int32_t v_arena[6];
    uint32_t draw = 0;
    for (bnn_size vector = 0; vector < 4; ++vector) {
        for (bnn_size i = 0; i < 5; ++i) {
            v2nd_e_input[i] = (uint8_t)((int32_t)(bnn_noise(++draw) % 256u));
        }
        for (bnn_size i = 0; i < 6; ++i) {
            const int32_t lo = bnn_rom_s32(selftest_0 + i % 3);
            const uint32_t levels = (uint32_t)bnn_rom_s32(selftest_1 + i % 3);
            v_for[i] = (int16_t)(lo + (int32_t)(bnn_noise(++draw) % levels));
        }
        branches_run(v2nd_e_input, v_for, v2nd_e_input_2, v_arena, arena);
        for (bnn_size i = 0; i < 1; ++i) {
            const int32_t wanted = bnn_rom_s32(selftest_2 + vector * 1 + i);
            if (v2nd_e_input_2[i] != wanted) {
                return (int)vector + 1;
            }
        }
        for (bnn_size i = 0; i < 6; ++i) {
            const int32_t wanted = bnn_rom_s32(selftest_3 + vector * 6 + i);
            if (v_arena[i] != wanted) {
                return (int)vector + 1;
            }
        }
    }
    return 0;
}

#endif
