"""Parts: a dense layer whose tables are larger than an object may be on the target becomes several layers.

avr-gcc has no object of more than 32,767 bytes. Such a layer is cut by outputs, at a multiple of the word: each part
has its share of every table and writes a buffer of its own, and the parts are joined behind each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bnncompiler import dense_calls
from bnncompiler.errors import LoweringError
from bnncompiler.map_calls import PixelLoop
from bnncompiler.move_calls import ConcatBits, ConcatIntegers
from bnncompiler.packing import words
from bnncompiler.program import Buffer, Call, Table, Typed, data_of
from bnncompiler.sliced_calls import DenseSliced, DenseSlicedThreshold

BY_OUTPUT = (
    dense_calls.DenseThreshold,
    dense_calls.DenseXnor,
    dense_calls.DenseBipolar,
    dense_calls.DenseTernary,
    dense_calls.DenseSelect,
    dense_calls.DenseInteger,
    dense_calls.DenseWide,
)
BY_INPUT = (DenseSliced, DenseSlicedThreshold, dense_calls.DenseSigns)


def split(program_calls: Sequence[Call], word_bits: int, largest: int) -> list[Call]:
    """The calls, none of which has a table of more than ``largest`` bytes.

    Raises:
        LoweringError: a table is too large and no dense layer's; the message names the layer.
    """
    return [part for call in program_calls for part in _parts(call, word_bits, largest)]


def _parts(call: Call, word_bits: int, largest: int) -> list[Call]:
    if isinstance(call, PixelLoop):
        return [_loop(call, word_bits, largest)]
    if all(t.bytes(word_bits) <= largest for t in call.tables):
        return [call]
    if not isinstance(call, BY_OUTPUT + BY_INPUT):
        raise _too_large(call, word_bits, largest)
    return list(_dense(call, word_bits, largest))


def _loop(loop: PixelLoop, word_bits: int, largest: int) -> PixelLoop:
    """A loop with parts in place of calls; what they write and what is joined is scratch of the loop."""
    body, tail = (tuple(split(inner, word_bits, largest)) for inner in (loop.body, loop.tail))
    known = {*loop.buffers.values(), *(b for c in loop.inner for b in c.buffers.values())}
    written = dict.fromkeys(b for c in (*body, *tail) for b in c.buffers.values() if b not in known)
    return replace(loop, body=body, tail=tail, scratch=(*loop.scratch, *written))


def _dense(call: Any, word_bits: int, largest: int) -> Iterator[Call]:
    """The parts of a dense call, and the calls that join them."""
    outs = call.outs
    worst = max(t.bytes(word_bits) for t in call.tables)
    step = largest * outs // worst // word_bits * word_bits
    y = data_of(call.y)
    if step == 0 or not isinstance(y, Buffer):
        raise _too_large(call, word_bits, largest)
    packed = y.ctype == "bnn_word"
    joined, count = None, 0
    for i, first in enumerate(range(0, outs, step)):
        own = min(step, outs - first)
        part = _buffer(y, f"part{i}", own, word_bits)
        yield _share(call, first, own, part, word_bits)
        if joined is None:
            joined, count = part, own
            continue
        whole = y if count + own == outs else _buffer(y, f"joined{i}", count + own, word_bits)
        head = (call.layer, call.origin, 0)
        if packed:
            yield ConcatBits(*head, joined, count, part, own, 1, 1, whole)
        else:
            yield ConcatIntegers(*head, Typed(joined), count, Typed(part), own, 1, Typed(whole))
        joined, count = whole, count + own


def _buffer(y: Buffer, what: str, count: int, word_bits: int) -> Buffer:
    elements = words(count, word_bits) if y.ctype == "bnn_word" else count
    return Buffer(f"{y.name}_{what}", y.ctype, elements)


def _share(call: Any, first: int, own: int, y: Buffer, word_bits: int) -> Call:
    """The call for the outputs ``first`` to ``first + own - 1``."""

    def cut(name: str, table: Table) -> Table:
        if isinstance(call, BY_INPUT) and name in ("w", "at"):  # rows of words of outputs
            rows = table.values.reshape(-1, words(call.outs, word_bits))
            values = rows[:, first // word_bits : words(first + own, word_bits)]
        else:
            values = table.values.reshape(call.outs, -1)[first : first + own]
        return Table(f"{table.name}_{first}", table.ctype, values.reshape(-1), values.shape[1])

    def share(name: str, value: Any) -> Any:
        if isinstance(value, Typed) and isinstance(value.data, Table):
            return Typed(cut(name, value.data))
        return cut(name, value) if isinstance(value, Table) else value

    shared = {name: share(name, value) for name, value in call.arguments()}
    shared |= {"outs": own, "y": y, "macs": call.macs * own // call.outs}
    part: Call = replace(call, **shared)
    return part


def _too_large(call: Call, word_bits: int, largest: int) -> LoweringError:
    table = max(call.tables, key=lambda t: t.bytes(word_bits))
    return LoweringError(
        f"{call.layer}: its table {table.name} has {table.bytes(word_bits):,} B and cannot be cut, but the target's "
        f"compiler has no object of more than {largest:,} B; use fewer channels, or fewer --stream-bits for a table"
    )
