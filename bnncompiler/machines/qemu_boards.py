"""Which machine of QEMU stands in for which Cortex-M core, and where its memory lies.

QEMU has no board for most chips. It has one for each core, and the instructions are the core's: what is exact here is
the result, the number of instructions and the stack. The memory is as large as the machine allows, so that the test
program, which holds samples and guards, finds room beside the model. Whether the model fits its chip is another
question, answered from the sizes of the model itself.
"""

from __future__ import annotations

from dataclasses import dataclass

MB = 1 << 20


@dataclass(frozen=True)
class Board:
    """A machine of qemu-system-arm.

    Attributes:
        machine: its name in ``-machine``.
        vectors: address of the vector table after reset.
        flash: address and size in bytes of the memory for code and constants.
        ram: address and size in bytes of the memory for data and stack.
        options: what else the command line needs.
    """

    machine: str
    vectors: int
    flash: tuple[int, int]
    ram: tuple[int, int]
    options: tuple[str, ...] = ()


_VECTORS = 0x400  # bytes that the linker script sets aside for the vector table


def _mps2(machine: str) -> Board:
    return Board(machine, 0, (_VECTORS, 4 * MB - _VECTORS), (0x20000000, 4 * MB))


# The micro:bit's chip has 16 KB of RAM and 256 KB of flash; QEMU can give it more.
_MICROBIT = Board(
    "microbit",
    0,
    (_VECTORS, 4 * MB - _VECTORS),
    (0x20000000, 4 * MB),
    ("-global", f"nrf51-soc.sram-size={4 * MB}", "-global", f"nrf51-soc.flash-size={4 * MB}"),
)

BOARDS = {
    "cortex-m0": _MICROBIT,
    "cortex-m0plus": _MICROBIT,  # the same instruction set; QEMU has no other board of ARMv6-M
    "cortex-m3": _mps2("mps2-an385"),
    "cortex-m4": _mps2("mps2-an386"),
    "cortex-m7": _mps2("mps2-an500"),
    "cortex-m33": Board("mps2-an505", 0x10000000, (0x10000000 + _VECTORS, 4 * MB - _VECTORS), (0x38000000, 2 * MB)),
    "cortex-m55": Board("mps3-an547", 0, (0x70000000, 16 * MB), (0x21000000, 4 * MB)),
}
