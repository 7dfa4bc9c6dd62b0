"""The reference: onnxruntime on the model as it was exported, end to end and layer by layer.

Layer by layer means *teacher forcing*. Every discrete value of the network becomes an input of a changed copy of the
model for those who read it, and an output for the node that computes it. One run then answers, for every layer on its
own: given the compiled network's own inputs to this layer, what does onnxruntime compute? So a bit that rounding leaves
undecided in one layer can neither hide nor cause differences in the next.

What goes in is in graph order (channels last), what comes out ``[samples, elements]`` in ONNX's element order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from bnncompiler import oracle
from bnncompiler.ir import Array

if TYPE_CHECKING:
    from bnncompiler.frontend.imported import Imported

BATCH = 256


def describe() -> str:
    """The reference in a report."""
    return f"onnxruntime {onnxruntime.__version__}, ORT_DISABLE_ALL"


def in_onnx_order(imported: Imported, name: str, values: Array) -> Array:
    """Values ``[samples, *shape]`` of the node behind the ONNX value ``name``, as ``[samples, elements]`` of that."""
    flat = values.reshape(len(values), -1)
    return np.asarray(flat[:, imported.views[name].index.reshape(-1)])


@dataclass(frozen=True, eq=False)
class Reference:
    """A model to be run by onnxruntime.

    Attributes:
        imported: the model.
        cuts: the ONNX values to force, each computed by a node of the main graph.
    """

    imported: Imported
    cuts: tuple[str, ...] = ()

    def end_to_end(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """The values that the outputs are compared with.

        Args:
            inputs: by graph input name, ``[samples, *shape]`` in graph order, in the inputs' own element types.
        """
        wanted = [o.reference for o in self.imported.outputs]
        return tuple(self._run(self._whole, self._feeds(inputs), wanted))

    def forced(
        self, inputs: Mapping[str, Array], values: Mapping[str, Array]
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """Every layer's result from given discrete values.

        Args:
            inputs: as for `end_to_end`.
            values: for each cut, the real values to force: ``[samples, *shape]`` in graph order.

        Returns:
            the values that the outputs are compared with, and for each cut what its own layer computes.
        """
        feeds = self._feeds(inputs) | {name: self._fed(name, values[name]) for name in self.cuts}
        outputs = [o.reference for o in self.imported.outputs]
        computed = {name: _computed(name) for name in self.cuts}
        wanted = [computed.get(name, name) for name in outputs] + list(computed.values())
        results = self._run(self._cut, feeds, wanted)
        return tuple(results[: len(outputs)]), dict(zip(self.cuts, results[len(outputs) :], strict=True))

    def values(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """What the model computes for each cut, end to end: ``[samples, elements]`` in ONNX's element order."""
        return dict(zip(self.cuts, self._run(self._open, self._feeds(inputs), self.cuts), strict=True))

    @cached_property
    def _open(self) -> onnxruntime.InferenceSession:
        """The model with all cuts as outputs, none of them forced."""
        model = onnx.ModelProto()
        model.CopyFrom(self.imported.model)
        _set_outputs(model.graph, self.cuts)
        return oracle.session(model)

    @cached_property
    def _whole(self) -> onnxruntime.InferenceSession:
        model = onnx.ModelProto()
        model.CopyFrom(self.imported.model)
        _set_outputs(model.graph, [o.reference for o in self.imported.outputs])
        return oracle.session(model)

    @cached_property
    def _cut(self) -> onnxruntime.InferenceSession:
        model = onnx.ModelProto()
        model.CopyFrom(self.imported.model)
        graph, cuts = model.graph, set(self.cuts)
        for node in graph.node:
            for i, name in enumerate(node.output):
                if name in cuts:
                    node.output[i] = _computed(name)
        for name in self.cuts:
            view = self.imported.views[name]
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(view.base.type.dtype))
            batch = self.imported.batch or "bnncompiler.batch"
            graph.input.append(helper.make_tensor_value_info(name, kind, [batch, *view.index.shape]))
        del graph.value_info[:]
        outputs = [o.reference for o in self.imported.outputs]
        _set_outputs(graph, [_computed(n) if n in cuts else n for n in outputs] + [_computed(n) for n in self.cuts])
        return oracle.session(model)

    def _feeds(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: self._fed(name, values) for name, values in inputs.items()}

    def _fed(self, name: str, values: Array) -> Array:
        view = self.imported.views[name]
        dtype = np.dtype(view.base.type.dtype)
        return in_onnx_order(self.imported, name, values).reshape(len(values), *view.index.shape).astype(dtype)

    def _run(
        self, session: onnxruntime.InferenceSession, feeds: dict[str, Array], wanted: Sequence[str]
    ) -> list[Array]:
        """Run in batches of the size that the model wants, the last one filled up with copies of its last sample."""
        samples = len(next(iter(feeds.values())))
        parts = []
        for start, stop in _batches(samples, self.imported.batch or BATCH):
            batch = {name: values[start:stop] for name, values in feeds.items()}
            if self.imported.batch:
                fill = self.imported.batch - (stop - start)
                batch = {k: np.concatenate([v, np.repeat(v[-1:], fill, axis=0)]) for k, v in batch.items()}
            results = session.run(list(dict.fromkeys(wanted)), batch)
            by_name = dict(zip(dict.fromkeys(wanted), results, strict=True))
            size = len(next(iter(batch.values())))
            parts.append([np.asarray(by_name[name]).reshape(size, -1)[: stop - start] for name in wanted])
        return [np.concatenate(p) for p in zip(*parts, strict=True)]


def _batches(samples: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, samples, size):
        yield start, min(samples, start + size)


def _computed(name: str) -> str:
    """The new name of a cut value where its own node computes it."""
    return f"{name}.bnncompiler.computed"


def _set_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Make ``names`` the outputs of ``graph``; onnxruntime infers their types."""
    known = {o.name: o for o in graph.output}
    outputs = [known.get(name, onnx.ValueInfoProto(name=name)) for name in dict.fromkeys(names)]
    copies = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in outputs]
    del graph.output[:]
    graph.output.extend(copies)
