#!/usr/bin/env python3
"""The plugin in plain onnxruntime scores a real text as the stock provider does.

    parity_test.py LIBRARY MODEL_FOLDER

As a whole decoder and node by node, with a prompt in one piece, in chunks and token by token. Skips
itself (77) where onnxruntime, onnxruntime-genai (for its tokenizer) or the model are not there.
"""

import pathlib
import sys
import unittest

try:
    import numpy as np
    import onnxruntime as ort
    import onnxruntime_genai as og
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

LIBRARY, FOLDER = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
del sys.argv[1:3]
if not (FOLDER / "model.onnx").exists():
    print(f"skipped: there is no {FOLDER}/model.onnx")
    sys.exit(77)
TEXT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "perplexity_text.txt"
PROVIDER = "OnnxLocalExecutionProvider"
TOKENS = 384

ort.register_execution_provider_library(PROVIDER, str(LIBRARY))


def open_session(mode=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    if mode:
        devices = [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]
        options.add_provider_for_devices(devices[:1], {"mode": mode})
    return ort.InferenceSession(str(FOLDER / "model.onnx"), options)


def text_tokens():
    tokenizer = og.Tokenizer(og.Model(str(FOLDER)))
    ids = tokenizer.encode(TEXT.read_text(encoding="utf-8")[:8 * TOKENS])
    return np.array(ids[:TOKENS], np.int64)[None]


def all_logits(session, tokens, chunks):
    """Logits of every position; the tokens come in chunks of these sizes."""
    names = [value.name for value in session.get_outputs()]
    past = {value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
            for value in session.get_inputs() if value.name.startswith("past")}
    rows, start = [], 0
    for size in chunks:
        feeds = dict(past)
        feeds["input_ids"] = tokens[:, start:start + size]
        feeds["attention_mask"] = np.ones((1, start + size), np.int64)
        feeds["logits_positions"] = np.arange(size, dtype=np.int64)
        outputs = dict(zip(names, session.run(None, feeds)))
        rows.append(outputs["logits"][0])
        past = {name: outputs[name.replace("past_key_values", "present")] for name in past}
        start += size
    return np.concatenate(rows).astype(np.float64)


def cross_entropy(logits, tokens):
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(shifted)), tokens]
    return losses.mean()


class Parity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokens = text_tokens()
        cls.stock = all_logits(open_session(), cls.tokens, [TOKENS])
        cls.ours = {mode: open_session(mode) for mode in ("whole", "single")}

    def perplexity(self, logits):
        return np.exp(cross_entropy(logits[:-1], self.tokens[0, 1:]))

    def check(self, mode, chunks):
        logits = all_logits(self.ours[mode], self.tokens, chunks)
        ratio = self.perplexity(logits) / self.perplexity(self.stock)
        agreement = (logits.argmax(axis=1) == self.stock.argmax(axis=1)).mean()
        noise = np.sqrt(((logits - self.stock) ** 2).mean() / (self.stock ** 2).mean())
        print(f"{mode}, {len(chunks)} chunks: perplexity ratio {ratio:.5f}, "
              f"same first choice {agreement:.3f}, noise of the logits {noise:.4f}")
        # The model carries a last bit's difference through 30 layers of 8-bit activations: two
        # instruction sets of ours differ by as much noise as either from the stock provider.
        self.assertLess(abs(ratio - 1), 0.01)
        self.assertGreater(agreement, 0.92)
        self.assertLess(noise, 0.06)
        return logits

    def test_a_prompt_in_one_piece(self):
        for mode in self.ours:
            with self.subTest(mode):
                self.check(mode, [TOKENS])

    def test_chunks_and_single_tokens_give_the_same_bits_as_one_piece(self):
        for mode in self.ours:
            with self.subTest(mode):
                whole = all_logits(self.ours[mode], self.tokens, [TOKENS])
                cut = self.check(mode, [150, 1, 1, 1, 61, TOKENS - 214])
                np.testing.assert_array_equal(cut, whole)


if __name__ == "__main__":
    unittest.main(verbosity=2)
