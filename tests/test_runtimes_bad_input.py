"""Runtimes that cannot be had or run, run out of memory, vanish, hang or talk too much: each has its own answer."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from harness import sealed
from harness.errors import UsageError, WorkerRefusal
from harness.flow.execute import Job, run_case
from harness.measure import scenarios
from harness.measure.coordinator import Workload, time_process
from harness.measure.pacing import Pace
from harness.records import Target
from harness.records.status import Status
from harness.runtimes import environments, kept
from harness.runtimes import resolve as runtimes
from harness.runtimes.client import Client, default_command
from tests.installers import fake_uv
from tests.test_execute import case, found, job  # noqa: F401  (fixtures)
from tests.test_runtimes import pip_says
from tests.waiting import wait_for, zombie
from tests.workers import HELLO, worker

YANKED = (
    "WARNING: The candidate selected for download or install is a yanked version: 'onnxruntime' candidate "
    "(version 1.2.0 at https://index/x.whl)\nReason for being yanked: crashes on AVX\n"
)
"""As pip says it."""


def test_a_release_for_another_python_says_for_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip lists what it ignored; the version that was pinned is among it."""
    words = (
        "ERROR: Ignored the following versions that require a different python version: 1.14.0 Requires-Python "
        ">=3.6,<3.10; 1.14.1 Requires-Python >=3.7,<3.11; 9.0 Requires-Python >=3.99\n"
        "ERROR: Could not find a version that satisfies the requirement onnxruntime==1.14.1 (from versions: 1.20.0)\n"
    )
    pip_says(monkeypatch, words)
    with pytest.raises(UsageError, match=r"onnxruntime==1\.14\.1 needs Python >=3\.7,<3\.11, and this is Python 3"):
        runtimes.resolve("onnxruntime==1.14.1", tmp_path)
    pip_says(monkeypatch, words.replace("onnxruntime==1.14.1", "onnxruntime==1.14.2"))
    with pytest.raises(UsageError, match=r"pip finds 1\.20\.0"):  # that one is not there at all
        runtimes.resolve("onnxruntime==1.14.2", tmp_path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            YANKED,
            "crashes on AVX",
        ),
        ('warning: `onnxruntime==1.2.0` is yanked (reason: "crashes")\n', "crashes"),
        ("warning: `onnxruntime==1.2.0` is yanked\n", "no reason given"),
        ("Successfully installed onnxruntime-1.2.0\n", ""),
    ],
)
def test_a_yanked_release_is_installed_and_stays_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, why: str
) -> None:
    """Whoever pins a version means it; that it was withdrawn is said once, kept and listed."""
    fake_uv(tmp_path / "uv", monkeypatch, {"onnxruntime": "1.2.0"}, words=words)
    said: list[str] = []
    place = tmp_path / runtimes.KIND / "0123"
    environments.ensure(place, ["onnxruntime==1.2.0"], what="onnxruntime==1.2.0", say=said.append)
    assert bool(why) == any("yanked from its index" in one for one in said)
    (held,) = kept.everything(tmp_path)
    assert (why, "") == (held.yanked, held.damage)
    assert why == (sealed.opened(place / environments.META, sealed.place_entry(place)).content or {}).get("yanked", "")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            "EP Error: CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=0 ; host",
            "fell back: CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version$",
        ),
        (
            "UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Get",
            r"fell back: The NVIDIA driver on your system is too old \(found version 11040\)$",
        ),
        (
            "Failed to load libonnxruntime_providers_cuda.so: libcublasLt.so.12: cannot open shared object file: No",
            "fell back: libcublasLt.so.12: cannot open shared object file$",
        ),
    ],
)
def test_why_a_provider_cannot_run_is_told(tmp_path: Path, written: str, words: str) -> None:
    """A driver that is too old, a library that is missing: the runtime writes it to stderr alone and falls back."""
    refuse = "send({'ok': False, 'kind': 'provider', 'message': 'fell back'})"
    start = worker(tmp_path, f"print({written!r}, file=sys.stderr, flush=True); {refuse}")
    with start() as client, pytest.raises(WorkerRefusal, match=words) as caught:
        client.ask("burst", 60, n=1)
    assert "provider" == caught.value.kind


def test_a_gpu_out_of_memory_fails_its_case_and_the_next_one_runs(job: Job, tmp_path: Path) -> None:  # noqa: F811
    """The case says so; nothing of it is left for the next."""
    text = "CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; expr=cudaMalloc((void**)&p, size);"
    full = worker(tmp_path, f"send({{'ok': False, 'kind': 'memory', 'message': {text!r}}})")
    outcomes = [run_case(dataclasses.replace(job, client=client)) for client in (full, Client)]
    assert [Status.FAILED, Status.MEASURED] == [one.status for one in outcomes]
    assert text == outcomes[0].reason


