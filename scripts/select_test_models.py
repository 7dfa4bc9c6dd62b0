"""Copy the test models out of the corpus of exported models: each mechanism once, small enough for the repository.

    python scripts/select_test_models.py ../shared/corpus ../shared/models tests/models

``SELECTION`` is the list, with what each file is there for. Models above 8 KB are stored as ``.onnx.xz``; inputs and
outputs are cut to 8 samples (to whole batches where the model's batch is fixed). Trained networks come with more of
the images that they were tested on.
"""

from __future__ import annotations

import lzma
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx

SAMPLES = 8
COMPRESS_ABOVE = 8_000
PLAIN = {"where_ge.ts"}  # the tests of the command and of the README give it to them as it is

SELECTION = {
    # Whole small networks, as PyTorch's two exporters write them.
    "coregeist/baked_bn.dynamo": "input thresholds, BatchNorm fused into Gemm, bipolar initializers",
    "coregeist/baked_bn.ts": "LessOrEqual with swapped operands, MatMul and BatchNorm",
    "coregeist/baked_uint8.ts": "uint8 graph input, Cast and Div(255) in the graph",
    "coregeist/baked_uint8norm.dynamo": "uint8 graph input with normalisation in the graph",
    "coregeist/core_head_logsoftmax.dynamo": "one weight branch folded and one not, LogSoftmax head",
    "coregeist_external/core_external": "external data, fixed batch of 32",
    "binarynet_mlp/binaryconnect_mlp.dynamo": "binary weights, real-valued activations",
    # Quantisation-aware frameworks: custom domains.
    "brevitas_finn/tfc_1w1a.finn_xnor": "XnorPopcountMatMul and MultiThreshold",
    "brevitas_finn/tfc_2w2a.finn_streamlined": "integer MultiThreshold with two bits",
    "brevitas_qcdq/tfc_2w2a.qcdq.ts": "QuantizeLinear, Clip, DequantizeLinear",
    "brevitas_qonnx/tfc_1w1a.qonnx_clean.dynamo": "BipolarQuant",
    "brevitas_qonnx/tfc_1w2a.qonnx_clean.dynamo": "BipolarQuant weights, Quant activations",
    "brevitas_qonnx/tfc_2w2a.qonnx.ts": "Quant weights and activations, initializers listed as graph inputs",
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
    # Convolutions, as every opset writes them.
    "opset_sweep/conv_opset9.ts": "Conv, the oldest opset of the exporter",
    "opset_sweep/conv_opset13.ts": "Conv",
    "opset_sweep/conv_opset22.dynamo": "Conv, the newest opset of the exporter",
    # What a convolution's window can be.
    "cnn_micro/conv1x3_asym.dynamo": "windows of 1x3 and 3x1",
    "cnn_micro/conv3x3_nopad.ts": "no padding",
    "cnn_micro/conv3x3_pad1_s2.dynamo": "bits padded with zero, stride 2",
    "cnn_micro/conv5x5_pad2.ts": "5x5, a border of two",
    "cnn_micro/conv_depthwise.dynamo": "depthwise and pointwise",
    "cnn_micro/conv_depthwise_mult2.ts": "depthwise, two outputs a channel",
    "cnn_micro/conv_dil2.ts": "dilation",
    "cnn_micro/conv_groups4.dynamo": "groups",
    "cnn_micro/conv_nobn_bias.ts": "bias without BatchNormalization",
    "cnn_micro/conv_nobn_nopad_sign.dynamo": "Sign of even sums: three values",
    "cnn_micro/conv_pad_asym.ts": "padding on two sides only",
    "cnn_micro/conv_pad_circular.dynamo": "circular padding",
    "cnn_micro/conv_pad_one.dynamo": "bits padded with one",
    "cnn_micro/conv_pad_reflect.ts": "reflected padding",
    "cnn_micro/conv_pad_replicate.ts": "replicated padding",
    "cnn_micro/manual_bn.ts": "BatchNormalization written out",
    "cnn_micro/scale_shift.ts": "Mul and Add with negative scales",
    # Pools, heads, and how maps are joined and cut.
    "cnn_micro/channel_shuffle.ts": "groups and a channel shuffle",
    "cnn_micro/concat_bits.ts": "Concat of 8 and 20 channels of bits",
    "cnn_micro/dense_concat.ts": "Concat of real values before the sign",
    "cnn_micro/gated_scale_r2b.dynamo": "channels scaled by a gate computed from the data",
    "cnn_micro/head_amax.dynamo": "ReduceMax",
    "cnn_micro/head_avgpool10.ts": "AveragePool over the whole map",
    "cnn_micro/head_conv_gap_argmax.ts": "GlobalAveragePool, ArgMax",
    "cnn_micro/head_mean23.dynamo": "ReduceMean",
    "cnn_micro/head_permute_flatten.dynamo": "Transpose and Flatten before a dense layer",
    "cnn_micro/head_reshape_bs.ts": "Reshape by the batch's size before a dense layer",
    "cnn_micro/head_topk.dynamo": "TopK",
    "cnn_micro/pool_avg_after_sign.ts": "AveragePool of bits",
    "cnn_micro/pool_avg_before_sign.dynamo": "AveragePool of accumulators",
    "cnn_micro/pool_max3s2p1_after_sign.ts": "MaxPool with overlap and padding, of bits",
    "cnn_micro/pool_max_after_sign.dynamo": "MaxPool of bits",
    "cnn_micro/pool_max_before_bn.ts": "MaxPool before BatchNormalization with negative scales",
    "cnn_micro/pool_max_ceil.dynamo": "MaxPool with ceil_mode",
    "cnn_micro/pool_min.ts": "smallest instead of largest",
    "cnn_micro/residual_int.ts": "sums of accumulators",
    "cnn_micro/split_bits.dynamo": "Split at 7 of 20 channels",
    "cnn_micro/upsample_nearest.ts": "Resize",
    # Whole convolutional networks.
    "bitorch/qconv_steheaviside.dynamo": "{0, 1} padded with -1",
    "bitorch/qconv_weightdorefa.dynamo": "{0, 1} and multi-bit weights, padded with -1",
    "cnn_binarynet/vggbaked_w32_padm1.ts": "VGG for 32x32 images, bits padded with -1",
    "cnn_micro/kws_dscnn.dynamo": "keyword spotting: DS-CNN, kernel 10x4",
    "cnn_micro/kws_tcresnet1d.ts": "keyword spotting: 1-D residual network, kernel 9",
    "cnn_xnornet/xnor_nin_d4.dynamo": "XNOR-Net: sign after BatchNormalization, scaled weights, padded AveragePool",
    "larq_doc/mnist_cnn_nchw": "Larq through tf2onnx, NCHW, Softmax",
    "larq_doc/mnist_cnn_opset18": "Larq through tf2onnx, NHWC input",
    "larq_zoo_small/binarydensenet37_g8": "BinaryDenseNet: Concat in every block",
    "larq_zoo_small/quicknet_tiny": "QuickNet: padding with ones, residual sums, depthwise blur",
    # Larq's quantizers.
    "larq_quantizers/conv_in_dorefa_quantizer": "two-bit activation",
    "larq_quantizers/conv_in_ste_tern": "ternary activation",
    "larq_quantizers/conv_k_DoReFa_obj": "two-bit weights",
    "larq_quantizers/conv_k_ste_heaviside": "{0, 1} weights",
    "larq_quantizers/conv_same_s2_pad0": "SAME padding with stride 2: asymmetric",
    "larq_quantizers/separable": "separable convolution",
    "larq_quantizers/tconv": "ConvTranspose",
    # What exporters and optimizers do to them.
    "misc/fp16.ts": "float16",
    "misc/scripted_loop.ts": "Loop, the same weights three times",
    "misc/squeeze_all.dynamo": "Squeeze of every axis of length 1",
    "misc/static_batch1.ts": "batch of one",
    "postprocessed/larq_doc.mnist_cnn.ortext": "onnxruntime, extended level: fused convolutions",
    "misc/scripted_if.ts": "If on the batch size",
}
# Refused for good, each for its reason (tests/corpus_refused.py): models without samples.
REFUSED = {
    "idioms_act/detach_clamp.dynamo": "broken export: dangling inputs",
    "idioms_act/x_over_abs.dynamo": "broken export: 0 / 0",
    "misc/double.dynamo": "Conv of doubles",
    "misc/squeeze_dynHW_if.ts": "dynamic spatial shape",
    "postprocessed/larq_zoo_small.quicknet_tiny.ortall": "blocked layout of onnxruntime",
}
# Trained networks, and how many test images come with each.
DIGITS = "digits_mlp512_realin", 64  # 8x8 digits, a real-valued first layer: x = pixel / 8 - 1
LARQ = "cnn_larq_mnist", 200


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
    if len(data) > COMPRESS_ABOVE and target.name not in PLAIN:
        target.with_name(target.name + ".onnx.xz").write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    else:
        target.with_name(target.name + ".onnx").write_bytes(data)
    external = source.with_name(source.name + ".onnx.data")
    if external.exists():
        shutil.copyfile(external, target.with_name(target.name + ".onnx.data"))
    return model


