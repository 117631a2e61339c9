#!/usr/bin/env python3
"""Makes what tests/parity/tokenizer_parity_test.cpp compares with: llama.cpp's tokens on a GGUF file.

    make_tokenizer_reference.py LLAMA_TOKENIZE MODEL.gguf

Texts: tests/data/tokenizer_corpus.txt (by hand), tests/data/perplexity_text.txt, and
tests/data/tokenizer_random.bin, which this script writes from a fixed seed. `=== next ===` on a line
of its own stands between two texts. Each text is tokenized twice, special tokens as text and parsed.

tests/data/tokenizer_reference.json holds, for each text and both ways, the number of tokens and a
running FNV-1a hash over them after each 32 tokens: enough to point at the first difference, without
the tokens themselves. `bench/peers` builds the program.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"
FILES = ["tokenizer_corpus.txt", "perplexity_text.txt", "tokenizer_random.bin"]
SEPARATOR = b"\n=== next ===\n"
HASHED_TOKENS = 32
RANDOM_TEXTS = 60
STRINGS_PER_TEXT = 50


def character(rng, first, last):
    """A character that Unicode had in version 14: the two sides' tables differ in newer ones."""
    while True:
        found = chr(rng.randrange(first, last))
        if unicodedata.category(found) not in ("Cn", "Cs"):
            return found


def random_string(rng):
    specials = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<file_sep>", "<|im_", "|>"]
    kinds = [
        lambda: chr(rng.randrange(0, 128)),
        lambda: rng.choice(" \t\n\r  \n"),
        lambda: character(rng, 0x80, 0x800),
        lambda: character(rng, 0x800, 0x10000),
        lambda: character(rng, 0x10000, 0x20000),
        lambda: character(rng, 0x1F300, 0x1FA00),
        lambda: character(rng, 0x4E00, 0x9FFF),
        lambda: character(rng, 0x300, 0x370),
        lambda: rng.choice("0123456789"),
        lambda: rng.choice(["'s", "'t", "'re", "'VE", "'ll", "'d"]),
        lambda: rng.choice("\u00a0\u3000\u2009\u200b\u0085\u2028\ufeff\u180e\x0b\x0c\x1c\x1f"),
        lambda: rng.choice(specials),
        lambda: "".join(rng.choice("etaoinshrdlucmfw") for _ in range(rng.randrange(1, 9))),
        lambda: " " * rng.randrange(1, 20),
    ]
    chosen = rng.sample(kinds, rng.randrange(1, 6))
    return "".join(rng.choice(chosen)() for _ in range(rng.randrange(1, 14)))


def write_random_texts():
    rng = random.Random(20261121)
    texts = [
        "\n".join(random_string(rng) for _ in range(STRINGS_PER_TEXT)).encode()
        for _ in range(RANDOM_TEXTS)
    ]
    (DATA / "tokenizer_random.bin").write_bytes(SEPARATOR.join(texts))


def tokens_of(program, model, text, special):
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        command = [program, "-m", model, "-f", file.name, "--ids", "--no-bos", "--no-escape"]
        if not special:
            command.append("--no-parse-special")
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def summary(tokens):
    value, hashes = 0xCBF29CE484222325, []
    for index, token in enumerate(tokens):
        for byte in token.to_bytes(4, "little"):
            value = (value ^ byte) * 0x100000001B3 % 2**64
        if index % HASHED_TOKENS == HASHED_TOKENS - 1 or index == len(tokens) - 1:
            hashes.append(f"{value & 0xFFFFFFFF:08x}")
    return {"tokens": len(tokens), "hashes": "".join(hashes)}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    program, model = sys.argv[1:]
    write_random_texts()
    reference = []
    for name in FILES:
        for index, text in enumerate((DATA / name).read_bytes().split(SEPARATOR)):
            as_text = summary(tokens_of(program, model, text, special=False))
            parsed = summary(tokens_of(program, model, text, special=True))
            reference.append({"file": name, "text": index, "as_text": as_text, "parsed": parsed})
    content = {"model": pathlib.Path(model).name, "hashed_tokens": HASHED_TOKENS, "texts": reference}
    lines = json.dumps(content, indent=None).replace('{"file"', '\n{"file"')
    (DATA / "tokenizer_reference.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
