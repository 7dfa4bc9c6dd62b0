"""Memory: every buffer gets a place in one arena, and an independent checker proves that no live value is overwritten.

A buffer lives from the call that writes it to the last call that reads it; scratch of a part of a call lives in that
part. Buffers are placed largest first, each at the lowest offset that is free for its whole life (greedy by size:
Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).

Where a call has read what it overwrites, its output may lie over its input: at the same place where elements only
shrink, or some bytes before it: the rows of a convolution then overwrite input rows that no window needs any more. How
far apart the two must begin follows from when each byte is read and written (`overlap.Timeline`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnncompiler import overlap
from bnncompiler.errors import CompileError
from bnncompiler.program import Buffer, Call, Program
from bnncompiler.row_check import check_rows


@dataclass(frozen=True)
class Life:
    """The steps during which a buffer's content matters: written in ``first``, last read in ``last``."""

    first: int
    last: int

    def meets(self, other: Life) -> bool:
        """Whether both are alive during some step."""
        return self.first <= other.last and other.first <= self.last


def written(call: Call) -> Buffer:
    """The buffer that a call writes."""
    return call.buffers["y"]


def lives(program: Program) -> dict[Buffer, Life]:
    """The life, in parts of calls, of every buffer that needs a place: all but the caller's inputs and outputs."""
    ports = {p.buffer.name for p in (*program.inputs, *program.outputs)}
    found: dict[Buffer, Life] = {}
    step = 0
    for call in program.calls:
        last = step + len(call.phases) - 1
        for name, buffer in call.buffers.items():
            if buffer.name not in ports:
                # What a call writes, and its scratch, begins to live there.
                found[buffer] = Life(step if name == "y" or buffer not in found else found[buffer].first, last)
        for i, scratch in enumerate(call.phases, step):
            found.update({b: Life(i, i) for b in scratch})
        step = last + 1
    return found


@dataclass(frozen=True)
class _Sizes:
    """Sizes and alignments in bytes, and which outputs may lie over inputs: by (input, output), how far before."""

    bytes: Mapping[Buffer, int]
    align: Mapping[Buffer, int]
    life: Mapping[Buffer, Life]
    apart: Mapping[tuple[Buffer, Buffer], int]


