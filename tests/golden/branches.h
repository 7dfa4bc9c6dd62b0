/* branches: a neural network in bit operations and integers, compiled from ONNX by bnncompiler
 * 0.1.0. To change it, change the model and compile again.
 *
 *   model    tiny.onnx
 *   sha256   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
 *   options  --target 8
 *   target   c99 32: 32-bit words
 *   flash    54 bytes of constant tables, besides the code
 *   RAM      24 bytes of arena, 17 of inputs, 28 of outputs
 *   result   outputs within 0.125 of the reference */

#ifndef BRANCHES_H
#define BRANCHES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* v2nd_e_input: ONNX input `2nd \xe9 input`, packed bits: element i is bit i % 8 of byte i / 8,
 * 37 elements (37, channels last); 0 means 0.0 and 1 means 1.0. */
#define BRANCHES_V2ND_E_INPUT_SIZE 5 /* uint8_t elements */

/* v_for: ONNX input `for`, 2x3 elements, channels last; real = [1.0, 2.0, 4.0] by channel * q +
 * [0.5, 0.0, 0.0] by channel for q from -32768 to 32767. */
#define BRANCHES_V_FOR_SIZE 6 /* int16_t elements */

/* v2nd_e_input_2: ONNX output `2nd e input`, the index of the largest value, the first of
 * equals. */
#define BRANCHES_V2ND_E_INPUT_2_SIZE 1 /* int32_t elements */

/* v_arena: ONNX output `arena`, real = BRANCHES_V_ARENA_SCALE_NUM / BRANCHES_V_ARENA_SCALE_DEN *
 * v_arena[i], within 0.125 of the reference. */
#define BRANCHES_V_ARENA_SIZE 6 /* int32_t elements */
#define BRANCHES_V_ARENA_SCALE_NUM 1 /* nearest to 1e-12 */
#define BRANCHES_V_ARENA_SCALE_DEN 2147483647

/* Working memory that the caller provides: bytes, and what its address must be a multiple of. It
 * holds nothing between calls. (1 where none is needed, so that an array can have this size.) */
#define BRANCHES_ARENA_SIZE 24
#define BRANCHES_ARENA_ALIGN 4

/* Computes the network. All memory is the caller's; nothing overlaps; any number of calls can
 * run at once, each with its own arena. */
void branches_run(const uint8_t *v2nd_e_input,
                  const int16_t *v_for,
                  int32_t *v2nd_e_input_2,
                  int32_t *v_arena,
                  void *arena);

/* Runs embedded test vectors. Returns 0 when all outputs are as computed by the compiler, else
 * the number of the first vector that differs, from 1. Takes 45 bytes of stack for inputs and
 * outputs. Define BRANCHES_NO_SELFTEST to leave it out. */
#ifndef BRANCHES_NO_SELFTEST
int branches_selftest(void *arena);
#endif

#ifdef __cplusplus
}
#endif

#endif
