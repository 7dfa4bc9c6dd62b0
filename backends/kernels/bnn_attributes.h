/* Attributes that GNU compilers need to hear; none changes what the code means.
 * BNN_MAY_ALIAS: the arena holds words at one time and integers at another, in the same bytes.
 * BNN_INLINE: helpers vanish into the kernels, so that constant arguments fold; some programs use
 * only a few of them.
 * BNN_OWN: a function that stays one, of use to some kernels only.
 * BNN_UNROLL: before a loop that must be unrolled for its vectors to stay in registers. */
#ifndef BNN_ATTRIBUTES_H
#define BNN_ATTRIBUTES_H

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

#endif
