/* The kernels: their prototypes are the interface between compiler and C.
 *
 * Parameters are, in order, the fields of the class of the same name in bnncompiler/calls.py or
 * one of the modules *_calls.py beside it, whose `run` is the kernel's meaning in numpy. Each
 * kernel's file says in full what it computes.
 *
 * x, y                     working memory: bits packed into words, or integers
 * const void *x, x_type    integers of any type of bnn_type
 * BNN_ROM                  the pointer is to a constant table
 * n, outs                  numbers of elements read and written
 * rows                     element i uses row i % rows of the tables
 * planes, x_signed         x is bit planes, one after the other; the last weighs negative where
 *                          x_signed is 1
 * bias                     may be NULL: all zero
 * height, width, channels  of the map that is read: element i is channel i % channels of pixel
 *                          i / channels, pixels row by row
 * scratch                  working memory, in no particular state; NULL for ports that want none
 * kernel_*, stride_*, dilation_*, before_*
 *                          the window: tap t of position p is at p * stride + t * dilation - before
 *
 * Packed bits: element i is bit i % BNN_WORD_BITS of word i / BNN_WORD_BITS; bits behind the
 * last element are 0, and every kernel relies on it and keeps it so. x and y do not overlap
 * unless a kernel says that they may. */
#ifndef BNN_KERNELS_H
#define BNN_KERNELS_H

#include "bnn_types.h"

/* `static` where a model's file holds its kernels. */
#ifndef BNN_KERNEL
#define BNN_KERNEL
#endif

/* Between integers and bits. */
BNN_KERNEL void bnn_threshold(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                              bnn_type at_type, bnn_size rows, bnn_size count, bnn_word *y);
BNN_KERNEL void bnn_steps(const void *x, bnn_type x_type, bnn_size n, const void BNN_ROM *at,
                          bnn_type at_type, bnn_size rows, bnn_size count,
                          const uint8_t BNN_ROM *levels, unsigned planes, bnn_word *y);
BNN_KERNEL void bnn_load_bits(const uint8_t *x, bnn_size n, bnn_word *y);
BNN_KERNEL void bnn_slice(const void *x, bnn_type x_type, bnn_size n, unsigned planes, bnn_word *y);
BNN_KERNEL void bnn_unpack(const bnn_word *x, bnn_size n, unsigned planes, int32_t lo, int32_t step,
                           void *y, bnn_type y_type);

/* Dense layers. */
BNN_KERNEL void bnn_dense_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                    const void BNN_ROM *tail, bnn_type tail_type,
                                    const void BNN_ROM *at, bnn_type at_type,
                                    bnn_size count, bnn_size n, bnn_size outs, bnn_word *y);
BNN_KERNEL void bnn_dense_sliced_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                           const bnn_word BNN_ROM *at, bnn_size count,
                                           unsigned digits, bnn_size n, bnn_size outs,
                                           void *scratch, bnn_word *y);
BNN_KERNEL void bnn_dense_sliced_border(const bnn_word *x, const bnn_word BNN_ROM *w,
                                        const bnn_word BNN_ROM *at, bnn_size count, unsigned digits,
                                        bnn_size n, bnn_size outs, const uint8_t BNN_ROM *row_class,
                                        const uint8_t BNN_ROM *column_class, bnn_size classes,
                                        bnn_size row, bnn_size column, void *scratch,
                                        bnn_word *y);
BNN_KERNEL void bnn_dense_sliced_planes(const bnn_word *x, unsigned planes,
                                        const bnn_word BNN_ROM *w, unsigned digits, bnn_size n,
                                        bnn_size outs, void *scratch, int32_t *y);
BNN_KERNEL void bnn_dense_sliced(const bnn_word *x, const bnn_word BNN_ROM *w,
                                 const void BNN_ROM *offset, bnn_type offset_type, unsigned digits,
                                 bnn_size n, bnn_size outs, void *scratch, int32_t *y);
