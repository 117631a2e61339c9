#!/usr/bin/env python3
"""Makes tiny_embedding, the embedding model of the tests, as a sentence-transformers export looks.

A token's vector is known in advance, element j of token t with n real tokens in its row:
    ((t * (j + 3)) % 17 - 8) / 8 + n / 16
so that a row which is padded, or whose mask is wrong, gives other numbers.

Run from this folder with numpy and onnx installed: python make_tiny_embedding.py
"""
import json
import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

VOCAB, SIZE, WINDOW = 259, 8, 64
BEGIN, END, PAD = 257, 258, 256
FOLDER = "tiny_embedding"


def graph():
    table = ((np.outer(np.arange(VOCAB), np.arange(SIZE) + 3) % 17 - 8) / 8).astype(np.float32)
    constants = {"table": table, "row": np.array([1], np.int64), "last": np.array([2], np.int64),
                 "share": np.array(1 / 16, np.float32)}
    rows = ["batch", "sequence"]
    nodes = [
        h.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        h.make_node("Cast", ["attention_mask"], ["mask"], to=T.FLOAT),
        h.make_node("ReduceSum", ["mask", "row"], ["count"], keepdims=1),
        h.make_node("Mul", ["count", "share"], ["scaled"]),
        h.make_node("Cast", ["token_type_ids"], ["types"], to=T.FLOAT),
        h.make_node("Add", ["scaled", "types"], ["shift"]),
        h.make_node("Unsqueeze", ["shift", "last"], ["shifts"]),
        h.make_node("Add", ["embedded", "shifts"], ["last_hidden_state"]),
    ]
    return h.make_graph(
        nodes, FOLDER,
        [h.make_tensor_value_info(name, T.INT64, rows)
         for name in ("input_ids", "attention_mask", "token_type_ids")],
        [h.make_tensor_value_info("last_hidden_state", T.FLOAT, rows + [SIZE])],
        [nh.from_array(value, name) for name, value in constants.items()])


def tokenizer():
    with open("byte_tokenizer.json", encoding="utf-8") as file:
        document = json.load(file)
    frame = {"<|im_start|>": BEGIN, "<|im_end|>": END}
    special = [{"SpecialToken": {"id": name, "type_id": 0}} for name in frame]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    document["post_processor"] = {
        "type": "TemplateProcessing", "single": [special[0], text, special[1]],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]}
                           for name, number in frame.items()}}
    return document


def write(name, document):
    path = os.path.join(FOLDER, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


def main():
    write("config.json", {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": SIZE,
                          "max_position_embeddings": WINDOW, "pad_token_id": PAD})
    write("modules.json", [
        {"idx": index, "name": str(index), "path": path,
         "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"),
                                              ("2_Normalize", "Normalize")])])
    write("1_Pooling/config.json", {"word_embedding_dimension": SIZE,
                                    "pooling_mode_cls_token": False,
                                    "pooling_mode_mean_tokens": True})
    write("tokenizer.json", tokenizer())
    model = h.make_model(graph(), opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    os.makedirs(os.path.join(FOLDER, "onnx"), exist_ok=True)
    onnx.save(model, os.path.join(FOLDER, "onnx", "model.onnx"))


if __name__ == "__main__":
    main()
