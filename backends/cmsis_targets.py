"""The machines of the ``cmsis`` backend: Cortex-M cores, and chips that have one, with their memory.

One table each; adding a chip is adding a line. What a core can do follows from its C compiler's options (the ACLE
feature macros), so that nothing here says it.
"""

from __future__ import annotations

from dataclasses import dataclass

KB = 1024
MHZ = 1_000_000


@dataclass(frozen=True)
class Core:
    """A Cortex-M core.

    Attributes:
        name: as ``--target`` and the C compiler's ``-mcpu`` call it.
        dcore: as CMSIS-Pack files call it.
        flags: what the C compiler needs to be told.
    """

    name: str
    dcore: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Chip:
    """A chip: its core, and the memory that a program can have, in bytes.

    ``flash`` is what the program can lie in (for chips without any of their own, that of the usual board); ``ram`` is
    the largest memory in one piece, in which arena and stack must find room; ``hertz`` is the highest clock.
    """

    name: str
    core: str
    flash: int
    ram: int
    hertz: int


def _core(name: str, dcore: str, *flags: str) -> Core:
    return Core(name, dcore, (f"-mcpu={name}", "-mthumb", *flags))


CORES = (
    _core("cortex-m4", "Cortex-M4"),
    _core("cortex-m0", "Cortex-M0"),
    _core("cortex-m0plus", "Cortex-M0+"),
    _core("cortex-m3", "Cortex-M3"),
    _core("cortex-m7", "Cortex-M7"),
    _core("cortex-m33", "Cortex-M33"),
    _core("cortex-m55", "Cortex-M55", "-mfloat-abi=hard"),  # MVE uses the floating-point registers
)

CHIPS = (
    Chip("rp2040", "cortex-m0plus", 2048 * KB, 264 * KB, 133 * MHZ),
    Chip("rp2350", "cortex-m33", 4096 * KB, 520 * KB, 150 * MHZ),
    Chip("nrf51822", "cortex-m0", 256 * KB, 16 * KB, 16 * MHZ),
    Chip("nrf52832", "cortex-m4", 512 * KB, 64 * KB, 64 * MHZ),
    Chip("nrf52840", "cortex-m4", 1024 * KB, 256 * KB, 64 * MHZ),
    Chip("nrf5340", "cortex-m33", 1024 * KB, 512 * KB, 128 * MHZ),
    Chip("nrf9160", "cortex-m33", 1024 * KB, 256 * KB, 64 * MHZ),
    Chip("samd21g18", "cortex-m0plus", 256 * KB, 32 * KB, 48 * MHZ),
    Chip("same54p20", "cortex-m4", 1024 * KB, 256 * KB, 120 * MHZ),
    Chip("stm32f030c8", "cortex-m0", 64 * KB, 8 * KB, 48 * MHZ),
    Chip("stm32f072rb", "cortex-m0", 128 * KB, 16 * KB, 48 * MHZ),
    Chip("stm32g071rb", "cortex-m0plus", 128 * KB, 36 * KB, 64 * MHZ),
    Chip("stm32l053r8", "cortex-m0plus", 64 * KB, 8 * KB, 32 * MHZ),
    Chip("stm32f103", "cortex-m3", 64 * KB, 20 * KB, 72 * MHZ),
    Chip("stm32f411", "cortex-m4", 512 * KB, 128 * KB, 100 * MHZ),
    Chip("stm32f407", "cortex-m4", 1024 * KB, 128 * KB, 168 * MHZ),
    Chip("stm32g474", "cortex-m4", 512 * KB, 96 * KB, 170 * MHZ),
    Chip("stm32l476", "cortex-m4", 1024 * KB, 96 * KB, 80 * MHZ),
    Chip("stm32f746", "cortex-m7", 1024 * KB, 320 * KB, 216 * MHZ),
    Chip("stm32h743", "cortex-m7", 2048 * KB, 512 * KB, 480 * MHZ),
    Chip("imxrt1062", "cortex-m7", 8192 * KB, 512 * KB, 600 * MHZ),
    Chip("lpc55s69", "cortex-m33", 640 * KB, 256 * KB, 150 * MHZ),
    Chip("stm32l552", "cortex-m33", 512 * KB, 192 * KB, 110 * MHZ),
    Chip("stm32u585", "cortex-m33", 2048 * KB, 768 * KB, 160 * MHZ),
)


def core_of(name: str) -> Core:
    """The core that the target called ``name`` has or is; ``KeyError`` where there is no such target."""
    chips = {c.name: c.core for c in CHIPS}
    return {c.name: c for c in CORES}[chips.get(name, name)]
