"""Copy the test models out of the corpus of exported models: each mechanism once, small enough for the repository.

    python scripts/select_test_models.py ../shared/corpus ../shared/models tests/models

``SELECTION`` is the list, with what each file is there for. Models above 60 KB are stored as ``.onnx.xz``; inputs and
outputs are cut to 8 samples (to whole batches where the model's batch is fixed).
"""

from __future__ import annotations

import lzma
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx

SAMPLES = 8
COMPRESS_ABOVE = 60_000

SELECTION = {
    # Whole small networks, as PyTorch's two exporters write them.
    "coregeist/baked_bn.dynamo": "input thresholds, BatchNorm fused into Gemm, bipolar initializers",
    "coregeist/baked_bn.ts": "LessOrEqual with swapped operands, MatMul and BatchNorm",
    "coregeist/baked_uint8.ts": "uint8 graph input, Cast and Div(255) in the graph",
    "coregeist/baked_uint8norm.dynamo": "uint8 graph input with normalisation in the graph",
    "coregeist/core_detach_layer_bn.dynamo": "detach residue, one weight branch folded and one not",
    "coregeist/core_head_logsoftmax.dynamo": "LogSoftmax head",
    "coregeist/core_head_softmax.ts": "Softmax head",
    "coregeist_external/core_external": "external data, fixed batch of 32",
    "binarynet_mlp/binaryconnect_mlp.dynamo": "binary weights, real-valued activations",
    # Quantisation-aware frameworks: custom domains.
    "brevitas_finn/tfc_1w1a.finn_xnor": "XnorPopcountMatMul and MultiThreshold",
    "brevitas_finn/tfc_2w2a.finn_streamlined": "integer MultiThreshold with two bits",
    "brevitas_qcdq/tfc_2w2a.qcdq.ts": "QuantizeLinear, Clip, DequantizeLinear",
    "brevitas_qonnx/tfc_1w1a.qonnx_clean.dynamo": "BipolarQuant",
    "brevitas_qonnx/tfc_1w2a.qonnx_clean.dynamo": "BipolarQuant weights, Quant activations",
    "brevitas_qonnx/tfc_2w2a.qonnx.ts": "Quant weights and activations, initializers listed as graph inputs",
    "larq_quantizers/keras_lambda_sign": "tf2onnx, arithmetic select, real-valued weights",
    # Files that an optimizer has rewritten.
    "postprocessed/coregeist.core_detach_layer_bn.ts.onnxsim": "onnxsim",
    "postprocessed/coregeist.core_detach_layer_bn.ts.ortbasic": "onnxruntime, basic level",
    "postprocessed/coregeist.core_sign_layer_bn.ts.ortext": "onnxruntime, extended level",
    "postprocessed/idioms_weight.w_irnet.ts.onnxopt": "onnxoptimizer",
    # How an activation becomes binary, and what it makes of 0.
    "idioms_act/detach_bireal.ts": "polynomial detach residue",
    "idioms_act/detach_clamp.ts": "clamp detach residue",
    "idioms_act/detach_tanh.dynamo": "tanh detach residue",
    "idioms_act/dorefa2.ts": "two-bit activation, half to even",
    "idioms_act/elastic.ts": "shifted and scaled sign",
    "idioms_act/elastic01.dynamo": "{0, alpha} by rounding",
    "idioms_act/fhardsigmoid_round.ts": "HardSigmoid of slope 1/6",
    "idioms_act/fn_masked_assign.dynamo": "masked assignment: NonZero and ScatterND",
    "idioms_act/fn_sign.ts": "three-valued Sign",
    "idioms_act/ge_minus_lt.ts": "difference of two comparisons",
    "idioms_act/hardsig_floor.ts": "Floor, threshold just below 0",
    "idioms_act/hardsig_round.ts": "Round to even, threshold just above 0",
    "idioms_act/hardtanh_round.dynamo": "ternary activation with two thresholds",
    "idioms_act/larq_style.dynamo": "Sign of Sign plus 0.1",
    "idioms_act/one_minus_2lt.dynamo": "1 - 2 (x < 0)",
    "idioms_act/pact2.ts": "clipped two-bit activation",
    "idioms_act/sgn.dynamo": "torch.sgn",
    "idioms_act/sigmoid_gt05.ts": "Sigmoid compared with 0.5",
    "idioms_act/sigmoid_round.dynamo": "Round of Sigmoid",
    "idioms_act/sign01.dynamo": "(sign + 1) / 2: 0.5 at 0",
    "idioms_act/sign_clamp_eps.dynamo": "an odd composite",
    "idioms_act/sign_maskedfill0.dynamo": "masked_fill",
    "idioms_act/step01.ts": "{0, 1} activation",
    "idioms_act/twn_act.dynamo": "nested Where, ternary",
    "idioms_act/where_ge.ts": "Where of constants",
    "idioms_act/where_ge_int.dynamo": "Where of integers and Cast",
    "idioms_act/where_gt_scalar.dynamo": "ones_like and full_like",
    "idioms_act/x_over_abs.ts": "x / (|x| + eps)",
    # How weights become binary.
    "idioms_weight/w_alpha_chan.dynamo": "one scale a channel, exact ties",
    "idioms_weight/w_bool_buffer.ts": "bool weights",
    "idioms_weight/w_int8_buffer.dynamo": "int8 weights",
    "idioms_weight/w_learned_scale.dynamo": "learned scale",
    "idioms_weight/w_out_scale.dynamo": "scale on the output",
    "idioms_weight/w_packed_uint8.dynamo": "weights unpacked from bits in the graph",
    "idioms_weight/w_sign.dynamo": "Sign of weights with exact zeros",
    "idioms_weight/w_twn.ts": "ternary weights",
    "idioms_weight/w_where.ts": "Where with a full-size constant",
    "idioms_weight_notie/w_alpha_global_div.dynamo": "sign(W / E) * E",
    "idioms_weight_notie/w_alpha_norm.dynamo": "ReduceL1 scale",
    "idioms_weight_notie/w_center_clamp.dynamo": "centred and clamped weights",
    "idioms_weight_notie/w_dorefa2.ts": "two-bit weights",
    "idioms_weight_notie/w_hardbinary.ts": "weights with residue noise",
    "idioms_weight_notie/w_irnet.ts": "IR-Net's chain of 60 operators",
    "idioms_weight_notie/w_matmul_t.dynamo": "MatMul with a transposed Sign",
    "misc/int8_bool_weights_large.dynamo": "two outputs, int8 and bool weights that stay in the graph",
    # Refused, each for its reason (tests/corpus_refused.py).
    "idioms_act/detach_clamp.dynamo": "broken export: dangling inputs",
    "idioms_act/x_over_abs.dynamo": "broken export: 0 / 0",
    "misc/scripted_if.ts": "If on the batch size, convolution",
    "misc/squeeze_dynHW_if.ts": "dynamic spatial shape",
    "opset_sweep/conv_opset9.ts": "convolution",
    "postprocessed/larq_zoo_small.quicknet_tiny.ortall": "blocked layout of onnxruntime",
}
TRAINED = "digits_mlp512_realin"  # trained on 8x8 digits: a real-valued first layer, x = pixel / 8 - 1
DIGITS = 64