def test_the_words_of_cuda_have_their_kinds() -> None:
    """Asked of the worker itself, as the exceptions of onnxruntime come."""
    asked = {
        "CUDA failure 2: out of memory ; GPU=0": "memory",
        "CUDA failure 100: no CUDA-capable device is detected": "runtime",
        "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version": "provider",
    }
    code = (
        "import json; from harness.runtimes.onnxruntime import worker as w\n"
        f"print(json.dumps([w.refusal(RuntimeError(text))['kind'] for text in {list(asked)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert list(asked.values()) == json.loads(done.stdout)


def test_an_interpreter_that_vanishes_in_mid_sweep(job: Job, tmp_path: Path) -> None:  # noqa: F811
    """The first process ran: it is kept, and the reason says what is gone."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)

    def start() -> Client:
        client = Client([str(python), *default_command()[1:]])
        python.unlink(missing_ok=True)
        return client

    outcome = run_case(dataclasses.replace(job, client=start))
    assert (Status.FAILED, 1, None) == (outcome.status, len(outcome.processes), outcome.latency)
    assert outcome.reason.startswith("process 2: the worker could not be started")
    assert "the program that it runs in is gone" in outcome.reason


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_compile_that_never_ends(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """It is ended at its deadline, with the compiler that it had started, and the case says what took so long."""
    hello = HELLO.replace("    if cmd == 'open'", "    if cmd == 'never'")
    compiler = tmp_path / "compiler"
    wait = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(compiler)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    monkeypatch.setattr(scenarios, "OPEN_DEADLINE_S", 1.0)
    settings = dataclasses.replace(job.settings, processes=1)
    outcome = run_case(dataclasses.replace(job, settings=settings, client=worker(tmp_path, wait, hello=hello)))
    assert Status.FAILED is outcome.status
    expected = "no answer to `open`, which reads, optimizes and compiles the model, within 1 s; the worker was ended"
    assert expected in outcome.reason
    wait_for(lambda: zombie(int(compiler.read_text(encoding="utf-8"))))


def test_an_artifact_with_more_than_two_gigabytes_beside_it_is_measured(tmp_path: Path) -> None:
    """More than one message of protobuf holds: a sparse file, of which one row is read."""
    rows, width = 560_000, 1000
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, width])
    weights.data_location = TensorProto.EXTERNAL
    for key, text in (("location", "w.bin"), ("offset", "0"), ("length", str(4 * rows * width))):
        weights.external_data.add(key=key, value=text)
    row = helper.make_tensor("row", TensorProto.INT64, [1], [rows - 1])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("x", "y")]
    nodes = [helper.make_node("Gather", ["w", "row"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], [weights, row])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(4 * rows * width)
    np.save(tmp_path / "x.npy", np.ones((1, width), np.float32))
    target = Target(name="cpu", provider="CPUExecutionProvider")
    feeds = {"x": tmp_path / "x.npy"}
    work = Workload(model=tmp_path / "m.onnx", target=target, optimization="disabled", feeds=feeds, dims={})
    timed = time_process(work, Pace(budget_s=0.02, ci_width=1.0), reference=False)
    assert timed.samples.samples_ns


def noisy(folder: Path) -> dict[str, str]:
    """An environment in which onnxruntime prints, as Python and as a library does, when it is imported and asked."""
    (folder / "onnxruntime.py").write_text(
        "import os\nprint('importing', flush=True)\nos.write(1, b'{\"ok\": false}\\n')\n__version__ = '0'\n"
        "def get_build_info(): print('build', flush=True); return ''\n"
        "def get_available_providers(): os.system('echo providers'); return []\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": str(folder)}


def test_a_runtime_that_prints_does_not_break_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is imported, before the hello, and later: from Python, past Python and from a program that it starts."""
    for name, value in noisy(tmp_path).items():
        monkeypatch.setenv(name, value)
    with Client() as client:
        assert "0" == client.hello["runtime"]["version"]
        with pytest.raises(WorkerRefusal):
            client.ask("open", 60, artifact={"path": "m"}, options={"provider": "Nobody"})


def test_a_framework_that_prints_does_not_break_the_childs_messages() -> None:
    """As the child that builds has it: messages have a channel of their own."""
    code = (
        "import os; from harness import jobs; channel = jobs.private_channel()\n"
        "print('loading', flush=True); os.write(1, b'{}\\n'); os.system('echo compiling')\n"
        "jobs.send(channel, event='done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert [{"event": "done"}] == [json.loads(line) for line in done.stdout.splitlines()]
    assert ["loading", "{}", "compiling"] == done.stderr.splitlines()
