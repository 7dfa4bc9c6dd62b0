"""``python -m benchmarks [PART ...]``: measure, and write ``benchmarks/results/*.json`` and ``docs/benchmarks.md``.

``python -m benchmarks profile MODEL`` writes nothing: it shows where a network's time goes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import growth, kernels, networks, page, profile, targets, timing

RESULTS = Path(__file__).with_name("results")
PARTS = {"networks": networks.run, "kernels": kernels.run, "targets": targets.run, "growth": growth.run}


def main(arguments: list[str]) -> int:
    """Run the named parts, or all; or the profile of a network."""
    if arguments[:1] == ["profile"]:
        return profile.main(arguments[1:])
    unknown = [a for a in arguments if a not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    timing.pin()
    RESULTS.mkdir(exist_ok=True)
    for part in arguments or PARTS:
        records = []
        for record in PARTS[part]():
            shown = {k: timing.plain(v) for k, v in record.items()}
            print(part, json.dumps(shown), flush=True)
            records.append(shown)
        (RESULTS / f"{part}.json").write_text(text(records), encoding="utf-8")
    page.write(RESULTS)
    return 0


def text(records: Sequence[Mapping[str, object]]) -> str:
    """A file of results: the machine, and a record a line."""
    lines = ",\n".join(json.dumps(record) for record in records)
    return f'{{"machine": {json.dumps(timing.machine())},\n"records": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
