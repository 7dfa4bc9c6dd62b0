"""Running the generated C on this machine: build it with a small main program, feed it samples, read everything back.

The main program includes the generated source, so that its trace hook sees what every kernel call leaves in memory. It
gives the model an arena of exactly the size and alignment that the header asks for, filled with garbage before each
sample and guarded on both sides: whatever relies on zeros or strays out of bounds shows.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnncompiler import memory
from bnncompiler.errors import ToolError, VerificationError
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits
from bnncompiler.program import Port, Program

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-O2")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CHUNK_BYTES = 1 << 26  # of inputs, outputs and traces held at a time
TIMEOUT = 600.0

_HARNESS = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <stdint.h>

static void bnn_host_trace(size_t index, const void *address, size_t bytes);
#define BNN_TRACE(index, address, bytes) bnn_host_trace((size_t)(index), (address), (size_t)(bytes))

#include BNN_HOST_MODEL
#include "bnn_host_sizes.h"

enum { GUARD = 64, GARBAGE = 0xA5 };

static FILE *bnn_host_file;
static size_t bnn_host_next;

static void bnn_host_fail(const char *what)
{
    fprintf(stderr, "bnn_host: %s\n", what);
    exit(3);
}

static void bnn_host_trace(size_t index, const void *address, size_t bytes)
{
    if (bnn_host_file == NULL)
        return;
    if (index != bnn_host_next || bytes != bnn_host_bytes[index])
        bnn_host_fail("the calls in the source are not those of the program");
    bnn_host_next++;
    if (fwrite(address, 1, bytes, bnn_host_file) != bytes)
        bnn_host_fail("the trace cannot be written");
}

/* Memory of `size` bytes between two guards, aligned to `align` and to no more. */
static unsigned char *bnn_host_memory(size_t size, size_t align)
{
    unsigned char *block = malloc(size + 2 * GUARD + 3 * align);
    size_t off;

    if (block == NULL)
        bnn_host_fail("out of memory");
    off = (size_t)(2 * align - (uintptr_t)(block + GUARD) % (2 * align)) + align;
    block += GUARD + off;
    memset(block - GUARD, GARBAGE, size + 2 * GUARD);
    return block;
}

static void bnn_host_check(const unsigned char *block, size_t size, const char *what)
{
    size_t i;

    for (i = 0; i < GUARD; i++)
        if (block[-1 - (ptrdiff_t)i] != GARBAGE || block[size + i] != GARBAGE)
            bnn_host_fail(what);
}

int main(int argc, char **argv)
{
    FILE *in, *out;
    unsigned char *port[BNN_HOST_PORTS];
    unsigned char *arena = bnn_host_memory(BNN_HOST_ARENA, BNN_HOST_ALIGN);
    size_t p;

    if (argc != 4)
        bnn_host_fail("usage: inputs outputs trace");
    printf("%d\n", BNN_HOST_SELFTEST(arena));
    bnn_host_check(arena, BNN_HOST_ARENA, "the self-test writes outside of the arena");
    in = fopen(argv[1], "rb");
    out = fopen(argv[2], "wb");
    bnn_host_file = argv[3][0] == '\0' ? NULL : fopen(argv[3], "wb");
    if (in == NULL || out == NULL || (argv[3][0] != '\0' && bnn_host_file == NULL))
        bnn_host_fail("the sample files cannot be opened");
    for (p = 0; p < BNN_HOST_PORTS; p++)
        port[p] = bnn_host_memory(bnn_host_size[p], 16);
    while (fread(port[0], 1, bnn_host_size[0], in) == bnn_host_size[0]) {
        for (p = 1; p < BNN_HOST_INPUTS; p++)
            if (fread(port[p], 1, bnn_host_size[p], in) != bnn_host_size[p])
                bnn_host_fail("the inputs are cut off");
        for (p = BNN_HOST_INPUTS; p < BNN_HOST_PORTS; p++)
            memset(port[p], GARBAGE, bnn_host_size[p]);
        memset(arena, GARBAGE, BNN_HOST_ARENA);
        bnn_host_next = 0;
        BNN_HOST_RUN;
        if (bnn_host_file != NULL && bnn_host_next != BNN_HOST_CALLS)
            bnn_host_fail("the source makes fewer calls than the program");
        bnn_host_check(arena, BNN_HOST_ARENA, "the program writes outside of the arena");
        for (p = 0; p < BNN_HOST_PORTS; p++)
            bnn_host_check(port[p], bnn_host_size[p], "the program writes outside of an input or output");
        for (p = BNN_HOST_INPUTS; p < BNN_HOST_PORTS; p++)
            if (fwrite(port[p], 1, bnn_host_size[p], out) != bnn_host_size[p])
                bnn_host_fail("the outputs cannot be written");
    }
    if (fclose(out) != 0 || (bnn_host_file != NULL && fclose(bnn_host_file) != 0))
        bnn_host_fail("the outputs cannot be written");
    return 0;
}
"""


