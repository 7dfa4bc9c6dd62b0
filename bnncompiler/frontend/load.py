"""From a path, bytes or a ModelProto to a sound ModelProto with its weights inside, or one line on what is wrong.

The one idea: everything that a file merely *declares* is checked against what is there before anything is allocated
for it: tensor shapes against their bytes, names against producers, external data against the model's own folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.nodes import STANDARD_DOMAINS, all_nodes, label, reads, tensors

LARGEST_FILE = 2**31 - 1  # what protobuf can hold
OLDEST_OPSET = 7  # what onnxruntime, the reference, can run
FOUR_BITS = {TensorProto.INT4, TensorProto.UINT4, getattr(TensorProto, "FLOAT4E2M1", -1)}

Model = str | os.PathLike[str] | bytes | ModelProto


def read(model: Model) -> ModelProto:
    """A copy of ``model`` with external data inside and nodes sorted; what needs no knowledge of operators is checked.

    Raises:
        ModelError: the file is not a readable model.
        UnsupportedModel: it is one, with features that nothing here can handle.
    """
    proto, folder = _parse(model)
    if not proto.graph.node:
        raise ModelError("the graph has no nodes: this is not an ONNX model, or the file is not complete")
    if not proto.graph.output:
        raise ModelError("the graph has no outputs: the file is not complete")
    if proto.graph.sparse_initializer:
        name = proto.graph.sparse_initializer[0].values.name
        raise UnsupportedModel(f'initializer "{name}" is sparse; export it as a dense tensor')
    _check_opset(proto)
    _check_text(proto.graph)
    total = 0
    for tensor, what in tensors(proto.graph):
        _check_type(tensor, what)
        if tensor.data_location == TensorProto.EXTERNAL:
            _load_external(tensor, what, folder)
        _check_size(tensor, what)
        total += len(tensor.raw_data)
    if total > LARGEST_FILE:
        raise ModelError(f"the weights take {total / 2**30:.1f} GiB; 2 GiB is the most that a model can hold")
    nodes = _sorted(proto.graph)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto


def _parse(model: Model) -> tuple[ModelProto, Path | None]:
    if isinstance(model, ModelProto):
        copy = ModelProto()
        copy.CopyFrom(model)
        return copy, None
    folder = None
    if not isinstance(model, bytes):
        path = Path(model)
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise ModelError(f"{path} is larger than 2 GiB, which protobuf cannot hold; export with external data")
            data = path.read_bytes()
        except OSError as e:
            raise ModelError(f"{path} cannot be read: {e.strerror}") from e
        folder = path.parent
    else:
        data = model
    try:
        return onnx.load_model_from_string(data), folder
    except DecodeError as e:
        what = "this" if isinstance(model, bytes) else str(model)
        raise ModelError(f"{what} is not an ONNX model, or the file is not complete") from e


def _check_opset(proto: ModelProto) -> None:
    versions = [o.version for o in proto.opset_import if o.domain in STANDARD_DOMAINS]
    if not versions:
        raise ModelError("no opset is declared: this is not an ONNX model, or the file is not complete")
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise UnsupportedModel(f"opset {versions[0]} is not supported; export with one from {OLDEST_OPSET} to {newest}")


def _check_text(graph: GraphProto) -> None:
    """Protobuf gives bytes for what is not UTF-8."""
    for node in all_nodes(graph.node):
        if any(isinstance(s, bytes) for s in (node.op_type, node.domain, node.name, *node.input, *node.output)):
            raise ModelError(
                f"the name {node.name!r} of a node, or one that it reads or writes, is not text: the file is damaged"
            )


def _load_external(tensor: TensorProto, what: str, folder: Path | None) -> None:
    """Put an external tensor's bytes into the tensor; nothing outside of the model's folder is opened."""
    where: Mapping[str, str] = {e.key: e.value for e in tensor.external_data}
    location = where.get("location", "")
    if folder is None:
        raise ModelError(f'{what} is in the file "{location}"; pass the path of the model, so that it can be found')
    file = _inside(folder, location, what)
    count = _bytes(tensor)
    offset, length = where.get("offset", "0"), where.get("length", str(count))
    if not offset.isdecimal() or length != str(count):
        raise ModelError(f"{what} needs {count} bytes, but {length} bytes at offset {offset} are declared for it")
    start = int(offset)
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size < start + count:
                raise ModelError(f'{what} ends behind the end of "{location}": the file is not complete')
            stream.seek(start)
            tensor.raw_data = stream.read(count)
    except OSError as e:
        raise ModelError(f'{what} is in the file "{location}", which cannot be read: {e.strerror}') from e
    del tensor.external_data[:]
    tensor.data_location = TensorProto.DEFAULT


def _inside(folder: Path, location: str, what: str) -> Path:
    home = folder.resolve()
    file = (home / location).resolve()
    if not location or Path(location).is_absolute() or not file.is_relative_to(home) or file == home:
        raise ModelError(f'{what} points to "{location}" outside of the model\'s folder; put the data beside the model')
    return file


def _count(tensor: TensorProto) -> int:
    count = 1
    for d in tensor.dims:
        count *= d
    return count


def _bytes(tensor: TensorProto) -> int:
    """How many bytes the tensor's declared shape and type take."""
    count = _count(tensor)
    if tensor.data_type in FOUR_BITS:
        return (count + 1) // 2
    return count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _check_type(tensor: TensorProto, what: str) -> None:
    if tensor.data_type not in TensorProto.DataType.values() or tensor.data_type == TensorProto.UNDEFINED:
        raise ModelError(f"{what} has the unknown element type {tensor.data_type}")
    if any(d < 0 for d in tensor.dims):
        raise ModelError(f"{what} has the impossible shape {list(tensor.dims)}")


