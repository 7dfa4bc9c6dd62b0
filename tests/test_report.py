"""The report has the fields that its readers count on, and its figures add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import bnncompiler
from bnncompiler import ops, report, summary
from bnncompiler.report import Report, VerifyFacts
from tests.corpus import SELECTION, Exported

NUMBER = (int, float)
MAYBE = (int, type(None))
SCHEMA = {
    "model": str, "backend": str, "target": str, "compiler_version": str,
    "input": [{"name": str, "shape": [int], "ctype": str, "scale": NUMBER, "offset": NUMBER, "source": str}],
    "nodes": [{"name": str, "kind": str, "onnx": [str], "shape": [int], "macs": int, "domain": str, "exact": bool,
               "why": str, "flash_bytes": int, "kernel": str}],
    "memory": {"flash_bytes": int, "arena_bytes": int, "stack_bytes": MAYBE, "linked_bytes": MAYBE, "ram_bytes": MAYBE},
    "plan": [str], "exact": bool, "error_bound": NUMBER,
    "verify": {"ran_on": str, "samples": int, "reference": str, "bits_compared": int, "bits_differing": int,
               "undecided_points": int, "max_abs_error": NUMBER, "argmax_agreement": NUMBER,
               "accuracy": (*NUMBER, type(None)), "cycles": MAYBE, "instructions": MAYBE, "passed": bool},
    "precision": [{"stream_bits": int, "error_bound": NUMBER, "argmax_agreement": NUMBER,
                   "accuracy": (*NUMBER, type(None)), "flash_bytes": int, "arena_bytes": int}],
    "fit": [str],
}  # fmt: skip
VERIFIED = VerifyFacts("host", 8, "onnxruntime", 512, 0, 0, 0.0, 1.0, None, None, None, True)


def check(value: object, schema: object, where: str = "report") -> None:
    """Whether ``value`` has exactly the fields and types of ``schema``."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        assert list(value) == list(schema), where
        for key, inner in schema.items():
            check(value[key], inner, f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            check(item, schema[0], f"{where}[{i}]")
    else:
        assert isinstance(value, schema), where  # type: ignore[arg-type]
        assert isinstance(value, bool) == (schema is bool), where


def facts_of(name: str) -> Report:
    model = Exported(name, SELECTION / name)
    return report.build(bnncompiler.compile(model.data, calibrate=model.samples))


@pytest.fixture(scope="module")
def facts() -> Report:
    return facts_of("idioms_act/where_ge.ts")


def test_schema_with_and_without_verification(facts: Report) -> None:
    without = json.loads(facts.json())
    assert without["verify"] is None
    check({k: v for k, v in without.items() if k != "verify"}, {k: v for k, v in SCHEMA.items() if k != "verify"})
    check(json.loads(replace(facts, verify=VERIFIED).json()), SCHEMA)


def test_nothing_but_json(facts: Report) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(facts.json(), parse_constant=refuse)


@pytest.mark.parametrize("name", ["idioms_act/where_ge.ts", "idioms_act/pact2.ts", "idioms_weight/w_twn.ts"])
def test_flash_of_the_nodes_is_flash_of_the_program(name: str) -> None:
    found = facts_of(name)
    assert sum(n.flash_bytes for n in found.nodes) == found.memory.flash_bytes > 0
    assert all(n.onnx for n in found.nodes if n.macs)


def test_macs_are_those_of_the_dense_layers() -> None:
    compilation = bnncompiler.compile(Exported("", SELECTION / "idioms_act/where_ge.ts").data)
    macs = sum(n.weight.size for n in compilation.graph.nodes() if isinstance(n, ops.IntegerDense))
    assert sum(n.macs for n in report.build(compilation).nodes) == macs > 0


def test_macs_of_a_convolution_are_its_weights_at_each_position() -> None:
    compilation = bnncompiler.compile(Exported("", SELECTION / "cnn_micro/conv3x3_pad1_s2.dynamo").data)
    layers = [n for n in compilation.graph.nodes() if isinstance(n, ops.IntegerConv)]
    macs = sum(n.weight.size * n.type.shape[0] * n.type.shape[1] for n in layers)
    assert sum(n.macs for n in report.build(compilation).nodes) == macs > 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conv3x3_nopad.ts", " conv 3x3, threshold"),
        ("conv_depthwise.dynamo", " depthwise conv 3x3, threshold"),
        ("conv_groups4.dynamo", " 4-group conv 3x3, threshold"),
        ("pool_max_after_sign.dynamo", "max pool 2x2"),
        ("pool_avg_after_sign.ts", "average pool 2x2"),
        ("residual_int.ts", "sum"),
        ("concat_bits.ts", "concat"),
    ],
)
def test_what_maps_became_is_in_the_words_of_the_field(name: str, kind: str) -> None:
    found = [n.kind for n in facts_of(f"cnn_micro/{name}").nodes]
    assert [f for f in found if kind in f], found


def test_a_layer_is_one_entry_with_its_activation() -> None:
    nodes = facts_of("cnn_micro/conv3x3_pad1_s2.dynamo").nodes
    assert all(n.kernel for n in nodes)
    assert all(n.onnx for n in nodes if n.kind != "input")


def test_what_layers_became_is_in_the_words_of_the_field() -> None:
    assert "ternary" in " ".join(n.kind for n in facts_of("idioms_weight/w_twn.ts").nodes)
    assert "2-bit activation" in [n.kind for n in facts_of("idioms_act/pact2.ts").nodes]
    assert "ternary activation" in [n.kind for n in facts_of("idioms_act/hardtanh_round.dynamo").nodes]
    assert [n.kind for n in facts_of("idioms_act/where_ge.ts").nodes if n.kind.endswith("dense, threshold")]


def test_summary_names_every_layer_and_the_totals(facts: Report) -> None:
    text = summary.text(facts, ("final Softmax dropped",), ("512 hidden bits compared", "passed"))
    for node in facts.nodes:
        assert node.name[-summary.LONGEST_NAME + 1 :] in text
    assert f"{facts.memory.flash_bytes:,} B" in text
    assert f"{facts.memory.arena_bytes:,} B of arena" in text
    assert "final Softmax dropped" in text
    assert "512 hidden bits compared" in text
    assert max(map(len, text.splitlines())) <= 200


def test_explanation_says_why(facts: Report) -> None:
    text = summary.explanation(facts)
    assert all(n.why in text and n.domain in text for n in facts.nodes)


def test_html_is_one_file_and_escapes_names(facts: Report, tmp_path: Path) -> None:
    nodes = (replace(facts.nodes[0], name="<script>alert(1)</script>"), *facts.nodes[1:])
    page = summary.html(replace(facts, nodes=nodes), verified=("all is <well>",))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "src=" not in page
    assert "href=" not in page
    assert "all is &lt;well&gt;" in page
