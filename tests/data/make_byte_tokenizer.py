#!/usr/bin/env python3
"""Writes byte_tokenizer.json beside itself: the smallest real tokenizer, for tests.

Byte-level BPE without merges: token i in [0, 256) is the byte i, spelled with GPT-2's table of
bytes and characters; then <|endoftext|> = 256, <|im_start|> = 257, <|im_end|> = 258. So a test can
say what any text becomes without running anything.
"""
import json
import pathlib

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_characters():
    """GPT-2: printable bytes stand for themselves, the others are moved to U+0100 and up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in printable]
    return [chr(byte if byte in printable else 0x100 + moved.index(byte)) for byte in range(256)]


def main():
    vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
    vocabulary.update({content: 256 + index for index, content in enumerate(SPECIAL)})
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": 256 + index, "content": content, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": True}
            for index, content in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": []},
    }
    path = pathlib.Path(__file__).with_name("byte_tokenizer.json")
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
