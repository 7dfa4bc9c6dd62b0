"""A `report.Report` for people: the text that the command prints, and a page of HTML.

Both say the same in the same order: inputs, layers, totals, verification.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bnncompiler.report import InputFacts, NodeFacts, Report

COLUMNS = ("layer", "kind", "shape", "MACs", "flash B", "kernel", "exact")
NUMBERS = frozenset({"MACs", "flash B"})
LONGEST_NAME = 28
MOVES = ("load_bits", "slice", "unpack", "gather_bits", "gather_integers", "put_bits", "put_integers")


def text(report: Report, notes: Sequence[str] = (), verified: Sequence[str] = (), tuned: Sequence[str] = ()) -> str:
    """The summary that the command prints; ``notes``, ``verified`` and ``tuned`` are sentences and results in it."""
    parts = [
        [f"{report.model}: {report.backend}, target {report.target}"],
        [_label("input", input_line(i)) for i in report.input] + [_label("note", n) for n in notes],
        _columns([COLUMNS, *(row(n) for n in report.nodes), total(report)]),
        [
            _label("memory", memory_line(report)),
            *(_label("" if i else "fit", line) for i, line in enumerate(report.fit)),
            _label("outputs", exact_line(report)),
        ],
        [_label("" if i else "tuned", line) for i, line in enumerate(tuned)],
        [_label("" if i else "verify", line) for i, line in enumerate(verified)],
        [_label("" if i else "instead", str(choice)) for i, choice in enumerate(report.precision)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def explanation(report: Report) -> str:
    """What each node became, and why, and what lies where in the arena (``--explain``)."""
    entries = []
    for n in report.nodes:
        entries.append(f"{n.name}: {n.kind}\n    {n.why}\n    {n.domain}, from {', '.join(n.onnx) or 'the input'}")
    return "\n".join([*entries, "", *report.plan]) + "\n"


def input_line(facts: InputFacts) -> str:
    """One input: its C type, what its integers mean, and who says so."""
    if isinstance(facts.scale, list) or isinstance(facts.offset, list):
        meaning = "scale and offset by channel"
    else:
        sign = "-" if facts.offset < 0 else "+"
        meaning = f"real = {facts.scale:.6g} q" + (f" {sign} {abs(facts.offset):.6g}" if facts.offset else "")
    return f"{facts.name} {list(facts.shape)} {facts.ctype}, {meaning} ({facts.source})"


def row(facts: NodeFacts) -> tuple[str, ...]:
    """One layer as a row of ``COLUMNS``."""
    name = facts.name if len(facts.name) <= LONGEST_NAME else "…" + facts.name[1 - LONGEST_NAME :]
    shape = "x".join(map(str, facts.shape)) or "1"
    macs = f"{facts.macs:,}" if facts.macs else ""
    flash = f"{facts.flash_bytes:,}" if facts.flash_bytes else ""
    return name, facts.kind, shape, macs, flash, kernels(facts), "yes" if facts.exact else "bounded"


def kernels(facts: NodeFacts) -> str:
    """The kernels of a layer, without those that only move its operands where there are others."""
    return computing(facts.kernel.split(" + "))


def computing(kernels: Iterable[str]) -> str:
    """Those of ``kernels`` that compute, each once; all where all only move operands."""
    names = [k.removeprefix("bnn_") for k in dict.fromkeys(kernels)]
    return " + ".join([n for n in names if n not in MOVES] or names)


def total(report: Report) -> tuple[str, ...]:
    """The last row of the table."""
    macs = sum(n.macs for n in report.nodes)
    return "total", "", "", f"{macs:,}", f"{report.memory.flash_bytes:,}", "", ""


def memory_line(report: Report) -> str:
    """Flash and RAM."""
    memory = report.memory
    stack = "" if memory.stack_bytes is None else f", {memory.stack_bytes:,} B of stack"
    return f"{memory.flash_bytes:,} B of constant tables in flash, {memory.arena_bytes:,} B of arena in RAM{stack}"


def exact_line(report: Report) -> str:
    """How near the outputs are to the reference, for every input."""
    if report.exact:
        return "exact"
    if not report.error_bound:
        return "exact where float32 rounding decides no hidden value of the reference"
    return f"within {report.error_bound:.3g} of the reference"


def _label(label: str, line: str) -> str:
    return f"  {label:8} {line}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned text, with a line below the heading and one above the total."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = []
    for cells in rows:
        padded = (c.rjust(w) if h in NUMBERS else c.ljust(w) for c, w, h in zip(cells, widths, COLUMNS, strict=True))
        aligned.append(("  " + "  ".join(padded)).rstrip())
    rule = "  " + "  ".join("-" * w for w in widths)
    return [aligned[0], rule, *aligned[1:-1], rule, aligned[-1]]


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3em .8em; border-bottom: 1px solid #ddd }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums } td small { color: #666 }
"""


def html(report: Report, notes: Sequence[str] = (), verified: Sequence[str] = (), tuned: Sequence[str] = ()) -> str:
    """The report as one page that needs no other file."""
    inputs = _list([*(f"Input {input_line(i)}" for i in report.input), *notes])
    head = "".join(_cell("th", c, c) for c in COLUMNS)
    body = "\n".join(f"<tr>{_row(n)}</tr>" for n in report.nodes)
    foot = "".join(_cell("th", cell, column) for cell, column in zip(total(report), COLUMNS, strict=True))
    totals = _list([memory_line(report), *report.fit, f"Outputs: {exact_line(report)}"])
    tuning = f"<h2>Kernels, as measured</h2>\n{_list(tuned)}" if tuned else ""
    verification = f"<h2>Verification</h2>\n{_list(verified)}" if verified else ""
    if report.precision:
        verification += f"<h2>Other widths of streams</h2>\n{_list(str(choice) for choice in report.precision)}"
    title = escape(f"{report.model}: {report.backend}, target {report.target}")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head><body>
<h1>{title}</h1>
{inputs}
<table><thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
<tfoot><tr>{foot}</tr></tfoot></table>
{totals}
<h2>Memory</h2>
<pre>{escape(chr(10).join(report.plan))}</pre>
{tuning}{verification}
<p><small>bnncompiler {escape(report.compiler_version)}</small></p>
</body></html>
"""


def _row(facts: NodeFacts) -> str:
    cells = dict(zip(COLUMNS, row(facts), strict=True))
    cells["layer"] = facts.name
    marked = {c: _cell("td", value, c) for c, value in cells.items()}
    why = f"{facts.why}. {facts.domain}, from {', '.join(facts.onnx) or 'the input'}"
    marked["kind"] = f"<td>{escape(facts.kind)}<br><small>{escape(why)}</small></td>"
    return "".join(marked.values())


def _cell(tag: str, value: str, column: str) -> str:
    mark = ' class="number"' if column in NUMBERS else ""
    return f"<{tag}{mark}>{escape(value)}</{tag}>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
