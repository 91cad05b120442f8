"""What changed in a graph, and where its nodes run: exact, so that no statistics are needed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.gate.checks.signature import Signature
from harness.gate.model import Contender, Finding, Match, Verdict
from harness.gate.text import sentences
from harness.records import Artifact

MARGIN = 0.01
"""Growth of size and node count that is let pass: names and paths that an exporter writes into a file do not count."""

NODE_SHARE = 0.001
"""A provider that lost less than this share of the nodes did not lose one."""

QUANTIZED = {
    "QLinearConv": ("Conv", "FusedConv"),
    "ConvInteger": ("Conv", "FusedConv"),
    "QLinearMatMul": ("MatMul", "Gemm", "FusedMatMul"),
    "MatMulInteger": ("MatMul", "Gemm", "FusedMatMul"),
    "MatMulIntegerToFloat": ("MatMul", "Gemm", "FusedMatMul"),
    "DynamicQuantizeMatMul": ("MatMul", "Gemm", "FusedMatMul"),
    "QGemm": ("Gemm", "MatMul", "FusedGemm"),
    "MatMulNBits": ("MatMul", "Gemm", "FusedMatMul"),
    "QAttention": ("Attention", "MultiHeadAttention"),
    "QLinearAdd": ("Add",),
    "QLinearMul": ("Mul",),
    "QLinearSigmoid": ("Sigmoid",),
    "QLinearLeakyRelu": ("LeakyRelu",),
    "QLinearGlobalAveragePool": ("GlobalAveragePool",),
    "QLinearAveragePool": ("AveragePool",),
    "QLinearSoftmax": ("Softmax",),
    "QLinearConcat": ("Concat",),
    "DynamicQuantizeLSTM": ("LSTM",),
}
"""Operator that computes with few bits -> those that do the same with floats."""

FUSED = (
    "FusedConv", "NhwcFusedConv", "FusedGemm", "FusedMatMul", "Attention", "MultiHeadAttention", "QAttention",
    "EmbedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "LayerNormalization",
    "SimplifiedLayerNormalization", "BiasGelu", "FastGelu", "Gelu", "QuickGelu", "BiasSoftmax", "BiasSplitGelu",
    "GroupQueryAttention", "RotaryEmbedding", "GroupNorm", "SkipGroupNorm",
)  # fmt: skip
"""Operators that ONNX Runtime writes where it has fused others."""


def check(match: Match, base: Signature, head: Signature, *, margin: float = MARGIN) -> tuple[Finding, ...]:
    """What differs between base and head without measuring anything.

    A change for the worse is a regression where the head's budget says `structure: fail`, else it is reported with the
    verdict pass. Growth of size or nodes past the margin is a regression in either case. Where one case is set against
    another everything may differ on purpose, and is only reported.

    Args:
        match: with an artifact on both sides; without, nothing is found.
        base: what is known of the base.
        head: what is known of the head.
        margin: share by which size and node count may grow.
    """
    if match.base is None or match.head is None:
        return ()
    first, second = match.base.built, match.head.built
    if not isinstance(first, Artifact) or not isinstance(second, Artifact):
        return ()
    free = match.base.side.kind == "case"
    fails = match.head.case.model.budget.structure == "fail" and not free
    worse = Verdict.REGRESSION if fails else Verdict.PASS
    return (
        *_grown(first, second, margin, free=free),
        *_lost_nodes(match.base, match.head, base, head, worse),
        *_lost_fusions(first, second, base, head, worse),
        *_float_again(first, second, base, head, worse),
        *_signature(base, head, worse),
        *_opsets(base, head, worse),
    )


def _grown(base: Artifact, head: Artifact, margin: float, *, free: bool) -> list[Finding]:
    """Size and node count, always with their values, so that a report can show them."""
    found = []
    for metric, unit, one, other in (
        ("size", "bytes", base.bytes, head.bytes),
        ("nodes", "nodes", base.nodes, head.nodes),
    ):
        ratio = other / one if one else None
        verdict = Verdict.PASS
        if not free and (other > one * (1 + margin)):
            verdict = Verdict.REGRESSION
        elif not free and other < one * (1 - margin):
            verdict = Verdict.IMPROVEMENT
        sentence = sentences.exact(metric, one, other, allowed=0.0 if free else margin)
        found.append(
            Finding(
                metric=metric, verdict=verdict, sentence=sentence, ratio=ratio, base=one, head=other, n=1, unit=unit
            )
        )
    return found


def _lost_nodes(one: Contender, other: Contender, base: Signature, head: Signature, worse: Verdict) -> list[Finding]:
    """The provider that was asked for took a smaller share of the nodes."""
    provider = other.case.target.provider
    if not base.placement or not head.placement or one.case.target.provider != provider:
        return []
    before, after = base.placement.get(provider, 0.0), head.placement.get(provider, 0.0)
    if before - after <= NODE_SHARE:
        return []
    elsewhere = ", ".join(
        f"{share:.0%} on {name}" for name, share in sorted(head.placement.items()) if name != provider
    )
    sentence = f"{provider} lost nodes: it ran {before:.1%} of them and now runs {after:.1%} ({elsewhere})"
    return [Finding(metric="placement", verdict=worse, sentence=sentence, base=before, head=after, unit="share")]


def _lost_fusions(one: Artifact, other: Artifact, base: Signature, head: Signature, worse: Verdict) -> list[Finding]:
    """Fusions that the build made, by pattern, and those that the session makes, by fused operator."""
    counts: list[tuple[str, str, int, int]] = []
    before, after = one.fusion.get("patterns") or {}, other.fusion.get("patterns") or {}
    counts += [("of the build", name, int(count), int(after.get(name, 0))) for name, count in before.items()]
    if base.kernels and head.kernels:
        counts += [
            ("of the session", name, base.kernels[name], head.kernels.get(name, 0))
            for name in FUSED
            if name in base.kernels
        ]
    return [
        Finding(
            metric="fusion",
            verdict=worse,
            sentence=f"fusion {name} {where}: {was} -> {now}" + (", it is gone" if not now else ""),
            base=was,
            head=now,
            unit="count",
        )
        for where, name, was, now in counts
        if now < was
    ]


def _float_again(one: Artifact, other: Artifact, base: Signature, head: Signature, worse: Verdict) -> list[Finding]:
    """Fewer operators with few bits, and more that do the same with floats."""
    both = base.kernels and head.kernels
    # What the session runs counts; the graph alone shows QDQ models as floats between conversions.
    before = base.kernels if both else _bare(one.operators)
    after = head.kernels if both else _bare(other.operators)
    found = []
    for name, floats in QUANTIZED.items():
        was, now = before.get(name, 0), after.get(name, 0)
        more = {f: after.get(f, 0) - before.get(f, 0) for f in floats}
        if now < was and any(count > 0 for count in more.values()):
            again = ", ".join(f"{count} more {operator}" for operator, count in more.items() if count > 0)
            sentence = f"float again: {name} {was} -> {now}, {again}"
            found.append(
                Finding(metric="quantization", verdict=worse, sentence=sentence, base=was, head=now, unit="count")
            )
    converted = one.operators.get("DequantizeLinear", 0), other.operators.get("DequantizeLinear", 0)
    if not found and converted[1] < converted[0] and other.nodes >= one.nodes - converted[0] * 3:
        computing = sum(one.operators.get(o, 0) for o in COMPUTING), sum(other.operators.get(o, 0) for o in COMPUTING)
        if computing[0] == computing[1]:
            sentence = f"fewer tensors are quantized: DequantizeLinear {converted[0]} -> {converted[1]}"
            found.append(
                Finding(
                    metric="quantization",
                    verdict=worse,
                    sentence=sentence,
                    base=converted[0],
                    head=converted[1],
                    unit="count",
                )
            )
    return found


COMPUTING = ("Conv", "MatMul", "Gemm", "ConvTranspose", "LSTM", "GRU")


def _bare(operators: Mapping[str, int]) -> dict[str, int]:
    """Operators without their domain, as kernels are counted."""
    found: dict[str, int] = {}
    for name, count in operators.items():
        bare = name.rpartition(":")[2]
        found[bare] = found.get(bare, 0) + count
    return found


def _signature(base: Signature, head: Signature, worse: Verdict) -> list[Finding]:
    found = []
    for word, one, other in (("input", base.inputs, head.inputs), ("output", base.outputs, head.outputs)):
        if one == other or not one or not other:
            continue
        gone = [value for value in one if value not in other]
        new = [value for value in other if value not in one]
        change = f"{'; '.join(gone) or 'none'} -> {'; '.join(new) or 'none'}" if gone or new else "another order"
        what = "renamed" if _renamed(gone, new) else "changed"
        found.append(Finding(metric="signature", verdict=worse, sentence=f"{word}s {what}: {change}"))
    return found


def _renamed(gone: Sequence[str], new: Sequence[str]) -> bool:
    """Whether nothing but names differs: types and shapes are the same, in the same order."""
    return bool(gone) and [one.partition(": ")[2] for one in gone] == [one.partition(": ")[2] for one in new]


def _opsets(base: Signature, head: Signature, worse: Verdict) -> list[Finding]:
    if not base.opsets or not head.opsets:
        return []
    changed = [
        f"{domain} {base.opsets.get(domain, 'none')} -> {head.opsets.get(domain, 'none')}"
        for domain in sorted({*base.opsets, *head.opsets})
        if base.opsets.get(domain) != head.opsets.get(domain)
    ]
    if not changed:
        return []
    return [Finding(metric="opset", verdict=worse, sentence=f"opset changed: {', '.join(changed)}")]
