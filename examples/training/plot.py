"""The curves of an experiment as one picture: loss and accuracy, the float twin and the binary networks together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PANELS = (("train_loss", "cross entropy, training"), ("validation_accuracy", "accuracy, validation (%)"))
STYLES = ("black", "tab:orange", "tab:blue", "tab:green")


def curves(results: Mapping[str, Any], path: Path) -> None:
    """Draw ``results`` (as in ``results/*.json``): the mean of the seeds, and a band from the least to the most.

    The file is the same, byte by byte, for the same results.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "bnncompiler", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(9, 3.4), layout="constrained")
    for panel, (key, title) in zip(panels, PANELS, strict=True):
        for (name, network), colour in zip(results["networks"].items(), STYLES, strict=False):
            values = np.array([run[key] for run in network["curves"]])
            epochs = np.arange(1, values.shape[1] + 1)
            panel.plot(epochs, values.mean(0), color=colour, marker=".", label=name)
            panel.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
        panel.set_title(title)
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.suptitle(results["experiment"])
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
