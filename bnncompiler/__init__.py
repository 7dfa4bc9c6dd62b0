"""An ONNX-to-C compiler for binary neural networks.

    compilation = bnncompiler.compile("model.onnx", backend="c99")
    bnncompiler.verify(compilation, "data.npz").raise_if_failed()
    for name, text in compilation.files.items(): ...

The passes are in `bnncompiler.passes`, the backends in `bnncompiler.backends`.
"""

from __future__ import annotations

from bnncompiler.compiler import Compilation, Options, compile, verify
from bnncompiler.errors import CompileError
from bnncompiler.tuning import autotune
from bnncompiler.version import VERSION

__version__ = VERSION

__all__ = ["Compilation", "CompileError", "Options", "__version__", "autotune", "compile", "verify"]
