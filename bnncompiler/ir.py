"""The graph: an immutable DAG in which a node *is* the value that it computes, typed at birth.

There are no edges to keep in step and no uses to rewire. To change a graph, build new nodes on top of old ones; what
no output reaches is gone. Node types (`bnncompiler.ops`) are the vocabulary, and ``match`` is the pattern language.

A type says what a value can hold: its shape without the batch axis, channels last, and its *domain*. A value without
a domain is real: only onnxruntime knows it. A value with one is an integer tensor ``q``, and ``real = scale * q +
offset``. Compiling is giving every value a domain.

Rows: everything that differs by channel (scales, thresholds, multipliers) is an array of ``rows`` entries, and
element ``i`` of a value, counted in C order, uses row ``i % rows``. As channels come last, rows are 1 (all alike),
the number of channels, or the number of elements (each its own), and one rule serves dense layers, maps and per-pixel
thresholds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bnncompiler.errors import IRError

Array = npt.NDArray[Any]


def rows(values: object, dtype: type = np.float64) -> Array:
    """``values`` as a read-only one-dimensional array, one entry a row; a scalar is one row."""
    array: Array = np.atleast_1d(np.asarray(values, dtype)).reshape(-1)
    if array.size > 1 and (array == array[0]).all():
        array = array[:1]
    array = array.copy()
    array.setflags(write=False)
    return array


def per_element(values: Array, size: int) -> Array:
    """The row values spread over ``size`` elements: entry ``i`` is row ``i % rows``."""
    return np.tile(values, size // len(values)) if len(values) != size else values


@dataclass(frozen=True, eq=False)
class Domain:
    """An integer grid: ``real = scale * q + offset`` with ``q`` in ``lo, lo + step, ..., hi``.

    Attributes:
        scale: real value of one step of ``q``, by row.
        offset: real value at ``q = 0``, by row.
        lo: smallest ``q``, by row.
        hi: largest ``q``, by row.
        step: distance of neighbouring ``q``; 2 where the parity is known, as in a sum of ±1.
        error: bound on ``|reference - float32(real(q))|`` by row, where the reference is what onnxruntime computes in
            float32 from the same discrete inputs. 0 means: the reference holds exactly ``float32(real(q))``.
    """

    scale: Array
    offset: Array
    lo: Array
    hi: Array
    step: int = 1
    error: Array = field(default_factory=lambda: rows(0.0))

    def __post_init__(self) -> None:
        for name in ("scale", "offset", "error"):
            object.__setattr__(self, name, rows(getattr(self, name)))
        for name in ("lo", "hi"):
            object.__setattr__(self, name, rows(getattr(self, name), np.int64))
        if not (np.isfinite(self.scale).all() and np.isfinite(self.offset).all()):
            raise IRError("a domain needs finite scales and offsets")
        if (self.lo > self.hi).any():
            raise IRError(f"an empty domain: lo {self.lo} is above hi {self.hi}")

    @property
    def rows(self) -> int:
        """How many rows the domain distinguishes."""
        return max(len(a) for a in (self.scale, self.offset, self.lo, self.hi, self.error))

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest ``q`` of any row."""
        return int(self.lo.min()), int(self.hi.max())

    @property
    def is_bipolar(self) -> bool:
        """Whether ``q`` is -1 or +1: one bit an element."""
        return self.step == 2 and self.bounds == (-1, 1)

    @property
    def is_exact(self) -> bool:
        """Whether the reference holds exactly these values."""
        return not self.error.any()

    @property
    def is_uniform(self) -> bool:
        """Whether all rows share one scale and one offset."""
        return len(self.scale) == 1 and len(self.offset) == 1

    def at(self, row: Array) -> Domain:
        """The domain of the rows ``row`` alone."""
        n = self.rows
        scale, offset, lo, hi, error = (
            per_element(a, n)[row] for a in (self.scale, self.offset, self.lo, self.hi, self.error)
        )
        return Domain(scale, offset, lo, hi, self.step, error)

    def by_channel(self, channels: int) -> Domain | None:
        """The domain with a row for each channel: where limits or errors differ from pixel to pixel, the widest.

        None where the scale or the offset does.
        """
        if self.rows <= channels:
            return self
        scale, offset, lo, hi, error = (
            a.reshape(-1, min(len(a), channels)) for a in (self.scale, self.offset, self.lo, self.hi, self.error)
        )
        if (scale != scale[0]).any() or (offset != offset[0]).any():
            return None
        step = 1 if ((lo - lo[0, 0]) % self.step).any() else self.step
        return Domain(scale[0], offset[0], lo.min(axis=0), hi.max(axis=0), step, error.max(axis=0))

    def repeated(self, times: int) -> Domain:
        """The domain of ``times`` such values, one after the other."""
        return self.at(np.tile(np.arange(self.rows), times)) if self.rows > 1 else self

    @staticmethod
    def concatenate(parts: list[Domain], sizes: list[int]) -> Domain:
        """The domain of values of those domains and numbers of channels, one after the other."""
        if len(parts) == 1:
            return parts[0]
        fields = zip(
            *(
                [per_element(a, n) for a in (d.scale, d.offset, d.lo, d.hi, d.error)]
                for d, n in zip(parts, sizes, strict=True)
            ),
            strict=True,
        )
        scale, offset, lo, hi, error = (np.concatenate(f) for f in fields)
        return Domain(scale, offset, lo, hi, min(d.step for d in parts), error)

    def real(self, q: Array) -> Array:
        """The float64 values of ``q``, whose last axis runs over elements or rows."""
        n = q.shape[-1]
        values: Array = per_element(self.scale, n) * q + per_element(self.offset, n)
        return values

    def __str__(self) -> str:
        lo, hi = self.bounds
        if self.is_bipolar:
            kind = "bipolar"
        elif (lo, hi, self.step) == (-1, 1, 1):
            kind = "ternary"
        else:
            kind = f"{{{lo}..{hi}{f' step {self.step}' if self.step > 1 else ''}}}"

        def of(a: Array) -> str:
            return f"{a[0]:.6g}" if len(a) == 1 else f"{a.min():.6g}..{a.max():.6g}"

        affine = (
            ""
            if self.is_uniform and (self.scale[0], self.offset[0]) == (1, 0)
            else (
                f" *{of(self.scale)}"
                + (f"{'+' if self.offset.min() >= 0 else ''}{of(self.offset)}" if self.offset.any() else "")
            )
        )
        return kind + affine + ("" if self.is_exact else f" ±{self.error.max():.2g}")


