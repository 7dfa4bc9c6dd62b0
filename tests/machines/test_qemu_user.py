"""The generated C on an AArch64 processor in QEMU: what comes back, and what is measured."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator

import numpy as np
import pytest

import bnncompiler
from bnncompiler import Compilation
from bnncompiler.errors import ToolError, UsageError, VerificationError
from bnncompiler.machines import qemu_user
from bnncompiler.machines.base import Built, Measured, together
from bnncompiler.machines.host import Host
from bnncompiler.machines.qemu_user import QemuUser
from tests.conftest import need
from tests.machines.checks import check_buffers, check_counts, dense, signs
from tests.networks import Builder

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    for tool in qemu_user.PACKAGES:
        need(tool)
    return bnncompiler.compile(dense(300, 200), name="net", target="aarch64")


@pytest.fixture(scope="module")
def built(compilation: Compilation) -> Iterator[Built]:
    with QemuUser().build(compilation.program, compilation.files) as built:
        yield built


def test_every_buffer_is_what_the_program_means(compilation: Compilation, built: Built) -> None:
    check_buffers(compilation.program, built)


def test_instructions_are_counted_for_each_sample(compilation: Compilation, built: Built) -> None:
    check_counts(compilation.program, built)


def test_a_large_layer_does_thirty_multiplications_an_instruction() -> None:
    """All instructions of a sample, where one input in two is 1."""
    for tool in qemu_user.PACKAGES:
        need(tool)
    b = Builder()
    h = b("Sign", b("Add", b("MatMul", b.input("x", ["N", 1024]), signs(1024, 1024)), np.float32(0.5)))
    net = bnncompiler.compile(b.model(b("MatMul", h, signs(1024, 1))), name="net", target="aarch64", input="bits")
    q = np.stack([RNG.permutation(np.repeat([-1, 1], 512)) for _ in range(3)])
    with QemuUser().build(net.program, net.files) as built:
        measured = built.run({"x": q}, trace=False).measured
    assert measured is not None and 1024 * 1024 / measured.typical > 30


def test_verification_says_where_it_ran(compilation: Compilation) -> None:
    result = bnncompiler.verify(compilation)
    assert result.passed and result.measured is not None
    assert result.ran_on == ("host" if platform.machine() == "aarch64" else "aarch64 in QEMU")


def test_what_goes_wrong_has_a_name(compilation: Compilation, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {**compilation.files, "net.c": compilation.files["net.c"].replace("void net_run(", "void net_walk(")}
    with (
        QemuUser().build(compilation.program, broken) as built,
        pytest.raises(ToolError, match="aarch64-linux-gnu-gcc"),
    ):
        built.run({"x": np.zeros((1, 300), np.int64)})
    source = compilation.files["net.c"].replace("BNN_TRACE(0,", "*(volatile int *)0 = 1; BNN_TRACE(0,")
    with (
        QemuUser().build(compilation.program, {**compilation.files, "net.c": source}) as built,
        pytest.raises(VerificationError, match="crashed"),
    ):
        built.run({"x": np.zeros((1, 300), np.int64)})
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(ToolError, match="apt install"), QemuUser().build(compilation.program, compilation.files):
        pass


def test_it_is_the_machine_itself_where_that_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert qemu_user.aarch64() == Host()
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert qemu_user.aarch64() == QemuUser()


def test_it_is_not_tuned_for_by_measuring_here(compilation: Compilation) -> None:
    if platform.machine() not in ("aarch64", "arm64"):
        with pytest.raises(UsageError, match="runs on aarch64 in QEMU"):
            bnncompiler.autotune(compilation)


def test_runs_are_added_up() -> None:
    parts = [Measured("instructions", (1, 2), 8), Measured("instructions", (3,), 12)]
    assert together(parts) == Measured("instructions", (1, 2, 3), 12)
    assert together([]) is None