def plan(program: Program) -> Program:
    """``program`` with an offset for every buffer and the size of the arena.

    Raises:
        CompileError: the checker does not agree with the plan, which would be a fault of this module.
    """
    life = lives(program)
    size = {b: b.bytes(program.word_bits) for b in life}
    sizes = _Sizes(size, {b: size[b] // max(1, b.count) for b in life}, life, _apart(program, life))
    offsets = min((_placed(sizes, floor) for floor in _floors(sizes)), key=lambda o: _end(sizes, o))
    align = max([program.align, program.word_bits // 8, *sizes.align.values()])
    placed = {b: replace(b, offset=offsets[b]) for b in life}
    planned = replace(
        program,
        calls=tuple(c.with_buffers(placed) for c in program.calls),
        arena_size=-(-_end(sizes, offsets) // align) * align,
        align=align,
    )
    check(planned)
    return planned


def _apart(program: Program, life: Mapping[Buffer, Life]) -> dict[tuple[Buffer, Buffer], int]:
    """For each input that dies in a call that may write over it, how far before it the output must begin."""
    found = {}
    step = 0
    for call in program.calls:
        x, y = call.buffers.get("x"), written(call)
        if x is not None and x in life and y in life and life[x].last == step and len(call.phases) == 1:
            times = overlap.timeline(call, program.word_bits)
            if times is not None:
                found[x, y] = times.distance()
        step += len(call.phases)
    return found


def shared(program: Program, index: int, life: Mapping[Buffer, Life]) -> int:
    """How many bytes less the input and the output of call ``index`` take because one may lie over the other."""
    found = _apart(
        replace(program, calls=program.calls[index : index + 1]),
        {b: Life(v.first - index, v.last - index) for b, v in life.items()},
    )
    for (x, y), apart in found.items():
        first, second = x.bytes(program.word_bits), y.bytes(program.word_bits)
        return max(0, first + second - max(first + apart, second))
    return 0


def _end(sizes: _Sizes, offsets: Mapping[Buffer, int]) -> int:
    return max((offset + sizes.bytes[b] for b, offset in offsets.items()), default=0)


def _floors(sizes: _Sizes) -> list[dict[Buffer, int]]:
    """Ways to leave room below an input for an output that begins before it: none, for one call, for chains of them."""
    one = {x: apart for (x, _), apart in sizes.apart.items() if apart}
    chains: dict[Buffer, int] = {}
    for (x, y), apart in reversed(list(sizes.apart.items())):
        chains[x] = apart + chains.get(y, 0)
    return [{}, one, chains] if one else [{}]


def _placed(sizes: _Sizes, floor: Mapping[Buffer, int]) -> dict[Buffer, int]:
    """An offset for each buffer, at least its ``floor``."""
    offsets: dict[Buffer, int] = {}
    for buffer in sorted(sizes.life, key=lambda b: (-sizes.bytes[b], sizes.life[b].first)):
        offsets[buffer] = _lowest(buffer, sizes, offsets, floor.get(buffer, 0))
    return offsets


def _lowest(buffer: Buffer, sizes: _Sizes, offsets: Mapping[Buffer, int], floor: int) -> int:
    """The lowest aligned offset at which ``buffer`` meets no placed buffer that lives at the same time."""
    size, align = sizes.bytes[buffer], max(1, sizes.align[buffer])
    taken = [(b, at, at + sizes.bytes[b]) for b, at in offsets.items() if sizes.life[b].meets(sizes.life[buffer])]
    candidates = {-(-floor // align) * align}
    for b, start, end in taken:
        below, above = sizes.apart.get((b, buffer)), sizes.apart.get((buffer, b))
        candidates.add(-(-end // align) * align)
        if below is not None and start >= below:
            candidates.add((start - below) // align * align)
        if above is not None:
            candidates.add(-(-(start + above) // align) * align)

    def is_free(at: int) -> bool:
        for b, start, end in taken:
            if at + size <= start or at >= end:
                continue
            below, above = sizes.apart.get((b, buffer)), sizes.apart.get((buffer, b))
            if not (below is not None and at <= start - below) and not (above is not None and at >= start + above):
                return False
        return True

    return next(c for c in sorted(candidates) if c >= floor and is_free(c))


def check(program: Program) -> None:
    """Prove the plan by running it on ownership alone: which buffer's bytes does each byte of the arena hold?

    Knows nothing of lives or of how the plan was made. Where a call writes over what it reads, every byte is looked at:
    it must not be written before it was read for the last time. The line buffers of loops over rows are replayed
    (`bnncompiler.row_check`).

    Raises:
        CompileError: a call reads a byte that another value has overwritten, a buffer leaves the arena or is not
        aligned.
    """
    owner = _Owners(program)
    for call in program.calls:
        check_rows(call, program.word_bits)
        mine = {n: b for n, b in call.buffers.items() if b.offset is not None}
        scratch = {n: b for n, b in mine.items() if n.startswith("scratch")}
        reads = {n: b for n, b in mine.items() if n != "y" and n not in scratch}
        for buffer in mine.values():
            _check_inside(buffer, program)
        for buffer in reads.values():
            if not owner.has(buffer):
                raise CompileError(
                    f"memory plan: {call.layer} reads {buffer.name} after something else was written over it"
                )
        target = written(call)
        if target.offset is not None:
            for name, buffer in reads.items():
                _check_overlap(call, name, buffer, target, program)
            owner.take(target)
        for buffer in scratch.values():
            _check_scratch(call, buffer, mine.values(), program)
            owner.take(buffer)
        for part in call.phases:
            for buffer in part:
                _check_inside(buffer, program)
                _check_scratch(call, buffer, (*mine.values(), *part), program)
                owner.take(buffer)


class _Owners:
    """Which buffer's bytes each byte of the arena holds."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._number: dict[str, int] = {}
        self._owner = np.zeros(program.arena_size, np.int32)  # 0: nobody's

    def _number_of(self, buffer: Buffer) -> int:
        return self._number.setdefault(buffer.name, len(self._number) + 1)

    def take(self, buffer: Buffer) -> None:
        """The buffer is written: its bytes are its own."""
        self._owner[_span(buffer, self._program)] = self._number_of(buffer)

    def has(self, buffer: Buffer) -> bool:
        """Whether all of the buffer's bytes are still its own."""
        return bool((self._owner[_span(buffer, self._program)] == self._number_of(buffer)).all())


def _check_inside(buffer: Buffer, program: Program) -> None:
    where = _span(buffer, program)
    element = buffer.bytes(program.word_bits) // max(1, buffer.count)
    if where.stop > program.arena_size or where.start % max(1, element):
        raise CompileError(f"memory plan: {buffer.name} lies outside of the arena or is not aligned")


def _check_overlap(call: Call, name: str, x: Buffer, y: Buffer, program: Program) -> None:
    """``y`` may lie over the operand ``x`` only where each byte was read before it is written."""
    start, end = _span(x, program), _span(y, program)
    if start.stop <= end.start or end.stop <= start.start:
        return
    times = overlap.timeline(call, program.word_bits) if name == "x" else None
    if times is None or not times.allows(start.start - end.start):
        raise CompileError(f"memory plan: {call.layer} writes {y.name} over {x.name} while it reads it")


def _check_scratch(call: Call, buffer: Buffer, others: Iterable[Buffer], program: Program) -> None:
    """Scratch must overlap nothing else that the call touches at the same time."""
    where = _span(buffer, program)
    for other in others:
        there = _span(other, program)
        if other != buffer and where.start < there.stop and there.start < where.stop:
            raise CompileError(f"memory plan: {call.layer} uses the memory of {other.name} as scratch")


def _span(buffer: Buffer, program: Program) -> slice:
    assert buffer.offset is not None
    return slice(buffer.offset, buffer.offset + buffer.bytes(program.word_bits))


def drawing(program: Program) -> str:
    """The plan as text: a line for each buffer, its bytes, and the steps during which it lives."""
    life = {b: span for b, span in lives(program).items() if b.offset is not None}
    steps = sum(len(c.phases) for c in program.calls)
    width = max((len(b.name) for b in life), default=0)
    lines = [f"arena {program.arena_size} B, steps 0..{steps - 1}"]
    for buffer, alive in sorted(life.items(), key=lambda item: (item[0].offset or 0, item[1].first)):
        where = _span(buffer, program)
        mark = "".join("#" if alive.first <= i <= alive.last else "." for i in range(steps))
        lines.append(f"  {where.start:>6}..{where.stop - 1:<6} {buffer.name:<{width}} {mark}")
    return "\n".join(lines)
