"""Where the exported models are that the tests compile, and how one is unpacked.

``tests/models`` is a selection that every clone has (`scripts/select_test_models.py`). The corpus that it was taken
from, and trained networks, may lie beside the repository, as ``../shared/corpus`` and ``../shared/models``.
"""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SELECTION = ROOT / "tests" / "models"
SHARED = ROOT.parent / "shared"
CORPUS = SHARED / "corpus"
TRAINED = SHARED / "models"

# The families with dense networks; the others are convolutional.
FAMILIES = (
    "binarynet_mlp",
    "brevitas_finn",
    "brevitas_qcdq",
    "brevitas_qonnx",
    "coregeist",
    "coregeist_external",
    "idioms_act",
    "idioms_weight",
    "idioms_weight_notie",
    "larq_quantizers",
    "misc",
    "opset_sweep",
    "postprocessed",
)


@dataclass(frozen=True)
class Exported:
    """A model file and its samples: ``path`` without a suffix, ``name`` as in ``corpus_refused.REFUSED``."""

    name: str
    path: Path

    @property
    def samples(self) -> Path | None:
        """The input samples, where there are some."""
        samples = self.path.with_name(self.path.name + ".input.npz")
        return samples if samples.exists() else None

    def unpack(self, folder: Path) -> Path:
        """The model as a file that can be opened: itself, or unpacked into ``folder``."""
        plain = self.path.with_name(self.path.name + ".onnx")
        if plain.exists():
            return plain
        target = folder / plain.name
        target.write_bytes(lzma.decompress(plain.with_name(plain.name + ".xz").read_bytes()))
        external = plain.with_name(plain.name + ".data")
        if external.exists():
            shutil.copyfile(external, folder / external.name)
        return target


def models(root: Path, families: Iterable[str]) -> list[Exported]:
    """The models of some families below ``root``, in order."""
    found = set()
    for family in families:
        for path in (root / family).glob("*.onnx*"):
            name = path.name.removesuffix(".xz")
            if name.endswith(".onnx"):
                found.add(f"{family}/{name.removesuffix('.onnx')}")
    return [Exported(name, root / name) for name in sorted(found)]


def selection() -> list[Exported]:
    """The models that every clone has."""
    return models(SELECTION, sorted(p.name for p in SELECTION.iterdir() if p.is_dir()))


def corpus() -> list[Exported]:
    """The corpus beside the repository; empty where it is not there."""
    return models(CORPUS, FAMILIES)
