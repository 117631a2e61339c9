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
}
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


def render(template, name, messages):
    bos, eos = TOKENS[name]
    is_open = messages[-1]["role"] == "assistant"
    text = template.render(messages=messages, tools=None, documents=None, bos_token=bos,
                           eos_token=eos, add_generation_prompt=not is_open)
    if is_open:  # continue_final_message: nothing follows the last message
        last = messages[-1]["content"].split("</think>")[-1].strip()
        text = text[:text.rindex(last) + len(last)]
    return text


def main():
    references = []
    for name in TOKENS:
        source = (HERE / f"{name}.jinja").read_text(encoding="utf-8")
        template = environment().from_string(source)
        for conversation in CONVERSATIONS:
            messages = [{"role": role, "content": text} for role, text in conversation]
            try:
                text = render(template, name, messages)
            except jinja2.exceptions.TemplateError:
                continue  # no system role: a test of its own
            references.append({"template": name, "bos_token": TOKENS[name][0],
                               "eos_token": TOKENS[name][1], "messages": messages, "text": text})
    (HERE / "references.json").write_text(
        json.dumps(references, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
