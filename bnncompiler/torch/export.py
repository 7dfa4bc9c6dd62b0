"""From a PyTorch network to ONNX, and on to C, in one call.

Both of PyTorch's exporters do: the newer one (dynamo) needs the package onnxscript, the older one (TorchScript) does
not. The input grid goes into the file, so that whoever compiles it later need not know what the network was trained on.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

import bnncompiler
from bnncompiler.errors import ModelError, UsageError
from bnncompiler.grid import METADATA, Number

Exporter = Literal["dynamo", "torchscript"]
Example = Tensor | Sequence[Tensor]
TORCHSCRIPT_OPSET = 17


def export(
    model: nn.Module,
    example_input: Example,
    path: str | os.PathLike[str] | None = None,
    *,
    input: str | None = None,
    scale: Number | None = None,
    offset: Number | None = None,
    mean: Number | None = None,
    std: Number | None = None,
    exporter: Exporter | None = None,
) -> onnx.ModelProto:
    """Export ``model``, as it computes in evaluation, with what its inputs mean.

    Args:
        model: the network.
        example_input: an input, or several, whose first axis is the batch; only shapes and types matter.
        path: where to write the file, too.
        input: "uint8", "int8", "int16" or "bits": what the compiled network is to be fed. This and what follows is
            left open where it is not given, and concerns all inputs: ``real = (q * scale + offset - mean) / std``.
        scale: real value of one step of an input element; a string such as "1/255" is a fraction.
        offset: real value at 0, before ``mean`` and ``std``.
        mean: subtracted from the scaled input.
        std: what the difference is divided by.
        exporter: "dynamo" or "torchscript"; by default the first where the package onnxscript is installed.

    Returns:
        The model, with a batch of any size. A single input is called ``input``, several are called as ``model.forward``
        calls them.

    Raises:
        ModelError: PyTorch cannot export the model.
        UsageError: there is no such exporter.
    """
    inputs = (example_input,) if isinstance(example_input, Tensor) else tuple(example_input)
    # A batch of one would be taken for a constant.
    inputs = tuple(x.repeat(2, *[1] * (x.dim() - 1)) if len(x) == 1 else x for x in inputs)
    names = input_names(model, len(inputs))
    write = _exporter(exporter)
    with evaluating(model), quiet():
        try:
            proto: onnx.ModelProto = write(model, inputs, names)
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"PyTorch cannot export the model: {reason}; try the other exporter") from error
    said = {"type": input, "scale": scale, "offset": offset, "mean": mean, "std": std}
    given = {key: value for key, value in said.items() if value is not None}
    if given:
        for name in names:
            proto.metadata_props.add(key=METADATA + name, value=json.dumps(given))
    if path is not None:
        onnx.save(proto, path)
    return proto


def compile(model: nn.Module, example_input: Example, **options: Any) -> bnncompiler.Compilation:
    """Compile ``model`` to C.

    Args:
        model: the network.
        example_input: as in `export`.
        options: those of `export` but ``path``, and those of `bnncompiler.compile`: ``backend``, ``target``, ...

    Raises:
        CompileError: the model cannot be exported or compiled; the message says what to change.
    """
    own = {key: options.pop(key) for key in ("input", "scale", "offset", "mean", "std", "exporter") if key in options}
    return bnncompiler.compile(export(model, example_input, **own), **options)


def input_names(model: nn.Module, count: int) -> tuple[str, ...]:
    """What ``model.forward`` calls its first ``count`` arguments; ``input`` for a single one."""
    if count == 1:
        return ("input",)
    return tuple(inspect.signature(model.forward).parameters)[:count]


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporters say about themselves: deprecations in their own code, and packages they miss."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``model`` in evaluation mode; afterwards each of its modules is in the mode that it was in."""
    modes: Mapping[nn.Module, bool] = {m: m.training for m in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _exporter(choice: str | None) -> Any:
    known = {"dynamo": _dynamo, "torchscript": _torchscript}
    if choice is None:
        choice = "dynamo" if importlib.util.find_spec("onnxscript") else "torchscript"
    if choice not in known:
        raise UsageError(f"there is no exporter {choice!r}; there are {', '.join(known)}")
    return known[choice]


def _dynamo(model: nn.Module, inputs: tuple[Tensor, ...], names: tuple[str, ...]) -> onnx.ModelProto:
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        model,
        inputs,
        dynamo=True,
        verbose=False,
        input_names=list(names),
        dynamic_shapes=tuple({0: batch} for _ in inputs),
    )
    if program is None:
        raise ModelError("the exporter made no model")
    return program.model_proto


def _torchscript(model: nn.Module, inputs: tuple[Tensor, ...], names: tuple[str, ...]) -> onnx.ModelProto:
    file = io.BytesIO()
    torch.onnx.export(
        model,
        inputs,
        file,  # type: ignore[arg-type]  # as its documentation allows
        dynamo=False,
        opset_version=TORCHSCRIPT_OPSET,
        input_names=list(names),
        dynamic_axes={name: {0: "batch"} for name in names},
    )
    return onnx.load_from_string(file.getvalue())
