#!/usr/bin/env python3
"""Makes the tiny decoders of the runtime's tests: the same random weights in four graphs.

  tiny_onnx          GroupQueryAttention, shared past/present, input logits_positions, external data
  tiny_onnx_foreign  the same without logits_positions, float16 logits: as onnxruntime-genai exports
  tiny_onnx_growing  plain attention with growing past/present and position_ids: as optimum exports
  tiny_onnx_q4       tiny_onnx with 4-bit matrices that have float zero points

Run from this folder with numpy and onnx installed: python make_tiny_onnx.py
"""
import json
import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

VOCAB, HIDDEN, HEADS, KV_HEADS, DIM, FFN, LAYERS, CONTEXT = 259, 32, 4, 2, 16, 64, 2, 256
BLOCK = 32


def weights():
    rng = np.random.default_rng(7)
    normal = lambda *shape: rng.normal(0, shape[0] ** -0.5, shape).astype(np.float32)
    out = {"embed": rng.normal(0, 1, (VOCAB, HIDDEN)).astype(np.float32)}
    for i in range(LAYERS):
        out[f"q.{i}"] = normal(HIDDEN, HEADS * DIM) * 3
        out[f"k.{i}"] = normal(HIDDEN, KV_HEADS * DIM) * 2
        out[f"v.{i}"] = normal(HIDDEN, KV_HEADS * DIM)
        out[f"o.{i}"] = normal(HEADS * DIM, HIDDEN) * 2
        out[f"gate.{i}"] = normal(HIDDEN, FFN)
        out[f"up.{i}"] = normal(HIDDEN, FFN)
        out[f"down.{i}"] = normal(FFN, HIDDEN)
        out[f"norm1.{i}"] = np.ones(HIDDEN, np.float32)
        out[f"norm2.{i}"] = np.ones(HIDDEN, np.float32)
    out["norm"] = np.ones(HIDDEN, np.float32)
    angle = np.outer(np.arange(CONTEXT), 10000.0 ** (-np.arange(DIM // 2) / (DIM // 2)))
    out["cos"] = np.cos(angle).astype(np.float32)
    out["sin"] = np.sin(angle).astype(np.float32)
    return out


def quantize(w):
    """[K, N] float32 to MatMulNBits' 4-bit blocks along K with float zero points."""
    k, n = w.shape
    blocks = w.T.reshape(n, k // BLOCK, BLOCK)
    low, high = blocks.min(2), blocks.max(2)
    scale = ((high - low) / 15).astype(np.float32)
    zero = (-low / scale).astype(np.float32)
    q = np.clip(np.round(blocks / scale[..., None] + zero[..., None]), 0, 15).astype(np.uint8)
    packed = q[..., 0::2] | (q[..., 1::2] << 4)
    exact = ((q - zero[..., None]) * scale[..., None]).reshape(n, k).T
    return packed, scale, zero, exact


class Graph:
    def __init__(self, quantized=False):
        self.nodes, self.initializers, self.known = [], [], set()
        self.weights, self.quantized, self.count = weights(), quantized, 0

    def op(self, kind, inputs, outputs=1, domain="", **attributes):
        names = outputs if isinstance(outputs, list) else []
        while not isinstance(outputs, list) and len(names) < outputs:
            self.count += 1
            names.append(f"t{self.count}")
        self.nodes.append(h.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def const(self, name, value=None):
        if name not in self.known:
            self.known.add(name)
            value = self.weights[name] if value is None else value
            self.initializers.append(nh.from_array(np.ascontiguousarray(value), name))
        return name

    def matmul(self, x, name):
        if not self.quantized:
            return self.op("MatMul", [x, self.const(name)])
        packed, scale, zero, _ = quantize(self.weights[name])
        k, n = self.weights[name].shape
        inputs = [x, self.const(name + ".q", packed), self.const(name + ".scale", scale),
                  self.const(name + ".zero", zero)]
        return self.op("MatMulNBits", inputs, domain="com.microsoft", K=k, N=n, bits=4,
                       block_size=BLOCK, accuracy_level=4)

    def norm(self, x, name):
        return self.op("SimplifiedLayerNormalization", [x, self.const(name)], epsilon=1e-5, axis=-1)

    def ffn(self, x, i):
        gate = self.matmul(x, f"gate.{i}")
        gate = self.op("Mul", [gate, self.op("Sigmoid", [gate])])
        return self.matmul(self.op("Mul", [gate, self.matmul(x, f"up.{i}")]), f"down.{i}")

    def head(self, x, outputs):
        table = self.op("Transpose", [self.const("embed")], perm=[1, 0])
        return self.op("MatMul", [x, table], outputs)


def value(name, kind, shape):
    return h.make_tensor_value_info(name, kind, shape)


def caches(prefix, length):
    return [value(f"{prefix}.{i}.{part}", T.FLOAT, ["batch", KV_HEADS, length, DIM])
            for i in range(LAYERS) for part in ("key", "value")]


def shared(positions, half_logits=False, quantized=False):
    g = Graph(quantized)
    one = g.const("one", np.array([1], np.int64))
    sums = g.op("ReduceSum", ["attention_mask", one], keepdims=0)
    seqlens = g.op("Cast", [g.op("Sub", [sums, one])], to=T.INT32)
    shape = g.op("Shape", ["attention_mask"])
    total = g.op("Gather", [shape, g.const("one_scalar", np.array(1, np.int64))])
    total = g.op("Cast", [total], to=T.INT32)
    x = g.op("Gather", [g.const("embed"), "input_ids"])
    for i in range(LAYERS):
        y = g.norm(x, f"norm1.{i}")
        y = g.op("GroupQueryAttention",
                 [g.matmul(y, f"q.{i}"), g.matmul(y, f"k.{i}"), g.matmul(y, f"v.{i}"),
                  f"past_key_values.{i}.key", f"past_key_values.{i}.value", seqlens, total,
                  g.const("cos"), g.const("sin")],
                 [f"a{i}", f"present.{i}.key", f"present.{i}.value"], domain="com.microsoft",
                 num_heads=HEADS, kv_num_heads=KV_HEADS, do_rotary=1)[0]
        x = g.op("Add", [x, g.matmul(y, f"o.{i}")])
        x = g.op("Add", [x, g.ffn(g.norm(x, f"norm2.{i}"), i)])
    inputs = [value("input_ids", T.INT64, ["batch", "sequence"]),
              value("attention_mask", T.INT64, ["batch", "total"])]
    if positions:
        g.initializers.append(nh.from_array(np.array([-1], np.int64), "logits_positions"))
        inputs.append(value("logits_positions", T.INT64, ["positions"]))
        x = g.op("Gather", [x, "logits_positions"], axis=1)
    x = g.norm(x, "norm")
    if half_logits:
        g.op("Cast", [g.head(x, 1)], ["logits"], to=T.FLOAT16)
    else:
        g.head(x, ["logits"])
    kind = T.FLOAT16 if half_logits else T.FLOAT
    outputs = [value("logits", kind, ["batch", "rows", VOCAB])] + caches("present", "capacity")
    return g, inputs + caches("past_key_values", "capacity"), outputs


def growing():
    g = Graph()
    shape = lambda *dims: g.const("shape" + "_".join(map(str, dims)), np.array(dims, np.int64))
    x = g.op("Gather", [g.const("embed"), "input_ids"])
    cos = g.op("Unsqueeze", [g.op("Gather", [g.const("cos"), "position_ids"]), shape(1)])
    sin = g.op("Unsqueeze", [g.op("Gather", [g.const("sin"), "position_ids"]), shape(1)])
    keep = g.op("Cast", ["attention_mask"], to=T.FLOAT)
    hide = g.op("Mul", [g.op("Sub", [keep, g.const("onef", np.array(1, np.float32))]),
                        g.const("big", np.array(1e9, np.float32))])
    hide = g.op("Unsqueeze", [hide, shape(1, 2)])
    total = g.op("Gather", [g.op("Shape", ["attention_mask"]), shape(1)])
    keys = g.op("Range", [shape0(g, 0), g.op("Squeeze", [total]), shape0(g, 1)])
    ahead = g.op("Less", [g.op("Unsqueeze", ["position_ids", shape(2)]), keys])
    ahead = g.op("Mul", [g.op("Cast", [ahead], to=T.FLOAT), g.const("low", np.array(-1e9, np.float32))])
    bias = g.op("Add", [hide, g.op("Unsqueeze", [ahead, shape(1)])])

    def split(y, heads):
        return g.op("Transpose", [g.op("Reshape", [y, shape(0, 0, heads, DIM)])], perm=[0, 2, 1, 3])

    def rotate(y):
        a, b = g.op("Split", [y], 2, axis=-1, num_outputs=2)
        left = g.op("Sub", [g.op("Mul", [a, cos]), g.op("Mul", [b, sin])])
        right = g.op("Add", [g.op("Mul", [b, cos]), g.op("Mul", [a, sin])])
        return g.op("Concat", [left, right], axis=-1)

    def repeat(y):
        y = g.op("Unsqueeze", [y, shape(2)])
        y = g.op("Concat", [y] * (HEADS // KV_HEADS), axis=2)
        return g.op("Reshape", [y, shape(0, HEADS, -1, DIM)])

    for i in range(LAYERS):
        y = g.norm(x, f"norm1.{i}")
        query = rotate(split(g.matmul(y, f"q.{i}"), HEADS))
        key = rotate(split(g.matmul(y, f"k.{i}"), KV_HEADS))
        val = split(g.matmul(y, f"v.{i}"), KV_HEADS)
        key = g.op("Concat", [f"past_key_values.{i}.key", key], [f"present.{i}.key"], axis=2)
        val = g.op("Concat", [f"past_key_values.{i}.value", val], [f"present.{i}.value"], axis=2)
        scores = g.op("MatMul", [query, g.op("Transpose", [repeat(key)], perm=[0, 1, 3, 2])])
        scores = g.op("Mul", [scores, g.const("scale", np.array(DIM ** -0.5, np.float32))])
        probs = g.op("Softmax", [g.op("Add", [scores, bias])], axis=-1)
        y = g.op("Transpose", [g.op("MatMul", [probs, repeat(val)])], perm=[0, 2, 1, 3])
        y = g.op("Reshape", [y, shape(0, 0, HEADS * DIM)])
        x = g.op("Add", [x, g.matmul(y, f"o.{i}")])
        x = g.op("Add", [x, g.ffn(g.norm(x, f"norm2.{i}"), i)])
    g.head(g.norm(x, "norm"), ["logits"])
    inputs = [value("input_ids", T.INT64, ["batch", "sequence"]),
              value("attention_mask", T.INT64, ["batch", "total"]),
              value("position_ids", T.INT64, ["batch", "sequence"])]
    outputs = [value("logits", T.FLOAT, ["batch", "sequence", VOCAB])] + caches("present", "total")
    return g, inputs + caches("past_key_values", "past"), outputs


def shape0(g, number):
    return g.const(f"scalar{number}", np.array(number, np.int64))


def config(is_shared, positions):
    inputs = {"input_ids": "input_ids", "attention_mask": "attention_mask",
              "past_key_names": "past_key_values.%d.key",
              "past_value_names": "past_key_values.%d.value"}
    if positions:
        inputs["position_ids"] = "position_ids"
    return {"model": {"bos_token_id": 256, "context_length": CONTEXT, "eos_token_id": [257],
                      "pad_token_id": 258, "type": "llama", "vocab_size": VOCAB,
                      "decoder": {"session_options": {"log_id": "tiny", "provider_options": []},
                                  "filename": "model.onnx", "head_size": DIM,
                                  "hidden_size": HIDDEN, "inputs": inputs,
                                  "outputs": {"logits": "logits",
                                              "present_key_names": "present.%d.key",
                                              "present_value_names": "present.%d.value"},
                                  "num_attention_heads": HEADS, "num_hidden_layers": LAYERS,
                                  "num_key_value_heads": KV_HEADS}},
            "search": {"max_length": CONTEXT, "past_present_share_buffer": is_shared}}


def save(folder, parts, is_shared=True, external=False, positions=False):
    g, inputs, outputs = parts
    graph = h.make_graph(g.nodes, folder, inputs, outputs, g.initializers)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18),
                                               h.make_opsetid("com.microsoft", 1)])
    model.ir_version = 8
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "model.onnx")
    for name in ("model.onnx", "model.onnx.data"):
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    onnx.save(model, path, save_as_external_data=external, location="model.onnx.data",
              size_threshold=256)
    with open(os.path.join(folder, "genai_config.json"), "w") as file:
        json.dump(config(is_shared, positions), file, indent=2)
        file.write("\n")


save("tiny_onnx", shared(positions=True), external=True)
save("tiny_onnx_foreign", shared(positions=False, half_logits=True), external=True)
save("tiny_onnx_growing", growing(), is_shared=False, positions=True)
save("tiny_onnx_q4", shared(positions=True, quantized=True), external=True)
