"""The command ``bnncompile``: options in, files and a summary out, one line on stderr and an exit code where it fails.

Exit codes: 0 done; 1 the model cannot be compiled; 2 wrong usage; 3 verification failed; 4 does not fit the target.
The output directory gets all files or none. The summary goes to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bnncompiler.choices import FILE
from bnncompiler.costs import GOALS
from bnncompiler.errors import CompileError, DoesNotFit, UsageError, VerificationError
from bnncompiler.output import check_folder, write_files
from bnncompiler.version import VERSION
from bnncompiler.widths import PRECISE

if TYPE_CHECKING:
    from bnncompiler.backends.base import Target
    from bnncompiler.compiler import Compilation
    from bnncompiler.fit import Demand
    from bnncompiler.machines.base import Measured
    from bnncompiler.report import Report
    from bnncompiler.tuning import Tuned
    from bnncompiler.verification import Verification

EMITTED = ("c", "ir", "program")
GENERATE = "<generated>"  # --verify without a file
PATIENCE = 1.5  # seconds of silence before progress is shown
REMINDER = 15.0  # seconds between the lines that follow


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line, as every other error."""

    def error(self, message: str) -> NoReturn:
        """Print ``message`` and exit with 2."""
        self.exit(UsageError.exit_code, f"{self.prog}: error: {message}; --help shows the options\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(
        prog="bnncompile",
        description="Compile the ONNX file of a binary neural network to C that computes with bits and integers only.",
        epilog="Exit codes: 0 done, 1 the model cannot be compiled, 2 wrong usage, 3 verification failed, "
        "4 does not fit the target.",
        allow_abbrev=False,
    )
    p.add_argument("model", nargs="?", metavar="MODEL.onnx", help="the model")
    p.add_argument("-o", "--output", type=Path, default=Path("build"), metavar="DIR", help="default: build")
    p.add_argument("--backend", default="c99", help="what to emit (default: c99)")
    p.add_argument("--target", help="one of the backend's targets; --list-targets shows them")
    p.add_argument("--name", help="the model's name in C (default: the file's)")
    grid = p.add_argument_group(
        "input",
        "What the program's input elements are and mean: real = (q * SCALE + OFFSET - MEAN) / STD. Without these the "
        "graph, its metadata or the sample data say it. Numbers may be fractions (1/255), or lists by channel.",
    )
    grid.add_argument("--input", choices=("uint8", "int8", "int16", "bits"), help="element type")
    for option in ("scale", "offset", "mean", "std"):
        grid.add_argument(f"--{option}", metavar=option.upper())
    grid.add_argument("--calibrate", type=Path, metavar="FILE.npz", help="samples to take input grids and ranges from")
    numbers = p.add_argument_group("numbers")
    numbers.add_argument(
        "--weight-bits",
        type=_bits(2, 24),
        metavar="2..24",
        help="bits of a real-valued weight (default: 16, or 24 where errors would grow)",
    )
    numbers.add_argument(
        "--stream-bits",
        type=_bits(4, PRECISE),
        metavar=f"4..{PRECISE}",
        help="bits of a real-valued hidden activation (default: what --list-targets says)",
    )
    numbers.add_argument(
        "--compare-bits",
        type=_widths,
        metavar="LIST",
        help="what these --stream-bits would cost, measured on the samples (with --verify FILE.npz, 8,12,16,28 unless "
        "the network is large)",
    )
    numbers.add_argument("--strict", action="store_true", help="refuse a model whose outputs are not exact")
    code = p.add_argument_group("code")
    code.add_argument(
        "--optimize",
        choices=GOALS,
        default="speed",
        help="what to make small where kernels differ: time, flash or RAM (default: speed)",
    )
    code.add_argument("--constant-time", action="store_true", help="use no kernel whose time depends on the data")
    chosen = code.add_mutually_exclusive_group()
    chosen.add_argument(
        "--autotune",
        action="store_true",
        help="measure on this machine which kernel is the fastest for each layer, and write that to choices.json, too",
    )
    chosen.add_argument(
        "--choices",
        type=Path,
        metavar="FILE.json",
        help="take the kernels that an earlier --autotune chose; nothing is measured",
    )
    checks = p.add_argument_group("checks")
    checks.add_argument(
        "--verify",
        nargs="?",
        const=GENERATE,
        metavar="FILE.npz",
        help="build and run the C and compare every hidden value with onnxruntime: on these samples "
        "(arrays by input name; `labels` or `y` give the accuracy), or on generated ones",
    )
    checks.add_argument("--verify-each", action="store_true", help="compare the graph before and after each pass")
    shown = p.add_argument_group("output")
    shown.add_argument("--explain", action="store_true", help="say for each node what it became, and why")
    shown.add_argument(
        "--emit",
        type=_emitted,
        default=("c",),
        metavar="LIST",
        help="what to write: c, ir (the graph), program, separated by commas (default: c)",
    )
    shown.add_argument(
        "--project",
        metavar="KIND",
        help="write the C as a project that is ready to build and flash; --list-targets shows the kinds",
    )
    shown.add_argument("--report", choices=("html",), help="write report.html, too (report.json is always written)")
    shown.add_argument("--list-targets", action="store_true", help="show the backends and their targets")
    shown.add_argument("--debug", action="store_true", help="show the traceback of an error")
    shown.add_argument("--version", action="version", version=f"bnncompile {VERSION}")
    return p


