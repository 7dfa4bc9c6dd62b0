"""C identifiers from ONNX names: legal, readable, unique, and the same in every run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

KEYWORDS = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const const_cast
    constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern false float
    for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast restrict return short signed sizeof static static_assert static_cast
    struct switch template this thread_local throw true try typedef typeid typename union unsigned using virtual
    void volatile wchar_t while xor xor_eq arena main""".split()  # noqa: SIM905  # words are read more easily than quotes
)


def identifier(name: str) -> str:
    """``name`` as a C and C++ identifier in lower case ASCII."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    clean = re.sub(r"[^A-Za-z0-9]+", "_", ascii_name).strip("_").lower() or "value"
    if clean[0].isdigit():
        clean = f"v{clean}"
    return f"{clean}_" if clean in KEYWORDS or clean.startswith("bnn_") else clean


def identifiers(names: Iterable[str]) -> list[str]:
    """An identifier for each name, in order; where two would be equal, the later gets a number."""
    taken: set[str] = set()
    found = []
    for name in names:
        base = identifier(name)
        unique, n = base, 1
        while unique in taken:
            n += 1
            unique = f"{base}_{n}"
        taken.add(unique)
        found.append(unique)
    return found
