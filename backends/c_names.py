"""Names for what a C file holds: identifiers, none twice, none that C's library or a compiler claims.

`bnncompiler.identifiers` makes an identifier of any text; here is what a C file adds: other names in scope.
"""

from __future__ import annotations

from collections.abc import Iterable

from bnncompiler.identifiers import identifier

# What <stddef.h> and <string.h> declare in small letters (their types end in _t), and macros that compilers predefine.
_CLAIMED = frozenset(
    """
    memchr memcmp memcpy memmove memset offsetof strcat strchr strcmp strcoll strcpy strcspn strerror strlen strncat
    strncmp strncpy strpbrk strrchr strspn strstr strtok strxfrm errno far huge i386 linux near pascal unix""".split()  # noqa: SIM905  # words are read more easily than quotes
)

# A model of such a name would put its header in the place of a system header.
_HEADERS = frozenset(
    """
    assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic stdbool
    stddef stdint stdio stdlib stdnoreturn string strings tgmath threads time uchar unistd wchar wctype""".split()  # noqa: SIM905  # words are read more easily than quotes
)

_LONGEST = 40  # short enough for lines of 100 columns; C99 tells 63 characters apart


def model_identifier(name: str) -> str:
    """The prefix of everything that a model called ``name`` exports, and the stem of its files."""
    text = identifier(name)
    return f"{text.rstrip('_')}_model" if text in _HEADERS or text.endswith("_") else text


class Names:
    """Gives out identifiers, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def unique(self, name: str) -> str:
        """A new identifier for ``name``; it gets a number where it is taken."""
        stem = identifier(name)
        if stem in _CLAIMED or stem.endswith(("_", "_t")) or stem.startswith(("bnn", "selftest")):
            stem = f"v_{stem.removesuffix('_t')}"
        stem = stem[:_LONGEST].rstrip("_")
        candidate, n = stem, 1
        while candidate in self._taken:
            n += 1
            candidate = f"{stem}_{n}"
        self._taken.add(candidate)
        return candidate