def _check_size(tensor: TensorProto, what: str) -> None:
    """The data that is there must be what shape and type declare; no array is made of a shape alone."""
    if tensor.data_type == TensorProto.STRING:
        return
    if tensor.HasField("raw_data"):
        expected, found, unit = _bytes(tensor), len(tensor.raw_data), "bytes"
    else:
        complex_types = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)
        expected = _count(tensor) * (2 if tensor.data_type in complex_types else 1)
        expected = (expected + 1) // 2 if tensor.data_type in FOUR_BITS else expected
        found, unit = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))), "elements"
    if found != expected:
        raise ModelError(
            f"{what} declares the shape {list(tensor.dims)}, which is {expected} {unit}, but holds {found}"
        )


def _sorted(graph: GraphProto) -> list[NodeProto]:
    """The nodes, operands first, otherwise in the order of the file."""
    known = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    producer: dict[str, NodeProto] = {}
    for node in graph.node:
        for name in filter(None, node.output):
            if name in producer or name in known:
                raise ModelError(f'{label(node)} computes "{name}", which already has a producer')
            producer[name] = node
    for output in graph.output:
        if output.name not in known and output.name not in producer:
            raise ModelError(f'no node computes the output "{output.name}"')
    order: list[NodeProto] = []
    waiting = list(graph.node)
    while waiting:
        blocked = []
        for node in waiting:
            missing = next((name for name in reads(node) if name not in known), None)
            if missing is None:
                order.append(node)
                known.update(node.output)
            elif missing not in producer:
                raise ModelError(f'{label(node)} reads "{missing}", which nothing computes{_dangling_hint(node)}')
            else:
                blocked.append(node)
        if len(blocked) == len(waiting):
            raise ModelError(f"{label(blocked[0])} depends on its own result: the graph has a cycle")
        waiting = blocked
    return order


def _dangling_hint(node: NodeProto) -> str:
    if node.op_type == "Clip":
        return "; torch.onnx writes this for two equal clamps: export with optimize=False, or call clamp once"
    return ""
