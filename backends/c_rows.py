"""Loops over rows (`bnncompiler.row_calls`) as C: a loop over steps around a ``switch`` over the layers.

Where the input comes row by row, the steps from one of its rows to the next are a function of their own, ``feed``; what
each layer has done so far is in the arena.
"""

from __future__ import annotations

from collections.abc import Mapping

from bnncompiler.backends.c_calls import INDENT, about_layer, call_lines, loop_head, over_columns, trace
from bnncompiler.backends.c_symbols import Symbols
from bnncompiler.backends.c_text import comment, thousands
from bnncompiler.map_calls import Dropped, Index
from bnncompiler.row_calls import RowLoop, Stage


def layer(index: int, loop: RowLoop, about: Mapping[str, str], word_bits: int, symbols: Symbols) -> str:
    """Call number ``index``, with all of its steps."""
    order = symbols.of(loop.order)
    lines = [
        *start(loop, symbols),
        loop_head("step", len(loop.order.values), 1),
        f"{INDENT * 2}const bnn_size stage = bnn_rom_u8({order} + step);",
        *_step(loop, about, symbols),
        f"{INDENT}}}",
        trace(index, loop, word_bits, symbols),
    ]
    return about_rows(loop) + "\n".join(lines)


def about_rows(loop: RowLoop) -> str:
    """A comment on what the loop is."""
    layers = ", ".join(dict.fromkeys(s.loop.layer for s in loop.stages))
    text = f"Row by row: {layers}, {thousands(loop.macs)} MACs. The table of steps says which layer computes its next "
    text += "row. Between layers are line buffers: they hold the rows that windows still need."
    return comment([text], INDENT)


def start(loop: RowLoop, symbols: Symbols) -> list[str]:
    """What comes before the first step: no rows are done."""
    done = symbols.of(loop.done)
    return [loop_head("i", loop.done.count, 1), f"{INDENT * 2}{done}[i] = 0;", f"{INDENT}}}"]


def feed(loop: RowLoop, about: Mapping[str, str], symbols: Symbols) -> list[str]:
    """The steps from one row of the input to the next, at most so many as the loop counts."""
    steps, counter = len(loop.order.values), f"{symbols.of(loop.done)}[{len(loop.stages)}]"
    return [
        loop_head("i", loop.longest_feed, 1),
        f"{INDENT * 2}const bnn_size step = {counter};",
        f"{INDENT * 2}const bnn_size stage = step < {steps} ? bnn_rom_u8({symbols.of(loop.order)} + step) : 0u;",
        f"{INDENT * 2}if (step == {steps} || (i > 0 && stage == 0)) {{",
        f"{INDENT * 3}break;",
        f"{INDENT * 2}}}",
        *_step(loop, about, symbols),
        f"{INDENT * 2}{counter} = (uint16_t)(step + 1u);",
        f"{INDENT}}}",
    ]


def _step(loop: RowLoop, about: Mapping[str, str], symbols: Symbols) -> list[str]:
    """The next row of ``stage``."""
    done = symbols.of(loop.done)
    lines = [f"{INDENT * 2}const bnn_size row = {done}[stage];", f"{INDENT * 2}switch (stage) {{"]
    for i, stage in enumerate(loop.stages):
        label = "default" if i == len(loop.stages) - 1 else f"case {i}"
        lines += [f"{INDENT * 2}{label}: {{", about_layer([stage.loop], about, INDENT * 3).rstrip("\n")]
        lines += _locals(loop, stage, symbols)
        lines += [] if stage.slide is None else call_lines(stage.slide, INDENT * 3, symbols)
        lines += [*over_columns(stage.loop, 3, symbols), f"{INDENT * 3}break;", f"{INDENT * 2}}}"]
    return [*lines, f"{INDENT * 2}}}", f"{INDENT * 2}{done}[stage] = (uint16_t)(row + 1u);"]


def _locals(loop: RowLoop, stage: Stage, symbols: Symbols) -> list[str]:
    """The variables of a layer: how many rows the buffers that it reads no longer hold, and the row that it writes."""
    values = [value for c in stage.loop.inner for _, value in c.arguments()]
    lines = []
    for source in dict.fromkeys(v.stage for v in values if isinstance(v, Dropped)):
        read, done = loop.stages[source], f"{symbols.of(loop.done)}[{source}]"
        rows = done if read.per == 1 else f"({done} + {read.per - 1}u) / {read.per}u"
        lines.append(f"dropped{source} = {rows} > {read.held}u ? {rows} - {read.held}u : 0u;")
    if Index.PLACE in values:
        full = (stage.held - 1) * stage.per  # from here on rows go to the end of the buffer
        last = f"{full}u" if stage.per == 1 else f"{full}u + row % {stage.per}u"
        lines.append(f"{Index.PLACE.value} = row < {full + stage.per}u ? row : {last};")
    return [f"{INDENT * 3}const bnn_size {line}" for line in lines]
