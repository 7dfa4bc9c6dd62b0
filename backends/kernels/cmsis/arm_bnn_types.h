/* Types of the arm_bnn_ functions; they are those of CMSIS-NN in name and order of members. */
#ifndef ARM_BNN_TYPES_H
#define ARM_BNN_TYPES_H

#include <stdint.h>

typedef enum {
    ARM_BNN_SUCCESS = 0,    /* no error */
    ARM_BNN_ARG_ERROR = -1, /* an argument has a value that the function does not take */
    ARM_BNN_NO_IMPL_ERROR = -2
} arm_bnn_status;

/* Working memory of a function: as much as its ..._get_buffer_size says, aligned to 4 bytes. */
typedef struct {
    void *buf;
    int32_t size;
} arm_bnn_context;

/* Batches, height, width, channels. */
typedef struct {
    int32_t n;
    int32_t h;
    int32_t w;
    int32_t c;
} arm_bnn_dims;

/* A dense layer with thresholds: an output is 1 where its sum reaches an odd number of its
 * `thresholds` thresholds, each of `digits` binary digits. */
typedef struct {
    int32_t thresholds;
    int32_t digits;
} arm_bnn_fc_params;

typedef struct {
    int32_t w;
    int32_t h;
} arm_bnn_tile;

/* A convolution with thresholds. Tap (i, j) of output pixel (row, column) is input pixel
 * (row * stride.h + i * dilation.h - padding.h, column * stride.w + j * dilation.w - padding.w). */
typedef struct {
    arm_bnn_tile stride;
    arm_bnn_tile padding;
    arm_bnn_tile dilation;
    int32_t thresholds;
    int32_t digits;
} arm_bnn_conv_params;

#endif
