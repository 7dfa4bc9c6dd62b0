/* Runs a program on a simulated AVR, by libsimavr: the other side of bnn_io.h.
 *
 *     run PART HERTZ FIRMWARE GPIOR0 GPIOR1 GPIOR2 FLOOR LIMIT SAMPLES OUTPUTS [TRACE]
 *
 * GPIORn are addresses of registers, FLOOR is the lowest address that the stack may use, LIMIT how
 * many cycles may pass without a command. Prints a line for each thing measured:
 *     selftest N          what the self-test returned
 *     sample N            cycles of a sample's run, those of the stopwatch taken off
 *     stack N             bytes of the deepest stack of a run, below its start
 * The exit code tells how it ended; a message is on stderr. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

enum { ENDED = 0, UNUSABLE = 2, FAILED = 3, CRASHED = 4, HANGS = 5, STACK = 6 };
enum { OPEN = 1, READ, OUTPUT, TRACE, SELFTEST, START, STOP, FAIL, CLOSE };

static FILE *samples, *outputs, *traces;
static avr_io_addr_t gpior[3];
static unsigned floor_address;

static int opened, calibrated, running, done;
static avr_cycle_count_t started, overhead, last_command;
static unsigned stack_start, stack_low, stack_deepest;

static void stop(int code, const char *what, unsigned long value)
{
    fprintf(stderr, "run: ");
    fprintf(stderr, what, value);
    fputc('\n', stderr);
    fflush(stdout);
    exit(code);
}

static void quiet(avr_t *avr, const int level, const char *format, va_list arguments)
{
    (void)avr;
    (void)level;
    (void)format;
    (void)arguments;
}

static unsigned stack_pointer(const avr_t *avr)
{
    return avr->data[R_SPL] | (unsigned)avr->data[R_SPH] << 8;
}

static unsigned word_at(const avr_t *avr, unsigned address)
{
    return avr->data[address] | (unsigned)avr->data[address + 1] << 8;
}

static void start_watch(avr_t *avr)
{
    started = avr->cycle;
    stack_start = stack_low = stack_pointer(avr);
    running = 1;
}

static void stop_watch(avr_t *avr)
{
    const avr_cycle_count_t passed = avr->cycle - started;

    running = 0;
    if (!calibrated) {
        overhead = passed;
        calibrated = 1;
        return;
    }
    if (stack_start - stack_low > stack_deepest)
        stack_deepest = stack_start - stack_low;
    printf("sample %llu\n", (unsigned long long)(passed - overhead));
}

static void transfer(avr_t *avr, int command, unsigned address, unsigned bytes)
{
    FILE *const file = command == READ ? samples : command == OUTPUT ? outputs : traces;
    size_t moved;

    if (address + bytes > avr->ramend + 1u)
        stop(CRASHED, "it hands over memory that the chip does not have, at 0x%lx", address);
    if (command == READ) {
        moved = fread(avr->data + address, 1, bytes, file);
        avr->data[gpior[0]] = moved == bytes;
    } else if (file != NULL && fwrite(avr->data + address, 1, bytes, file) != bytes) {
        stop(UNUSABLE, "the results cannot be written", 0);
    }
}

static void command(avr_t *avr, avr_io_addr_t register_address, uint8_t value, void *unused)
{
    const unsigned box = avr->data[gpior[1]] | (unsigned)avr->data[gpior[2]] << 8;

    (void)unused;
    avr->data[register_address] = value;
    last_command = avr->cycle;
    if (value != OPEN && !opened)
        stop(CRASHED, "it writes to GPIOR0 before it begins", 0);
    switch (value) {
    case OPEN:
        if (opened)
            stop(CRASHED, "it starts again from the reset vector", 0);
        opened = 1;
        break;
    case START:
        start_watch(avr);
        break;
    case STOP:
        stop_watch(avr);
        break;
    case READ:
    case OUTPUT:
    case TRACE:
        transfer(avr, value, word_at(avr, box), word_at(avr, box + 2));
        break;
    case SELFTEST:
        printf("selftest %d\n", (int)(int16_t)word_at(avr, box + 2));
        break;
    case FAIL:
        stop(FAILED, (const char *)avr->flash + word_at(avr, box), 0);
        break;
    case CLOSE:
        done = 1;
        break;
    default:
        stop(CRASHED, "it gives the unknown command %lu", value);
    }
}

static avr_t *chip(const char *part, unsigned long hertz, const char *firmware_name)
{
    elf_firmware_t firmware;
    avr_t *avr = avr_make_mcu_by_name(part);

    if (avr == NULL)
        stop(UNUSABLE, "this simavr does not know the part", 0);
    memset(&firmware, 0, sizeof firmware);
    if (elf_read_firmware(firmware_name, &firmware) != 0)
        stop(UNUSABLE, "the program cannot be read", 0);
    avr_init(avr);
    avr->log = LOG_NONE;
    avr_load_firmware(avr, &firmware);
    avr->frequency = (uint32_t)hertz;
    return avr;
}

int main(int argc, char **argv)
{
    avr_cycle_count_t limit;
    avr_t *avr;
    int i;

    if (argc != 11 && argc != 12)
        stop(UNUSABLE, "wrong arguments", 0);
    avr_global_logger_set(quiet);
    avr = chip(argv[1], strtoul(argv[2], NULL, 0), argv[3]);
    for (i = 0; i < 3; i++)
        gpior[i] = (avr_io_addr_t)strtoul(argv[4 + i], NULL, 0);
    floor_address = (unsigned)strtoul(argv[7], NULL, 0);
    limit = strtoull(argv[8], NULL, 0);
    samples = fopen(argv[9], "rb");
    outputs = fopen(argv[10], "wb");
    traces = argc == 12 ? fopen(argv[11], "wb") : NULL;
    if (samples == NULL || outputs == NULL || (argc == 12 && traces == NULL))
        stop(UNUSABLE, "a sample file cannot be opened", 0);
    avr_register_io_write(avr, gpior[0], command, NULL);

    while (!done) {
        const int state = avr_run(avr);
        const unsigned sp = stack_pointer(avr);

        if (running && sp < stack_low)
            stack_low = sp;
        if (opened && sp + 1 < floor_address)
            stop(STACK, "its stack grows into its data, %lu bytes deep", floor_address - sp - 1);
        if (state == cpu_Crashed || state == cpu_Done)
            stop(CRASHED, "it stops at program address 0x%lx", avr->pc);
        if (avr->cycle - last_command > limit)
            stop(HANGS, "no end after %lu cycles", (unsigned long)limit);
    }
    printf("stack %u\n", stack_deepest);
    if (fclose(outputs) != 0 || (traces != NULL && fclose(traces) != 0))
        stop(UNUSABLE, "the results cannot be written", 0);
    return ENDED;
}
