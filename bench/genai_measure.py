#!/usr/bin/env python3
"""Measures onnxruntime-genai on one model folder and prints one line of JSON.

    genai_measure.py FOLDER --prompt 512 --generate 64 --depth 0 --batch 1 --threads 2

Prefill: all streams' prompts in one call, as genai does it. Decode: `generate` tokens a stream,
greedy. Speeds are totals over the streams.
"""

import argparse
import json
import time

import numpy as np
import onnxruntime_genai as og


def measure(model, prompt_tokens, generate_tokens, depth, batch, vocabulary):
    rng = np.random.default_rng(7)
    total = depth + prompt_tokens + generate_tokens
    params = og.GeneratorParams(model)
    params.set_search_options(
        max_length=total + 1, min_length=total, batch_size=batch, do_sample=False
    )
    generator = og.Generator(model, params)
    if depth:
        generator.append_tokens(rng.integers(3, vocabulary, (batch, depth)).astype(np.int32))
    tokens = rng.integers(3, vocabulary, (batch, prompt_tokens)).astype(np.int32)
    start = time.perf_counter()
    generator.append_tokens(tokens)
    prefill = time.perf_counter() - start
    generator.generate_next_token()
    first = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(generate_tokens - 1):
        generator.generate_next_token()
    decode = time.perf_counter() - start
    return {
        "prefill_tokens_per_s": batch * prompt_tokens / prefill,
        "decode_tokens_per_s": batch * (generate_tokens - 1) / max(decode, 1e-9),
        "first_token_ms": first * 1000,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=49152)
    options = parser.parse_args()

    start = time.perf_counter()
    config = og.Config(options.folder)
    overlay = {"model": {"decoder": {"session_options": {"intra_op_num_threads": options.threads}}}}
    config.overlay(json.dumps(overlay))
    model = og.Model(config)
    # onnx-local counts a model as loaded with its tokenizer, and when a first token went through it:
    # so here too.
    og.Tokenizer(model)
    measure(model, 1, 1, 0, 1, options.vocabulary)
    load_ms = (time.perf_counter() - start) * 1000
    measure(model, 32, 4, 0, options.batch, options.vocabulary)  # Warm-up.
    result = measure(
        model, options.prompt, options.generate, options.depth, options.batch, options.vocabulary
    )
    result["load_ms"] = load_ms
    print(json.dumps(result))


if __name__ == "__main__":
    main()
