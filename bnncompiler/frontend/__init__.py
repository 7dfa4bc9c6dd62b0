"""From an ONNX file to a graph: ONNX's names, opsets, domains and layouts end here.

    load          a path, bytes or ModelProto -> a sound ModelProto that holds its weights
    standardize   -> the same in standard operators, still ONNX: the reference
    importer      -> a graph; with constants, views, elementwise, dense, maps, convolution, pooling, heads

This package, the oracle and the verification are the only users of onnx and onnxruntime.
"""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto

from bnncompiler.frontend.constants import check_runs
from bnncompiler.frontend.imported import Imported, Output, View
from bnncompiler.frontend.importer import import_model
from bnncompiler.frontend.load import Model, read
from bnncompiler.frontend.standardize import standardize

__all__ = ["Imported", "Model", "Output", "View", "load"]


def load(model: Model, name: str | None = None) -> Imported:
    """Read a model.

    Args:
        model: a path, the bytes of a file, or a ModelProto (which stays as it is).
        name: what to call the graph; by default the file's name, or the name that the model has.

    Raises:
        ModelError: the model cannot be read: damaged, incomplete, cyclic, or with weights that are no numbers.
        UnsupportedModel: it can be read, but has something that does not compile; the message names it and the way out.
    """
    proto = read(model)
    known = proto.graph.name if isinstance(model, bytes | ModelProto) else Path(model).stem
    imported = import_model(standardize(proto), name or known or "model")
    check_runs(imported.model)
    return imported
