/* A QEMU plugin (TCG plugin API, version 1 or 2) that counts instructions exactly.
 *
 * The guest marks what is to be counted by calling two functions: bnn_count_start() and bnn_count_stop(). For each pair the
 * plugin writes a line with the number of instructions executed between them to the file `out`. Nothing else about the guest
 * is assumed. Counting goes by translation block: a block that is entered is executed as a whole, but for faults, which end
 * the program.
 *
 *     gcc -O2 -fPIC -shared instructions.c -o instructions.so
 *     qemu-system-arm ... -plugin file=instructions.so,out=counts.txt
 *
 * Distributions do not package qemu-plugin.h, so that the few declarations that are needed are repeated here, as QEMU's
 * documentation has them (docs/devel/tcg-plugins). QEMU 9 dropped version 1 of the interface; what is used of it is the same. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifndef BNN_PLUGIN_VERSION
#define BNN_PLUGIN_VERSION 1
#endif

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*tb_translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*tb_executed)(unsigned int vcpu, void *data);
typedef void (*at_exit)(qemu_plugin_id_t id, void *data);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_translated call);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, tb_executed call,
                                                 enum qemu_plugin_cb_flags flags, void *data);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, at_exit call, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = BNN_PLUGIN_VERSION;

static uint64_t executed; /* instructions so far */
static uint64_t started;  /* ... when bnn_count_start was entered */
static FILE *out;

static void count(unsigned int vcpu, void *data)
{
    (void)vcpu;
    executed += (uint64_t)(uintptr_t)data;
}

static void start(unsigned int vcpu, void *data)
{
    (void)vcpu;
    (void)data;
    started = executed;
}

static void stop(unsigned int vcpu, void *data)
{
    (void)vcpu;
    (void)data;
    fprintf(out, "%" PRIu64 "\n", executed - started);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const char *const symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    (void)id;
    /* The counts are taken before the instructions of the marking function itself are added. */
    if (symbol != NULL && strcmp(symbol, "bnn_count_start") == 0)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, start, QEMU_PLUGIN_CB_NO_REGS, NULL);
    if (symbol != NULL && strcmp(symbol, "bnn_count_stop") == 0)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, stop, QEMU_PLUGIN_CB_NO_REGS, NULL);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, count, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(tb));
}

static void finish(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    fclose(out);
}

/* `info` is a struct qemu_info_t, which nothing here needs. */
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "out=", 4) == 0)
            out = fopen(argv[i] + 4, "w");
    if (out == NULL) {
        fprintf(stderr, "bnn: the plugin needs out=FILE, a file that can be written\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
