"""Finding backends through entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from bnncompiler import backends
from bnncompiler.backends.c99 import C99
from bnncompiler.errors import CompileError

BUILT_IN = EntryPoint("c99", "bnncompiler.backends.c99:C99", backends.GROUP)


def install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(backends, "entry_points", lambda group: [p for p in points if p.group == group])


def test_the_built_in_backend_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, BUILT_IN)
    assert backends.available() == ("c99",)
    assert backends.find("c99") is C99


def test_a_package_seen_twice_is_one_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, BUILT_IN, EntryPoint(BUILT_IN.name, BUILT_IN.value, BUILT_IN.group))
    assert backends.available() == ("c99",)


def test_names_are_sorted_and_an_unknown_one_is_answered_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, BUILT_IN, EntryPoint("avr", "somewhere:AVR", backends.GROUP))
    assert backends.available() == ("avr", "c99")
    with pytest.raises(CompileError, match="there is no backend 'cmsis'; installed are avr, c99"):
        backends.find("cmsis")


def test_two_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, BUILT_IN, EntryPoint("c99", "other.package:Backend", backends.GROUP))
    with pytest.raises(CompileError, match=r"two backends are called 'c99'.*other\.package:Backend"):
        backends.available()


@pytest.mark.parametrize("value", ["no_such_module:X", "bnncompiler.backends.c99:Missing"])
def test_one_that_fails_to_load_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install(monkeypatch, BUILT_IN, EntryPoint("broken", value, backends.GROUP))
    with pytest.raises(CompileError, match=f"backend 'broken' \\({value}\\) fails to load"):
        backends.find("broken")
    assert backends.find("c99") is C99


def test_what_is_no_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, EntryPoint("odd", "math:pi", backends.GROUP))
    with pytest.raises(CompileError, match="backend 'odd' \\(math:pi\\) is no backend: it has no name, targets"):
        backends.find("odd")


def test_a_checkout_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(CompileError, match=r"run `pip install -e \.` in it"):
        backends.available()
