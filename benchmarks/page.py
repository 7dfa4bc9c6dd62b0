"""The results as a page: ``docs/benchmarks.md``, with plots of how cost grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """# Benchmarks

Made by `make bench` (`python -m benchmarks`), which writes this page and `benchmarks/results/*.json`.

Method: one thread, pinned to one processor; onnxruntime and the generated C in one process, turn by turn, after a
warm-up, and other engines, where they are installed (`scripts/setup_peers.sh`), in processes of theirs; medians over
rounds, and medians of the ratios within rounds, in brackets the quartiles. So a ratio holds on a machine that is busy
with other things, too; absolute times do so less. Cycles and instructions are exact counts of simulators.
"""

PEERS = (("tflite", "TensorFlow Lite"), ("larq", "LCE"))
PEERS_NOTE = """TensorFlow Lite computes in float32 on XNNPACK, LCE is Larq Compute Engine with its indirect BGEMM; both
run the network as Keras has it, in a process of their own.

"""
NOTE = """\\* how many times faster than onnxruntime Larq Compute Engine is: known from a Zen 4 core, not measured
in these runs.
"""


def write(results: Path) -> None:
    """Write the page from what was measured; parts that were not are left out."""
    parts = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}
    DOCS.mkdir(exist_ok=True)
    sections = [HEAD]
    for name, section in (("networks", networks), ("targets", targets), ("kernels", kernels), ("growth", growth)):
        if name in parts:
            sections.append(section(parts[name]["records"]) + "\n" + _machine(parts[name]["machine"]))
    (DOCS / "benchmarks.md").write_text("\n".join(sections), encoding="utf-8")


def networks(records: Sequence[dict[str, Any]]) -> str:
    """Whole networks against other engines."""
    peers = [(p, title) for p, title in PEERS if any(f"{p}_us" in r for r in records)]
    rows = [
        (
            r["name"],
            _time(r["onnxruntime_us"]["median"]),
            *(_time(r[f"{p}_us"]["median"]) if f"{p}_us" in r else "" for p, _ in peers),
            _time(r["bnncompiler_us"]["median"]),
            _spread(r["ratio"]),
            *(_spread(r[f"{p}_ratio"]) if f"{p}_ratio" in r else "" for p, _ in peers),
            "" if r["larq_known"] is None else f"{r['larq_known']:.2f}",
            f"{r['tables_bytes']:,}",
            f"{r['arena_bytes']:,}",
            f"{r['compile_seconds']:.1f}",
        )
        for r in records
    ]
    titles = [title for _, title in peers]
    faster = [f"than {title}" for title in titles]
    columns = (
        "network",
        "onnxruntime",
        *titles,
        "ours",
        "times faster",
        *faster,
        "LCE*",
        "tables B",
        "arena B",
        "compile s",
    )
    return (
        "## Whole networks, one image at a time\n\n"
        "Images of 224x224 are uint8, as cameras give them; onnxruntime takes float32, as the files have it.\n\n"
        + _table(columns, rows)
        + "\n"
        + (PEERS_NOTE if peers else "")
        + NOTE
    )


def targets(records: Sequence[dict[str, Any]]) -> str:
    """The example on every simulated chip."""
    rows = []
    for r in records:
        if "missing" in r:
            rows.append((r["backend"], r["target"], r["missing"], "", "", "", ""))
            continue
        time = "" if r["hertz"] is None else f"{r['typical'] / r['hertz'] * 1e3:.2f} ms at {r['hertz'] / 1e6:g} MHz"
        sizes = (r["flash_bytes"], r["ram_bytes"], r["stack_bytes"])
        rows.append(
            (
                r["backend"],
                r["target"],
                f"{r['typical']:,} {r['unit']}",
                time,
                *("" if s is None else f"{s:,}" for s in sizes),
            )
        )
    columns = ("backend", "target", "an image", "time", "flash B", "RAM B", "stack B")
    return "## The 784-120-10 network of examples/mnist_mlp on chips\n\n" + _table(columns, rows)


def kernels(records: Sequence[dict[str, Any]]) -> str:
    """Kernels alone."""
    rows = [
        (
            r["flags"],
            r["kernel"],
            r["layer"],
            _spread(r["macs_per_ns"]),
            _spread(r["macs_per_cycle"]) if "macs_per_cycle" in r else "",
            _spread(r["ratio"]),
        )
        for r in records
    ]
    columns = ("flags", "kernel", "layer", "MAC / ns", "MAC / cycle", "times the first")
    return "## Kernels\n\nThe first of each layer is what the others are compared with.\n\n" + _table(columns, rows)


def growth(records: Sequence[dict[str, Any]]) -> str:
    """How cost grows, as a table and as plots where matplotlib is there."""
    rows = [
        (
            r["series"],
            str(r["value"]),
            f"{r['macs']:,}",
            _time(r["us"]["median"]),
            f"{r['us']['median'] / r['macs'] * 1e6:.1f}",
            f"{r['tables_bytes']:,}",
            f"{r['arena_bytes']:,}",
            f"{r['compile_seconds']:.2f}",
        )
        for r in records
    ]
    columns = ("series", "value", "MACs", "time", "ps / MAC", "tables B", "arena B", "compile s")
    picture = "\n![time, tables and compile time over size](growth.svg)\n" if _plot(records) else ""
    return "## How cost grows\n\n" + _table(columns, rows) + picture


def _plot(records: Sequence[dict[str, Any]]) -> bool:
    """Draw the growth; False where there is nothing to draw with and no picture from before."""
    path = DOCS / "growth.svg"
    try:
        import matplotlib
    except ImportError:
        return path.exists()
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bnncompiler"
    from matplotlib import pyplot

    series = list(dict.fromkeys(r["series"] for r in records))
    figure, axes = pyplot.subplots(1, len(series), figsize=(4 * len(series), 3.2), layout="constrained")
    for axis, name in zip(axes, series, strict=True):
        own = [r for r in records if r["series"] == name]
        x = [r["value"] for r in own]
        axis.loglog(x, [r["us"]["median"] for r in own], "o-", label="time, us")
        axis.loglog(x, [r["tables_bytes"] / 1e3 for r in own], "s-", label="tables, kB")
        axis.loglog(x, [r["compile_seconds"] for r in own], "^-", label="compile, s")
        axis.set_xlabel(name)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, metadata={"Date": None})
    return True


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _time(us: float) -> str:
    return f"{us / 1e3:.2f} ms" if us >= 1e3 else f"{us:.1f} us"


def _spread(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ({value['lower']:.2f} to {value['upper']:.2f})"


def _machine(facts: dict[str, str]) -> str:
    return (
        f"Measured on {facts['processor']} ({facts['architecture']}), {facts['compiler']} {facts['flags']}, "
        f"onnxruntime {facts['onnxruntime']}.\n"
    )