BNN_KERNEL void bnn_dense_tiled_threshold(const bnn_word *x, const bnn_word BNN_ROM *w,
                                          const void BNN_ROM *at, bnn_type at_type, bnn_size count,
                                          bnn_size n, bnn_size outs, bnn_word *y);
BNN_KERNEL void bnn_dense_tiled(const bnn_word *x, const bnn_word BNN_ROM *w, bnn_size n,
                                bnn_size outs, int32_t *y);
BNN_KERNEL void bnn_dense_xnor(const bnn_word *x, const bnn_word BNN_ROM *w,
                               const void BNN_ROM *tail, bnn_type tail_type, bnn_size n,
                               bnn_size outs, int32_t *y);
BNN_KERNEL void bnn_dense_bipolar(const bnn_word *x, unsigned planes, int x_signed,
                                  const bnn_word BNN_ROM *w, const void BNN_ROM *tail,
                                  bnn_type tail_type, const int32_t BNN_ROM *bias, bnn_size n,
                                  bnn_size outs, int32_t *y);
BNN_KERNEL void bnn_dense_ternary(const bnn_word *x, unsigned planes, int x_signed,
                                  const bnn_word BNN_ROM *plus, const void BNN_ROM *plus_tail,
                                  bnn_type plus_type, const bnn_word BNN_ROM *minus,
                                  const void BNN_ROM *minus_tail, bnn_type minus_type,
                                  const int32_t BNN_ROM *bias, bnn_size n, bnn_size outs,
                                  int32_t *y);
BNN_KERNEL void bnn_dense_select(const bnn_word *x, unsigned planes, int x_signed,
                                 const void BNN_ROM *w, bnn_type w_type,
                                 const int32_t BNN_ROM *bias, bnn_size n, bnn_size outs,
                                 int32_t *y);
BNN_KERNEL void bnn_dense_integer(const void *x, bnn_type x_type, const void BNN_ROM *w,
                                  bnn_type w_type, bnn_size n, bnn_size outs, int32_t *y);
BNN_KERNEL void bnn_dense_signs(const void *x, bnn_type x_type, const bnn_word BNN_ROM *w,
                                bnn_size n, bnn_size outs, int32_t *y);
BNN_KERNEL void bnn_dense_columns(const void *x, bnn_type x_type, const void BNN_ROM *w,
                                  bnn_type w_type, bnn_size n, bnn_size outs, int32_t *y);
BNN_KERNEL void bnn_dense_wide(const void *x, bnn_type x_type, const void BNN_ROM *w,
                               bnn_type w_type, bnn_size n, bnn_size outs, unsigned shift,
                               int32_t *y);
BNN_KERNEL void bnn_dense_limbs(const void *x, bnn_type x_type, const int16_t BNN_ROM *w,
                                unsigned limbs, bnn_size most, bnn_size n, bnn_size outs,
                                bnn_size pixels, unsigned shift, int32_t *y);
BNN_KERNEL void bnn_dense_wide_tiled(const void *x, bnn_type x_type, const int32_t BNN_ROM *w,
                                     bnn_size n, bnn_size outs, bnn_size pixels, unsigned shift,
                                     int32_t *y);

/* From integers to integers. */
BNN_KERNEL void bnn_requantize(const void *x, bnn_type x_type, bnn_size n,
                               const void BNN_ROM *start, bnn_type start_type,
                               const void BNN_ROM *multiplier, bnn_type multiplier_type,
                               const void BNN_ROM *bias, bnn_type bias_type, bnn_size rows,
                               bnn_size pieces, unsigned shift, int32_t lo, int32_t hi, void *y,
                               bnn_type y_type);
BNN_KERNEL void bnn_scale(const void *x, bnn_type x_type, bnn_size n,
                          const void BNN_ROM *multiplier, bnn_type multiplier_type,
                          const void BNN_ROM *bias, bnn_type bias_type, bnn_size rows, void *y,
                          bnn_type y_type);
BNN_KERNEL void bnn_lookup(const void *x, bnn_type x_type, bnn_size n, int32_t lo, int32_t step,
                           const void BNN_ROM *table, bnn_type table_type, bnn_size rows,
                           bnn_size entries, void *y, bnn_type y_type);