def samples(model: onnx.ModelProto, count: int) -> int:
    """How many of ``count`` samples to keep: ``SAMPLES``, or whole batches of a model with a fixed batch."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    batch = shape[0].dim_value if shape and shape[0].HasField("dim_value") else 1
    return min(count, max(SAMPLES // batch, 1) * batch)


def copy_arrays(source: Path, target: Path, model: onnx.ModelProto) -> None:
    """Copy an npz, cut to fewer samples."""
    with np.load(source) as arrays:
        np.savez_compressed(target, **{k: a[: samples(model, len(a))] for k, a in arrays.items()})


def copy_model(source: Path, target: Path) -> onnx.ModelProto:
    """Copy a model (``source`` without its suffix) and return it."""
    packed = source.with_name(source.name + ".onnx.xz")
    plain = source.with_name(source.name + ".onnx")
    data = lzma.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    model = onnx.load_from_string(data)
    if len(data) > COMPRESS_ABOVE:
        target.with_name(target.name + ".onnx.xz").write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    else:
        target.with_name(target.name + ".onnx").write_bytes(data)
    external = source.with_name(source.name + ".onnx.data")
    if external.exists():
        shutil.copyfile(external, target.with_name(target.name + ".onnx.data"))
    return model


def main(corpus: Path, trained: Path, target: Path) -> None:
    """Write the selection to ``target``, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    for name in SELECTION:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        model = copy_model(corpus / name, target / name)
        for kind in ("input", "output"):
            source = corpus / f"{name}.{kind}.npz"
            if source.exists():
                copy_arrays(source, target / f"{name}.{kind}.npz", model)
    (target / "trained").mkdir()
    copy_model(trained / TRAINED, target / "trained" / TRAINED)
    with np.load(trained / "digits_test450.npz") as digits:
        images, labels = digits["images"][:DIGITS], digits["labels"][:DIGITS]
    pixels = (images / 8 - 1).astype(np.float32)
    np.savez_compressed(target / "trained" / f"{TRAINED}.input.npz", input=pixels, labels=labels)
    total = sum(f.stat().st_size for f in target.rglob("*") if f.is_file())
    print(f"{len(SELECTION) + 1} models, {total:,} bytes")


if __name__ == "__main__":
    main(*(Path(a) for a in sys.argv[1:4]))
