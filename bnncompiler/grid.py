"""The input grid: which integers the program is fed, and what real numbers they stand for.

An integer program needs integer inputs. The first of these that knows decides, for each graph input:

1. the options: type, scale, offset, mean and std: ``real = (q * scale + offset - mean) / std``;
2. the graph: an input of integer type, or one that the graph itself rounds to 7 bits or more (QuantizeLinear, Quant);
3. the model's metadata: the key ``bnncompiler.input.NAME`` with JSON like ``{"type": "uint8", "scale": "1/255",
   "mean": 0.1307, "std": 0.3081}``; every field may be missing, and ``offset`` is one, too;
4. the samples: floats that lie on an affine grid of at most 256 levels have that grid, others get up to 16 bits;
5. else: ``uint8`` with ``real = q / 255``.

Which one it was, and why, is `InputGrid.source`. Both sides of a verification are fed the same grid points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bnncompiler import gridfit, headroom, rounding
from bnncompiler.errors import UsageError
from bnncompiler.ir import Array, Domain, Graph, Node, TensorType, rows
from bnncompiler.ops import Input

if TYPE_CHECKING:
    from bnncompiler.data import Samples
    from bnncompiler.frontend.imported import Imported

TYPES = ("uint8", "int8", "int16", "bits")
METADATA = "bnncompiler.input."
_SCALE = {"uint8": 1 / 255, "int8": 1 / 128, "int16": 1 / 32768, "bits": 1.0}
_LARGEST = {"int8": 127, "int16": 32767}

Number = float | str | Sequence[float | str]  # "1/255", or one for each channel


@dataclass(frozen=True)
class GridOptions:
    """What the user said about the inputs; a mapping says it by input name, anything else holds for all of them."""

    input: str | Mapping[str, str] | None = None
    scale: Number | Mapping[str, Number] | None = None
    offset: Number | Mapping[str, Number] | None = None
    mean: Number | Mapping[str, Number] | None = None
    std: Number | Mapping[str, Number] | None = None

    def __str__(self) -> str:
        """What was said, as the command line would take it."""
        said = ((key, getattr(self, key)) for key in ("input", "scale", "offset", "mean", "std"))
        return " ".join(f"--{key} {_shown(value)}" for key, value in said if value is not None)

    def of(self, name: str) -> dict[str, object]:
        """What was said about the input ``name``: "type", "scale", "offset", "mean" and "std", as far as given."""
        said: dict[str, object] = {}
        for key in ("input", "scale", "offset", "mean", "std"):
            value = getattr(self, key)
            value = value.get(name) if isinstance(value, Mapping) else value
            if value is not None:
                said["type" if key == "input" else key] = value
        return said


@dataclass(frozen=True)
class InputGrid:
    """The grid of one graph input.

    Attributes:
        name: the ONNX input.
        ctype: "uint8", "int8", "int16", or "bits": eight inputs a byte, the first in the lowest bit, 1 for ``q = +1``.
        domain: the integers and their real values.
        source: where the grid comes from.
        dtype: the ONNX input's element type.
    """

    name: str
    ctype: str
    domain: Domain
    source: str
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.name}: {self.ctype}, {self.domain} ({self.source})"


@dataclass(frozen=True, eq=False)
class OnGrid:
    """Samples as grid units ``q [samples, *shape]``; ``clipped`` were outside of the grid, ``rounded`` not on it."""

    q: Array
    clipped: int = 0
    rounded: int = 0


def choose(
    imported: Imported, options: GridOptions | None = None, samples: Samples | None = None
) -> tuple[InputGrid, ...]:
    """The grid of each graph input, in the graph's order.

    Raises:
        UsageError: options or metadata that do not fit the model.
    """
    options = options or GridOptions()
    metadata = {p.key: p.value for p in imported.model.metadata_props}
    graph = imported.graph
    return tuple(_choose(node, options.of(node.name), graph, metadata, samples) for node in graph.inputs)


def apply(graph: Graph, grids: Sequence[InputGrid]) -> Graph:
    """``graph`` with the grids as the domains of its inputs."""
    domains = {g.name: g.domain for g in grids}

    def rule(node: Node) -> Node | None:
        if not isinstance(node, Input):
            return None
        return replace(node, declared=replace(node.declared, domain=domains[node.name]))

    return graph.rewrite(rule)


def to_q(grid: InputGrid, values: Array) -> OnGrid:
    """Samples ``[samples, *shape]`` as grid units: integers are grid units already, floats are rounded to the nearest.

    Raises:
        UsageError: an integer outside of the grid.
    """
    if values.dtype.kind in "biu":
        return OnGrid(_units(grid, values.astype(np.int64)))
    domain = grid.domain
    flat = values.reshape(len(values), -1)
    size = flat.shape[1]
    scale, offset, lo, hi = (np.resize(a, size) for a in (domain.scale, domain.offset, domain.lo, domain.hi))
    step = np.rint(((flat - offset) / scale - lo) / domain.step)
    q = np.clip(lo + domain.step * step, lo, hi).astype(np.int64)
    clipped = int((lo + domain.step * step != q).sum())
    unit = np.finfo(values.dtype).eps if values.dtype != np.float64 else np.finfo(np.float32).eps
    off = np.abs(domain.real(q) - flat) > 4 * unit * max(np.abs(flat).max(initial=0), float(np.abs(offset).max()))
    return OnGrid(q.reshape(values.shape), clipped, int(off.sum()) - clipped)


def to_real(grid: InputGrid, q: Array) -> Array:
    """The real values of grid units ``[samples, *shape]`` as the model's element type: what the reference is fed."""
    return grid.domain.real(q.reshape(len(q), -1)).reshape(q.shape).astype(grid.dtype)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{k}={_shown(v)}" for k, v in value.items())
    return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _units(grid: InputGrid, q: Array) -> Array:
    lo, hi = grid.domain.bounds
    if grid.ctype == "bits" and q.size and q.min() >= 0:
        q = 2 * q - 1  # bits as 0 and 1 are as good as -1 and +1
    if q.size and (q.min() < lo or q.max() > hi or ((q - lo) % grid.domain.step).any()):
        raise UsageError(
            f"input {grid.name!r}: integers are grid units {grid.domain}, the data go from {q.min()} to {q.max()}; "
            "give real values as floats, or another --input type"
        )
    return q


