#!/usr/bin/env python3
"""What the constant tables of the test models weigh, and how much of that is more than what is in them.

    python scripts/table_sizes.py [--backend c99|cmsis|avr] [--target NAME] [--optimize GOAL] [PART-OF-A-NAME ...]

Compiles the selection of test models (those whose names have one of the parts in them), and adds up by kernel and
argument. ``slack`` is what whole words take beyond the bits of rows, and elements beyond the smallest type that holds
the table, or beyond one where all are the same; ``again`` is in another table of the network already.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import bnncompiler
from bnncompiler.errors import CompileError
from bnncompiler.lower.storage import WIDE, smallest_ctype
from bnncompiler.packing import words
from bnncompiler.program import CTYPES, Call, Program, Table, data_of
from tests.corpus import selection

BY_INPUT = ("sliced", "signs", "nibbles")  # kernels whose rows of words are those of outputs


def kernels(calls: Sequence[Call]) -> Iterator[Call]:
    """All calls, those within loops included."""
    for call in calls:
        yield call
        yield from kernels(call.inner if call.parts == (call,) else call.parts)


def slack(call: Call, table: Table, word_bits: int) -> float:
    """Bytes of ``table`` beyond its bits, or beyond the smallest elements."""
    size, values = table.bytes(word_bits), table.values
    if table.ctype == "bnn_word":
        by_input = any(name in call.short_name() for name in BY_INPUT)
        bits = getattr(call, "outs" if by_input else "n", None)
        return size * (1 - bits / (words(bits, word_bits) * word_bits)) if bits else 0.0
    needed = values[:1] if (values == values[0]).all() else values
    return max(0, size - len(needed) * CTYPES[smallest_ctype(needed, WIDE)])


def add(program: Program, total: Counter[tuple[str, str]], more: Counter[tuple[str, str]], again: Counter[str]) -> None:
    """Add the tables of ``program`` to the counts."""
    names: set[str] = set()
    contents: set[tuple[str, bytes]] = set()
    for call in kernels(program.calls):
        for argument, value in call.arguments():
            table = data_of(value)
            if not isinstance(table, Table) or table.name in names or not len(table.values):
                continue
            names.add(table.name)
            where = call.short_name(), argument
            total[where] += table.bytes(program.word_bits)
            more[where] += round(slack(call, table, program.word_bits))
            content = table.ctype, np.ascontiguousarray(table.values).tobytes()
            again[call.short_name() + argument] += table.bytes(program.word_bits) * (content in contents)
            contents.add(content)


def main() -> int:
    """Compile, add up and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--backend", default="c99")
    parser.add_argument("--target")
    parser.add_argument("--optimize", default="size")
    parser.add_argument("parts", nargs="*", default=[""])
    chosen = parser.parse_args()
    total: Counter[tuple[str, str]] = Counter()
    more: Counter[tuple[str, str]] = Counter()
    again: Counter[str] = Counter()
    for model in selection():
        if not any(part in model.name for part in chosen.parts):
            continue
        try:
            made = bnncompiler.compile(
                model.data, name="net", backend=chosen.backend, target=chosen.target, calibrate=model.samples,
                optimize=chosen.optimize,
            )  # fmt: skip
        except CompileError as reason:
            print(f"{model.name}: {reason}", file=sys.stderr)
            continue
        add(made.program, total, more, again)
    print(f"{'bytes':>9} {'slack':>7} {'again':>7}  kernel and table")
    for where, size in total.most_common():
        print(f"{size:9,} {more[where]:7,} {again[''.join(where)]:7,}  {' '.join(where)}")
    print(f"{total.total():9,} {more.total():7,} {again.total():7,}  all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
