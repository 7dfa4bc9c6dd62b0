/* What the C compiler has: CMSIS's intrinsics where CMSIS is there, else its own ACLE headers.
 *
 * ARM_BNN_THUMB1  Cortex-M0, M0+ (and M23): 16-bit instructions, most of them on r0 to r7 only
 * ARM_BNN_THUMB2  Cortex-M3 and larger
 * ARM_BNN_DSP     sums of bytes: Cortex-M4, M7, M33 and larger; ARM_BNN_USAD8 is the instruction
 * ARM_BNN_MVE     vectors: Cortex-M55 and M85, which are THUMB2, too
 * Elsewhere, without optimisation, and with ARM_BNN_PLAIN_C everything is plain C. */
#ifndef ARM_BNN_COMPILER_H
#define ARM_BNN_COMPILER_H

#define ARM_BNN_THUMB1 0
#define ARM_BNN_THUMB2 0
#define ARM_BNN_DSP 0
#define ARM_BNN_MVE 0

#if defined(__GNUC__) && defined(__thumb__) && defined(__OPTIMIZE__) && !defined(ARM_BNN_PLAIN_C)
#if defined(__has_include)
#if __has_include(<cmsis_compiler.h>)
#include <cmsis_compiler.h>
#define ARM_BNN_USAD8 __USAD8
#endif
#endif
#undef ARM_BNN_THUMB1
#undef ARM_BNN_THUMB2
#if __ARM_ARCH_ISA_THUMB == 1
#define ARM_BNN_THUMB1 1
#define ARM_BNN_THUMB2 0
#else
#define ARM_BNN_THUMB1 0
#define ARM_BNN_THUMB2 1
#endif
#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP == 1
#undef ARM_BNN_DSP
#define ARM_BNN_DSP 1
#ifndef ARM_BNN_USAD8
#include <arm_acle.h>
#define ARM_BNN_USAD8 __usad8
#endif
#endif
#if defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE & 1
#include <arm_mve.h>
#undef ARM_BNN_MVE
#define ARM_BNN_MVE 1
#endif
#endif

/* A function that layers share instead of each having its own copy. */
#if defined(__GNUC__)
#define ARM_BNN_SHARED __attribute__((__noinline__, __unused__)) static
#else
#define ARM_BNN_SHARED static
#endif

#endif
