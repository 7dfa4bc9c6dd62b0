"""What everything in a program is called in C."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bnncompiler.backends.c_names import Names, model_identifier
from bnncompiler.calls import Argmax
from bnncompiler.errors import EmitError
from bnncompiler.map_calls import Index, PixelLoop
from bnncompiler.program import Buffer, Call, Port, Program, Table
from bnncompiler.row_calls import RowLoop

# Names inside of the emitted functions that a buffer must not hide.
_OWN = ("arena", "memory", "best", "draw", "vector", "wanted", "lo", "levels", "i", "step", "stage",
        *(index.value for index in Index))  # fmt: skip


@dataclass(frozen=True)
class Symbols:
    """C names by the names of ports, buffers and tables.

    Attributes:
        model: the prefix of everything external.
        ports: parameters of the run function: buffer name to identifier, inputs first.
        locals: buffers in the arena: buffer name to identifier.
        tables: constant tables: table name to identifier.
    """

    model: str
    ports: dict[str, str]
    locals: dict[str, str]
    tables: dict[str, str]

    def of(self, data: Buffer | Table) -> str:
        """The identifier of a buffer or table."""
        if isinstance(data, Table):
            return self.tables[data.name]
        return self.ports.get(data.name) or self.locals[data.name]

    def macro(self, port: Port, ports: tuple[Port, ...], role: str) -> str:
        """The prefix of the macros about ``port``: the role's name where it is the only one, else its own."""
        own = role if len(ports) == 1 else self.ports[port.buffer.name]
        return f"{self.model}_{own}".upper()


def name_symbols(program: Program) -> Symbols:
    """Names for everything in ``program``; raises ``EmitError`` where buffers and ports do not go together."""
    model = model_identifier(program.name)
    exported = [f"{model}_{verb}" for verb in ("run", "classify", "selftest", "start", "feed", "finish")]
    stages = max((len(c.stages) for c in program.calls if isinstance(c, RowLoop)), default=0)
    names = Names([*_OWN, *(f"dropped{i}" for i in range(stages)), *exported])
    ports: dict[str, str] = {}
    for port in (*program.inputs, *program.outputs):
        if port.buffer.name in ports:
            raise EmitError(f"{port.name}: two inputs or outputs of the program are one buffer, {port.buffer.name}")
        ports[port.buffer.name] = names.unique(_port_name(program, port))
    inner: dict[str, str] = {}
    for buffer in _buffers(program.calls):
        if buffer.name in ports or buffer.name in inner:
            continue
        if buffer.offset is None:
            raise EmitError(f"buffer {buffer.name} has no place in the arena and is no input or output of the program")
        inner[buffer.name] = names.unique(buffer.name)
    tables = {t.name: names.unique(t.name) for t in program.tables}
    return Symbols(model, ports, inner, tables)


def _port_name(program: Program, port: Port) -> str:
    """The name wanted for a port's parameter."""
    if len(program.inputs if port in program.inputs else program.outputs) > 1:
        return port.name
    if port in program.inputs:
        return "input"
    return "index" if is_index(program, port) else "logits"


def is_index(program: Program, port: Port) -> bool:
    """Whether the output is the index that an ArgMax found, or those of all pixels."""
    writers = (c for c in program.calls if "y" in c.buffers and c.buffers["y"].name == port.buffer.name)
    return any(isinstance(c, Argmax) for writer in writers for c in (writer, *writer.inner))


def _buffers(calls: Iterable[Call]) -> Iterable[Buffer]:
    """The buffers that calls use, those of loops included."""
    for call in calls:
        yield from call.memory
        if isinstance(call, PixelLoop | RowLoop):
            yield from _within(call)


def _within(loop: PixelLoop | RowLoop) -> Iterable[Buffer]:
    own = set(loop.memory)
    for call in loop.inner:
        for buffer in call.buffers.values():
            if buffer not in own:
                raise EmitError(f"{loop.layer}: {call.kernel()} uses {buffer.name}, which is not its loop's")
            yield buffer
