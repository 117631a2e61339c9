#!/usr/bin/env python3
"""Anthropic's own Python SDK against a running server: sdk_test.py BASE_URL.

Every check holds for any model's output: it tests the protocol, not the wording.
Prints one line per check; the exit code is 1 where one failed."""
import sys

import anthropic
from checks import run_checks

PROMPT = [{"role": "user", "content": "Tell me a short story about a lighthouse."}]
GREEDY = {"temperature": 0}  # Not an argument of newer SDKs: it goes into the body.


class Base:
    def __init__(self, base_url):
        self.client = anthropic.Anthropic(base_url=base_url, api_key="any", max_retries=0)
        self.model = next(iter(self.client.models.list())).id

    def create(self, **more):
        arguments = {"model": self.model, "max_tokens": 16, "messages": PROMPT,
                     "extra_body": GREEDY, **more}
        return self.client.messages.create(**arguments)


class Checks(Base):
    def check_message(self):
        message = self.create()
        assert message.id.startswith("msg_") and message.role == "assistant", message
        assert message.model == self.model, message.model
        assert message.content[0].text, message
        assert message.usage.output_tokens <= 16, message.usage
        assert message._request_id.startswith("req_"), message._request_id

    def check_stream_equals_message(self):
        whole = self.create().content[0].text
        with self.client.messages.stream(model=self.model, max_tokens=16, messages=PROMPT,
                                         extra_body=GREEDY) as stream:
            pieces = list(stream.text_stream)
            final = stream.get_final_message()
        assert len(pieces) > 1, pieces
        assert "".join(pieces) == final.content[0].text == whole, (pieces, whole)
        assert final.stop_reason == "max_tokens", final.stop_reason

    def check_raw_events(self):
        events = [event.type for event in self.create(stream=True)]
        assert events[0] == "message_start" and events[-1] == "message_stop", events
        assert events[-2] == "message_delta", events

    def check_count_equals_usage(self):
        for system in ({}, {"system": "Be brief."},
                       {"system": [{"type": "text", "text": "Be brief.",
                                    "cache_control": {"type": "ephemeral"}}]}):
            counted = self.client.messages.count_tokens(model=self.model, messages=PROMPT, **system)
            usage = self.create(max_tokens=1, **system).usage
            total = (usage.input_tokens + usage.cache_read_input_tokens
                     + usage.cache_creation_input_tokens)
            assert counted.input_tokens == total, (counted, usage)

    def check_stop_sequence(self):
        text = self.create(max_tokens=32).content[0].text
        stop = text[len(text) // 2:len(text) // 2 + 5].strip() or text[-5:]
        message = self.create(max_tokens=32, stop_sequences=[stop])
        assert message.stop_reason == "stop_sequence", message
        assert message.stop_sequence == stop and stop not in message.content[0].text, message

    def check_turns(self):
        history = PROMPT + [{"role": "assistant", "content": "Once upon a time"},
                            {"role": "user", "content": "Go on."}]
        assert self.create(messages=history).content, "no answer to a third turn"

    def check_models(self):
        model = self.client.models.retrieve(self.model)
        assert model.id == self.model and model.max_input_tokens > 0, model

    def check_errors(self):
        try:
            self.create(messages=[])
            raise AssertionError("no messages were accepted")
        except anthropic.BadRequestError as error:
            assert error.type == "invalid_request_error" and error.request_id, error
        try:
            self.create(model="no-such-model")
            raise AssertionError("an unknown model was accepted")
        except anthropic.NotFoundError as error:
            assert error.type == "not_found_error", error

    def check_that_a_closed_stream_leaves_the_server_well(self):
        stream = self.create(max_tokens=400, stream=True)
        next(event for event in stream if event.type == "content_block_delta")
        stream.close()
        assert self.create(max_tokens=1).usage.output_tokens == 1


if __name__ == "__main__":
    run_checks(Checks(sys.argv[1]))
