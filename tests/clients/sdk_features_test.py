#!/usr/bin/env python3
"""Anthropic's Python SDK: tools, output formats, thinking, batches, pages: sdk_features_test.py BASE_URL.

Schemas admit finitely many values, so that what is enforced ends, with any model. Where a free string
is asked for, the answer may be cut by max_tokens."""
import re
import sys
from typing import Literal, Optional

import anthropic
import pydantic
from checks import run_checks
from sdk_test import GREEDY, PROMPT, Base
from support import wait_until

WEATHER = {"name": "get_weather", "description": "Get the weather of a city",
           "input_schema": {"type": "object", "additionalProperties": False,
                            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]},
                                           "days": {"type": "integer", "enum": [1, 2, 3]}},
                            "required": ["city", "days"]}}
TIME = {"name": "get_time", "description": "Get the time",
        "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}}
ASK_WEATHER = [{"role": "user", "content": "What is the weather in Paris for 3 days?"}]


class Point(pydantic.BaseModel):
    side: Literal["left", "right"]


class Record(pydantic.BaseModel):
    name: Literal["Ann", "Bob"]
    is_open: bool
    at: Point
    note: Optional[Literal["new", "old"]]


def is_weather(call):
    return (call.type == "tool_use" and call.name == "get_weather"
            and call.input["city"] in ("Paris", "Rome") and call.input["days"] in (1, 2, 3)
            and set(call.input) == {"city", "days"})


def total(usage):
    return (usage.input_tokens + (usage.cache_read_input_tokens or 0)
            + (usage.cache_creation_input_tokens or 0))


class Checks(Base):
    def call_weather(self, **more):
        return self.create(messages=ASK_WEATHER, max_tokens=200, tools=[WEATHER],
                           tool_choice={"type": "tool", "name": "get_weather"}, **more)

    def check_a_forced_tool_is_called_with_valid_input(self):
        message = self.call_weather()
        assert message.stop_reason == "tool_use", message
        assert is_weather(message.content[-1]), message
        assert message.content[-1].id.startswith("toolu_"), message

    def check_a_streamed_call_is_the_same(self):
        whole = self.call_weather().content[-1].input
        with self.client.messages.stream(
                model=self.model, max_tokens=200, messages=ASK_WEATHER, tools=[WEATHER],
                tool_choice={"type": "tool", "name": "get_weather"}, extra_body=GREEDY) as stream:
            pieces = [event.delta.partial_json for event in stream
                      if event.type == "content_block_delta" and event.delta.type == "input_json_delta"]
            final = stream.get_final_message()
        assert pieces and final.content[-1].input == whole, (pieces, final)
        assert final.stop_reason == "tool_use", final

    def check_any_calls_one_of_them(self):
        message = self.create(messages=ASK_WEATHER, max_tokens=200, tools=[WEATHER, TIME],
                              tool_choice={"type": "any", "disable_parallel_tool_use": True})
        calls = [block for block in message.content if block.type == "tool_use"]
        assert len(calls) == 1 and calls[0].name in ("get_weather", "get_time"), message

    def check_none_calls_nothing(self):
        message = self.create(messages=ASK_WEATHER, max_tokens=32, tools=[WEATHER],
                              tool_choice={"type": "none"})
        assert all(block.type == "text" for block in message.content), message

    def check_a_result_goes_back(self):
        message = self.call_weather()
        result = {"type": "tool_result", "tool_use_id": message.content[-1].id,
                  "content": [{"type": "text", "text": "21 degrees, sunny"}], "is_error": False}
        history = ASK_WEATHER + [{"role": "assistant", "content": message.content},
                                 {"role": "user", "content": [result]}]
        answer = self.create(messages=history, tools=[WEATHER])
        counted = self.client.messages.count_tokens(model=self.model, messages=history, tools=[WEATHER])
        assert counted.input_tokens == total(answer.usage), (counted, answer.usage)

    def check_a_tool_that_cannot_be_enforced_is_refused_where_strict(self):
        odd = {"name": "odd", "strict": True, "description": "x",
               "input_schema": {"type": "object", "properties": {"x": {"not": {"type": "string"}}}}}
        try:
            self.create(tools=[odd])
            raise AssertionError("a schema that cannot be enforced was taken")
        except anthropic.BadRequestError as error:
            assert "not" in str(error), error
        assert self.create(tools=[{**odd, "strict": False}]).content is not None

    def check_parse_gives_an_object_of_the_model(self):
        message = self.client.messages.parse(
            model=self.model, max_tokens=200, extra_body=GREEDY, output_format=Record,
            messages=[{"role": "user", "content": "A record about Bob."}])
        assert isinstance(message.parsed_output, Record), message
        assert message.stop_reason == "end_turn", message

    def check_a_streamed_format_gives_the_same(self):
        with self.client.messages.stream(
                model=self.model, max_tokens=200, extra_body=GREEDY, output_format=Record,
                messages=[{"role": "user", "content": "A record about Bob."}]) as stream:
            final = stream.get_final_message()
        assert isinstance(final.parsed_output, Record), final

    def check_thinking_is_accepted(self):
        for thinking in ({"type": "adaptive"}, {"type": "disabled"},
                         {"type": "adaptive", "display": "omitted"}):
            assert self.create(thinking=thinking).role == "assistant", thinking
        message = self.create(thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=1040,
                              messages=[{"role": "user", "content": "Say hi."}])
        assert message.role == "assistant", message

    def check_thinking_is_accepted_back(self):
        history = PROMPT + [{"role": "assistant", "content": [
            {"type": "thinking", "thinking": "a lighthouse", "signature": "c2lnbmVk"},
            {"type": "redacted_thinking", "data": "eA=="}, {"type": "text", "text": "Once"}]},
            {"role": "user", "content": "Go on."}]
        assert self.create(messages=history).content

    def check_the_tool_runner_runs_a_function_of_ours(self):
        calls = []

        @anthropic.beta_tool
        def add(a: Literal["2", "40"], b: Literal["2", "40"]) -> str:
            """Add two numbers.

            Args:
                a: the first
                b: the second
            """
            calls.append((a, b))
            return str(int(a) + int(b))

        runner = self.client.beta.messages.tool_runner(
            model=self.model, max_tokens=150, tools=[add], max_iterations=2,
            messages=[{"role": "user", "content": "Use the tool to add 2 and 40."}],
            tool_choice={"type": "tool", "name": "add"})
        messages = list(runner)
        assert calls and len(messages) == 2, (calls, messages)

    def check_models_are_listed_page_by_page(self):
        ids = [model.id for model in self.client.models.list(limit=1)]
        assert self.model in ids and len(set(ids)) == len(ids), ids
        alias = self.client.models.retrieve("claude-sonnet-4-5")
        assert alias.max_input_tokens > 0, alias

    def check_count_tokens_grows_with_tools(self):
        count = lambda **more: self.client.messages.count_tokens(
            model=self.model, messages=PROMPT, **more).input_tokens
        assert count() < count(tools=[WEATHER]) < count(tools=[WEATHER, TIME])

    def check_a_batch_from_its_creation_to_its_deletion(self):
        params = {"model": self.model, "max_tokens": 4, "messages": PROMPT}
        batches = self.client.messages.batches
        requests = [{"custom_id": f"one-{index}", "params": params} for index in range(3)]
        requests.append({"custom_id": "bad", "params": {**params, "model": "no-such-model"}})
        batch = batches.create(requests=requests)
        wait_until(lambda: batches.retrieve(batch.id).processing_status == "ended", "the batch ends")
        results = {entry.custom_id: entry.result for entry in batches.results(batch.id)}
        assert set(results) == {"one-0", "one-1", "one-2", "bad"}, results
        assert results["one-1"].message.usage.output_tokens > 0, results
        assert results["bad"].type == "errored", results
        assert batch.id in [entry.id for entry in batches.list(limit=2)]
        assert batches.delete(batch.id).type == "message_batch_deleted"
        try:
            batches.retrieve(batch.id)
            raise AssertionError("a deleted batch is still there")
        except anthropic.NotFoundError:
            pass

    def check_a_batch_can_be_cancelled(self):
        params = {"model": self.model, "max_tokens": 64, "messages": PROMPT}
        batches = self.client.messages.batches
        batch = batches.create(requests=[{"custom_id": f"c{index}", "params": params}
                                         for index in range(12)])
        batches.cancel(batch.id)
        wait_until(lambda: batches.retrieve(batch.id).processing_status == "ended", "the batch ends")
        kinds = {entry.result.type for entry in batches.results(batch.id)}
        assert "canceled" in kinds and kinds <= {"canceled", "succeeded"}, kinds
        batches.delete(batch.id)

    def check_a_prompt_that_is_too_long_says_both_numbers(self):
        window = self.client.models.retrieve(self.model).max_input_tokens
        try:
            self.create(messages=[{"role": "user", "content": "word " * (window + 64)}])
            raise AssertionError("a prompt longer than the window was taken")
        except anthropic.BadRequestError as error:
            found = re.search(r"prompt is too long: (\d+) tokens > (\d+) maximum", str(error))
            assert found and int(found[2]) == window < int(found[1]), error

    def check_asynchronous_streams(self):
        import asyncio

        async def ask():
            async with anthropic.AsyncAnthropic(base_url=str(self.client.base_url), api_key="any",
                                                max_retries=0) as client:
                async with client.messages.stream(model=self.model, max_tokens=8,
                                                  messages=PROMPT) as stream:
                    return await stream.get_final_message()

        assert asyncio.run(ask()).content


if __name__ == "__main__":
    run_checks(Checks(sys.argv[1]))
