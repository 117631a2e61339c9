#!/usr/bin/env python3
"""Renders the templates beside it with jinja2, set up as Hugging Face transformers does, and writes
references.json: what our rendering must equal. Needs the Python package jinja2.
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2024, 7, 5, 13, 4, 9)
TOKENS = {
    "smollm2": ("<|im_start|>", "<|im_end|>"),
    "qwen2.5": ("", "<|im_end|>"),
    "qwen3": ("", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
    "llama3.2": ("<|begin_of_text|>", "<|eot_id|>"),
    "mistral": ("<s>", "</s>"),
    "phi3": ("<s>", "<|endoftext|>"),
    "gemma": ("<bos>", "<eos>"),
    "mistral-nemo": ("<s>", "</s>"),
    "deepseek-r1": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
}
# What a template wants besides the usual form of calls.
STYLES = {
    "deepseek-r1": {"text_apart", "content_none", "arguments_text"},
}
# Their templates show tools, or calls and results.
WITH_TOOLS = ["qwen2.5", "qwen3", "mistral-nemo"]
WITH_CALLS = WITH_TOOLS + ["deepseek-r1"]
CODE = "if (a < b && c > d) {\n  return \"<|x|>\" + 'é';\n}\n"
CONVERSATIONS = [
    [("user", "Hello")],
    [("system", "Be brief."), ("user", "  What is 漢字?\n")],
    [("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb"), ("user", CODE)],
    [("system", "S"), ("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4 {{ x }}"),
     ("user", "👩‍👩‍👧 {% raw %}")],
    [("user", "Count"), ("assistant", "1, 2,")],
    [("user", "q"), ("assistant", "<think>\nhm\n</think>\n\nand")],
]


SCHEMA = ('{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": '
          '{"items": {"type": "array", "items": {"type": "string"}, "maxItems": 1.0}, '
          '"<|im_end|>": {"enum": ["é", "a\\"b", 0.5, null, true]}}, "required": ["items"]}')
TOOLS = [
    {"name": "search", "description": "Finds things.\nSays \"where\".", "input_schema": SCHEMA},
    {"name": "now", "description": "", "input_schema": '{"type":"object","properties":{}}'},
]
SEARCH = {"type": "tool_use", "id": "abc12DEF9", "name": "search",
          "input": '{"items": ["é <b>", "c\\nd"], "n": 1.0, "deep": {"z": [], "a": {}}}'}
NOW_CALL = {"type": "tool_use", "id": "000000001", "name": "now", "input": "{}"}
FOUND = {"type": "tool_result", "tool_use_id": "abc12DEF9", "name": "search",
         "content": '{"found": 2}\nline'}
NOON = {"type": "tool_result", "tool_use_id": "000000001", "name": "now", "content": "12:00"}
TOOL_CONVERSATIONS = [
    [("user", "Hello")],
    [("system", "Be brief."), ("user", "Search!"), ("assistant", [SEARCH]), ("user", [FOUND])],
    [("user", "Search!"), ("assistant", [SEARCH]), ("user", [FOUND]), ("assistant", "There."),
     ("user", "Thanks")],
    [("user", "Search!"), ("assistant", [{"type": "text", "text": "I will."}, SEARCH]),
     ("user", [FOUND])],
    [("user", "Both!"), ("assistant", [SEARCH, NOW_CALL]), ("user", [FOUND, NOON])],
    [("user", "Search!"), ("assistant", [SEARCH]),
     ("user", [FOUND, {"type": "text", "text": "And?"}])],
    [("user", "Search!"),
     ("assistant", [{"type": "thinking", "thinking": "hm, so"}, SEARCH]), ("user", [FOUND])],
]
THINKING_CONVERSATIONS = [
    [("user", "Hello")],
    [("user", "a"), ("assistant", [{"type": "thinking", "thinking": "old"},
                                   {"type": "text", "text": "b"}]), ("user", "c")],
]


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    result = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                           extensions=[jinja2.ext.loopcontrols])
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = raise_exception
    result.globals["strftime_now"] = NOW.strftime
    return result


def hugging_face(name, messages):
    """Blocks become messages with `tool_calls`, and messages of the role `tool`."""
    style = STYLES.get(name, set())
    result = []
    for message in messages:
        blocks = message["content"]
        if isinstance(blocks, str):
            result.append(message)
            continue
        texts = [b["text"] for b in blocks if b["type"] == "text"]
        thinking = [b["thinking"] for b in blocks if b["type"] == "thinking"]
        for block in blocks:
            if block["type"] == "tool_result":
                result.append({"role": "tool", "content": block["content"], "name": block["name"],
                               "tool_call_id": block["tool_use_id"]})
        calls = [{"id": b["id"], "type": "function", "function": {
            "name": b["name"],
            "arguments": b["input"] if "arguments_text" in style else json.loads(b["input"])}}
            for b in blocks if b["type"] == "tool_use"]
        if calls and texts and "text_apart" in style:
            result.append({"role": message["role"], "content": "\n".join(texts)})
            texts = []
        if not texts and not calls:
            continue
        out = {"role": message["role"], "content": "\n".join(texts)}
        if calls and not texts and "content_none" in style:
            out["content"] = None
        if thinking:
            out["reasoning_content"] = "\n".join(thinking)
        if calls:
            out["tool_calls"] = calls
        result.append(out)
    return result


def functions(tools):
    return [{"type": "function", "function": {
        "name": tool["name"], "description": tool["description"],
        "parameters": json.loads(tool["input_schema"])}} for tool in tools] or None


def render(template, name, conversation):
    bos, eos = TOKENS[name]
    messages = hugging_face(name, conversation["messages"])
    is_open = messages[-1]["role"] == "assistant"
    thinking = conversation["enable_thinking"]
    more = {} if thinking is None else {"enable_thinking": thinking}
    text = template.render(messages=messages, tools=functions(conversation["tools"]),
                           documents=None, bos_token=bos, eos_token=eos,
                           add_generation_prompt=not is_open, **more)
    if is_open:  # continue_final_message: nothing follows the last message
        last = messages[-1]["content"].split("</think>")[-1].strip()
        text = text[:text.rindex(last) + len(last)]
    return text


def conversations(name):
    """Messages, tools, and whether to think."""
    yield from ((messages, [], None) for messages in CONVERSATIONS)
    if name in WITH_TOOLS:
        yield from ((messages, TOOLS, None) for messages in TOOL_CONVERSATIONS)
    elif name in WITH_CALLS:
        yield from ((messages, [], None) for messages in TOOL_CONVERSATIONS)
    if name == "qwen3":
        yield from ((messages, [], on) for messages in THINKING_CONVERSATIONS
                    for on in (True, False))


def main():
    references = []
    for name in TOKENS:
        source = (HERE / f"{name}.jinja").read_text(encoding="utf-8")
        template = environment().from_string(source)
        for pairs, tools, enable_thinking in conversations(name):
            messages = [{"role": role, "content": content} for role, content in pairs]
            conversation = {"messages": messages, "tools": tools,
                            "enable_thinking": enable_thinking}
            try:
                text = render(template, name, conversation)
            except jinja2.exceptions.TemplateError:
                continue  # no system role, or no parallel calls: tests of their own
            references.append({"template": name, "bos_token": TOKENS[name][0],
                               "eos_token": TOKENS[name][1], **conversation, "text": text})
    (HERE / "references.json").write_text(
        json.dumps(references, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
