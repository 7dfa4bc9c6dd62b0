"""Depth-first: layers computed row by row, each of which holds only the rows that the next one's windows still need.

A `RowLoop` runs the `map_calls.PixelLoop` of several layers a row at a time, in an order that is a table. Between them
are no maps but line buffers: a line buffer holds the last rows of a map, one after the other and without gaps, as the
map itself would. Kernels see it as a small map: a window that is ``d`` rows further down in the map begins ``d`` rows
earlier in it (`map_calls.Dropped`), and before a row is put into a full one the others move up (`SlideBits`). So every
kernel that works on maps works on line buffers.

How many rows were dropped needs no memory of its own: the buffer holds the last ``held`` of those written so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnncompiler.map_calls import Dropped, Index, PixelLoop
from bnncompiler.packing import pack_planes, unpack_planes
from bnncompiler.program import Buffer, Call, Memory, Program, Table, Typed, data_of


@dataclass(frozen=True, eq=False)
class SlideBits(Call):
    """Room for a row in a line buffer of ``rows`` rows of ``n`` codes: the first is dropped if the buffer is full.

    ``row`` is the row of the layer that writes it; ``per`` of them make one of the map.
    """

    planes: int
    n: int
    rows: int
    per: int
    row: int | Index
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        if _is_full(self):
            codes = unpack_planes(memory[self.y.name], self.planes, self.n * self.rows, signed=False)
            kept = pack_planes(codes[self.n :], self.planes, word_bits).reshape(self.planes, -1)
            content = memory[self.y.name].reshape(self.planes, -1).copy()
            content[:, : kept.shape[1]] = kept
            memory[self.y.name] = content.reshape(-1)


@dataclass(frozen=True, eq=False)
class SlideIntegers(Call):
    """Room for a row in a line buffer of ``rows`` rows of ``n`` integers: as `SlideBits`."""

    n: int
    rows: int
    per: int
    row: int | Index
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        y = data_of(self.y)
        if _is_full(self) and y is not None:
            content = memory[y.name].copy()
            content[: -self.n] = content[self.n :]
            memory[y.name] = content


def _is_full(call: SlideBits | SlideIntegers) -> bool:
    row = int(np.min(np.asarray(call.row)))
    return row % call.per == 0 and row // call.per >= call.rows


@dataclass(frozen=True, eq=False)
class Stage:
    """A layer of a `RowLoop`: each step of it is one row of ``loop``'s pixels.

    Attributes:
        loop: the layer on its line buffers.
        per: how many rows of ``loop`` make one of its map (more than 1 where a pool is part of it).
        held: how many rows of its map are held; 0 where the map is whole in memory.
        slide: what makes room in its line buffer; None where all of its map is held.
    """

    loop: PixelLoop
    per: int = 1
    held: int = 0
    slide: SlideBits | SlideIntegers | None = None

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of a step, in order."""
        return (*([self.slide] if self.slide else []), *self.loop.inner)

    def dropped(self, done: int) -> int:
        """How many rows of the map are no longer held when ``done`` rows of the loop are done."""
        return max(0, -(-done // self.per) - self.held) if self.held else 0

    def place(self, row: int) -> int:
        """The row of the line buffer, in rows of the loop, that row ``row`` of the loop goes to."""
        return row - self.per * self.dropped(row + 1)

    def with_buffers(self, placed: Mapping[Buffer, Buffer]) -> Stage:
        """The stage on planned buffers."""
        slide = None if self.slide is None else self.slide.with_buffers(placed)
        assert slide is None or isinstance(slide, SlideBits | SlideIntegers)
        return replace(self, loop=self.loop.with_buffers(placed), slide=slide)


@dataclass(frozen=True, eq=False)
class RowLoop(Call):
    """Layers row by row, in the order of a table, with line buffers between them.

    Attributes:
        stages: the layers; each reads maps that are whole in memory, or line buffers of stages before it.
        order: for each step the stage that computes its next row.
        done: how many rows each stage has computed (and, last, how many steps are done).
        lines: the line buffers.
        sources: the whole maps that are read.
        y: the map of the last stage, which is whole.
        streamed: whether the caller hands over ``sources[0]`` row by row; stage 0 is then the only one that reads it.
    """

    stages: tuple[Stage, ...]
    order: Table
    done: Buffer
    lines: tuple[Buffer, ...]
    sources: tuple[Buffer, ...]
    y: Buffer
    streamed: bool = False

    @property
    def longest_feed(self) -> int:
        """The most steps from one row of stage 0 to the next."""
        starts = np.flatnonzero(np.append(self.order.values, 0) == 0)
        return int(np.diff(starts).max())

    def kernels(self) -> list[str]:
        """The kernels that the stages call."""
        return [k for c in self.inner for k in c.kernels()]

    def arguments(self) -> Iterator[tuple[str, Any]]:
        """What lives as long as the loop: what it reads and writes, and its line buffers."""
        yield from ((f"x{i}" if i else "x", b) for i, b in enumerate(self.sources))
        yield from ((f"scratch{i}", b) for i, b in enumerate((self.done, *self.lines)))
        yield "y", self.y

    @property
    def phases(self) -> tuple[tuple[Buffer, ...], ...]:
        """The scratch of each stage."""
        return tuple(s.loop.scratch for s in self.stages)

    @property
    def parts(self) -> tuple[Call, ...]:
        """The loops of the stages."""
        return tuple(s.loop for s in self.stages)

    @property
    def inner(self) -> tuple[Call, ...]:
        """The calls of all stages."""
        return tuple(c for s in self.stages for c in s.calls)

    @property
    def tables(self) -> list[Table]:
        """The order of the steps, and the tables of the stages."""
        return [self.order, *(t for s in self.stages for t in s.loop.tables)]

    def with_buffers(self, placed: Mapping[Buffer, Buffer]) -> RowLoop:
        """The loop on planned buffers."""
        lines, sources = (tuple(placed.get(b, b) for b in buffers) for buffers in (self.lines, self.sources))
        stages = tuple(s.with_buffers(placed) for s in self.stages)
        done, y = placed.get(self.done, self.done), placed.get(self.y, self.y)
        return replace(self, stages=stages, done=done, lines=lines, sources=sources, y=y)

    def run(self, memory: Memory, word_bits: int) -> None:
        """Step by step, all pixels of a row at once; line buffers are gone afterwards."""
        done = [0] * len(self.stages)
        for step in self.order.values.tolist():
            stage, row = self.stages[step], done[step]
            count = stage.loop.columns
            here: dict[object, Any] = {
                Index.ROW: np.full(count, row),
                Index.COLUMN: np.arange(count),
                Index.PLACE: np.full(count, stage.place(row)),
            }
            for call in stage.loop.inner:
                for _, value in call.arguments():
                    if isinstance(value, Dropped):
                        here[value] = value.before + self.stages[value.stage].dropped(done[value.stage])
            if stage.slide is not None:
                replace(stage.slide, row=row).run(memory, word_bits)
            stage.loop.run_at(here, memory, word_bits)
            done[step] += 1
        for buffer in self.lines:
            memory.pop(buffer.name, None)


def streamed(program: Program) -> RowLoop | None:
    """The first call of ``program`` where that gets the input row by row."""
    first = program.calls[0] if program.calls else None
    return first if isinstance(first, RowLoop) and first.streamed else None


def row_sizes(loop: RowLoop) -> tuple[int, int]:
    """Of the input that ``loop`` gets row by row: how many rows, and elements of each."""
    rows = loop.stages[0].loop.rows
    return rows, loop.sources[0].count // rows
