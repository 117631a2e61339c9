#!/usr/bin/env python3
"""Makes tests/data/perplexity_reference.json: what llama.cpp says of the fixed text on a GGUF file.

    make_perplexity_reference.py LLAMA_PERPLEXITY MODEL.gguf

Runs llama-perplexity (contexts of 512 tokens, the last half of each scored) and keeps its perplexity and
the most likely next token of each scored position. `bench/peers` builds the program.
"""

import array
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = ROOT / "tests" / "data" / "perplexity_text.txt"
REFERENCE = ROOT / "tests" / "data" / "perplexity_reference.json"
CONTEXT_TOKENS = 512


def run(program, model, logits_file):
    command = [program, "-m", model, "-f", str(TEXT), "-c", str(CONTEXT_TOKENS), "-b", "512"]
    command += ["-t", "2", "--save-all-logits", logits_file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)
    return float(found.group(1))


def top_tokens(logits_file):
    """The format is llama.cpp's: tools/perplexity/perplexity.cpp, `process_logits`."""
    with open(logits_file, "rb") as file:
        assert file.read(8) == b"_logits_"
        context, vocabulary, chunks = struct.unpack("<iii", file.read(12))
        tokens = array.array("i", file.read(4 * chunks * context)).tolist()
        width = 2 * ((vocabulary + 1) // 2) + 4
        tops = []
        for _ in range(chunks * (context - 1 - context // 2)):
            row = array.array("H", file.read(2 * width))[4 : 4 + vocabulary]
            tops.append(row.index(max(row)))
        assert not file.read(1)
    return tokens, tops


def main():
    program, model = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        logits_file = str(pathlib.Path(folder) / "logits")
        perplexity = run(program, model, logits_file)
        tokens, tops = top_tokens(logits_file)
    reference = {
        "model": pathlib.Path(model).name,
        "context_tokens": CONTEXT_TOKENS,
        "perplexity": perplexity,
        "tokens": tokens,
        "top_tokens": tops,
    }
    REFERENCE.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    print(f"perplexity {perplexity} over {len(tokens)} tokens, {len(tops)} scored")


if __name__ == "__main__":
    main()
