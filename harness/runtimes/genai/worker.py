"""The measured process of `runtime: genai`: a decoder in ONNX Runtime GenAI, from its tokens to the first answer.

Run as a script, from its path, by whichever interpreter holds onnxruntime-genai, onnx and NumPy. One inference is what
stands before the first token: all tokens are appended, and the scores of the next one are read.
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

IDS, SCORES = "input_ids", "logits"
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
        self.fed: list[Any] = []
        self.next = 0

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the file with a configuration that is read from its graph; `session_ns` is that."""
        serving.refuse_provider_options("genai", request)
        if request["batch"] != 1:
            raise protocol.Refused("batch", f"its worker reads one sequence at a time, not {request['batch']}")
        path = request["artifact"]["path"]
        self.specs, self.names = serving.described(path)
        refuse_unless_decoder(self.specs, self.names)
        batches, distinct = serving.batches(request, self.specs)
        self.fed = [arrays[0].reshape(-1).astype(np.int32) for arrays in batches]
        most = max(len(ids) for ids in self.fed) + 1
        start = time.perf_counter_ns()
        with tempfile.TemporaryDirectory() as folder:
            place = os.path.dirname(os.path.abspath(path))
            for name in os.listdir(place):
                os.symlink(os.path.join(place, name), os.path.join(folder, name))
            with open(os.path.join(folder, "genai_config.json"), "w", encoding="utf-8") as file:
                json.dump(configuration(path, request["threads"]["intra"], most), file)
            self.model = self.genai.Model(folder)
            self.generator = self.started(most)
        session_ns = time.perf_counter_ns() - start
        self.next = 0
        return {
            "session_ns": session_ns,
            "inputs": [spec.row() for spec in self.specs],
            "outputs": [[name, "", []] for name in self.names],
            "runtime": {"providers": ["cpu"], "placement": {}},
            "notes": ["an inference is the time to the first token: all are read, and the scores of the next one"],
            "examples": distinct,
        }

    def started(self, most: int) -> Any:
        """A generator for sequences of so many tokens."""
        parameters = self.genai.GeneratorParams(self.model)
        parameters.set_search_options(max_length=most, do_sample=False)
        return self.genai.Generator(self.model, parameters)

    def burst(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time n inferences one by one; between them, untimed, the generator forgets what it read."""
        n, first, clock = request["n"], request.get("at", self.next), time.perf_counter_ns
        durations, before = [0] * n, serving.preemptions()
        for i in range(n):
            ids = self.fed[(first + i) % len(self.fed)]
            start = clock()
            self.generator.append_tokens(ids)
            self.generator.get_logits()
            durations[i] = clock() - start
            self.generator.rewind_to(0)
        self.next = first + n
        return {"durations_ns": durations, "preempted": None if before is None else serving.preemptions() - before}

    def outputs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every example once and write the outputs into `folder`."""

        def run(arrays: list[Any]) -> list[Any]:
            ids = arrays[0].reshape(-1).astype(np.int32)
            generator = self.started(len(ids) + 1)
            generator.append_tokens(ids)
            return [np.array(generator.get_output(name)) for name in self.names]

        written: dict[str, Any] = serving.write_outputs(request, self.specs, self.names, run)
        return written


def refuse_unless_decoder(specs: list[Any], names: list[str]) -> None:
    """GenAI keeps keys and values itself, and takes none from outside.

    Raises:
        Refused: the file is not a decoder that reads tokens alone.
    """
    others = [spec.name for spec in specs if spec.name != IDS]
    if others or not specs:
        raise protocol.Refused(
            "not_implemented",
            f"ONNX Runtime GenAI keeps keys and values itself and takes none from outside: this worker reads files "
            f"whose one input is {IDS!r}, and this one has {', '.join(spec.name for spec in specs[:4]) or 'none'}",
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
