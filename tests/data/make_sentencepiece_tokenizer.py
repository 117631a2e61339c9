#!/usr/bin/env python3
"""Writes sentencepiece_tokenizer.json beside itself: small, with what sets Llama's and Mistral's
tokenizers apart from byte-level ones: a character for the space, byte tokens for what has no token,
a space that is put in front and taken away again.
"""
import json
import pathlib


def main():
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocabulary.update({f"<0x{byte:02X}>": 3 + byte for byte in range(256)})
    for token in ["▁", *map(chr, range(0x21, 0x7F)), "é"]:
        vocabulary[token] = len(vocabulary)
    merges = [["▁", "t"], ["▁t", "h"], ["▁th", "e"], ["i", "n"], ["▁", "▁"]]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": content, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": True}
            for index, content in enumerate(["<unk>", "<s>", "</s>"])],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": True, "ignore_merges": False, "vocab": vocabulary,
                  "merges": merges},
    }
    path = pathlib.Path(__file__).with_name("sentencepiece_tokenizer.json")
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