def _bits(least: int, most: int) -> Callable[[str], int]:
    def bits(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return bits


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_bits(4, 24)(part) for part in text.split(","))


def _emitted(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    for kind in kinds:
        if kind not in EMITTED:
            raise argparse.ArgumentTypeError(f"{kind!r} cannot be emitted; there are {', '.join(EMITTED)}")
    return kinds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    p = parser()
    options = p.parse_args(arguments)
    if options.model is None and options.verify not in (None, GENERATE) and not options.verify.endswith(".npz"):
        options.model, options.verify = options.verify, GENERATE  # `--verify MODEL.onnx`: a model is no sample data
    if options.model is None and not options.list_targets:
        p.error("which model? Name an ONNX file")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a node may have a name that the terminal cannot show
    try:
        return show_targets() if options.list_targets else run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read the summary has seen enough
        return 0
    except Exception as error:  # every error ends as one line; the traceback is for --debug
        if options.debug:
            traceback.print_exc()
        print(f"bnncompile: error: {message(error)}", file=sys.stderr)
        return error.exit_code if isinstance(error, CompileError) else 1


def message(error: Exception) -> str:
    """``error`` in one line."""
    line = " ".join(str(error).split())
    if isinstance(error, CompileError):
        return line
    return f"a fault of the compiler, please report it ({type(error).__name__}: {line}); --debug shows where"


def show_targets() -> int:
    """Print every backend and its targets, the default first."""
    from bnncompiler import backends

    for name in backends.available():
        backend = backends.find(name)
        if backend.projects():
            print(f"--backend {name} --project {', '.join(backend.projects())}")
        for target in map(backend.target, backend.targets()):
            sizes = (("flash", target.flash), ("RAM", target.ram))
            limits = "".join(f", {size:,} B of {what}" for what, size in sizes if size is not None)
            widths = f"{target.word_bits}-bit words, {target.stream_bits}-bit streams"
            print(f"--backend {name} --target {target.name:16} {widths}{limits}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Compile, verify, write and print what the options say."""
    import bnncompiler
    from bnncompiler import precision, report, summary

    samples = None if options.verify in (None, GENERATE) else options.verify
    check_folder(options.output)
    check_project(options)
    with progress(f"compiling {options.model}"):
        compilation = bnncompiler.compile(
            options.model,
            backend=options.backend,
            target=options.target,
            name=options.name,
            input=options.input,
            scale=options.scale,
            offset=options.offset,
            mean=options.mean,
            std=options.std,
            calibrate=options.calibrate or samples,
            weight_bits=options.weight_bits,
            stream_bits=options.stream_bits,
            verify_each=options.verify_each,
            strict=options.strict,
            optimize=options.optimize,
            constant_time=options.constant_time,
            choices=options.choices,
        )
    tuned: Tuned | None = None
    if options.autotune:
        with progress("measuring kernels"):
            tuned = bnncompiler.autotune(compilation, samples or options.calibrate)
        compilation = tuned.compilation
    failure: CompileError | None = too_large(report.build(compilation), compilation)
    verification = None
    choices: tuple[precision.Choice, ...] = ()
    if options.verify is not None and failure is None:
        with progress("building and verifying"):
            verification = bnncompiler.verify(compilation, samples)
    if failure is None and (options.compare_bits or samples is not None):
        known = samples or options.calibrate
        if known is None:
            raise UsageError("--compare-bits measures on samples; give them with --verify or --calibrate")
        with progress("comparing precisions"):
            choices = precision.choices(compilation, known, options.compare_bits)
    facts = report.build(compilation, verification, choices)
    verified = () if verification is None else verification.lines()
    sentences = compilation.notes, verified, () if tuned is None else tuned.lines()
    failure = failure or verdict(facts, compilation, verification)
    files = {} if failure else emitted(options.emit, compilation, options.project)
    if tuned is not None and not failure:
        files[FILE] = tuned.choices.json()
    files["report.json"] = facts.json()
    if options.report == "html":
        files["report.html"] = summary.html(facts, *sentences)
    write_files(options.output, files)
    print(summary.text(facts, *sentences))
    if options.explain:
        print(summary.explanation(facts))
    print("wrote " + ", ".join(str(options.output / name) for name in files), flush=True)
    if failure:
        raise failure
    return 0


def check_project(options: argparse.Namespace) -> None:
    """See that the backend has the project that is asked for, before the work is done; else raise ``UsageError``."""
    from bnncompiler.backends import find, projects

    kinds = find(options.backend).projects()
    if options.project is not None and options.project not in kinds:
        raise projects.unknown(options.backend, options.project, kinds)


def emitted(kinds: Sequence[str], compilation: Compilation, project: str | None = None) -> dict[str, str]:
    """The files that ``--emit`` and ``--project`` ask for, by path."""
    from bnncompiler import memory

    files = dict(compilation.files) if "c" in kinds else {}
    if project is not None:
        files = compilation.project(project)
    if "ir" in kinds:
        files[f"{compilation.name}.ir.txt"] = f"{compilation.source}\n\n{compilation.graph}\n"
    if "program" in kinds:
        files[f"{compilation.name}.program.txt"] = f"{compilation.program}\n\n{memory.drawing(compilation.program)}\n"
    return files


def verdict(facts: Report, compilation: Compilation, verification: Verification | None) -> CompileError | None:
    """What keeps the result from being used: it computes something else, or the target is too small."""
    if verification is not None and not verification.passed:
        return VerificationError("verification failed, see above; only the report was written")
    measured = None if verification is None else verification.measured
    return too_large(facts, compilation, measured)


def too_large(facts: Report, compilation: Compilation, measured: Measured | None = None) -> DoesNotFit | None:
    """What does not fit the target, what takes the space, and what would help; None where all fits."""
    for demand in compilation.demands(measured):
        if not demand.excess:
            continue
        largest = max(facts.nodes, key=lambda n: n.flash_bytes)
        what = f"; the largest layer is {largest.name}: {largest.flash_bytes:,} B" if demand.what == "flash" else ""
        return DoesNotFit(
            f"{facts.model} needs {demand}, and {compilation.target.name} has {demand.excess:,} B less{what}; "
            f"{_remedy(compilation, demand)}"
        )
    return None


def _remedy(compilation: Compilation, demand: Demand) -> str:
    """What would make room: an option, a smaller network, or a larger target of the same backend."""
    goal = {"flash": "size", "RAM": "ram"}[demand.what]
    option = f"try --optimize {goal}, " if compilation.options.optimize != goal else ""
    smaller = "fewer or narrower layers" if demand.what == "flash" else "a smaller input or fewer channels"
    targets = map(compilation.backend.target, compilation.backend.targets())
    larger = [t.name for t in targets if all(_holds(t, d) for d in compilation.demands())]
    return f"{option}{smaller}, or a larger target" + (f" ({', '.join(larger)})" if larger else "")


def _holds(target: Target, demand: Demand) -> bool:
    room = target.flash if demand.what == "flash" else target.ram
    return room is not None and demand.total <= room


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Say on stderr what is going on, if it takes long enough for someone to wonder, and again while it goes on."""
    done = threading.Event()

    def show() -> None:
        start, patience = time.monotonic(), PATIENCE
        while not done.wait(patience):
            elapsed, patience = time.monotonic() - start, REMINDER
            print(f"{what} ..." + (f" {elapsed:.0f} s" if elapsed > REMINDER else ""), file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
