"""The passes, and the order they stand in. Each is a function from graph to graph that can be called alone."""

from __future__ import annotations

from collections.abc import Sequence

from bnncompiler.passes.absorb_polarity import AbsorbPolarity
from bnncompiler.passes.base import Pass, check_equivalence, run_pipeline
from bnncompiler.passes.binarize_weights import BinarizeWeights
from bnncompiler.passes.canonicalize import Canonicalize
from bnncompiler.passes.fold_thresholds import FoldThresholds
from bnncompiler.passes.quantize_activations import QuantizeActivations
from bnncompiler.passes.quantize_weights import QuantizeWeights

__all__ = [
    "AbsorbPolarity",
    "BinarizeWeights",
    "Canonicalize",
    "FoldThresholds",
    "Pass",
    "QuantizeActivations",
    "QuantizeWeights",
    "check_equivalence",
    "pipeline",
    "run_pipeline",
]


def pipeline(weight_bits: int = 16, stream_bits: int = 16) -> Sequence[Pass | Sequence[Pass]]:
    """The passes in order; the group in brackets is repeated until it finds nothing more to do.

    Weights that are integers by nature need nothing but themselves, so they come first. Then grids spread from the
    inputs: a region can be folded once its source has a domain, and a layer's accumulator has one once its input has.
    Discrete values first; what is left of a region is continuous. Polarity moves into weights when all of them are known.
    """
    return (
        Canonicalize(),
        BinarizeWeights(),
        (FoldThresholds(), QuantizeActivations(stream_bits), QuantizeWeights(weight_bits)),
        AbsorbPolarity(),
    )
