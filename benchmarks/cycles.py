"""How many cycles AVX-512 might take: by a model, not measured, as Bochs counts instructions and not time.

The instructions that a layer executes in Bochs, whose debugger writes them down, go one after the other through
llvm-mca, a model of a processor's execution units: every branch is predicted, every load hits the nearest cache, and
nothing else is in the way. So this is how fast the code could be; a processor has the last word.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

import bnncompiler
from benchmarks.growth import Network
from bnncompiler.errors import ToolError
from bnncompiler.machines import records
from bnncompiler.machines.bochs import Bochs
from bnncompiler.machines.bochs_pc import COMMAND, PREFIX, environment

MODELS = (*(f"llvm-mca-{version}" for version in range(25, 15, -1)), "llvm-mca")  # older ones do not know Zen 4
PROCESSORS = {"znver4": "Zen 4", "icelake-server": "Ice Lake"}
DENSE = ((784, 120), (1024, 1024))
CONVOLUTIONS = ((64, 16), (256, 8), (128, 16), (64, 56))  # channels, pixels a side

EXECUTED = re.compile(r"\(0\)\.\[\d+\] \[0x([0-9a-f]+)\].*?: (\w+)")
DISASSEMBLED = re.compile(r"\s*([0-9a-f]+):\s+([^#<]*)")
PASSED = ("call", "ret", "leave", "rdtsc", "notrack")  # what llvm-mca cannot follow
REGISTERS_AND_MEMORY = re.compile(r"(vpternlog[dq]\s+\$\w+),([^%,]*\([^)]*\)|0x\w+),(%([xyz]mm)\d+,%\w+)$")


def networks() -> Iterator[tuple[str, bytes]]:
    """Name and file of a network for each layer, which is most of it."""
    for ins, outs in DENSE:
        net = Network((ins,))
        net.dense(ins, outs)
        net.sign()
        net.dense(outs, 1)
        yield f"dense {ins} to {outs}", net.model()
    for channels, size in CONVOLUTIONS:
        net = Network((channels, size, size))
        net.conv(channels, channels)
        net.sign()
        net.append("Flatten")
        net.dense(channels * size * size, 1)
        yield f"3x3, {size} pixels, {channels} to {channels}", net.model()


def main() -> int:
    """Show what the model makes of each layer."""
    mca = next((tool for tool in MODELS if shutil.which(tool)), None)
    if mca is None:
        print("llvm-mca is missing: apt install llvm-16 or newer, or your equivalent", file=sys.stderr)
        return 2
    print("A model, not a measurement: MAC / cycle at best.")
    for name, model in networks():
        macs, code = executed(model)
        cycles = {title: modelled(mca, cpu, code) for cpu, title in PROCESSORS.items()}
        shown = ", ".join(f"{title} {macs / n:.0f}" for title, n in cycles.items())
        print(f"{name}: {macs / len(code):.0f} MAC / instruction; MAC / cycle {shown}", flush=True)
    return 0


def executed(model: bytes) -> tuple[int, list[str]]:
    """MACs and instructions of the largest layer of a network for bits, of which one in two is 1."""
    compilation = bnncompiler.compile(model, name="net", target="x86-64-v4", input="bits")
    program = compilation.program
    shape = program.inputs[0].type.shape
    bits = np.random.default_rng(0).permutation(np.resize([-1, 1], int(np.prod(shape)))).reshape(1, *shape)
    macs = [call.macs for call in program.calls]
    with Bochs().build(program, compilation.files) as built:
        flags = ["-DBNN_HARNESS_PROFILE", "-DBNN_HARNESS_NO_SELFTEST", "-DNET_NO_SELFTEST"]
        built.pc.link([*flags, records.MAIN], "profile")
        built.pc.load("profile", records.encode(program, {program.inputs[0].name: bits}))
        calls = traced(built.folder)
        text = disassembled(built.folder / "profile.elf")
    return max(macs), [text[address] for address in calls[int(np.argmax(macs))]]


def traced(folder: Path) -> list[list[int]]:
    """The addresses of what each call of a program executes: what lies between two readings of the counter."""
    calls: list[list[int]] = []
    readings = 0
    with subprocess.Popen(
        COMMAND, cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("trace on\nc\n")
        process.stdin.close()
        for found in filter(None, map(EXECUTED.match, process.stdout)):
            if found[2] == "rdtsc":
                readings += 1
                calls += [[]] if readings % 2 else []
            elif readings % 2:
                calls[-1].append(int(found[1], 16))
    if not calls:
        raise ToolError(f"{COMMAND[0]} writes no instructions down: it has no debugger")
    return calls


def disassembled(program: Path) -> dict[int, str]:
    """The instruction at each address."""
    command = [f"{PREFIX}objdump", "-d", "--no-show-raw-insn", str(program)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = filter(None, map(DISASSEMBLED.match, told.splitlines()))
    return {int(line[1], 16): line[2].strip() for line in found}


def modelled(mca: str, processor: str, code: list[str]) -> int:
    """The cycles that ``mca`` finds for a processor."""
    command = [mca, f"-mcpu={processor}", "-iterations=1", "-all-views=false", "-summary-view"]
    told = subprocess.run(command, input="\n".join(readable(code)), capture_output=True, text=True, check=True).stdout
    (cycles,) = re.findall(r"Total Cycles:\s+(\d+)", told)
    return int(cycles)


def readable(code: Iterable[str]) -> Iterator[str]:
    """Instructions as llvm-mca takes them.

    Repetitions of a string instruction are one. A load of an operation's third operand is an instruction of its own:
    llvm-mca lets the other two wait for it.
    """
    for before, line in pairwise(["", *code]):
        if line.startswith("rep ") and line == before:
            continue
        if line.startswith(PASSED) or "*" in line:
            yield "nop"
        elif line.startswith("j"):
            yield re.sub(r"\s+(\w+)$", r" 0x\1", line)
        elif found := REGISTERS_AND_MEMORY.match(line):
            yield f"vmovdqu64 {found[2]},%{found[4]}31"
            yield f"{found[1]},%{found[4]}31,{found[3]}"
        else:
            yield line
