"""What can go wrong, each with a name: one root class, one child for each stage that can refuse.

A message is one line: the node (by its ONNX name and operator where there is one), what is wrong, and the way out.
The command line prints it as it stands and turns the class into an exit code.
"""

from __future__ import annotations


class CompileError(Exception):
    """The model cannot be compiled. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class ModelError(CompileError):
    """The file is not a model that can be read: corrupt, cyclic, incomplete or with values that are no numbers."""


class UsageError(CompileError):
    """An option, or the sample data, does not fit the model; the message says what would."""

    exit_code = 2


class UnsupportedModel(CompileError):
    """The model is valid ONNX, but no integer program computes it; the message names the node and the way out."""


class IRError(CompileError):
    """A node cannot be built from these operands."""


class LoweringError(CompileError):
    """No kernel computes this node."""


class EmitError(CompileError):
    """The emitted C does not hold to its rules; a fault of the compiler or of a third party's backend."""


class ToolError(CompileError):
    """A compiler or a simulator is missing, or failed; the message says which package has it."""


class VerificationError(CompileError):
    """The generated program does not compute what the reference computes."""

    exit_code = 3


class DoesNotFit(CompileError):
    """The program needs more flash or RAM than the target has."""

    exit_code = 4
