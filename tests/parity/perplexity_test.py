#!/usr/bin/env python3
"""The default model, imported, keeps the GGUF file's values: against llama.cpp's stored reference.

    perplexity_test.py ONNX_LOCAL [EXECUTION_PROVIDERS]

Without providers named, by those that a user gets.

tests/data/perplexity_reference.json was made by make_perplexity_reference.py on the same GGUF file.
"""

import json
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv.pop(1)
PROVIDERS = ["--ep", sys.argv.pop(1)] if len(sys.argv) > 1 else []
DATA = ROOT / "tests" / "data"


class DefaultModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run(
            [PROGRAM, *PROVIDERS, "perplexity", DATA / "perplexity_text.txt", "--reference",
             DATA / "perplexity_reference.json", "--json"],
            capture_output=True, text=True, check=True)
        cls.measured = json.loads(done.stdout)
        print(done.stdout)

    def test_scores_ten_thousand_tokens_or_more(self):
        self.assertGreaterEqual(self.measured["chunks"] * self.measured["context_tokens"], 10_000)

    def test_perplexity_is_within_half_a_percent_of_llama_cpp(self):
        self.assertLess(abs(self.measured["perplexity_ratio"] - 1), 0.005)

    def test_most_likely_token_agrees_in_93_percent_of_positions(self):
        self.assertGreaterEqual(self.measured["top_token_agreement"], 0.93)


if __name__ == "__main__":
    unittest.main(verbosity=2)
