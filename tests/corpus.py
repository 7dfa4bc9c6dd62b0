"""Where the exported models are that the tests compile, and how one is unpacked.

``tests/models`` is a selection that every clone has (`scripts/select_test_models.py`). The corpus that it was taken
from, and trained networks, may lie beside the repository, as ``../shared/corpus`` and ``../shared/models``.
"""

from __future__ import annotations

import json
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

# Networks for 224x224 images: minutes each.
FULL_SIZE = ("larq_zoo_full",)


@dataclass(frozen=True)
class Exported:
    """A model file and its samples: ``path`` without a suffix, ``name`` as in `corpus_refused`."""

    name: str
    path: Path

    @property
    def data(self) -> bytes:
        """The model, unpacked; one with external data needs `unpack`."""
        plain, packed = (self.path.with_name(self.path.name + suffix) for suffix in (".onnx", ".onnx.xz"))
        return plain.read_bytes() if plain.exists() else lzma.decompress(packed.read_bytes())

    @property
    def samples(self) -> Path | None:
        """The input samples, where there are some."""
        samples = self.path.with_name(self.path.name + ".input.npz")
        return samples if samples.exists() else None

    @property
    def expected(self) -> Path | None:
        """What the model computed from the samples where it was exported, where that is known."""
        expected = self.path.with_name(self.path.name + ".output.npz")
        return expected if expected.exists() else None

    def unpack(self, folder: Path) -> Path:
        """The model as a file that can be opened: itself, or unpacked into ``folder``."""
        plain = self.path.with_name(self.path.name + ".onnx")
        if plain.exists():
            return plain
        target = folder / plain.name
        target.write_bytes(self.data)
        external = plain.with_name(plain.name + ".data")
        if external.exists():
            shutil.copyfile(external, folder / external.name)
        return target


TIE = 1e-3  # outputs that differ by more between two orders of float32 additions hang on ties


def tied() -> frozenset[str]:
    """The models of the corpus whose class hangs on ties, as its manifest has measured them.

    In these an activation was exactly on its threshold for some sample, or onnxruntime with its optimisations on
    computes something else than without.
    """
    entries = json.loads((CORPUS / "manifest.json").read_text(encoding="utf-8"))["entries"]
    return frozenset(
        f"{e['family']}/{e['name']}"
        for e in entries
        if any(p["exact_hits"] for p in e.get("sign_probe") or ())
        or max((e.get("ort_opt_maxdiff") or {}).values(), default=0.0) > TIE
    )


def families(root: Path) -> list[str]:
    """The folders below ``root``, in order; none where it is not there."""
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.exists() else []


def models(root: Path, chosen: Iterable[str]) -> list[Exported]:
    """The models of some families below ``root``, in order."""
    found = set()
    for family in chosen:
        for path in (root / family).glob("*.onnx*"):
            name = path.name.removesuffix(".xz")
            if name.endswith(".onnx"):
                found.add(f"{family}/{name.removesuffix('.onnx')}")
    return [Exported(name, root / name) for name in sorted(found)]


def selection() -> list[Exported]:
    """The models that every clone has."""
    return models(SELECTION, families(SELECTION))


def corpus() -> list[Exported]:
    """The corpus beside the repository without the full-size networks; empty where it is not there."""
    return models(CORPUS, [f for f in families(CORPUS) if f not in FULL_SIZE])


def full_size() -> list[Exported]:
    """The full-size networks of the corpus."""
    return models(CORPUS, FULL_SIZE)
