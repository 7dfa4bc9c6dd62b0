"""What avr-gcc makes of a program: about how much code, and at most how much stack.

Kernels are inlined where they are called, so that each call adds its code, and the run function has the frame of all of
them. The figures are fitted to builds of 55 networks with -Os, of which they miss none by more than a fourth; the tests
compare them with others.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler.program import Program

RUN = 400  # bytes of code around the calls, and of the compiler's library
CALL = 220  # of a kernel that is not named here
CODE = {
    "bnn_add_border": 210,
    "bnn_argmax": 240,
    "bnn_concat_bits": 900,
    "bnn_concat_integers": 460,
    "bnn_convolve_columns": 500,
    "bnn_dense_bipolar": 60,
    "bnn_dense_integer": 170,
    "bnn_dense_select": 160,
    "bnn_dense_signs": 760,
    "bnn_dense_sliced": 620,
    "bnn_dense_sliced_threshold": 420,
    "bnn_dense_ternary": 60,
    "bnn_dense_threshold": 250,
    "bnn_dense_xnor": 380,
    "bnn_gather_bits": 180,
    "bnn_gather_integers": 60,
    "bnn_max_pool_bits": 240,
    "bnn_max_pool_integers": 400,
    "bnn_permute_bits": 160,
    "bnn_put_bits": 140,
    "bnn_put_integers": 40,
    "bnn_requantize": 660,
    "bnn_scale": 300,
    "bnn_slice": 240,
    "bnn_steps": 330,
    "bnn_threshold": 100,
    "bnn_unpack": 350,
}
SLICED = 1060  # what the bit-sliced kernels share
SLIDE = 500  # of the kernel for rows of convolutions, as far as layers with windows of the same size share it
ONES = 256  # bytes of RAM of its table of how many ones a byte has
PLANES = 400  # what those share that take bits in common

FRAME = 72  # bytes of stack: what run saves and keeps, and the return address
PER_KERNEL = 8
STACK = {"bnn_dense_sliced": 620, "bnn_dense_sliced_threshold": 620, "bnn_requantize": 40}
COLUMNS = "bnn_convolve_columns"
_OF_PLANES = frozenset({"bnn_dense_bipolar", "bnn_dense_ternary"})


@dataclass(frozen=True)
class AvrSizes:
    """The model."""

    def code(self, program: Program) -> int:
        """Bytes of code for all calls of ``program``."""
        kernels = _kernels(program)
        total = RUN + sum(CODE.get(k, CALL) for k in kernels)
        total += SLICED * any(k.startswith("bnn_dense_sliced") for k in kernels)
        total += SLIDE * (COLUMNS in kernels)
        return total + PLANES * any(k in _OF_PLANES for k in kernels)

    def stack(self, program: Program) -> int:
        """Bytes of stack below the caller of run, at most."""
        kernels = set(_kernels(program))
        return FRAME + PER_KERNEL * len(kernels) + max([STACK.get(k, 0) for k in kernels], default=0)

    def constants(self, program: Program) -> int:
        """Bytes of RAM that kernels' own constants take."""
        return ONES * (COLUMNS in _kernels(program))


def _kernels(program: Program) -> list[str]:
    return [k for c in program.calls for k in c.kernels()]
