"""What has a part in builds, collected from the declarations."""

from __future__ import annotations

from harness import data, frameworks
from harness.build import packages, steps


def test_distributions_are_all_that_digests_ask_for() -> None:
    """Whatever a framework, an exporter, a data source or a step puts into a digest is stored with a run as well."""
    found = set(packages.distributions())
    for framework in map(frameworks.get, frameworks.names()):
        assert {*framework.packages, *framework.exported_with("dynamo"), *framework.reference_packages} <= found
    for declared in (
        *(data.packages(name) for name in data.names()),
        *(steps.get(name).packages for name in steps.names()),
    ):
        assert set(declared) <= found
    assert {"onnxruntime", "onnx", "numpy", "scikit-learn", "onnxscript"} <= found


def test_modules_are_what_a_person_may_lack() -> None:
    """Each once, by the name that is imported; not what harness cannot run without."""
    found = packages.modules()
    assert len(set(found)) == len(found)
    assert {"torch", "timm", "sklearn", "PIL", "onnx", "onnxslim", "onnxscript"} <= set(found)
    assert {"numpy", "onnxruntime", "scikit-learn", "pillow"}.isdisjoint(found)