@dataclass(frozen=True, eq=False)
class HostRun:
    """What the program left behind.

    Attributes:
        outputs: for each output port, in order: ``[samples, elements]``.
        trace: for each call of the program, in order: what it wrote, ``[samples, elements of the buffer]``, in the
            buffer's element type; empty where no trace was asked for.
        selftest: what the program's self-test returned: 0, or the number of the vector that failed.
    """

    outputs: tuple[Array, ...]
    trace: tuple[Array, ...]
    selftest: int = 0


@dataclass(frozen=True)
class Built:
    """An executable for one program, in a directory that goes away with the context of `build`."""

    program: Program
    folder: Path
    timeout: float

    def run(self, inputs: Mapping[str, Array], *, trace: bool = True) -> HostRun:
        """Run all samples.

        Args:
            inputs: grid units by input port name: ``[samples, *shape]``, -1 and +1 for packed inputs.
            trace: also return what every call wrote.

        Raises:
            VerificationError: the program crashes, hangs, or writes where it must not.
        """
        samples = len(next(iter(inputs.values())))
        ports = [*self.program.inputs, *self.program.outputs]
        width = sum(_bytes(self.program, p) for p in ports) + (sum(_traced(self.program)) if trace else 0)
        step = max(1, CHUNK_BYTES // max(1, width))
        runs = [
            self._chunk({k: v[i : i + step] for k, v in inputs.items()}, trace)
            for i in range(0, max(1, samples), step)
        ]
        if len(runs) == 1:
            return runs[0]
        return HostRun(
            tuple(np.concatenate(o) for o in zip(*(r.outputs for r in runs), strict=True)),
            tuple(np.concatenate(t) for t in zip(*(r.trace for r in runs), strict=True)),
            runs[0].selftest,
        )

    def _chunk(self, inputs: Mapping[str, Array], trace: bool) -> HostRun:
        rows = [np.ascontiguousarray(x).view(np.uint8) for x in fed(self.program, inputs)]
        count = len(rows[0])
        (self.folder / "inputs.bin").write_bytes(np.concatenate(rows, axis=1).tobytes())
        command = [str(self.folder / "harness"), "inputs.bin", "outputs.bin", "trace.bin" if trace else ""]
        selftest = int(_execute(command, self.folder, self.timeout))
        outputs = _split(self.folder / "outputs.bin", count, [_bytes(self.program, p) for p in self.program.outputs])
        traced = _split(self.folder / "trace.bin", count, _traced(self.program)) if trace else []
        words = self.program.word_bits
        return HostRun(
            tuple(raw.view(p.buffer.dtype(words)) for p, raw in zip(self.program.outputs, outputs, strict=True)),
            tuple(
                raw.view(memory.written(call).dtype(words))
                for call, raw in zip(self.program.calls if trace else (), traced, strict=True)
            ),
            selftest,
        )


@contextmanager
def build(
    program: Program, files: Mapping[str, str], *, sanitize: bool = False, timeout: float = TIMEOUT
) -> Iterator[Built]:
    """Compile the generated files with the host's C compiler under the strict flags.

    Args:
        program: what the files were printed from.
        files: the generated files, by name.
        sanitize: build with the address and undefined behaviour sanitizers.
        timeout: seconds after which a run counts as hanging.

    Raises:
        ToolError: there is no C compiler, or it does not accept the source.
    """
    compiler = find_compiler()
    with tempfile.TemporaryDirectory(prefix="bnncompiler-") as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "bnn_host.c").write_text(_HARNESS)
        (folder / "bnn_host_sizes.h").write_text(_sizes(program, _stem(files)))
        options = [*FLAGS, *(SANITIZERS if sanitize else ()), f'-DBNN_HOST_MODEL="{_stem(files)}.c"']
        command = [*compiler, *options, "bnn_host.c", "-o", "harness"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            first = next((line for line in lines if "error" in line), lines[0] if lines else "no message")
            raise ToolError(f"{shlex.join(compiler)} does not compile the generated C: {first.strip()}")
        yield Built(program, folder, timeout)


def run(
    program: Program,
    files: Mapping[str, str],
    inputs: Mapping[str, Array],
    *,
    trace: bool = True,
    sanitize: bool = False,
    timeout: float = TIMEOUT,
) -> HostRun:
    """`build` and `Built.run` at once."""
    with build(program, files, sanitize=sanitize, timeout=timeout) as built:
        return built.run(inputs, trace=trace)


def find_compiler() -> list[str]:
    """The host's C compiler as a command: ``$CC``, or the first of cc, gcc and clang that is there.

    Raises:
        ToolError: there is none.
    """
    said = shlex.split(os.environ.get("CC", ""))
    for command in [said] if said else [[c] for c in COMPILERS]:
        if shutil.which(command[0]):
            return command
    where = f"$CC is {said[0]!r}, which is not there" if said else f"none of {', '.join(COMPILERS)} is there"
    raise ToolError(
        f"no C compiler: {where}; install one (Debian: apt install gcc, Fedora: dnf install gcc, macOS: "
        "xcode-select --install) or set CC"
    )


def _stem(files: Mapping[str, str]) -> str:
    """What all of the model's external names begin with: the name of its one C file."""
    (source,) = (f for f in files if f.endswith(".c"))
    return source.removesuffix(".c")


def _sizes(program: Program, stem: str) -> str:
    """The part of the main program that knows the model: sizes, and the call."""
    ports = [*program.inputs, *program.outputs]
    const = ["const "] * len(program.inputs) + [""] * len(program.outputs)
    pointers = [f"({c}{p.buffer.ctype} *)(void *)port[{i}]" for i, (c, p) in enumerate(zip(const, ports, strict=True))]
    traced = _traced(program)
    return "\n".join([
        f"#define BNN_HOST_INPUTS {len(program.inputs)}",
        f"#define BNN_HOST_PORTS {len(ports)}",
        f"#define BNN_HOST_CALLS {len(traced)}u",
        f"#define BNN_HOST_ARENA {stem.upper()}_ARENA_SIZE",
        f"#define BNN_HOST_ALIGN {stem.upper()}_ARENA_ALIGN",
        f"#define BNN_HOST_SELFTEST {stem}_selftest",
        f"#define BNN_HOST_RUN {stem}_run({', '.join([*pointers, 'arena'])})",
        f"static const size_t bnn_host_size[] = {{{', '.join(str(_bytes(program, p)) for p in ports)}}};",
        f"static const size_t bnn_host_bytes[] = {{{', '.join(map(str, [*traced, 0]))}}};",
        "",
    ])


def _bytes(program: Program, port: Port) -> int:
    return port.buffer.bytes(program.word_bits)


def _traced(program: Program) -> list[int]:
    """How many bytes each call's trace has."""
    return [memory.written(call).bytes(program.word_bits) for call in program.calls]


def fed(program: Program, inputs: Mapping[str, Array]) -> list[Array]:
    """What the input buffers hold, ``[samples, elements]`` each, for grid units by port name."""
    return [_fed(program, port, inputs[port.name].reshape(len(inputs[port.name]), -1)) for port in program.inputs]


def _fed(program: Program, port: Port, q: Array) -> Array:
    if port.type.domain is not None and port.type.domain.is_bipolar:
        return pack_bits(q > 0, 8)
    return q.astype(port.buffer.dtype(program.word_bits))


def _split(path: Path, count: int, sizes: list[int]) -> list[Array]:
    """The columns of a file of ``count`` records with fields of these sizes, each ``[count, bytes]``."""
    records = np.fromfile(path, np.uint8).reshape(count, sum(sizes))
    ends = np.cumsum(sizes)
    return [np.ascontiguousarray(records[:, end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _execute(command: list[str], folder: Path, timeout: float) -> str:
    """What the program prints; raises ``VerificationError`` that tells apart how it failed."""
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # the main program frees nothing
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VerificationError(f"the generated program hangs: no end after {timeout:g} s") from None
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    found = next((line for line in lines if "runtime error" in line or "Sanitizer:" in line), None)
    if found is not None:
        raise VerificationError(f"the sanitizer stopped the generated program: {found}")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise VerificationError(f"the generated program crashed ({name})")
    message = next((line.removeprefix("bnn_host: ") for line in lines), "no message")
    raise VerificationError(f"the generated program failed (exit code {done.returncode}): {message}")
