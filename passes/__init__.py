"""The passes, and the order they stand in. Each is a function from graph to graph that can be called alone."""

from __future__ import annotations

from bnncompiler.passes.absorb_polarity import AbsorbPolarity
from bnncompiler.passes.base import Pass, Passes, check_equivalence, run_pipeline
from bnncompiler.passes.binarize_weights import BinarizeWeights
from bnncompiler.passes.canonicalize import Canonicalize
from bnncompiler.passes.fold_thresholds import FoldThresholds
from bnncompiler.passes.narrow_streams import NarrowStreams
from bnncompiler.passes.quantize_activations import QuantizeActivations
from bnncompiler.passes.quantize_joins import QuantizeJoins
from bnncompiler.passes.quantize_weights import QuantizeWeights
from bnncompiler.passes.refine_borders import RefineBorders
from bnncompiler.passes.sink_max_pool import SinkMaxPool
from bnncompiler.passes.split_joins import SplitJoins
from bnncompiler.ranges import UNKNOWN, Ranges
from bnncompiler.widths import COMPACT, PRECISE

__all__ = [
    "AbsorbPolarity",
    "BinarizeWeights",
    "Canonicalize",
    "FoldThresholds",
    "NarrowStreams",
    "Pass",
    "QuantizeActivations",
    "QuantizeJoins",
    "QuantizeWeights",
    "RefineBorders",
    "SinkMaxPool",
    "SplitJoins",
    "check_equivalence",
    "pipeline",
    "run_pipeline",
]


def pipeline(weight_bits: int | None = None, stream_bits: int = PRECISE, ranges: Ranges = UNKNOWN) -> Passes:
    """The passes in order; a group in brackets is repeated until it finds nothing more to do.

    Weights that are integers by nature need nothing but themselves, so they come first. Then grids spread from the
    inputs: a region can be folded once its source has a domain, and a layer's accumulator has one once its input has.
    A pool moves out of the way of a threshold first; discrete values come before continuous ones. Polarity moves into
    weights when all of them are known.
    """
    return (
        Canonicalize(),
        SplitJoins(),
        BinarizeWeights(),
        (
            (
                ((RefineBorders(), SinkMaxPool(), FoldThresholds()), QuantizeJoins(stream_bits, ranges)),
                QuantizeActivations(stream_bits, ranges),
            ),
            NarrowStreams(stream_bits, ranges),
            QuantizeWeights(weight_bits, wide=stream_bits > COMPACT),
        ),
        AbsorbPolarity(),
    )
