/* A bipolar convolution of a whole map with its thresholds, and the OR of each pool, with pixels as
 * the lanes of counters: bit o of a pixel is 1 where v of output o reaches an odd number of its
 * thresholds. Windows are moved by one pixel at a time.
 *
 * With ones(x) of the taps of a pixel being 1, and `common` of those taps whose weights are 1,
 *     v = n - ones(x) + 2 common,
 * as in bnn_sliced.h; but a lane is a pixel here, so that weights are the same in all lanes, and
 * which planes are added is known beforehand. Three outputs share what they have in common: for
 * each choice of them there is a list of those taps that just these add. Where fewer taps are
 * listed so, an output has the opposite weights, and is 1 where v does not reach.
 *
 * Rows of pixels are computed in bands. For each band there is a plane (bnn_planes.h) for each
 * channel and each column of the window: what the window at a pixel sees there in its first row.
 * Table `taps` has a list of all of them, behind the number of its eights; then, for each group of
 * three outputs in a word of outputs: their numbers in the word, BNN_WORD_BITS where one is
 * missing; how many eights each of seven lists has; and these lists. Bit i of the number of a list,
 * 1 to 7, says that output i of the group adds it; in the table 7 comes first, then 3, 5, 6, 1, 2,
 * 4. Table `at` is, output by output in this order, what bnn_lane_counts.h says; it has one for
 * missing outputs, too. */
#include "bnn_kernels.h"
#include "bnn_lane_counts.h"

#define BNN_UNIT 64u    /* bytes that scratch is divided into: no digit has more */
#define BNN_MARGIN 32u  /* bytes in front of a plane that is shifted */
#define BNN_TOGETHER 3u /* outputs that share lists */
#define BNN_SHARED 7u   /* lists of a group */
#define BNN_ZEROS 8u    /* a list of none */

typedef struct bnn_plane_layout {
    bnn_size pitch;    /* bytes of a row */
    bnn_size bytes;    /* from plane to plane */
    bnn_size apart;    /* the same, where digits must not reach into the next one */
    uint8_t *planes;   /* channels * kernel_w, and one of zeros */
    uint8_t *flat;     /* of one word of channels: rows of the map itself */
    uint8_t *counts;   /* digits: how many of `planes` are 1 */
    uint8_t *masks;    /* kernel_w: where a column of the window lies on the map */
    uint8_t *borders;  /* classes: where pixels of the class are */
    uint8_t *patterns; /* column classes: one row of these */
    uint8_t *codes;    /* 2^classes digits (bnn_lane_counts.h) */
} bnn_plane_layout;

/* So many bytes in whole units, and one more for what digits read and write beyond. */
BNN_INLINE bnn_size bnn_units(bnn_size bytes)
{
    return (bytes / BNN_UNIT + 2u) * BNN_UNIT;
}

BNN_INLINE bnn_size bnn_least(bnn_size a, bnn_size b)
{
    return a < b ? a : b;
}

BNN_INLINE bnn_size bnn_most(bnn_size a, bnn_size b)
{
    return a > b ? a : b;
}

/* Divides scratch for planes of `rows` rows. */
BNN_INLINE bnn_plane_layout bnn_lay_out(bnn_size pitch, bnn_size rows, bnn_size planes,
                                        bnn_size kernel_w, unsigned digits, bnn_size borders,
                                        bnn_size classes, uint8_t *scratch)
{
    bnn_plane_layout at;
    at.pitch = pitch;
    at.bytes = rows * pitch;
    at.apart = bnn_units(at.bytes + BNN_MARGIN);
    at.planes = scratch;
    at.flat = at.planes + bnn_units((planes + 1u) * at.bytes);
    at.counts = at.flat + BNN_WORD_BITS * at.apart;
    at.masks = at.counts + digits * at.apart;
    at.borders = at.masks + kernel_w * at.apart;
    at.patterns = at.borders + borders * at.apart;
    at.codes = at.patterns + classes * pitch;
    return at;
}

/* The words of n channels from c on of the map's pixels that the lanes `lane` to `end` - 1 are in a
 * band whose rows begin `top - before_h` rows down the map; they are a word of a digit. */