def copy_trained(source: Path, target: Path) -> None:
    """Copy the trained networks and some of their test images."""
    target.mkdir()
    name, count = DIGITS
    copy_model(source / name, target / name)
    with np.load(source / "digits_test450.npz") as digits:
        pixels = (digits["images"][:count] / 8 - 1).astype(np.float32)
        np.savez_compressed(target / f"{name}.input.npz", input=pixels, labels=digits["labels"][:count])
    name, count = LARQ
    copy_model(source / name, target / name)
    with np.load(source / f"{name}.test.npz") as images:
        np.savez_compressed(target / f"{name}.input.npz", **{k: a[:count] for k, a in images.items()})


def main(corpus: Path, trained: Path, target: Path) -> None:
    """Write the selection to ``target``, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    for name in (*SELECTION, *REFUSED):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        model = copy_model(corpus / name, target / name)
        for kind in ("input", "output"):
            source = corpus / f"{name}.{kind}.npz"
            if source.exists() and name in SELECTION:
                copy_arrays(source, target / f"{name}.{kind}.npz", model)
    copy_trained(trained, target / "trained")
    total = sum(f.stat().st_size for f in target.rglob("*") if f.is_file())
    print(f"{len(SELECTION) + len(REFUSED) + 2} models, {total:,} bytes")


if __name__ == "__main__":
    main(*(Path(a) for a in sys.argv[1:4]))
