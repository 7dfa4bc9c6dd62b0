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

# What is not supported yet. This list is meant to become empty.
NOT_YET: dict[str, tuple[str, ...]] = {
    "Im2Col": ("brevitas_finn/cnv_1w2a.finn_im2col",),
    "joins different values": (
        "bitorch/meliusnet_flex_small.dynamo",
        "bitorch/meliusnet_flex_small.ts",
        "cnn_micro/concat_bits.ts",
        "cnn_micro/dense_concat.dynamo",
        "cnn_micro/dense_concat.ts",
        "cnn_micro/split_bits.dynamo",
        "cnn_micro/split_bits.ts",
        "cnn_reactnet/reactnetA_w16.ts",
        "larq_zoo_full/BinaryDenseNet28",
        "larq_zoo_small/binarydensenet28_g16",
        "larq_zoo_small/binarydensenet37_g8",
        "postprocessed/cnn_reactnet.reactnetA_w16_sign.ts.onnxopt",
        "postprocessed/cnn_reactnet.reactnetA_w16_sign.ts.ortbasic",
        "postprocessed/cnn_reactnet.reactnetA_w16_sign.ts.ortext",
    ),
    "could not be compiled to integers": (
        "bitorch/resnet_e_small.dynamo",
        "cnn_bireal/bireal18_w16.dynamo",
        "cnn_bireal/bireal18_w16_sign.dynamo",
        "cnn_bireal/bireal18_w16_sign.ts",
        "cnn_micro/channel_shuffle.dynamo",
        "cnn_micro/channel_shuffle.ts",
        "cnn_micro/kws_tcresnet1d.dynamo",
        "cnn_micro/kws_tcresnet1d.ts",
        "cnn_micro/residual_int.ts",
        "cnn_reactnet/react18_w16.dynamo",
        "cnn_reactnet/react18_w16.ts",
        "larq_zoo_full/BiRealNet",
        "postprocessed/cnn_bireal.bireal18_w16.ts.onnxopt",
        "postprocessed/cnn_bireal.bireal18_w16.ts.ortext",
    ),
    "leave 32 bits": (
        "bitorch/quicknet_tiny.dynamo",
        "bitorch/quicknet_tiny.ts",
        "larq_zoo_full/QuickNetSmall",
        "larq_zoo_small/quicknet_tiny",
        "postprocessed/bitorch.quicknet_tiny.ts.onnxopt",
        "postprocessed/larq_zoo_small.quicknet_tiny.onnxopt",
        "postprocessed/larq_zoo_small.quicknet_tiny.onnxsim",
        "postprocessed/larq_zoo_small.quicknet_tiny.ortext",
    ),
    "only constant padding": (
        "cnn_micro/conv_pad_circular.dynamo",
        "cnn_micro/conv_pad_reflect.dynamo",
        "cnn_micro/conv_pad_reflect.ts",
        "cnn_micro/conv_pad_replicate.dynamo",
        "cnn_micro/conv_pad_replicate.ts",
    ),
    "joins values of the shapes": ("cnn_micro/gated_scale_r2b.dynamo",),
    "only the index of the largest value": ("cnn_micro/head_topk.dynamo",),
    "maps of another size": ("cnn_micro/upsample_nearest.dynamo", "cnn_micro/upsample_nearest.ts"),
    "transposed convolutions": ("larq_quantizers/tconv",),
}


def names() -> list[str]:
    """Every model that is refused."""
    return [name for listed in (NEVER, NOT_YET) for models in listed.values() for name in models]


def reason(name: str) -> str | None:
    """What the error on the model must say; None for a model that must compile and verify."""
    return next((text for listed in (NEVER, NOT_YET) for text, models in listed.items() if name in models), None)