BNN_INLINE void bnn_take_square(const bnn_word *x, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size c, bnn_size n, bnn_size top,
                                bnn_size before_h, bnn_word fill, bnn_size lane, bnn_size end,
                                bnn_size pitch, bnn_word *square)
{
    const bnn_size bits = 8u * pitch;
    for (bnn_size row = lane / bits; row < (end - 1u) / bits + 1u; ++row) {
        const bnn_size from = bnn_tap(top + row, 1, 0, 1, before_h, height);
        const bnn_size first = bnn_most(row * bits, lane);
        const bnn_size behind = bnn_least((row + 1u) * bits, end);
        const bnn_size inside = bnn_least(row * bits + (from < height ? width : 0), behind);
        bnn_size at = (from * width + first - row * bits) * channels + c;
        for (bnn_size i = first; i < inside; ++i) {
            *square = bnn_take(x, at, n);
            square += BNN_SLICE_WORDS;
            at += channels;
        }
        for (bnn_size i = bnn_most(first, inside); i < behind; ++i) {
            *square = fill;
            square += BNN_SLICE_WORDS;
        }
    }
}

/* The planes of n channels from c on, first as rows of the map, then as the columns of the window
 * see them. */
BNN_INLINE void bnn_fill_planes(const bnn_word *x, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size c, bnn_size n, bnn_size kernel_w,
                                bnn_size dilation_w, bnn_size top, bnn_size before_h,
                                bnn_size before_w, uint32_t fill, const bnn_plane_layout *to)
{
    const bnn_word filled = fill != 0 ? (bnn_word)~(bnn_word)0 : 0;
    const bnn_size lanes = 8u * to->bytes;
    uint8_t *plane = to->planes + c * kernel_w * to->bytes;
    for (bnn_size b = 0; b < to->bytes; b += sizeof(bnn_digit)) {
        bnn_digit squares[BNN_WORD_BITS] = {0};
        for (bnn_size i = 0; i < BNN_SLICE_WORDS; ++i) {
            const bnn_size lane = 8u * b + i * BNN_WORD_BITS;
            if (lane < lanes) {
                bnn_take_square(x, height, width, channels, c, n, top, before_h, filled, lane,
                                bnn_least(lane + BNN_WORD_BITS, lanes), to->pitch,
                                (bnn_word *)squares + i);
            }
        }
        bnn_transpose(squares);
        for (bnn_size i = 0; i < n; ++i) {
            bnn_store_lanes(to->flat + i * to->apart + BNN_MARGIN + b, squares[i]);
        }
    }
    for (bnn_size i = 0; i < n; ++i) {
        for (bnn_size j = 0; j < kernel_w; ++j) {
            bnn_shift_plane(to->flat + i * to->apart, 8u * BNN_MARGIN + j * dilation_w - before_w,
                            to->masks + j * to->apart, bnn_digit_of(fill != 0 ? 1u : 0u), to->bytes,
                            plane);
            plane += to->bytes;
        }
    }
}

/* How many planes are 1, in digits. */
BNN_INLINE void bnn_count_all(const uint16_t BNN_ROM *list, bnn_size eights, unsigned digits,
                              const bnn_plane_layout *to)
{
    for (bnn_size b = 0; b < to->bytes; b += sizeof(bnn_digit)) {
        bnn_digit v[BNN_DIGITS + 1u];
        bnn_begin_slices(v, digits, 0);
        (void)bnn_count_planes(list, eights, to->planes + b, digits, v, v);
        for (unsigned d = 0; d < digits; ++d) {
            bnn_store_lanes(to->counts + d * to->apart + b, v[d]);
        }
    }
}

/* Where the pixels of each class are in so many rows from `top` on. */
BNN_INLINE void bnn_fill_borders(const uint8_t BNN_ROM *row_class, bnn_size top, bnn_size rows,
                                 bnn_size borders, bnn_size classes, const bnn_plane_layout *to)
{
    memset(to->borders, 0, borders * to->apart);
    for (bnn_size r = 0; r < rows; ++r) {
        const bnn_size first = bnn_rom_u8(row_class + top + r) * classes;
        for (bnn_size k = 0; k < classes; ++k) {
            memcpy(to->borders + (first + k) * to->apart + r * to->pitch,
                   to->patterns + k * to->pitch, to->pitch);
        }
    }
}

/* v += counts. The carry is what waits for the digit below. */
BNN_INLINE void bnn_add_counts(bnn_digit *v, const bnn_digit *counts, unsigned digits)
{
    bnn_digit carry = bnn_digit_of(0);
    for (unsigned d = 0; d < digits; ++d) {
        bnn_digit sum = carry;
        carry = bnn_add_digits(&sum, v[d], counts[d]);
        v[d] = sum;
    }
}

/* v where nothing is common, for the lanes from byte b on: n less the ones of all taps, that is
 * what is left to 2^digits - 1 when as much is added to 2^digits - 1 - n. */
