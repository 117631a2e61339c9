#!/usr/bin/env python3
"""Every tensor type we import keeps its values: perplexity beside llama.cpp's, on the same GGUF files.

    quantization_types.py ONNX_LOCAL MODEL.gguf [TYPE ...]

For each type: llama-quantize makes the file, both programs read tests/data/perplexity_text.txt. Fails where
a ratio is off by 0.5 % or the most likely tokens agree in less than 93 % of positions. Needs bench/peers,
about 1 GB of disk and a minute a type; part of `make test-long`. Exits with 77 (skipped) without the peers.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / ".deps" / "peers" / "bin"
TEXT = ROOT / "tests" / "data" / "perplexity_text.txt"
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"]

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_perplexity_reference  # noqa: E402


def run(*command, environment=None):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True,
        env={**os.environ, **(environment or {})}).stdout


def compare(program, source, kind, folder):
    gguf = folder / f"model-{kind}.gguf"
    run(PEERS / "llama-quantize", "--allow-requantize", "--pure", source, gguf, kind, 2)
    logits = folder / "logits"
    perplexity = make_perplexity_reference.run(PEERS / "llama-perplexity", gguf, logits)
    tokens, tops = make_perplexity_reference.top_tokens(logits)
    logits.unlink()
    reference = folder / "reference.json"
    reference.write_text(json.dumps({
        "context_tokens": 512, "perplexity": perplexity, "tokens": tokens, "top_tokens": tops}))
    home = {"ONNX_LOCAL_HOME": str(folder / "home")}
    run(program, "import", gguf, "--name", "typed", environment=home)
    gguf.unlink()
    ours = json.loads(run(program, "perplexity", TEXT, "--model", "typed", "--reference",
                          reference, "--json", environment=home))
    return perplexity, ours


def main():
    program, source = sys.argv[1:3]
    if not (PEERS / "llama-quantize").exists():
        print("skipped: bench/peers has not been run")
        sys.exit(77)
    failed = []
    print("| type | llama.cpp | onnx-local | ratio | agreement |")
    print("|---|---|---|---|---|")
    for kind in sys.argv[3:] or TYPES:
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours = compare(program, source, kind, pathlib.Path(folder))
        ratio, agreement = ours["perplexity_ratio"], ours["top_token_agreement"]
        print(f"| {kind} | {theirs:.4f} | {ours['perplexity']:.4f} | {ratio:.4f} "
              f"| {agreement:.1%} |", flush=True)
        if abs(ratio - 1) >= 0.005 or agreement < 0.93:
            failed.append(kind)
    if failed:
        sys.exit(f"out of bounds: {', '.join(failed)}")


if __name__ == "__main__":
    main()
