#!/usr/bin/env python3
"""What onnx-local's execution provider gains in plain onnxruntime and in onnxruntime-genai.

    gain.py MODEL_FOLDER [--plugin libonnxlocal_ep.so] [--prompt 512] [--generate 64]

MODEL_FOLDER holds model.onnx and genai_config.json, as `onnx-local import` and the builder of
onnxruntime-genai write them. Each measurement is a process of its own; the four take turns, and
medians are printed. Nothing of the model changes: registering the library and naming its provider
is all a program does (`open_session` and `open_genai` below).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

# Else its official builds report to their maker from their import on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

try:
    import numpy as np
    import onnxruntime as ort
except ImportError as error:
    print(f"pip install -r requirements.txt first: {error}")
    sys.exit(77)

PROVIDER = "OnnxLocalExecutionProvider"
PLUGIN = pathlib.Path(__file__).resolve().parents[2] / "build" / "release" / "libonnxlocal_ep.so"


def open_session(options):
    """A session of plain onnxruntime, with our provider or without."""
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    if options.measure == "ours":
        ort.register_execution_provider_library(PROVIDER, str(options.plugin))
        devices = [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]
        # Whole decoders run on the provider's own threads: ONNX Runtime's would only be in the way.
        session_options.intra_op_num_threads = 1
        session_options.add_provider_for_devices(
            devices[:1], {"threads": str(options.threads), "mode": options.mode})
    return ort.InferenceSession(str(options.folder / "model.onnx"), session_options)


def open_genai(options):
    """A model of onnxruntime-genai, with our provider or without."""
    import onnxruntime_genai as og

    config = og.Config(str(options.folder))
    threads = 1 if options.measure == "ours" else options.threads
    session = {"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}
    config.overlay(json.dumps(session))
    if options.measure == "ours":
        og.register_execution_provider_library(PROVIDER, str(options.plugin))
        config.clear_providers()
        config.append_provider(PROVIDER)
        config.set_provider_option(PROVIDER, "threads", str(options.threads))
    return og.Model(config)


def prompt_tokens(options):
    config = json.loads((options.folder / "genai_config.json").read_text(encoding="utf-8"))
    vocabulary = config["model"]["vocab_size"]
    generator = np.random.default_rng(7)
    return generator.integers(3, vocabulary, (1, options.prompt)).astype(np.int64)


class Decoder:
    """A decoder's session with keys and values in buffers that go in and come out."""

    def __init__(self, session, capacity):
        self.session = session
        self.capacity = capacity
        self.length = 0
        self.names = {value.name for value in session.get_inputs()}
        self.caches = {}
        for value in session.get_inputs():
            if value.name.startswith("past_key_values."):
                shape = (1, value.shape[1], capacity, value.shape[3])
                self.caches[value.name] = ort.OrtValue.ortvalue_from_numpy(
                    np.zeros(shape, np.float32))

    def forward(self, tokens):
        """Logits of the last token."""
        binding = self.session.io_binding()
        start, self.length = self.length, self.length + tokens.shape[1]
        binding.bind_cpu_input("input_ids", tokens)
        if "attention_mask" in self.names:
            binding.bind_cpu_input("attention_mask", np.ones((1, self.length), np.int64))
        if "position_ids" in self.names:
            binding.bind_cpu_input(
                "position_ids", np.arange(start, self.length, dtype=np.int64)[None])
        for name, cache in self.caches.items():
            binding.bind_ortvalue_input(name, cache)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), cache)
        binding.bind_output("logits", "cpu")
        self.session.run_with_iobinding(binding)
        return binding.get_outputs()[-1].numpy()[0, -1]  # Outputs come as they were bound.


def measure_onnxruntime(options):
    start = time.perf_counter()
    session = open_session(options)
    load = time.perf_counter() - start
    tokens = prompt_tokens(options)
    decoder = Decoder(session, options.prompt + options.generate)
    start = time.perf_counter()
    logits = decoder.forward(tokens)
    prefill = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(options.generate):
        logits = decoder.forward(np.array([[int(logits.argmax())]], np.int64))
    decode = time.perf_counter() - start
    return {"load_s": load, "prefill": options.prompt / prefill,
            "decode": options.generate / decode}


def measure_genai(options):
    import onnxruntime_genai as og

    start = time.perf_counter()
    model = open_genai(options)
    load = time.perf_counter() - start
    params = og.GeneratorParams(model)
    total = options.prompt + options.generate + 1
    params.set_search_options(max_length=total, min_length=total, do_sample=False)
    generator = og.Generator(model, params)
    start = time.perf_counter()
    generator.append_tokens(prompt_tokens(options).astype(np.int32))
    prefill = time.perf_counter() - start
    generator.generate_next_token()
    start = time.perf_counter()
    for _ in range(options.generate - 1):
        generator.generate_next_token()
    decode = time.perf_counter() - start
    return {"load_s": load, "prefill": options.prompt / prefill,
            "decode": (options.generate - 1) / decode}


def run_child(options, program, provider):
    command = [sys.executable, __file__, options.folder, "--plugin", options.plugin,
               "--prompt", options.prompt, "--generate", options.generate, "--mode", options.mode,
               "--threads", options.threads, "--program", program, "--measure", provider]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"{program} with {provider} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(options):
    programs = ["onnxruntime"] + ([] if options.no_genai else ["onnxruntime-genai"])
    figures = {(program, provider): [] for program in programs for provider in ("stock", "ours")}
    for _ in range(options.rounds):
        for (program, provider), measured in figures.items():
            measured.append(run_child(options, program, provider))
    print(f"{options.folder.name}: prompt of {options.prompt}, {options.generate} generated, "
          f"{options.threads} threads, medians of {options.rounds}")
    print(f"{'':32}{'stock':>10}{'ours':>10}{'gain':>8}")
    for program in programs:
        for figure, unit in (("prefill", "tok/s"), ("decode", "tok/s"), ("load_s", "s")):
            stock, ours = (statistics.median(one[figure] for one in figures[program, provider])
                           for provider in ("stock", "ours"))
            gain = stock / ours if figure == "load_s" else ours / stock
            name = f"{program} {figure.removesuffix('_s')}, {unit}"
            print(f"{name:32}{stock:10.1f}{ours:10.1f}{gain:7.2f}x")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--plugin", type=pathlib.Path, default=PLUGIN)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--mode", choices=("whole", "single"), default="whole")
    parser.add_argument("--no-genai", action="store_true")
    for hidden in ("--program", "--measure"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.plugin = options.plugin.resolve()
    if not options.measure:
        compare(options)
        return
    measure = measure_onnxruntime if options.program == "onnxruntime" else measure_genai
    print(json.dumps(measure(options)))


if __name__ == "__main__":
    main()