BNN_INLINE void bnn_begin_lanes(bnn_size b, bnn_size n, bnn_size kernel_h, bnn_size row,
                                unsigned digits, const bnn_plane_layout *from, bnn_digit *v)
{
    bnn_begin_slices(v, digits, ((bnn_size)1 << digits) - 1u - n);
    for (bnn_size i = 0; i < kernel_h; ++i) {
        bnn_digit counts[BNN_DIGITS];
        for (unsigned d = 0; d < digits; ++d) {
            counts[d] = bnn_load_lanes(from->counts + d * from->apart + b + i * row);
        }
        bnn_add_counts(v, counts, digits);
    }
    for (unsigned d = 0; d < digits; ++d) {
        v[d] = (bnn_digit)~v[d];
    }
}

/* The lists of a group in the order of the table, and to what each is added: 0 is where counters
 * begin, and BNN_ZEROS is nothing, for what is added to others. */
static const uint8_t bnn_sharing[BNN_SHARED] = {7, 3, 5, 6, 1, 2, 4};
static const uint8_t bnn_added_to[BNN_SHARED] = {0, 7, BNN_ZEROS, BNN_ZEROS, 3, 3, 7};

/* Counters without the digit of ones, as what is listed adds 2: where they begin, the sums of the
 * lists of a group by their numbers, and zeros. */
typedef bnn_digit bnn_group_sums[BNN_ZEROS + 1u][BNN_DIGITS + 1u];

/* The bit of output i of a group, as squares have it, from the sums of its lists. */
BNN_INLINE bnn_digit bnn_output_bit(unsigned i, bnn_group_sums sums, bnn_digit ones,
                                    const uint16_t BNN_ROM *at, bnn_size count, unsigned digits,
                                    const uint8_t *codes)
{
    bnn_digit v[BNN_DIGITS + 1u];
    v[0] = ones;
    for (unsigned d = 1; d < digits; ++d) {
        v[d] = sums[1u << i][d - 1u];
    }
    if (i != 1u) {
        bnn_add_counts(v + 1, sums[5], digits - 1u);
    }
    if (i != 0u) {
        bnn_add_counts(v + 1, sums[6], digits - 1u);
    }
    return bnn_by_bytes(bnn_reached_codes(v, at, count, digits, codes));
}

/* The bits of a group of outputs, as squares have them; returns the end of the group's lists. */
BNN_INLINE const uint16_t BNN_ROM *
bnn_output_group(const uint16_t BNN_ROM *group, const uint16_t BNN_ROM *at, bnn_size count,
                 unsigned digits, const uint8_t *planes, const uint8_t *codes, bnn_digit ones,
                 bnn_group_sums sums, bnn_digit *squares)
{
    const uint16_t BNN_ROM *list = group + BNN_TOGETHER + BNN_SHARED;
    for (unsigned k = 0; k < BNN_SHARED; ++k) {
        list = bnn_count_planes(list, bnn_rom_u16(group + BNN_TOGETHER + k), planes, digits - 1u,
                                sums[bnn_added_to[k]], sums[bnn_sharing[k]]);
    }
    for (unsigned i = 0; i < BNN_TOGETHER; ++i) {
        squares[bnn_rom_u16(group + i)] =
            bnn_output_bit(i, sums, ones, at + i * (1u + count * digits), count, digits, codes);
    }
    return list;
}

/* ORs n bits into y from bit `at` on; the others of `bits` are 0. */
BNN_INLINE void bnn_or_bits(bnn_word *y, bnn_size at, bnn_word bits, bnn_size n)
{
    const bnn_size word = at / BNN_WORD_BITS;
    const bnn_size shift = at % BNN_WORD_BITS;
    y[word] = (bnn_word)(y[word] | (bnn_word)(bits << shift));
    if (shift + n > BNN_WORD_BITS) {
        y[word + 1u] = (bnn_word)(y[word + 1u] | (bnn_word)(bits >> (BNN_WORD_BITS - shift)));
    }
}

/* ORs the n outputs from o on of the pixels that the lanes `lane` to `end` - 1 are, a word of a
 * digit, into their pools. */
BNN_INLINE void bnn_put_square(const bnn_word *square, bnn_size lane, bnn_size end, bnn_size pitch,
                               bnn_size top, bnn_size columns, bnn_size pool_h, bnn_size pool_w,
                               bnn_size outs, bnn_size o, bnn_size n, bnn_word *y)
{
    const bnn_size pools = (columns + pool_w - 1u) / pool_w;
    const bnn_size bits = 8u * pitch;
    for (bnn_size row = lane / bits; row < (end - 1u) / bits + 1u; ++row) {
        const bnn_size first = bnn_most(row * bits, lane);
        const bnn_size behind = bnn_least(row * bits + columns, end);
        const bnn_size column = first - row * bits;
        const bnn_word *from = square + (first - lane) * BNN_SLICE_WORDS;
        bnn_size at = ((top + row) / pool_h * pools + column / pool_w) * outs + o;
        bnn_size within = column % pool_w;
        for (bnn_size i = first; i < behind; ++i) {
            bnn_or_bits(y, at, *from, n);
            from += BNN_SLICE_WORDS;
            if (++within == pool_w) {
                within = 0;
                at += outs;
            }
        }
    }
}

