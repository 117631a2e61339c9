#!/usr/bin/env python3
"""onnxruntime-genai loads a model folder of ours as it is and generates the right text with it.

    genai_load_test.py [MODEL_FOLDER] [--question TEXT] [--expected TEXT]

The folder's own tokenizer and chat template are used, through genai. Without a folder: the default model
where `make build` put it. Exits with 77 (skipped) where the package onnxruntime-genai or the model is
missing.
"""

import argparse
import json
import os
import pathlib
import sys

SKIPPED = 77
TOKENS_MAX = 20
DEFAULT_MODEL = "smollm2-135m-instruct"
# Chosen so that each token is ahead of the next best by 0.9 or more in its logit: rounding on another
# machine does not turn it.
QUESTION = "Count from 1 to 5."
EXPECTED = "1. 1\n2. 2\n3. 3\n4. 4"


def default_folder():
    home = os.environ.get("ONNX_LOCAL_HOME")
    if home:
        return pathlib.Path(home) / "models" / DEFAULT_MODEL
    data = os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local" / "share"
    return pathlib.Path(data) / "onnx-local" / "models" / DEFAULT_MODEL


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def generate(genai, folder, question):
    """Greedily, at most TOKENS_MAX tokens, to the end of the turn."""
    model = genai.Model(str(folder))
    tokenizer = genai.Tokenizer(model)
    messages = json.dumps([{"role": "user", "content": question}])
    prompt = tokenizer.encode(tokenizer.apply_chat_template(messages, add_generation_prompt=True))
    options = genai.GeneratorParams(model)
    options.set_search_options(max_length=len(prompt) + TOKENS_MAX, do_sample=False)
    generator = genai.Generator(model, options)
    generator.append_tokens(prompt)
    tokens = []
    while not generator.is_done():
        generator.generate_next_token()
        tokens.append(int(generator.get_next_tokens()[0]))
    return tokens, tokenizer.decode(tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=default_folder())
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--expected", default=EXPECTED)
    arguments = parser.parse_args()
    try:
        import onnxruntime_genai as genai
    except ImportError as missing:
        skip(f"onnxruntime-genai is not installed ({missing})")
    if not (arguments.folder / "genai_config.json").exists():
        skip(f"no model folder at {arguments.folder}")
    tokens, text = generate(genai, arguments.folder, arguments.question)
    if text.strip() != arguments.expected:
        print(f"expected {arguments.expected!r}\nfound    {text!r} {tokens}")
        return 1
    end_tokens = json.loads((arguments.folder / "genai_config.json").read_text())["model"]["eos_token_id"]
    end_tokens = end_tokens if isinstance(end_tokens, list) else [end_tokens]
    if len(tokens) < TOKENS_MAX and tokens[-1] not in end_tokens:
        print(f"the turn ended on {tokens[-1]}, which is none of {end_tokens}")
        return 1
    print(f"{text!r} in {len(tokens)} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