def _choose(
    node: Node, said: dict[str, object], graph: Graph, metadata: Mapping[str, str], samples: Samples | None
) -> InputGrid:
    kind = node.type
    values = None if samples is None else samples.arrays[node.name]
    integer = not kind.dtype.startswith("float")
    if said:
        if integer and said != {"type": kind.dtype}:
            raise UsageError(f"input {node.name!r} is {kind.dtype} in the model; leave its grid options away")
        if not integer:
            return _said(node, said, values, "options")
    if integer:
        return _integer(node, values)
    found = rounding.input_grid(graph, node)
    if found is not None:
        return _fitted(node, found[0], f"graph: {found[1]} rounds the input to")
    if METADATA + node.name in metadata:
        return _said(node, _parsed(node, metadata[METADATA + node.name]), values, "metadata of the model")
    if samples is not None and values is not None:
        return _from_samples(graph, node, values, samples.source)
    return _said(node, {}, None, "default; say otherwise with --input, --scale, --mean, --std or sample data")


def _said(node: Node, said: dict[str, object], values: Array | None, by: str) -> InputGrid:
    """The grid that options or metadata describe; a type alone takes its scale from the samples where there are any."""
    unknown = set(said) - {"type", "scale", "offset", "mean", "std"}
    if unknown:
        known = "type, scale, offset, mean, std"
        raise UsageError(f"input {node.name!r}: {by}: unknown {', '.join(sorted(unknown))}; known are {known}")
    ctype = str(said.get("type", "uint8"))
    if ctype not in TYPES:
        raise UsageError(f"input {node.name!r}: {by}: no input type is called {ctype!r}; there are {', '.join(TYPES)}")
    if set(said) == {"type"} and ctype != "bits" and values is not None and values.dtype.kind == "f":
        return _typed(node, ctype, values, f"{by}: {ctype}; scale from the samples")
    default = {"scale": _SCALE[ctype], "offset": 0.0, "mean": 0.0, "std": 1.0}
    scale, offset, mean, std = (_numbers(node, key, said.get(key, value), by) for key, value in default.items())
    if (std == 0).any() or (scale == 0).any():
        raise UsageError(f"input {node.name!r}: {by}: scale and std must not be 0")
    size = max(map(len, (scale, offset, mean, std)))
    scale, offset, mean, std = (np.resize(a, size) for a in (scale, offset, mean, std))
    return _grid(node, ctype, scale / std, (offset - mean) / std, _span(ctype), by)