BNN_KERNEL void bnn_convolve_planes(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size dilation_h, bnn_size dilation_w, bnn_size before_h,
    bnn_size before_w, bnn_size rows, bnn_size columns, bnn_size outs, bnn_size pool_h,
    bnn_size pool_w, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, bnn_size borders, uint32_t fill, bnn_size band, const uint16_t BNN_ROM *taps,
    const uint16_t BNN_ROM *at, bnn_size count, unsigned digits, uint8_t *scratch, bnn_word *y)
{
    const bnn_size pitch = (bnn_most(width, columns) + 7u) / 8u;
    const bnn_size high = band + (kernel_h - 1u) * dilation_h;
    const bnn_size n = kernel_h * kernel_w * channels;
    const bnn_size pools = (rows + pool_h - 1u) / pool_h * ((columns + pool_w - 1u) / pool_w);
    const bnn_plane_layout to = bnn_lay_out(pitch, high, kernel_w * channels, kernel_w, digits,
                                            borders, classes, scratch);
    memset(y, 0, bnn_words(pools * outs) * sizeof *y);
    memset(to.masks, 0, kernel_w * to.apart);
    for (bnn_size j = 0; j < kernel_w; ++j) {
        uint8_t *const mask = to.masks + j * to.apart;
        bnn_mark_inside(mask, 8u * pitch, j * dilation_w, before_w, width);
        bnn_repeat_row(mask, pitch, high);
    }
    memset(to.patterns, 0, classes * pitch);
    for (bnn_size c = 0; c < columns && column_class != NULL; ++c) {
        uint8_t *const byte = to.patterns + bnn_rom_u8(column_class + c) * pitch + c / 8u;
        *byte = (uint8_t)(*byte | 1u << c % 8u);
    }
    for (bnn_size top = 0; top < rows; top += band) {
        const bnn_size here = bnn_least(rows - top, band);
        const bnn_size lanes = 8u * here * pitch;
        const bnn_size eights = bnn_rom_u16(taps);
        for (bnn_size c = 0; c < channels; c += BNN_WORD_BITS) {
            bnn_fill_planes(x, height, width, channels, c, bnn_lanes(channels, c), kernel_w,
                            dilation_w, top, before_h, before_w, fill, &to);
        }
        memset(to.planes + kernel_w * channels * to.bytes, 0, to.bytes);
        bnn_count_all(taps + 1, eights, digits, &to);
        if (row_class != NULL) {
            bnn_fill_borders(row_class, top, here, borders, classes, &to);
        }
        for (bnn_size b = 0; b < here * pitch; b += sizeof(bnn_digit)) {
            const uint16_t BNN_ROM *list = taps + 1u + 8u * eights;
            const uint16_t BNN_ROM *codes = at;
            bnn_digit begin[BNN_DIGITS + 1u];
            bnn_group_sums sums;
            bnn_begin_lanes(b, n, kernel_h, dilation_h * pitch, digits, &to, begin);
            memcpy(sums[0], begin + 1, (digits - 1u) * sizeof *begin);
            bnn_begin_slices(sums[BNN_ZEROS], digits - 1u, 0);
            bnn_digits_of_codes(row_class == NULL ? NULL : to.borders + b, to.apart, borders,
                                to.codes);
            for (bnn_size o = 0; o < outs; o += BNN_WORD_BITS) {
                bnn_digit squares[BNN_WORD_BITS + 1u];
                memset(squares, 0, sizeof squares);
                for (bnn_size i = 0; i < bnn_lanes(outs, o); i += BNN_TOGETHER) {
                    list = bnn_output_group(list, codes, count, digits, to.planes + b, to.codes,
                                            begin[0], sums, squares);
                    codes += BNN_TOGETHER * (1u + count * digits);
                }
                bnn_transpose(squares);
                for (bnn_size i = 0; i < BNN_SLICE_WORDS; ++i) {
                    const bnn_size lane = 8u * b + i * BNN_WORD_BITS;
                    if (lane < lanes) {
                        bnn_put_square((const bnn_word *)squares + i, lane,
                                       bnn_least(lane + BNN_WORD_BITS, lanes), pitch, top, columns,
                                       pool_h, pool_w, outs, o, bnn_lanes(outs, o), y);
                    }
                }
            }
        }
    }
}
