/* The start of a bare-metal program on any Cortex-M: vector table, reset, faults. */
#include <stdint.h>

#include "semihosting.h"

/* Places that the linker script names. */
extern uint32_t bnn_stack_limit[], bnn_stack_top[];
extern uint32_t bnn_data_load[], bnn_data[], bnn_data_end[], bnn_bss[], bnn_bss_end[];

int main(void);
void Reset_Handler(void);
void Fault_Handler(void);

/* What a core looks at: where the stack begins, then 15 system vectors, of which only reset and the
 * faults can come: no interrupt is ever enabled. */
struct vectors {
    uint32_t *stack;
    void (*handler[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    bnn_stack_top,
    {
        Reset_Handler,
        Fault_Handler, /* NMI */
        Fault_Handler, /* HardFault */
        Fault_Handler, /* MemManage */
        Fault_Handler, /* BusFault */
        Fault_Handler, /* UsageFault */
        Fault_Handler, /* SecureFault */
    },
};

void Reset_Handler(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* CPACR: full access to coprocessors 10 and 11, the floating-point unit, whose registers MVE uses. */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
#endif
#if __ARM_ARCH == 7
    /* Below the RAM of QEMU's MPS2 boards lies a reserved area that takes every write in silence. The
     * MPU makes 1 MB of it inaccessible (MPU_RBAR, MPU_RASR, MPU_CTRL: ENABLE and PRIVDEFENA). */
    *(volatile uint32_t *)0xE000ED9Cu = ((uint32_t)(uintptr_t)bnn_stack_limit - (1u << 20)) | 1u << 4;
    *(volatile uint32_t *)0xE000EDA0u = 19u << 1 | 1u;
    *(volatile uint32_t *)0xE000ED94u = 5u;
    __asm__ volatile("dsb\n isb");
#endif
    for (uint32_t *to = bnn_data, *from = bnn_data_load; to < bnn_data_end;)
        *to++ = *from++;
    for (uint32_t *to = bnn_bss; to < bnn_bss_end;)
        *to++ = 0;
    semihosting_exit((uint32_t)main());
}

/* The stack lies at the bottom of RAM, so that running over its end is a fault. The handler takes
 * the stack anew from its top before it says which of the two it was. */
__attribute__((used)) static void fault(const uint32_t *sp)
{
    semihosting_exit(sp < bnn_stack_limit + 16 ? BNN_EXIT_STACK : BNN_EXIT_FAULT);
}

__attribute__((naked)) void Fault_Handler(void)
{
    __asm__("mov r0, sp\n"
            "ldr r1, =bnn_stack_top\n"
            "mov sp, r1\n"
            "ldr r1, =fault\n"
            "bx r1\n");
}

/* One instruction each, so that a call of them is a block of instructions of its own. */
__attribute__((naked, noinline)) void bnn_count_start(void)
{
    __asm__("bx lr");
}

__attribute__((naked, noinline)) void bnn_count_stop(void)
{
    __asm__("bx lr");
}
