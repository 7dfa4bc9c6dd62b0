"""Projects for Cortex-M: CMake and make with a self-test that QEMU runs, Zephyr, the Pico's SDK, and a CMSIS pack.

Templates are in ``templates/cmsis`` (`bnncompiler.backends.projects`); here is what they say beyond what every project
says, and the start-up code for QEMU, which is that of verification (`bnncompiler.machines.qemu`).
"""

from __future__ import annotations

from bnncompiler.backends import projects
from bnncompiler.backends.base import About, Files
from bnncompiler.backends.cmsis_targets import core_of
from bnncompiler.errors import UsageError
from bnncompiler.machines import qemu, records
from bnncompiler.machines.qemu_boards import BOARDS
from bnncompiler.program import Program

# Kinds of projects, and where in them the generated files go.
KINDS = {"cmake": ".", "make": ".", "zephyr": "src", "pico": ".", "cmsis-pack": "source"}
PICO_BOARDS = {"rp2040": "pico", "rp2350": "pico2"}


def project(kind: str, program: Program, about: About, files: Files) -> Files:
    """The emitted ``files`` in a project of ``kind``; raises ``UsageError`` where the target has none of this kind."""
    if kind not in KINDS:
        raise projects.unknown("cmsis", kind, tuple(KINDS))
    if kind == "pico" and about.target.name not in PICO_BOARDS:
        raise UsageError(f"{about.target.name} is no chip of a Pico; take --target {' or '.join(PICO_BOARDS)}")
    core = core_of(about.target.name)
    board = BOARDS[core.name]
    values = projects.values(program, about)
    values |= {
        "core": core.name,
        "dcore": core.dcore,
        "flags": " ".join(core.flags),
        "qemu": " ".join(qemu.options(board)),
        "board": PICO_BOARDS.get(about.target.name, ""),
        # A microcontroller's stack is small: what an input takes does not lie on it.
        "buffers_static": values["buffers"].replace("\n    ", "\n    static "),
    }
    made = projects.render("cmsis", kind, values, files, KINDS[kind])
    if kind in ("cmake", "make"):
        made |= {f"qemu/{name}": records.read("cortex_m", name) for name in qemu.SOURCES}
        made["qemu/link.ld"] = qemu.linker_script(board)
    if kind == "cmsis-pack":
        made = {_in_pack(path): text for path, text in made.items()}
    return made


def _in_pack(path: str) -> str:
    """Headers have a folder of their own in a pack, as its users see nothing else."""
    return path.replace("source/", "include/") if path.endswith(".h") else path
