"""The frontend's promise, as a function: graph and reference compute the same, for every value that has a view."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto

from bnncompiler import interpreter
from bnncompiler.frontend import Imported, load
from bnncompiler.ir import Array
from tests.networks import run


def check(model: ModelProto, feeds: Mapping[str, Array], tolerance: float = 1e-5) -> Imported:
    """Import ``model``, and compare all values of graph, rewritten model and, for its outputs, the model itself.

    Returns:
        The imported model.
    """
    imported = load(model)
    names = [n for n in imported.views if n not in feeds]
    outputs = [o.name for o in imported.outputs]
    reference = run(imported.model, feeds, list(dict.fromkeys([*names, *outputs])))
    if all(n.domain == "" for n in model.graph.node):
        original = run(model, feeds)
        for name in outputs:
            np.testing.assert_array_equal(reference[name], original[name])
    samples = len(next(iter(feeds.values())))
    values = interpreter.run(imported.graph, in_graph_order(imported, feeds))
    for name in names:
        view = imported.views[name]
        ours = values[view.base].reshape(samples, -1)[:, view.index.reshape(-1)].reshape(samples, *view.index.shape)
        assert str(reference[name].dtype) == view.base.type.dtype, name
        np.testing.assert_allclose(
            ours.astype(np.float64), reference[name].astype(np.float64), rtol=tolerance, atol=tolerance, err_msg=name
        )
    assert set(imported.origins) >= {i.name for i in imported.graph.inputs}
    return imported


def in_graph_order(imported: Imported, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Values of the graph's inputs as they lie in the graph."""
    placed = {}
    for node in imported.graph.inputs:
        given, index = feeds[node.name], imported.views[node.name].index.reshape(-1)
        flat = np.empty((len(given), index.size), given.dtype)
        flat[:, index] = given.reshape(len(given), -1)
        placed[node.name] = flat.reshape(len(given), *node.type.shape)
    return placed
