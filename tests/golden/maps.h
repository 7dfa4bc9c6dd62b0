/* maps: a neural network in bit operations and integers, compiled from ONNX by bnncompiler
 * 0.1.0. To change it, change the model and compile again.
 *
 *   model    tiny.onnx
 *   sha256   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
 *   options  --target 8
 *   target   c99 16: 16-bit words
 *   flash    220 bytes of constant tables, besides the code
 *   RAM      300 bytes of arena, 168 of inputs, 12 of outputs
 *   result   equal to the reference for every input */

#ifndef MAPS_H
#define MAPS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* input: ONNX input `pixels`, 7x6x4 elements, channels last; real = 0.00392156862745098 * q for
 * q from 0 to 255. */
#define MAPS_INPUT_SIZE 168 /* uint8_t elements */

/* logits: ONNX output `scores`, real = MAPS_OUTPUT_SCALE_NUM / MAPS_OUTPUT_SCALE_DEN *
 * logits[i]. */
#define MAPS_OUTPUT_SIZE 3 /* int32_t elements */
#define MAPS_OUTPUT_SCALE_NUM 1 /* 1.0 */
#define MAPS_OUTPUT_SCALE_DEN 1

/* Working memory that the caller provides: bytes, and what its address must be a multiple of. It
 * holds nothing between calls. (1 where none is needed, so that an array can have this size.) */
#define MAPS_ARENA_SIZE 300
#define MAPS_ARENA_ALIGN 4

/* Computes the network. All memory is the caller's; nothing overlaps; any number of calls can
 * run at once, each with its own arena. */
void maps_run(const uint8_t *input, int32_t *logits, void *arena);

/* Computes the network and returns the index of the largest logit, the first of equals. Takes 12
 * bytes of stack for the outputs. */
int maps_classify(const uint8_t *input, void *arena);

/* Runs embedded test vectors. Returns 0 when all outputs are as computed by the compiler, else
 * the number of the first vector that differs, from 1. Takes 180 bytes of stack for inputs and
 * outputs. Define MAPS_NO_SELFTEST to leave it out. */
#ifndef MAPS_NO_SELFTEST
int maps_selftest(void *arena);
#endif

#ifdef __cplusplus
}
#endif

#endif