def _typed(node: Node, ctype: str, values: Array, by: str) -> InputGrid:
    """A grid of the type ``ctype`` that spans the samples."""
    fit = gridfit.fit(values)
    if fit is not None and fit.ctype == ctype:
        return _fitted(node, fit, f"{by}:")
    low, high = float(values.min()), float(values.max())
    if ctype == "uint8":
        return _grid(node, ctype, ((high - low) / 255 or 1.0,), (low,), _span(ctype), by)
    exponent = int(np.ceil(np.log2((max(-low, high) or 1.0) / _LARGEST[ctype])))
    return _grid(node, ctype, (2.0**exponent,), (0.0,), _span(ctype), by)


def _from_samples(graph: Graph, node: Node, values: Array, source: str) -> InputGrid:
    if values.dtype.kind != "f":
        ctype = _narrowest(node, values, "give real values as floats")
        why = f"{source}: integers are grid units; say what they mean with --scale"
        return _grid(node, ctype, (_SCALE[ctype],), (0.0,), _span(ctype), why)
    fit = gridfit.fit(values)
    if fit is not None:
        return _fitted(node, fit, f"{source}: the values are")
    fit = gridfit.wide(values, headroom.limit(graph, node))
    return _fitted(node, fit, f"{source}: the values lie on no grid of {gridfit.LEVELS} levels, so")


def _fitted(node: Node, fit: gridfit.Fit, source: str) -> InputGrid:
    return _grid(node, fit.ctype, fit.scale, fit.offset, (fit.lo, fit.hi), f"{source} {fit.text}")


def _narrowest(node: Node, values: Array, fix: str) -> str:
    """The smallest type that holds these integers."""
    lo, hi = int(values.min()), int(values.max())
    for ctype in ("uint8", "int8", "int16"):
        if _span(ctype)[0] <= lo and hi <= _span(ctype)[1]:
            return ctype
    raise UsageError(f"input {node.name!r}: integers from {lo} to {hi} in the samples fit no input type; {fix}")


def _integer(node: Node, values: Array | None) -> InputGrid:
    """The grid of an input that is of integer type in the graph: its own numbers."""
    dtype = node.type.dtype
    if dtype == "bool":
        return _grid(node, "uint8", (1.0,), (0.0,), (0, 1), "graph: the input is bool")
    if dtype in ("uint8", "int8", "int16"):
        return _grid(node, dtype, (1.0,), (0.0,), _span(dtype), f"graph: the input is {dtype}")
    if values is None:
        return _grid(node, "int16", (1.0,), (0.0,), _span("int16"), f"graph: the input is {dtype}, read as int16")
    ctype = _narrowest(node, values, "scale them down in the model")
    return _grid(node, ctype, (1.0,), (0.0,), _span(ctype), f"graph: the input is {dtype}, and the samples fit {ctype}")


def _grid(node: Node, ctype: str, scale: object, offset: object, bounds: tuple[int, int], source: str) -> InputGrid:
    scale, offset = rows(scale), rows(offset)
    step = 2 if ctype == "bits" else 1
    domain = Domain(scale, offset, rows(bounds[0]), rows(bounds[1]), step)
    _check_channels(node.name, node.type, domain)
    return InputGrid(node.name, ctype, domain, source, node.type.dtype)


def _check_channels(name: str, kind: TensorType, domain: Domain) -> None:
    if domain.rows not in (1, kind.channels, kind.size):
        count = f"{domain.rows} values of scale, offset, mean or std for {kind.channels} channels"
        raise UsageError(f"input {name!r}: {count}; give one, or one for each channel")


def _span(ctype: str) -> tuple[int, int]:
    return (-1, 1) if ctype == "bits" else gridfit.span(ctype)


def _numbers(node: Node, key: str, value: object, by: str) -> Array:
    """A number, a fraction in a string, or a list of them separated by commas."""
    try:
        parts = value.split(",") if isinstance(value, str) else np.atleast_1d(np.asarray(value, object)).tolist()
        return rows([float(_fraction(p)) if isinstance(p, str) else float(p) for p in parts])
    except (ValueError, TypeError, ZeroDivisionError):
        raise UsageError(f"input {node.name!r}: {by}: {key}: {value!r} is no number; write 0.5 or 1/255") from None


def _fraction(text: str) -> Fraction:
    """``0.5``, ``1/255`` or ``1/127.5``, exactly."""
    above, _, below = text.partition("/")
    return Fraction(above.strip()) / Fraction(below.strip() or 1)


def _parsed(node: Node, text: str) -> dict[str, object]:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise UsageError(
            f"input {node.name!r}: the metadata {METADATA}{node.name} hold {text!r}; write JSON like "
            '{"type": "uint8", "scale": "1/255"}'
        )
    return said
