"""Depth-first execution: which layers run row by row over line buffers, in which order, and how large the buffers are.

A chain of layers on maps becomes one `row_calls.RowLoop`. Its steps are found by asking for the rows of the last map,
one after the other: before a row is computed, the rows under its windows are. That is the latest moment for each, so
that few rows wait; how many rows a line buffer must hold is counted on the way. Branches are no different: a line
buffer with two readers holds what the slower one still needs.

Which runs of calls become loops is a path through the program with the smallest peak, over all ways to cut it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bnncompiler import memory
from bnncompiler.convolution_calls import Windowed, written_shape
from bnncompiler.lower.by_pixel import Shape, as_loop
from bnncompiler.map_calls import Dropped, Index, PixelLoop, PutBits, PutIntegers, PutPooled
from bnncompiler.packing import words
from bnncompiler.program import Buffer, Call, Program, Sliced, Table, Typed
from bnncompiler.row_calls import RowLoop, SlideBits, SlideIntegers, Stage, row_sizes, streamed
from bnncompiler.window_calls import GatherIntegers

if TYPE_CHECKING:
    from bnncompiler.lower import Lowered

Put = PutBits | PutIntegers | PutPooled
LONGEST = 255  # stages of a loop: its order is a table of bytes
MOST_STEPS = 2**16 - 1  # counters have 16 bits


@dataclass(frozen=True)
class Read:
    """What a stage reads of the map of stage ``source``, in rows: row ``r`` needs ``first(r)`` to ``last(r)``."""

    source: int
    stride: int
    before: int
    reach: int
    height: int

    def first(self, row: int) -> int:
        """The first row of the map under the window."""
        return max(0, row * self.stride - self.before)

    def last(self, row: int) -> int:
        """The last one."""
        return min(self.height - 1, row * self.stride - self.before + self.reach)


@dataclass(frozen=True)
class Schedule:
    """The stage of each step, and for each stage how many rows of its map must be held."""

    order: tuple[int, ...]
    held: tuple[int, ...]


def schedule(rows: Sequence[int], per: Sequence[int], reads: Sequence[Sequence[Read]], feeds: bool) -> Schedule:
    """Compute the rows of the last stage in order, and those of the others when they are needed.

    Args:
        rows: how many rows each stage computes.
        per: how many of them make a row of its map.
        reads: what each stage reads of the maps of stages before it.
        feeds: whether the rows of stage 0 come whether they are needed or not.
    """
    done, held, order = [0] * len(rows), [1] * len(rows), list[int]()
    readers: list[list[tuple[int, Read]]] = [[] for _ in rows]
    for i, own in enumerate(reads):
        for read in own:
            readers[read.source].append((i, read))

    def step(i: int) -> None:
        for read in reads[i]:
            wanted = min(rows[read.source], (read.last(done[i]) + 1) * per[read.source])
            while done[read.source] < wanted:
                step(read.source)
        order.append(i)
        done[i] += 1
        waiting = [read.first(done[r]) for r, read in readers[i] if done[r] < rows[r]]
        if waiting:
            held[i] = max(held[i], -(-done[i] // per[i]) - min(waiting))

    for _ in range(rows[-1]):
        step(len(rows) - 1)
    order += [0] * (rows[0] - done[0] if feeds else 0)
    return Schedule(tuple(order), tuple(held))


class Chain:
    """Loops over pixels that run one after the other, as the stages of one loop over rows."""

    def __init__(self, loops: Sequence[PixelLoop], word_bits: int, feeds: bool = False) -> None:
        self.loops = loops
        self.word_bits = word_bits
        self.stage_of = {loop.y: i for i, loop in enumerate(loops)}
        self.per = [_put(loop).pool_h if isinstance(_put(loop), PutPooled) else 1 for loop in loops]  # type: ignore[union-attr]
        self.reads = [self._reads(loop) for loop in loops]
        found = schedule([loop.rows for loop in loops], self.per, self.reads, feeds)
        self.order = found.order
        heights = [-(-loop.rows // per) for loop, per in zip(loops, self.per, strict=True)]
        self.held = [min(h, height) for h, height in zip(found.held, heights, strict=True)]
        self.whole = [h == height for h, height in zip(self.held, heights, strict=True)]

    def _reads(self, loop: PixelLoop) -> list[Read]:
        return [Read(self.stage_of[x], *rows) for x, rows, _ in _windows(loop) if x in self.stage_of]

    def lines(self, i: int) -> Buffer:
        """The line buffer of stage ``i``; the map itself for the last stage."""
        put, y = _put(self.loops[i]), self.loops[i].y
        if i == len(self.loops) - 1:
            return y
        count = self.held[i] * put.columns * put.n
        planes = put.planes if isinstance(put, PutBits) else 1
        size = planes * words(count, self.word_bits) if y.ctype == "bnn_word" else count
        return Buffer(f"{y.name}_rows", y.ctype, size)

    def bytes(self) -> int:
        """Line buffers, counters, and the largest scratch of a stage."""
        lines = sum(self.lines(i).bytes(self.word_bits) for i in range(len(self.loops) - 1))
        scratch = max(sum(b.bytes(self.word_bits) for b in loop.scratch) for loop in self.loops)
        return lines + scratch + 2 * (len(self.loops) + 1)

    def loop(self, streamed: bool) -> RowLoop:
        """The loop over rows."""
        lines = [self.lines(i) for i in range(len(self.loops))]
        last = self.loops[-1]
        sources = dict.fromkeys(b for loop in self.loops for b in (loop.x, *loop.more) if b not in self.stage_of)
        return RowLoop(
            last.layer,
            tuple(dict.fromkeys(o for loop in self.loops for o in loop.origin)),
            sum(loop.macs for loop in self.loops),
            tuple(self._stage(i, lines) for i in range(len(self.loops))),
            Table(f"{last.y.name}_order", "uint8_t", np.array(self.order, np.uint8)),
            Buffer(f"{last.y.name}_done", "uint16_t", len(self.loops) + 1),
            tuple(lines[:-1]),
            tuple(sources),
            last.y,
            streamed,
        )

    def _stage(self, i: int, lines: Sequence[Buffer]) -> Stage:
        loop, put = self.loops[i], _put(self.loops[i])
        body, tail = (tuple(self._moved(c, i, lines) for c in calls) for calls in (loop.body, loop.tail))
        x, *more = (lines[self.stage_of[b]] if b in self.stage_of else b for b in (loop.x, *loop.more))
        moved = replace(loop, body=body, tail=tail, x=x, y=lines[i], more=tuple(more))
        if i == len(self.loops) - 1 or self.whole[i]:
            return Stage(moved, self.per[i])
        about, count = (loop.layer, loop.origin, 0), put.columns * put.n
        slide: SlideBits | SlideIntegers
        if isinstance(put, PutIntegers):
            slide = SlideIntegers(*about, count, self.held[i], self.per[i], Index.ROW, Typed(lines[i]))
        else:
            planes = put.planes if isinstance(put, PutBits) else 1
            slide = SlideBits(*about, planes, count, self.held[i], self.per[i], Index.ROW, lines[i])
        return Stage(moved, self.per[i], self.held[i], slide)

    def _moved(self, call: Call, i: int, lines: Sequence[Buffer]) -> Call:
        """A call on line buffers in the place of maps."""
        moved = call.with_buffers({loop.y: lines[k] for k, loop in enumerate(self.loops)})
        if isinstance(moved, Windowed) and call.buffers["x"] in self.stage_of and isinstance(moved.before_h, int):
            source = self.stage_of[call.buffers["x"]]
            if not self.whole[source]:
                moved = replace(moved, height=self.held[source], before_h=Dropped(source, moved.before_h))
        if isinstance(moved, Put) and call.buffers["y"] == self.loops[i].y and i < len(self.loops) - 1:
            if not self.whole[i]:
                moved = replace(moved, row=Index.PLACE)
            if isinstance(moved, PutBits):
                moved = replace(moved, total=self.held[i] * moved.columns * moved.n)
        return moved


def _put(loop: PixelLoop) -> Put:
    """The call of a loop that writes its map."""
    put = loop.inner[-1]
    assert isinstance(put, Put), f"{loop.layer}: a loop over pixels ends with putting one"
    return put


@lru_cache(maxsize=1024)
def _windows(loop: PixelLoop) -> tuple[tuple[Buffer, tuple[int, int, int, int], Shape], ...]:
    """What a loop gathers from: a map, the window in rows as the numbers of a `Read`, and the shape of the map."""
    found = []
    for call in loop.inner:
        if isinstance(call, Windowed) and isinstance(call.before_h, int):
            rows = call.stride_h, call.before_h, (call.kernel_h - 1) * call.dilation_h, call.height
            found.append((call.buffers["x"], rows, (call.height, call.width, call.channels)))
    return tuple(found)


def _is_chain(loops: Sequence[PixelLoop]) -> bool:
    """Whether each loop sees the maps of those before it through windows on the shape that they are written in."""
    shapes: dict[Buffer, Shape] = {}
    for loop in loops:
        seen = {x: shape for x, _, shape in _windows(loop)}
        if any(seen.get(b) != shapes[b] for b in (loop.x, *loop.more) if b in shapes):
            return False
        shapes[loop.y] = written_shape(loop)
    return True


# --- which calls


@dataclass(frozen=True)
class _Path:
    """A way to compute the first calls of a program: its peak, how many calls are in loops over rows, its last cut."""

    peak: int
    fused: int
    start: int


def plan(lowered: Lowered) -> Program:
    """The program planned with layers row by row where that takes less memory; otherwise as `memory.plan` has it."""
    shapes = {s.buffer.name: node.type.shape for node, s in lowered.stored.items() if len(node.type.shape) == 3}
    candidates = [memory.plan(lowered.program)]
    search = _Search(lowered.program, shapes)
    for by_row in (False, True):
        changed = search.best(by_row)
        candidates += [] if changed is None else [memory.plan(changed)]
    return min(candidates, key=footprint)


def footprint(program: Program) -> int:
    """Bytes of RAM: the arena, and what the caller must have of inputs and outputs at once."""
    loop = streamed(program)
    rows = 1 if loop is None else row_sizes(loop)[0]
    inputs = sum(p.buffer.bytes(program.word_bits) // rows for p in program.inputs)
    return program.arena_size + inputs + sum(p.buffer.bytes(program.word_bits) for p in program.outputs)


class _Search:
    """Looks for the cuts with the smallest peak."""

    def __init__(self, program: Program, shapes: Mapping[str, Shape]) -> None:
        self.program = program
        self.word_bits = program.word_bits
        self.by_row = False
        self.chains: dict[tuple[int, int, bool], Chain | None] = {}
        self.life = memory.lives(program)
        self.ports = {p.buffer for p in (*program.inputs, *program.outputs)}
        self.names = {b.name for c in program.calls for b in c.buffers.values()}
        self.names |= {b.name for c in program.calls if isinstance(c, PixelLoop) for b in c.scratch}
        self.loops = self._loops(dict(shapes))

    def best(self, by_row: bool) -> Program | None:
        """The program with its loops over rows, and its input (``by_row``) row by row; None where there are none."""
        self.by_row = by_row
        calls = self.program.calls
        paths = [_Path(0, 0, 0)]
        for stop in range(1, len(calls) + 1):
            found = []
            for start in range(stop - 1, max(-1, stop - LONGEST), -1):
                size = self._bytes(start, stop)
                if size is None and start < stop - 1 and self.loops[start] is None:
                    break
                if size is not None:
                    fused = stop - start if stop - start > 1 else 0
                    found.append(_Path(max(size, paths[start].peak), paths[start].fused + fused, start))
            if not found:
                return None
            paths.append(min(found, key=lambda p: (p.peak, p.fused)))
        spans, stop = list[tuple[int, int]](), len(calls)
        while stop:
            spans.insert(0, (paths[stop].start, stop))
            stop = paths[stop].start
        if all(self._chain(*span) is None for span in spans):
            return None
        return replace(self.program, calls=tuple(c for span in spans for c in self._calls(*span)))

    def _loops(self, shapes: dict[str, Shape]) -> list[PixelLoop | None]:
        """Each call as a loop over pixels, where it is one."""
        loops: list[PixelLoop | None] = []
        for call in self.program.calls:
            x, y = call.buffers.get("x"), call.buffers["y"]
            shape = shapes.get(x.name) if x is not None else None
            loop = call if isinstance(call, PixelLoop) and isinstance(call.inner[-1], Put) else None
            if loop is None and shape is not None:
                loop = as_loop(call, shape, self.word_bits, self._fresh)
            loops.append(loop)
            if loop is not None:
                shapes[y.name] = written_shape(loop)
        return loops

    def _fresh(self, stem: str) -> str:
        name, n = stem, 1
        while name in self.names:
            n += 1
            name = f"{stem}_{n}"
        self.names.add(name)
        return name

    def _feeds(self, start: int) -> bool:
        """Whether the loop that begins at ``start`` is to get the program's input row by row."""
        return self.by_row and start == 0

    def _chain(self, start: int, stop: int) -> Chain | None:
        """The calls from ``start`` to ``stop`` as a chain; None where they are none, or one alone."""
        key = start, stop, self._feeds(start)
        if key not in self.chains:
            self.chains[key] = self._new_chain(start, stop)
        return self.chains[key]

    def _new_chain(self, start: int, stop: int) -> Chain | None:
        loops = [loop for loop in self.loops[start:stop] if loop is not None]
        if len(loops) < stop - start or (len(loops) < 2 and not self._feeds(start)):
            return None
        for loop in loops[:-1]:
            if loop.y in self.ports or self.life[loop.y].last >= stop:
                return None
        feeds = self._feeds(start)
        stages = self._fed(loops) if feeds else loops
        if stages is None or not _is_chain(stages):
            return None
        chain = Chain(stages, self.word_bits, feeds)
        return chain if len(chain.order) <= MOST_STEPS else None

    def _fed(self, loops: list[PixelLoop]) -> list[PixelLoop] | None:
        """The loops with the program's only input coming row by row; None where that cannot be."""
        if len(self.program.inputs) != 1:
            return None
        x = self.program.inputs[0].buffer
        readers = [i for i, loop in enumerate(loops) if x in (loop.x, *loop.more)]
        everywhere = [c for c in self.program.calls if x in c.buffers.values()]
        gathers = [c for i in readers for c in loops[i].inner if isinstance(c, GatherIntegers) and c.buffers["x"] == x]
        if not gathers or readers[0] != 0 or loops[-1].y in self.ports or len(everywhere) != len(readers):
            return None
        one = gathers[0]
        if one.height < 2:
            return None
        count = one.width * one.channels
        row = Typed(Sliced(x, count, Index.ROW.value))
        by_rows = (one.kernel_h, one.stride_h, one.before_h) == (1, 1, 0) and loops[0].rows == one.height
        if len(gathers) == 1 and by_rows:
            direct = replace(one, x=row, height=1, row=0)
            body = tuple(direct if c is one else c for c in loops[0].body)
            return [replace(loops[0], body=body), *loops[1:]]
        whole = Buffer(f"{x.name}_map", x.ctype, one.height * count)
        layer = one.layer
        put = PutIntegers(layer, (), 0, row, count, 1, Index.ROW, 0, Typed(whole))
        copy = PixelLoop(layer, (), 0, one.height, 1, 1, (), (put,), (), x, whole)
        return [copy, *(loop.with_buffers({x: whole}) for loop in loops)]

    def _bytes(self, start: int, stop: int) -> int | None:
        """Bytes in the arena while the calls from ``start`` to ``stop`` run as one loop, or are one call."""
        alone = stop - start == 1 and not self._feeds(start)
        alive = [b for b, life in self.life.items() if life.first < stop and life.last >= start]
        if alone:
            return sum(b.bytes(self.word_bits) for b in alive) - memory.shared(self.program, start, self.life)
        chain = self._chain(start, stop)
        if chain is None:
            return sum(b.bytes(self.word_bits) for b in alive) if stop - start == 1 else None
        outside = (b for b in alive if self.life[b].first < start or self.life[b].last >= stop)
        return chain.bytes() + sum(b.bytes(self.word_bits) for b in outside)

    def _calls(self, start: int, stop: int) -> tuple[Call, ...]:
        chain = self._chain(start, stop)
        return self.program.calls[start:stop] if chain is None else (chain.loop(self._feeds(start)),)
