"""The command ``python -m examples.training``: trains the networks of the tutorial and takes them to C."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bnncompiler.errors import CompileError
from examples.training import tables
from examples.training.datasets import ROOT, MissingDataset
from examples.training.deploy import deploy
from examples.training.experiments import EXPERIMENTS
from examples.training.fit import CHOSEN_BY, CURVES
from examples.training.run import run

TUTORIAL = ROOT / "examples" / "README.md"


def main() -> int:
    """Run the experiments that are asked for."""
    known = tuple(EXPERIMENTS)
    parser = argparse.ArgumentParser(prog="python -m examples.training", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--seeds", type=int, help="how many runs (default: as in the results)")
    parser.add_argument("--choose", action="store_true", help="set aside a twelfth of the images to choose by")
    parser.add_argument("--results", type=Path, default=tables.RESULTS, help="where the figures go")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "training", help="where the networks go")
    parser.add_argument("--only-deploy", action="store_true", help="compile what was trained before")
    parser.add_argument("--tables", action="store_true", help=f"write the tables of {TUTORIAL.relative_to(ROOT)} anew")
    options = parser.parse_args()
    for name in options.experiments:
        if name not in known:
            parser.error(f"there is no experiment {name!r}; there are {', '.join(known)}")
    try:
        for name in options.experiments:
            if not options.only_deploy:
                run(name, options.results, options.build, options.seeds, CHOSEN_BY if options.choose else CURVES)
            file = options.results / f"{name}.json"
            found = {**json.loads(file.read_text()), "deployed": deploy(options.build / name)}
            file.write_text(json.dumps(found, indent=1) + "\n")
            print(tables.accuracy([found]), tables.deployment([found]), sep="\n", flush=True)
    except (MissingDataset, CompileError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.tables:
        TUTORIAL.write_text(tables.update(TUTORIAL.read_text(), tables.load(options.results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
