"""Which models of the corpus are refused, and why: a pattern of names, and what the error must say.

A model that matches a pattern must raise an error whose message holds the text; any other must compile and verify. The
first pattern that matches counts.
"""

from __future__ import annotations

from fnmatch import fnmatch

REFUSED = (
    # Broken exports, as the corpus' own manifest says.
    ("idioms_act/detach_clamp.dynamo", "x_min_1"),  # inputs that nothing produces
    ("idioms_act/x_over_abs.dynamo", "not a finite number"),  # the exporter dropped the epsilon: 0 / 0
    # A shape that the file leaves open.
    ("misc/squeeze_dynHW_if.ts", "needs a static length"),
    # onnxruntime's blocked layouts cannot be run anywhere else.
    ("postprocessed/cnn_*.ortall", "nchwc"),
    ("postprocessed/larq_zoo_small.*.ortall", "nchwc"),
    # Convolutions; the error names the first operator that stands in the way.
    ("brevitas_finn/cnv_1w2a.finn_im2col", "Im2Col"),
    ("postprocessed/bitorch.quicknet_tiny.ts.onnxopt", "Pad"),
    ("opset_sweep/*", "Conv"),
    ("misc/*", "Conv"),
    ("larq_quantizers/*", "Conv"),
    ("brevitas_*/cnv_*", "Conv"),
    ("postprocessed/*", "Conv"),
)
# Dense models that the patterns above would catch, too.
COMPILED = (
    "misc/int8_bool_weights_large.*",
    "larq_quantizers/keras_lambda_sign",
    "postprocessed/coregeist.*",
    "postprocessed/idioms_weight.*",
)


def reason(name: str) -> str | None:
    """What the error on the model must say; None for a model that must compile and verify."""
    if any(fnmatch(name, pattern) for pattern in COMPILED):
        return None
    return next((text for pattern, text in REFUSED if fnmatch(name, pattern)), None)
