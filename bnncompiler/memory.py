"""Memory: every buffer gets a place in one arena, and an independent checker proves that no live value is overwritten.

A buffer lives from the call that writes it to the last call that reads it. Buffers are placed largest first, each at
the lowest offset that is free for its whole life (greedy by size: Pisarchyk and Lee, "Efficient Memory Management for
Deep Neural Net Inference", 2020). Where a kernel may write over its input and the input dies there, the two share a
place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bnncompiler.errors import CompileError
from bnncompiler.program import Buffer, Call, Program


@dataclass(frozen=True)
class Life:
    """The calls during which a buffer's content matters: written in ``first``, last read in ``last``."""

    first: int
    last: int

    def meets(self, other: Life) -> bool:
        """Whether both are alive during some call."""
        return self.first <= other.last and other.first <= self.last


def written(call: Call) -> Buffer:
    """The buffer that a call writes."""
    return call.buffers["y"]


def lives(program: Program) -> dict[Buffer, Life]:
    """The life of every buffer that needs a place: all but the caller's inputs and outputs."""
    ports = {p.buffer.name for p in (*program.inputs, *program.outputs)}
    found: dict[Buffer, Life] = {}
    for i, call in enumerate(program.calls):
        for name, buffer in call.buffers.items():
            if buffer.name in ports:
                continue
            # What a call writes, and its scratch, begins to live there.
            found[buffer] = Life(i if name == "y" or buffer not in found else found[buffer].first, i)
    return found


def plan(program: Program) -> Program:
    """``program`` with an offset for every buffer and the size of the arena.

    Raises:
        CompileError: the checker does not agree with the plan, which would be a fault of this module.
    """
    life = lives(program)
    align = max([program.align, program.word_bits // 8, *(_element(b, program.word_bits) for b in life)])
    offsets: dict[Buffer, int] = {}
    for buffer in sorted(life, key=lambda b: (-b.bytes(program.word_bits), life[b].first)):
        offsets[buffer] = _lowest(buffer, program, life, offsets)
    size = max((offsets[b] + b.bytes(program.word_bits) for b in life), default=0)
    placed = {b: replace(b, offset=offsets[b]) for b in life}
    planned = replace(
        program,
        calls=tuple(c.with_buffers(placed) for c in program.calls),
        arena_size=-(-size // align) * align,
        align=align,
    )
    check(planned)
    return planned


def _element(buffer: Buffer, word_bits: int) -> int:
    return buffer.bytes(word_bits) // max(1, buffer.count)


def _lowest(buffer: Buffer, program: Program, life: Mapping[Buffer, Life], offsets: Mapping[Buffer, int]) -> int:
    """The lowest aligned offset at which ``buffer`` meets no placed buffer that lives at the same time."""
    size, align = buffer.bytes(program.word_bits), _element(buffer, program.word_bits)
    taken = [
        (offsets[b], offsets[b] + b.bytes(program.word_bits), _shares(buffer, b, program, life))
        for b in offsets
        if life[b].meets(life[buffer])
    ]
    candidates = (
        {0} | {-(-end // align) * align for _, end, _ in taken} | {start for start, _, shared in taken if shared}
    )
    free = (
        c
        for c in sorted(candidates)
        if c % align == 0
        and all(end <= c or start >= c + size or (shared and start == c) for start, end, shared in taken)
    )
    return next(free)


def _shares(a: Buffer, b: Buffer, program: Program, life: Mapping[Buffer, Life]) -> bool:
    """Whether one is made from the other in place: last read by the in-place call that writes the other."""
    for x, y in ((a, b), (b, a)):
        call = program.calls[life[y].first]
        if call.in_place and written(call) == y and call.buffers.get("x") == x and life[x].last == life[y].first:
            return y.bytes(program.word_bits) <= x.bytes(program.word_bits)
    return False


def check(program: Program) -> None:
    """Prove the plan by running it on ownership alone: which buffer's bytes does each byte of the arena hold?

    Knows nothing of lives or of how the plan was made.

    Raises:
        CompileError: a call reads a byte that another value has overwritten, a buffer leaves the arena or is not
        aligned.
    """
    owner: list[str | None] = [None] * program.arena_size
    for call in program.calls:
        mine = {n: b for n, b in call.buffers.items() if b.offset is not None}
        reads = {n: b for n, b in mine.items() if n != "y" and not n.startswith("scratch")}
        for buffer in reads.values():
            if any(o != buffer.name for o in owner[_span(buffer, program)]):
                raise CompileError(
                    f"memory plan: {call.layer} reads {buffer.name} after something else was written over it"
                )
        target = written(call)
        if target.offset is None:
            _check_scratch(call, mine, program, owner)
            continue
        where = _span(target, program)
        if where.stop > program.arena_size or where.start % _element(target, program.word_bits):
            raise CompileError(f"memory plan: {target.name} lies outside of the arena or is not aligned")
        for buffer in reads.values():
            other = _span(buffer, program)
            overlap = where.start < other.stop and other.start < where.stop
            if overlap and not (call.in_place and where.start == other.start and where.stop <= other.stop):
                raise CompileError(
                    f"memory plan: {call.layer} writes {target.name} over {buffer.name} while it reads it"
                )
        owner[where] = [target.name] * (where.stop - where.start)
        _check_scratch(call, mine, program, owner)


def _check_scratch(call: Call, buffers: Mapping[str, Buffer], program: Program, owner: list[str | None]) -> None:
    """Scratch must overlap nothing else that the call touches, and it spoils what lay there."""
    for name, buffer in buffers.items():
        if not name.startswith("scratch"):
            continue
        where = _span(buffer, program)
        for other in buffers.values():
            there = _span(other, program)
            if other != buffer and where.start < there.stop and there.start < where.stop:
                raise CompileError(f"memory plan: {call.layer} uses the memory of {other.name} as scratch")
        owner[where] = [buffer.name] * (where.stop - where.start)


def _span(buffer: Buffer, program: Program) -> slice:
    assert buffer.offset is not None
    return slice(buffer.offset, buffer.offset + buffer.bytes(program.word_bits))


def drawing(program: Program) -> str:
    """The plan as text: a line for each buffer, its bytes, and the calls during which it lives."""
    life = {b.name: span for b, span in lives(program).items()}
    buffers = {b.name: b for c in program.calls for b in c.buffers.values() if b.offset is not None}
    width = max((len(n) for n in buffers), default=0)
    lines = [f"arena {program.arena_size} B, steps 0..{len(program.calls) - 1}"]
    for name, buffer in sorted(buffers.items(), key=lambda item: (item[1].offset or 0, life[item[0]].first)):
        where = _span(buffer, program)
        alive = "".join("#" if life[name].first <= i <= life[name].last else "." for i in range(len(program.calls)))
        lines.append(f"  {where.start:>6}..{where.stop - 1:<6} {name:<{width}} {alive}")
    return "\n".join(lines)
