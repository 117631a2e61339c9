#!/usr/bin/env python3
"""OpenAI's own Python SDK against a running server: openai_test.py BASE_URL.

Every check holds for any model's output: it tests the protocol, not the wording.
Prints one line per check; the exit code is 1 where one failed."""
import json
import sys

import openai
from checks import run_checks

PROMPT = [{"role": "user", "content": "Tell me a short story about a lighthouse."}]
STORY = "Once upon a time, in a lighthouse"
# Its values are finitely many, so that any model comes to an end.
SHOPS = {"type": "object", "additionalProperties": False, "required": ["city", "open"],
         "properties": {"city": {"enum": ["Rome", "Oslo"]}, "open": {"type": "boolean"}}}
FIND = {"name": "find_shops", "description": "Finds shops.", "parameters": SHOPS}


class Checks:
    def __init__(self, base_url):
        self.client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="any", max_retries=0)
        self.model = next(iter(self.client.models.list())).id

    def chat(self, **more):
        arguments = {"model": self.model, "max_tokens": 16, "messages": PROMPT, "temperature": 0,
                     **more}
        return self.client.chat.completions.create(**arguments)

    def respond(self, **more):
        arguments = {"model": self.model, "max_output_tokens": 16, "temperature": 0,
                     "input": "Tell me a short story about a lighthouse.", **more}
        return self.client.responses.create(**arguments)

    def refused(self, kind, call, param=None, code=None):
        try:
            call()
        except kind as error:
            assert error.param == param and error.code == code, error.body
            return
        raise AssertionError("it was accepted")

    def check_models(self):
        assert self.client.models.retrieve(self.model).id == self.model

    def check_chat(self):
        answer = self.chat()
        assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion", answer
        choice = answer.choices[0]
        assert choice.message.role == "assistant" and choice.message.content, answer
        assert choice.finish_reason == "length", answer
        assert answer.usage.completion_tokens == 16, answer.usage
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 16, answer.usage
        assert answer._request_id.startswith("req_"), answer._request_id

    def check_that_a_prefix_comes_from_the_cache(self):
        self.chat(max_tokens=1)
        usage = self.chat(max_tokens=1).usage
        assert usage.prompt_tokens_details.cached_tokens > 0, usage

    def check_chat_stream(self):
        whole = self.chat().choices[0].message.content
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        texts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        assert "".join(texts) == whole and len(texts) > 2, (texts, whole)
        assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
        assert not chunks[-1].choices and chunks[-1].usage.completion_tokens == 16, chunks[-1]

    def check_stop(self):
        text = self.chat(max_tokens=32).choices[0].message.content
        stop = text[len(text) // 2:len(text) // 2 + 5].strip() or text[-5:]
        choice = self.chat(max_tokens=32, stop=[stop]).choices[0]
        assert choice.finish_reason == "stop" and stop not in choice.message.content, choice

    def check_seed(self):
        texts = {self.chat(temperature=1.5, seed=7).choices[0].message.content for _ in range(2)}
        assert len(texts) == 1, texts

    def check_logprobs(self):
        choice = self.chat(max_tokens=4, logprobs=True, top_logprobs=3).choices[0]
        tokens = choice.logprobs.content
        assert "".join(t.token for t in tokens) == choice.message.content, choice
        assert all(len(t.top_logprobs) == 3 and t.logprob <= 0 for t in tokens), tokens
        assert all(t.token == t.top_logprobs[0].token for t in tokens), tokens

    def check_logit_bias(self):
        bias = {"30": 100}
        answer = self.chat(max_tokens=3, logprobs=True, logit_bias=bias).choices[0]
        assert len({t.token for t in answer.logprobs.content}) == 1, answer

    def check_system_and_turns(self):
        history = [{"role": "system", "content": "Be brief."}] + PROMPT + [
            {"role": "assistant", "content": "Once upon a time"}, {"role": "user", "content": "Go on."}]
        assert self.chat(messages=history).choices[0].message.content

    def check_no_limit_means_the_room_that_is_left(self):
        stream = self.client.chat.completions.create(model=self.model, messages=PROMPT, stream=True)
        next(chunk for chunk in stream if chunk.choices[0].delta.content)
        stream.close()

    def check_chat_errors(self):
        self.refused(openai.BadRequestError, lambda: self.chat(n=2), "n")
        self.refused(openai.BadRequestError, lambda: self.chat(temperature=3), "temperature")
        image = [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]
        self.refused(openai.BadRequestError, lambda: self.chat(messages=image),
                     "messages.0.content.0")
        self.refused(openai.NotFoundError, lambda: self.chat(model="no-such-model"), "model",
                     "model_not_found")
        long = [{"role": "user", "content": "word " * 200_000}]
        self.refused(openai.BadRequestError, lambda: self.chat(messages=long), None,
                     "context_length_exceeded")

    def check_a_forced_call(self):
        tools = [{"type": "function", "function": FIND}]
        choice = self.chat(max_tokens=100, tools=tools, tool_choice="required").choices[0]
        assert choice.finish_reason == "tool_calls", choice
        call = choice.message.tool_calls[0]
        assert call.function.name == "find_shops", call
        assert set(json.loads(call.function.arguments)) == {"city", "open"}, call
        history = PROMPT + [choice.message.model_dump(exclude_none=True),
                            {"role": "tool", "tool_call_id": call.id, "content": "Two."}]
        assert self.chat(messages=history, tools=tools).choices[0].finish_reason

    def check_a_forced_call_as_a_stream(self):
        tools = [{"type": "function", "function": FIND}]
        named = {"type": "function", "function": {"name": "find_shops"}}
        chunks = self.chat(max_tokens=100, tools=tools, tool_choice=named, stream=True)
        parts = [part for c in chunks for part in c.choices[0].delta.tool_calls or []]
        assert parts[0].id and parts[0].function.name == "find_shops", parts
        assert json.loads("".join(part.function.arguments or "" for part in parts))

    def check_a_schema(self):
        schema = {"type": "json_schema",
                  "json_schema": {"name": "shops", "strict": True, "schema": SHOPS}}
        choice = self.chat(max_tokens=100, response_format=schema).choices[0]
        assert json.loads(choice.message.content)["city"] in ("Rome", "Oslo"), choice

    def check_responses(self):
        first = self.respond()
        assert first.object == "response" and first.output_text, first
        assert first.status == "incomplete", first
        second = self.respond(input="Go on.", previous_response_id=first.id)
        assert second.usage.input_tokens > first.usage.input_tokens, second
        assert self.client.responses.retrieve(first.id).id == first.id
        self.client.responses.delete(first.id)
        self.refused(openai.BadRequestError,
                     lambda: self.respond(previous_response_id=first.id), "previous_response_id",
                     "previous_response_not_found")

    def check_response_stream(self):
        events = list(self.respond(stream=True))
        kinds = [event.type for event in events]
        assert kinds[0] == "response.created" and "response.output_text.done" in kinds, kinds
        text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        assert text == events[-1].response.output_text, events[-1]

    def check_a_response_that_calls(self):
        tool = {"type": "function", **FIND, "strict": True}
        answer = self.respond(max_output_tokens=100, tools=[tool], tool_choice="required")
        call = answer.output[-1]
        assert call.type == "function_call" and json.loads(call.arguments)["city"], answer

    def embedding_model(self):
        """The embedding model that the server offers."""
        return next(model.id for model in self.client.models.list()
                    if model.capabilities["embeddings"]["supported"])

    def embed(self, texts, **more):
        answer = self.client.embeddings.create(model=self.embedding_model(), input=texts, **more)
        assert [item.index for item in answer.data] == list(range(len(answer.data))), answer
        return answer

    def check_embeddings(self):
        answer = self.embed(["a lighthouse", "a boat", "a lighthouse"])
        vectors = [item.embedding for item in answer.data]
        assert vectors[0] == vectors[2] != vectors[1], vectors
        assert all(abs(sum(x * x for x in vector) - 1) < 1e-5 for vector in vectors), vectors
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 3, answer.usage
        assert answer.object == "list" and answer.model == self.embedding_model(), answer

    def check_that_embeddings_are_the_same_in_each_encoding(self):
        # Without a format, the SDK asks for base64 and decodes it.
        decoded = self.embed("a lighthouse").data[0].embedding
        plain = self.embed("a lighthouse", encoding_format="float").data[0].embedding
        assert len(decoded) == len(plain) > 0
        assert all(abs(x - y) < 1e-7 for x, y in zip(decoded, plain)), (decoded, plain)

    def check_embeddings_of_fewer_dimensions(self):
        vector = self.embed("a lighthouse", dimensions=4).data[0].embedding
        assert len(vector) == 4 and abs(sum(x * x for x in vector) - 1) < 1e-5, vector

    def check_embedding_errors(self):
        model = self.embedding_model()
        create = self.client.embeddings.create
        self.refused(openai.BadRequestError, lambda: create(model=self.model, input="x"), "model")
        self.refused(openai.BadRequestError, lambda: create(model=model, input=["x", ""]), "input.1")
        self.refused(openai.BadRequestError,
                     lambda: create(model=model, input="word " * 100_000), "input.0")
        self.refused(openai.BadRequestError,
                     lambda: create(model=model, input="x", dimensions=10**6), "dimensions")
        self.refused(openai.BadRequestError,
                     lambda: self.chat(model=model), "model")
        self.refused(openai.NotFoundError, lambda: create(model="no-such-model", input="x"),
                     "model", "model_not_found")

    def check_an_unknown_model(self):
        self.refused(openai.NotFoundError, lambda: self.client.models.retrieve("no-such-model"),
                     "model", "model_not_found")

    def check_completion(self):
        text = self.client.completions.create(model=self.model, prompt=STORY, max_tokens=8,
                                              temperature=0)
        assert text.object == "text_completion" and text.choices[0].text, text
        echo = self.client.completions.create(model=self.model, prompt=[STORY], max_tokens=8,
                                              temperature=0, echo=True)
        assert echo.choices[0].text == STORY + text.choices[0].text, echo
        pieces = self.client.completions.create(model=self.model, prompt=STORY, max_tokens=8,
                                                temperature=0, stream=True)
        assert "".join(p.choices[0].text for p in pieces) == text.choices[0].text

    def check_several_completions(self):
        def complete(prompt, **more):
            return self.client.completions.create(model=self.model, prompt=prompt, max_tokens=6,
                                                  temperature=0, **more)
        alone = [complete(prompt) for prompt in (STORY, "The sea")]
        both = complete([STORY, "The sea"], n=2)
        assert [choice.index for choice in both.choices] == [0, 1, 2, 3], both
        texts = [choice.text for choice in both.choices]
        assert texts == [answer.choices[0].text for answer in alone for _ in range(2)], texts
        assert both.usage.prompt_tokens == sum(a.usage.prompt_tokens for a in alone), both.usage
        assert both.usage.completion_tokens == 24, both.usage
        pieces = [""] * 4
        for chunk in complete([STORY, "The sea"], n=2, stream=True):
            pieces[chunk.choices[0].index] += chunk.choices[0].text
        assert pieces == texts, pieces

    def check_completion_logprobs(self):
        choice = self.client.completions.create(model=self.model, prompt=[504, 3575], max_tokens=3,
                                                temperature=0, logprobs=2).choices[0]
        assert "".join(choice.logprobs.tokens) == choice.text, choice
        assert len(choice.logprobs.text_offset) == 3, choice

    def check_that_a_closed_stream_leaves_the_server_well(self):
        stream = self.chat(max_tokens=400, stream=True)
        next(stream)
        stream.close()
        assert self.chat(max_tokens=1).usage.completion_tokens == 1


if __name__ == "__main__":
    run_checks(Checks(sys.argv[1]))