def bipolar(low: object = -1.0, high: object = 1.0, error: object = 0.0) -> Domain:
    """The domain of a value with the two levels ``low`` and ``high`` (by row)."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return Domain(rows((high - low) / 2), rows((high + low) / 2), rows(-1), rows(1), 2, rows(error))


@dataclass(frozen=True, slots=True)
class TensorType:
    """What a value can hold.

    Attributes:
        shape: the shape without the batch axis, channels last.
        dtype: numpy name of the element type that the reference holds ("float32", "bool", "uint8", ...).
        domain: the integer grid, or None while the value is real.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    domain: Domain | None = None

    @property
    def size(self) -> int:
        """How many elements there are."""
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        """The length of the last axis."""
        return self.shape[-1] if self.shape else 1

    def __str__(self) -> str:
        kind = self.dtype if self.domain is None else str(self.domain)
        return f"{kind}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True, eq=False)
class Node:
    """One operation and its value. Operands are the fields that hold a ``Node`` or a tuple of nodes.

    ``name`` is that of the ONNX value that the node computes; it serves messages, printing, C identifiers and
    verification, never as an edge. ``origin`` lists the ONNX nodes ("name:Op") that went into it.
    """

    name: str

    @cached_property
    def type(self) -> TensorType:
        """The value's type, from the operands' types; raises ``IRError`` where they do not fit."""
        raise NotImplementedError

    @property
    def domain(self) -> Domain:
        """The domain of a value that is known to have one."""
        if self.type.domain is None:
            raise IRError(f"{self.name}: the value is still real")
        return self.type.domain

    @cached_property
    def operands(self) -> tuple[Node, ...]:
        """The nodes that this one reads, in field order."""
        found: list[Node] = []
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Node):
                found.append(value)
            elif isinstance(value, tuple):
                found.extend(v for v in value if isinstance(v, Node))
        return tuple(found)

    @property
    def op(self) -> str:
        """The operation's name in printed graphs: the class's, in snake case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def attributes(self) -> dict[str, object]:
        """What a printed graph shows beside the operands: the small fields."""
        return {}

    def with_operands(self, moved: Mapping[Node, Node]) -> Node:
        """This node on other operands; itself where none of them moved."""
        changed: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Node) and moved.get(value, value) is not value:
                changed[f.name] = moved[value]
            elif isinstance(value, tuple) and any(isinstance(v, Node) and moved.get(v, v) is not v for v in value):
                changed[f.name] = tuple(moved.get(v, v) if isinstance(v, Node) else v for v in value)
        return replace(self, **changed) if changed else self

    def __post_init__(self) -> None:
        _ = self.type  # an ill-typed node never exists

    def __repr__(self) -> str:
        return f"<{self.op} {self.name}: {self.type}>"


@dataclass(frozen=True)
class Graph:
    """A network: its name, its inputs in order and its outputs in order."""

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]

    def nodes(self) -> tuple[Node, ...]:
        """Every input and every node that an output reaches, once, operands first, in an order of the graph's own."""
        return tuple(walk(self.outputs, self.inputs))

    def users(self) -> dict[Node, list[Node]]:
        """For every node, the nodes that read it, in graph order."""
        users: dict[Node, list[Node]] = {n: [] for n in self.nodes()}
        for node in users:
            for operand in dict.fromkeys(node.operands):
                users[operand].append(node)
        return users

    def rewrite(self, rule: Callable[[Node], Node | None]) -> Graph:
        """Apply ``rule`` bottom-up, once to each node, on operands that are already rewritten.

        The rule returns what replaces the node, or None to keep it. The same graph comes back where nothing changed.
        """
        new: dict[Node, Node] = {}
        for node in self.nodes():
            moved = node.with_operands(new)
            new[node] = rule(moved) or moved
        if all(old is now for old, now in new.items()):
            return self
        return replace(self, inputs=tuple(new[i] for i in self.inputs), outputs=tuple(new[o] for o in self.outputs))

    def __str__(self) -> str:
        names = unique_names(self.nodes())
        lines = [f"graph {self.name} {{"]
        for n in self.nodes():
            args = [f"%{names[o]}" for o in n.operands] + [f"{k}={v}" for k, v in n.attributes().items()]
            lines.append(f"  %{names[n]} = {n.op}({', '.join(args)}) : {n.type}")
        return "\n".join([*lines, f"  return {', '.join('%' + names[o] for o in self.outputs)}", "}"])


def walk(outputs: tuple[Node, ...], inputs: tuple[Node, ...] = ()) -> Iterator[Node]:
    """Every node once, operands first, without recursion (networks are deep)."""
    seen: set[Node] = set(inputs)
    yield from inputs
    stack = [(n, False) for n in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if node in seen:
            continue
        if ready:
            seen.add(node)
            yield node
        else:
            stack.append((node, True))
            stack.extend((o, False) for o in reversed(node.operands))


def unique_names(nodes: tuple[Node, ...]) -> dict[Node, str]:
    """A printable name for each node; where two share one, the later gets a number."""
    taken: set[str] = set()
    names: dict[Node, str] = {}
    for node in nodes:
        name, n = node.name, 1
        while name in taken:
            n += 1
            name = f"{node.name}.{n}"
        taken.add(name)
        names[node] = name
    return names