BNN_KERNEL void bnn_argmax(const void *x, bnn_type x_type, bnn_size n, int32_t *y);
BNN_KERNEL void bnn_top_indices(const void *x, bnn_type x_type, bnn_size n, bnn_size k, int32_t *y);
BNN_KERNEL void bnn_top_values(const void *x, bnn_type x_type, bnn_size n, bnn_size k, void *y,
                               bnn_type y_type);

/* Pixel by pixel: what a window takes from the map that is read, what padding adds to its sums, and
 * putting the result into the map that is written. */
BNN_KERNEL void bnn_gather_bits(const bnn_word *x, unsigned planes, bnn_size height, bnn_size width,
                                bnn_size channels, bnn_size group, bnn_size count,
                                bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                bnn_size before_h, bnn_size before_w, uint32_t fill, bnn_size row,
                                bnn_size column, bnn_word *y);
BNN_KERNEL void bnn_gather_integers(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                                    bnn_size channels, bnn_size group, bnn_size count,
                                    bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                    bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                    bnn_size before_h, bnn_size before_w, int32_t fill,
                                    bnn_size row, bnn_size column, void *y, bnn_type y_type);
BNN_KERNEL void bnn_gather_row(const void *x, bnn_type x_type, bnn_size height, bnn_size width,
                               bnn_size channels, bnn_size kernel_h, bnn_size kernel_w,
                               bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                               bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                               int32_t fill, bnn_size row, bnn_size columns, void *y,
                               bnn_type y_type);
BNN_KERNEL void bnn_put_bits(const bnn_word *x, unsigned planes, bnn_size n, bnn_size total,
                             bnn_size columns, bnn_size row, bnn_size column, bnn_word *y);
BNN_KERNEL void bnn_put_integers(const void *x, bnn_type x_type, bnn_size n, bnn_size columns,
                                 bnn_size row, bnn_size column, void *y, bnn_type y_type);
BNN_KERNEL void bnn_put_pooled(const bnn_word *x, bnn_size n, bnn_size columns, bnn_size pool_h,
                               bnn_size pool_w, bnn_size row, bnn_size column, bnn_word *y);
BNN_KERNEL void bnn_convolve_nibbles(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
    bnn_size dilation_w, bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
    bnn_size outs, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, uint32_t fill, const bnn_word BNN_ROM *w, const uint16_t BNN_ROM *at,
    bnn_size count, uint16_t *scratch, bnn_word *y);
BNN_KERNEL void bnn_convolve_row_sliced(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
    bnn_size dilation_w, bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
    bnn_size outs, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, const bnn_word BNN_ROM *w, const bnn_word BNN_ROM *at, bnn_size count,
    unsigned digits, void *scratch, bnn_word *y);
BNN_KERNEL void bnn_sum_nibbles(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
    bnn_size dilation_w, bnn_size before_h, bnn_size before_w, bnn_size row, bnn_size columns,
    bnn_size outs, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, uint32_t fill, const bnn_word BNN_ROM *w, const void BNN_ROM *border,
    bnn_type border_type, uint16_t *scratch, int32_t *y);
BNN_KERNEL void bnn_pool_row(const bnn_word *x, bnn_size columns, bnn_size n, bnn_size pool_w,
                             bnn_word *y);
BNN_KERNEL void bnn_add_border(const uint8_t BNN_ROM *row_class,
                               const uint8_t BNN_ROM *column_class, bnn_size classes,
                               const void BNN_ROM *values, bnn_type values_type, bnn_size n,
                               bnn_size row, bnn_size column, bnn_size pixels, int32_t *y);

/* A row of a convolution at once. */
BNN_KERNEL void bnn_convolve_columns(const bnn_word *x, bnn_size height, bnn_size width,
                                     bnn_size channels, bnn_size kernel_h, bnn_size kernel_w,
                                     bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                                     bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                                     bnn_size row, bnn_size columns, bnn_size outs,
                                     const uint8_t BNN_ROM *row_class,
                                     const uint8_t BNN_ROM *column_class, bnn_size classes,
                                     const bnn_word BNN_ROM *w, const void BNN_ROM *limit,
                                     bnn_type limit_type, bnn_word *scratch, bnn_word *y);

