"""The command ``python -m examples.training``: trains the networks of the tutorial and takes them to C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.training.datasets import ROOT, MissingDataset
from examples.training.experiments import EXPERIMENTS
from examples.training.run import run

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the experiments that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m examples.training", description=__doc__)
    parser.add_argument(
        "experiments", nargs="+", choices=tuple(EXPERIMENTS), metavar="NAME", help=", ".join(EXPERIMENTS)
    )
    parser.add_argument("--seeds", type=int, help="how many runs (default: as in the results)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "training", help="where the networks go")
    options = parser.parse_args()
    try:
        for name in options.experiments:
            run(name, options.results, options.build, options.seeds)
    except MissingDataset as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
