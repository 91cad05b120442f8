"""The measured process of `runtime: genai`: a decoder in ONNX Runtime GenAI, from tokens to the scores of the next one.

Run as a script, from its path, by whichever interpreter holds onnxruntime-genai, onnx and NumPy. One inference appends
the example's tokens and reads the scores of the next one. Of a file that takes tokens alone this is the time to the
first token. Of one that takes keys and values as well it is one step of decoding: GenAI has read the tokens before,
untimed, and keeps their keys and values itself.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.runtimes import protocol, serving
else:
    import importlib.util

    HERE = os.path.dirname(os.path.abspath(__file__))
    if __name__ == "__main__":
        sys.path.pop(0)  # this folder and the one above hold folders that are called like packages
    _spec = importlib.util.spec_from_file_location("serving", os.path.join(os.path.dirname(HERE), "serving.py"))
    sys.modules["serving"] = serving = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(serving)
    protocol = serving.protocol

IDS, SCORES, PAST = "input_ids", "logits", "past_key_values."
PRESENT = re.compile(r"(?P<before>.*?)(?P<layer>\d+)(?P<after>\.(?P<kind>key|value))")
KIND = "llama"
"""What GenAI calls a decoder whose layers have keys and values of their own; it reads nothing else of that name."""

LACKS = {
    "profile": "ONNX Runtime GenAI has no profile of kernels: in which types it computed is not known",
    "placement": "ONNX Runtime GenAI does not tell which provider took a node",
    "load": "its worker reads one sequence at a time",
}


class GenAiWorker:
    """One decoder at a time, and the commands on it."""

    def __init__(self, genai: Any) -> None:
        self.genai = genai
        self.model: Any = None
        self.generator: Any = None
        self.specs: list[Any] = []
        self.names: list[str] = []
        self.read: Any = ()  # the tokens before, which it has read
        self.fed: list[Any] = []
        self.reads = False
        self.next = 0

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the file with a configuration that is read from its graph; `session_ns` is that."""
        serving.refuse_provider_options("genai", request)
        if request["batch"] != 1:
            raise protocol.Refused("batch", f"its worker reads one sequence at a time, not {request['batch']}")
        path = request["artifact"]["path"]
        self.specs, self.names = serving.described(path)
        refuse_unless_decoder(self.specs, self.names, before="before" in request)
        given, taken = with_before(request, self.specs)
        batches, distinct = serving.batches(given, taken)
        self.fed, self.read = [numbers(arrays[0]) for arrays in batches], ()
        if "before" in request:  # one text: to read another one takes longer than what is timed
            self.fed, self.read, distinct = self.fed[:1], numbers(batches[0][1]), 1
        most = len(self.read) + max(map(len, self.fed)) + 1
        start = time.perf_counter_ns()
        with tempfile.TemporaryDirectory() as folder:
            place = os.path.dirname(os.path.abspath(path))
            for name in os.listdir(place):
                os.symlink(os.path.join(place, name), os.path.join(folder, name))
            with open(os.path.join(folder, "genai_config.json"), "w", encoding="utf-8") as file:
                json.dump(configuration(path, request["threads"]["intra"], most), file)
            self.model = self.genai.Model(folder)
            self.generator = self.started(most)
        self.reads = False
        session_ns = time.perf_counter_ns() - start
        self.next = 0
        return {
            "session_ns": session_ns,
            "inputs": [spec.row() for spec in self.specs],
            "outputs": [[name, "", []] for name in self.names],
            "runtime": {"providers": ["cpu"], "placement": {}},
            "notes": [self.meaning()],
            "examples": distinct,
        }

    def started(self, most: int) -> Any:
        """A generator for sequences of so many tokens."""
        parameters = self.genai.GeneratorParams(self.model)
        parameters.set_search_options(max_length=most, do_sample=False)
        return self.genai.Generator(self.model, parameters)

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n inferences one by one; between them, untimed, the generator forgets what it read in the last one."""
        n, first, clock = request["n"], request.get("at", self.next), time.perf_counter_ns
        durations, before = [0] * n, serving.preemptions()
        for i in range(n):
            ids = self.fed[(first + i) % len(self.fed)]
            self.rewind()
            start = clock()
            self.generator.append_tokens(ids)
            self.generator.get_logits()
            durations[i] = clock() - start
        self.next = first + n
        return {"durations_ns": durations, "preempted": None if before is None else serving.preemptions() - before}

    def meaning(self) -> str:
        """What an inference is, in words for a person."""
        if not len(self.read):
            return "an inference is the time to the first token: all are read, and the scores of the next one"
        new = len(self.fed[0])
        return (
            f"an inference is a step of decoding: {new} token{'s' if new > 1 else ''} after {len(self.read)} others, "
            f"whose keys and values it computed and keeps itself, and the scores of the next one"
        )

    def rewind(self) -> None:
        """The generator has read the tokens before, and nothing else."""
        if self.reads:
            self.generator.rewind_to(len(self.read))
        elif len(self.read):
            self.generator.append_tokens(self.read)
        self.reads = True

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""

        def run(arrays: list[Any]) -> list[Any]:
            ids, *before = map(numbers, arrays)
            generator = self.started(sum(map(len, before)) + len(ids) + 1)
            for read in (*before, ids):
                generator.append_tokens(read)
            return [np.array(generator.get_output(name)) for name in self.names]

        given, taken = with_before(request, self.specs)
        written: dict[str, Any] = serving.write_outputs(given, taken, self.names, run)
        return written


def with_before(request: dict[str, Any], specs: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """The request with the tokens before among its feeds, where they are known, and what is read of these: tokens."""
    ids = next(spec for spec in specs if spec.name == IDS)
    if "before" not in request:
        return request, [ids]
    given = {**request, "feeds": {**request["feeds"], "before": request["before"]}}
    return given, [ids, serving.Spec("before", ids.type, ids.shape)]


def numbers(ids: Any) -> Any:
    """Tokens of one sequence as GenAI takes them."""
    return ids.reshape(-1).astype(np.int32)


def refuse_unless_decoder(specs: list[Any], names: list[str], *, before: bool = False) -> None:
    """GenAI keeps keys and values itself, and takes none from outside.

    Args:
        specs: the inputs.
        names: those of the outputs.
        before: whether the tokens are known that the keys and values among the feeds are of.

    Raises:
        Refused: the file is not a decoder, or what it is fed is not known in tokens.
    """
    others = [spec.name for spec in specs if spec.name != IDS]
    past = [name for name in others if name.startswith(PAST)]
    if past == others and past and not before and len(specs) > len(others):
        raise protocol.Refused(
            "not_implemented",
            "ONNX Runtime GenAI keeps keys and values itself and takes none from outside, and of which tokens those of "
            "the examples are is not known",
        )
    if past != others or len(specs) == len(others):
        found = ", ".join(spec.name for spec in specs[:4]) or "none"
        raise protocol.Refused(
            "not_implemented",
            f"ONNX Runtime GenAI keeps keys and values itself: this worker reads files whose inputs are "
            f"{IDS!r} and keys and values such as '{PAST}0.key', and this one has {found}",
        )
    if SCORES not in names or not any(map(PRESENT.fullmatch, names)):
        raise protocol.Refused(
            "not_implemented",
            f"ONNX Runtime GenAI needs the outputs {SCORES!r} and keys and values such as 'present.0.key'",
        )


def configuration(path: str, threads: int, most: int) -> dict[str, Any]:
    """What GenAI has to know of a file: names, sizes and threads; they are in its graph.

    Raises:
        Refused: a size is open in the graph.
    """
    import onnx

    shapes = {}
    for one in onnx.load(path, load_external_data=False).graph.output:
        shapes[one.name] = [axis.dim_value for axis in one.type.tensor_type.shape.dim]
    kept = [found for name in shapes if (found := PRESENT.fullmatch(name))]
    heads, size = shapes[kept[0][0]][1], shapes[kept[0][0]][3]
    words = shapes[SCORES][-1]
    if not (heads and size and words):
        raise protocol.Refused("not_implemented", "how many heads and words it has is not in the file")
    named = {one["kind"]: f"{one['before']}%d{one['after']}" for one in kept}
    settings: dict[str, Any] = {"provider_options": []}
    if threads:
        settings["intra_op_num_threads"] = threads
    decoder = {
        "filename": os.path.basename(path), "session_options": settings,
        "head_size": size, "hidden_size": heads * size, "num_attention_heads": heads, "num_key_value_heads": heads,
        "num_hidden_layers": 1 + max(int(one["layer"]) for one in kept),
        "inputs": {
            "input_ids": IDS,
            "past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": SCORES, "present_key_names": named["key"], "present_value_names": named["value"],
        },
    }  # fmt: skip
    search = {"max_length": most, "do_sample": False, "past_present_share_buffer": False}
    ends = {"bos_token_id": 0, "eos_token_id": words - 1, "pad_token_id": words - 1}
    return {
        "model": {"type": KIND, "vocab_size": words, "context_length": most, "decoder": decoder, **ends},
        "search": search,
    }


def refusal(error: BaseException) -> dict[str, Any]:
    """The reply for an exception."""
    text = str(error) or type(error).__name__
    if isinstance(error, protocol.Refused):
        kind = error.kind
    elif isinstance(error, MemoryError) or "bad allocation" in text:
        kind = "memory"
    elif type(error).__name__ == "DecodeError" or "Protobuf parsing failed" in text:
        kind = "model"
    else:
        kind = "not_implemented" if "NOT_IMPLEMENTED" in text else "runtime"
    return {"ok": False, "kind": kind, "message": text}


def main() -> None:
    """Serve requests until `close` or the end of the input."""
    channels = serving.private_channels()
    from importlib import metadata

    import onnxruntime_genai as genai

    runtime = {
        "name": "genai",
        "version": metadata.version("onnxruntime-genai"),
        "build": f"onnxruntime {metadata.version('onnxruntime')}",
        "language": "python",
        "providers": ["cpu"],
    }
    worker = GenAiWorker(genai)
    commands: dict[str, serving.Command] = {"open": worker.open, "burst": worker.burst, "outputs": worker.outputs}
    serving.serve(channels, runtime, commands, refusal, LACKS)


if __name__ == "__main__":
    main()
