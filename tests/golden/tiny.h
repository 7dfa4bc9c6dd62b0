/* tiny: a neural network in bit operations and integers, compiled from ONNX by bnncompiler
 * 0.1.0. To change it, change the model and compile again.
 *
 *   model    tiny.onnx
 *   sha256   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
 *   options  --target 8
 *   target   c99 8: 8-bit words
 *   flash    324 bytes of constant tables, besides the code
 *   RAM      84 bytes of arena, 9 of inputs, 12 of outputs
 *   result   equal to the reference for every input
 *
 *   - the final Softmax is dropped: order is kept */

#ifndef TINY_H
#define TINY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* input: ONNX input `pixels`, 9 elements, channels last; real = 0.00392156862745098 * q for q
 * from 0 to 255 (default: uint8 with real = q/255). */
#define TINY_INPUT_SIZE 9 /* uint8_t elements */

/* logits: ONNX output `scores`, real = TINY_OUTPUT_SCALE_NUM / TINY_OUTPUT_SCALE_DEN * logits[i]
 * + TINY_OUTPUT_OFFSET_NUM / TINY_OUTPUT_OFFSET_DEN. */
#define TINY_OUTPUT_SIZE 3 /* int32_t elements */
#define TINY_OUTPUT_SCALE_NUM 1 /* 0.25 */
#define TINY_OUTPUT_SCALE_DEN 4
#define TINY_OUTPUT_OFFSET_NUM -3 /* -1.5 */
#define TINY_OUTPUT_OFFSET_DEN 2

/* Working memory that the caller provides: bytes, and what its address must be a multiple of. It
 * holds nothing between calls. (1 where none is needed, so that an array can have this size.) */
#define TINY_ARENA_SIZE 84
#define TINY_ARENA_ALIGN 4

/* Computes the network. All memory is the caller's; nothing overlaps; any number of calls can
 * run at once, each with its own arena. */
void tiny_run(const uint8_t *input, int32_t *logits, void *arena);

/* Computes the network and returns the index of the largest logit, the first of equals. Takes 12
 * bytes of stack for the outputs. */
int tiny_classify(const uint8_t *input, void *arena);

/* Runs embedded test vectors. Returns 0 when all outputs are as computed by the compiler, else
 * the number of the first vector that differs, from 1. Takes 21 bytes of stack for inputs and
 * outputs. Define TINY_NO_SELFTEST to leave it out. */
#ifndef TINY_NO_SELFTEST
int tiny_selftest(void *arena);
#endif

#ifdef __cplusplus
}
#endif

#endif
