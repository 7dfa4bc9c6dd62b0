"""The program: what a backend prints. A straight list of kernel calls over planned buffers and constant tables.

A call is a dataclass whose fields, in order, are the arguments of the C kernel of the same name (`kernels/*.c`), and
whose ``run`` is that kernel's meaning in numpy (`bnncompiler.calls`, `bnncompiler.map_calls`).

Nothing here knows a graph: by now every value is a buffer of integers or of packed bits (`bnncompiler.packing`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bnncompiler.ir import Array, TensorType
from bnncompiler.packing import WORD_DTYPES

CTYPES = {"uint8_t": 1, "int8_t": 1, "uint16_t": 2, "int16_t": 2, "int32_t": 4, "int64_t": 8}


@dataclass(frozen=True)
class Buffer:
    """``count`` elements of ``ctype`` ("bnn_word" or a fixed-width C integer).

    ``offset`` is the place in the arena in bytes, None while it is not planned and for the caller's own memory.
    """

    name: str
    ctype: str
    count: int
    offset: int | None = None

    def bytes(self, word_bits: int) -> int:
        """The size in bytes on a target of ``word_bits``."""
        return self.count * (word_bits // 8 if self.ctype == "bnn_word" else CTYPES[self.ctype])

    def dtype(self, word_bits: int) -> Any:
        """The numpy type of one element."""
        return WORD_DTYPES[word_bits] if self.ctype == "bnn_word" else np.dtype(self.ctype.removesuffix("_t"))


@dataclass(frozen=True, eq=False)
class Table:
    """A constant in flash: flat ``values`` of ``ctype``; ``columns`` is how many belong together, for the eye."""

    name: str
    ctype: str
    values: Array
    columns: int = 0

    def bytes(self, word_bits: int) -> int:
        """The size in bytes on a target of ``word_bits``."""
        return len(self.values) * (word_bits // 8 if self.ctype == "bnn_word" else CTYPES[self.ctype])


@dataclass(frozen=True)
class Sliced:
    """What of a table or buffer belongs to a convolution's group ``g``: ``stride`` elements from ``g * stride`` on.

    Only calls in a loop over groups have such arguments (or in one over rows: ``index`` is the loop's variable); the
    loop puts the share in their place.
    """

    data: Buffer | Table
    stride: int
    index: str = "group"


@dataclass(frozen=True)
class Typed:
    """An argument pair ``pointer, type`` for a kernel that takes any integer type: a buffer or a table."""

    data: Buffer | Table | Sliced


def data_of(value: object) -> Buffer | Table | None:
    """What an argument points to; None for a number."""
    while isinstance(value, Typed | Sliced):
        value = value.data
    return value if isinstance(value, Buffer | Table) else None


# Contents by buffer name. Before the axis of elements there may be others: many pixels at a time, for instance.
Memory = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Call:
    """One kernel call. ``layer`` names the graph node, ``origin`` the ONNX nodes, ``macs`` its multiply-accumulates."""

    layer: str
    origin: tuple[str, ...]
    macs: int

    @classmethod
    def kernel(cls) -> str:
        """The C function's name."""
        return "bnn_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def short_name(cls) -> str:
        """What people call the kernel."""
        return cls.kernel().removeprefix("bnn_")

    @property
    def meaning(self) -> str:
        """What the call computes, in a sentence for a comment: the beginning of its class's documentation."""
        text = (type(self).__doc__ or self.kernel()).split("\n\n")[0]
        return " ".join(text.split()).replace("``", "`")

    def kernels(self) -> list[str]:
        """The C functions that this call needs."""
        return [self.kernel()]

    def arguments(self) -> Iterator[tuple[str, Any]]:
        """Name and value of each argument, in the order of the C kernel's parameters."""
        for f in fields(self)[3:]:
            yield f.name, getattr(self, f.name)

    @property
    def buffers(self) -> dict[str, Buffer]:
        """The buffers by argument name."""
        pairs = ((name, data_of(value)) for name, value in self.arguments())
        return {name: data for name, data in pairs if isinstance(data, Buffer)}

    @property
    def tables(self) -> list[Table]:
        """The constant tables that this call reads."""
        found = (data_of(value) for _, value in self.arguments())
        return [data for data in found if isinstance(data, Table)]

    @property
    def phases(self) -> tuple[tuple[Buffer, ...], ...]:
        """For each part of a call that has several, the scratch that lives within that part alone."""
        return ((),)

    @property
    def memory(self) -> list[Buffer]:
        """Every buffer that the call uses, once."""
        return list(dict.fromkeys((*self.buffers.values(), *(b for part in self.phases for b in part))))

    @property
    def parts(self) -> tuple[Call, ...]:
        """The layers that the call computes, a call each: itself, where it is one."""
        return (self,)

    @property
    def inner(self) -> tuple[Call, ...]:
        """The calls that this one is a loop around; none for a kernel."""
        return ()

    def with_buffers(self, placed: Mapping[Buffer, Buffer]) -> Call:
        """This call on other buffers (the same ones with a place in the arena, say)."""

        def swap(value: Any) -> Any:
            if isinstance(value, Typed | Sliced):
                return replace(value, data=swap(value.data))
            return placed.get(value, value) if isinstance(value, Buffer) else value

        return replace(self, **{k: swap(v) for k, v in self.arguments() if isinstance(v, Typed | Sliced | Buffer)})

    def run(self, memory: Memory, word_bits: int) -> None:
        """The kernel's meaning: read ``memory`` by buffer name, and write it."""
        raise NotImplementedError


def values_of(x: Typed, memory: Memory) -> Array:
    """The integers that a typed argument stands for."""
    data = x.data
    assert not isinstance(data, Sliced), "a loop over groups puts shares in their place"
    return (memory[data.name] if isinstance(data, Buffer) else data.values).astype(np.int64)


def store(y: Typed, values: Array, memory: Memory, word_bits: int) -> None:
    """Let ``y`` hold ``values``, as its type can."""
    assert isinstance(y.data, Buffer)
    memory[y.data.name] = values.astype(y.data.dtype(word_bits))


@dataclass(frozen=True)
class Port:
    """A way in or out: the caller's buffer, the ONNX value's name, and what the integers in it mean."""

    name: str
    buffer: Buffer
    type: TensorType
    source: str = ""


@dataclass(frozen=True)
class Program:
    """A network for one target: ports, calls in order, and the arena that the caller provides.

    ``word_bits`` is the target's packing width, ``align`` what the arena must be aligned to in bytes.
    """

    name: str
    word_bits: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    calls: tuple[Call, ...]
    arena_size: int = 0
    align: int = 1

    @property
    def tables(self) -> list[Table]:
        """Every constant table once, in order of first use."""
        return list({t.name: t for c in self.calls for t in c.tables}.values())

    @property
    def flash_bytes(self) -> int:
        """The size of all constant tables."""
        return sum(t.bytes(self.word_bits) for t in self.tables)

    def run(self, inputs: dict[str, Array]) -> Memory:
        """Every buffer's last content, by name, for one sample of ``inputs`` by buffer name.

        Buffers that share a place in the arena are kept apart here; `memory.check` proves that this makes no
        difference.
        """
        memory: Memory = dict(inputs)
        for call in self.calls:
            call.run(memory, self.word_bits)
        return memory

    def __str__(self) -> str:
        def show(value: Any) -> str:
            if isinstance(value, Typed | Sliced):
                return show(value.data)
            if isinstance(value, enum.Enum):
                return str(value.value)
            if isinstance(value, Buffer):
                where = "" if value.offset is None else f"@{value.offset}"
                return f"{value.name}{where}:{value.ctype}[{value.count}]"
            if isinstance(value, Table):
                return f"{value.name}:{value.ctype}[{len(value.values)}]"
            return str(value)

        head = f"program {self.name}: {self.word_bits}-bit words, {self.arena_size} B of arena"
        head += f", {self.flash_bytes} B of tables"

        def lines(call: Call, indent: str) -> list[str]:
            line = f"{indent}{call.kernel()}({', '.join(f'{k}={show(v)}' for k, v in call.arguments())})"
            within = call.inner if call.parts == (call,) else call.parts
            return [line, *(below for c in within for below in lines(c, indent + "  "))]

        return "\n".join([head, *(line for c in self.calls for line in lines(c, "  "))])