/* A whole convolution at once, with its pools. */
BNN_KERNEL void bnn_convolve_planes(
    const bnn_word *x, bnn_size height, bnn_size width, bnn_size channels, bnn_size kernel_h,
    bnn_size kernel_w, bnn_size dilation_h, bnn_size dilation_w, bnn_size before_h,
    bnn_size before_w, bnn_size rows, bnn_size columns, bnn_size outs, bnn_size pool_h,
    bnn_size pool_w, const uint8_t BNN_ROM *row_class, const uint8_t BNN_ROM *column_class,
    bnn_size classes, bnn_size borders, uint32_t fill, bnn_size band, const uint16_t BNN_ROM *taps,
    const uint16_t BNN_ROM *at, bnn_size count, unsigned digits, uint8_t *scratch, bnn_word *y);

/* Line buffers: the last rows of a map. */
BNN_KERNEL void bnn_slide_bits(unsigned planes, bnn_size n, bnn_size rows, bnn_size per,
                               bnn_size row, bnn_word *y);
BNN_KERNEL void bnn_slide_integers(bnn_size n, bnn_size rows, bnn_size per, bnn_size row, void *y,
                                   bnn_type y_type);

/* Pools over whole maps. */
BNN_KERNEL void bnn_max_pool_bits(const bnn_word *x, bnn_size height, bnn_size width,
                                  bnn_size channels, bnn_size rows, bnn_size columns,
                                  bnn_size kernel_h, bnn_size kernel_w, bnn_size stride_h,
                                  bnn_size stride_w, bnn_size dilation_h, bnn_size dilation_w,
                                  bnn_size before_h, bnn_size before_w, bnn_word *y);
BNN_KERNEL void bnn_max_pool_integers(const void *x, bnn_type x_type, bnn_size height,
                                      bnn_size width, bnn_size channels, bnn_size rows,
                                      bnn_size columns, bnn_size kernel_h, bnn_size kernel_w,
                                      bnn_size stride_h, bnn_size stride_w, bnn_size dilation_h,
                                      bnn_size dilation_w, bnn_size before_h, bnn_size before_w,
                                      void *y, bnn_type y_type);

/* Values added, joined and reordered. */
BNN_KERNEL void bnn_add_integers(const void *x, bnn_type x_type, const void *z, bnn_type z_type,
                                 bnn_size n, void *y, bnn_type y_type);
BNN_KERNEL void bnn_mul_integers(const void *x, bnn_type x_type, const void *z, bnn_type z_type,
                                 bnn_size n, void *y, bnn_type y_type);
BNN_KERNEL void bnn_concat_bits(const bnn_word *x, bnn_size x_channels, const bnn_word *z,
                                bnn_size z_channels, unsigned planes, bnn_size pixels, bnn_word *y);
BNN_KERNEL void bnn_concat_integers(const void *x, bnn_type x_type, bnn_size x_channels,
                                    const void *z, bnn_type z_type, bnn_size z_channels,
                                    bnn_size pixels, void *y, bnn_type y_type);
BNN_KERNEL void bnn_permute_bits(const bnn_word *x, bnn_size x_n, unsigned planes,
                                 const void BNN_ROM *index, bnn_type index_type, bnn_size period,
                                 const void BNN_ROM *start, bnn_type start_type, bnn_size blocks,
                                 bnn_size stride, bnn_size n, bnn_word *y);
BNN_KERNEL void bnn_permute_integers(const void *x, bnn_type x_type, const void BNN_ROM *index,
                                     bnn_type index_type, bnn_size period,
                                     const void BNN_ROM *start, bnn_type start_type,
                                     bnn_size blocks, bnn_size stride, bnn_size n, void *y,
                                     bnn_type y_type);

#endif
