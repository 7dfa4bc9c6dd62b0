"""Which models of the corpus are refused, and why: by what the error must say, the models' names.

A model that is named here must raise an error with that text in its message; any other must compile and verify. When
one that is named compiles, its test fails until the name is removed.
"""

from __future__ import annotations

# What no compiler to integers can take, because the file doesn't say what to compute.
NEVER = {
    # Broken exports: an input that nothing produces; an epsilon that the exporter dropped, so that 0 / 0 remains.
    "which nothing computes": ("idioms_act/detach_clamp.dynamo",),
    "Div is not a finite number": ("idioms_act/x_over_abs.dynamo",),
    # onnxruntime, the reference, has no Conv of doubles.
    "onnxruntime does not accept the model": ("misc/double.dynamo",),
    # Height and width are open.
    "needs a static length": ("misc/squeeze_dynHW_if.ts",),
    # Written for one processor's cache lines by onnxruntime's highest level.
    "blocked layout": (
        "postprocessed/cnn_bireal.bireal18_w16.ts.ortall",
        "postprocessed/cnn_reactnet.reactnetA_w16_sign.ts.ortall",
        "postprocessed/larq_zoo_small.quicknet_tiny.ortall",
    ),
}


def names() -> list[str]:
    """Every model that is refused."""
    return [name for models in NEVER.values() for name in models]


def reason(name: str) -> str | None:
    """What the error on the model must say; None for a model that must compile and verify."""
    return next((text for text, models in NEVER.items() if name in models), None)
