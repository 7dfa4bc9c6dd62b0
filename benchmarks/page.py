"""The results as a page: ``docs/benchmarks.md``, with plots of how cost grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import kernel_page, markdown

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """# Benchmarks

Made by `make bench` (`python -m benchmarks`), which writes this page and `benchmarks/results/*.json`.

Method: one thread, pinned to one processor; onnxruntime and the generated C in one process, turn by turn, after a
warm-up, and other engines, where they are installed (`scripts/setup_peers.sh`), in processes of theirs; medians over
rounds, and medians of the ratios within rounds, in brackets the quartiles. So a ratio holds on a machine that is busy
with other things, too; absolute times do so less. Cycles and instructions of chips are exact counts of simulators.
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
    shown = {"networks": networks, "targets": targets, "kernels": kernel_page.kernels, "growth": growth}
    for name, section in shown.items():
        if name in parts:
            flags = name != "kernels"  # which has some of its own
            sections.append(section(parts[name]["records"]) + "\n" + _machine(parts[name]["machine"], flags))
    (DOCS / "benchmarks.md").write_text("\n".join(sections), encoding="utf-8")


def networks(records: Sequence[dict[str, Any]]) -> str:
    """Whole networks against other engines."""
    peers = [(p, title) for p, title in PEERS if any(f"{p}_us" in r for r in records)]
    rows = [
        (
            r["name"],
            markdown.time(r["onnxruntime_us"]["median"]),
            *(markdown.time(r[f"{p}_us"]["median"]) if f"{p}_us" in r else "" for p, _ in peers),
            markdown.time(r["bnncompiler_us"]["median"]),
            markdown.spread(r["ratio"]),
            *(markdown.spread(r[f"{p}_ratio"]) if f"{p}_ratio" in r else "" for p, _ in peers),
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
        + markdown.table(columns, rows)
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
    return "## The 784-120-10 network of examples/mnist_mlp on chips\n\n" + markdown.table(columns, rows)


def growth(records: Sequence[dict[str, Any]]) -> str:
    """How cost grows, as a table and as plots where matplotlib is there."""
    rows = [
        (
            r["series"],
            str(r["value"]),
            f"{r['macs']:,}",
            markdown.time(r["us"]["median"]),
            f"{r['us']['median'] / r['macs'] * 1e6:.1f}",
            f"{r['tables_bytes']:,}",
            f"{r['arena_bytes']:,}",
            f"{r['compile_seconds']:.2f}",
        )
        for r in records
    ]
    columns = ("series", "value", "MACs", "time", "ps / MAC", "tables B", "arena B", "compile s")
    picture = "\n![time, tables and compile time over size](growth.svg)\n" if _plot(records) else ""
    return "## How cost grows\n\n" + markdown.table(columns, rows) + picture


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


def _machine(facts: dict[str, str], flags: bool) -> str:
    compiler = f"{facts['compiler']} {facts['flags']}" if flags else facts["compiler"]
    return (
        f"Measured on {facts['processor']} ({facts['architecture']}), {compiler}, onnxruntime {facts['onnxruntime']}.\n"
    )
