// Anthropic's own TypeScript SDK against a running server: node sdk_test.mjs BASE_URL.
// Every check holds for any model's output: it tests the protocol, not the wording.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { runChecks } from './checks.mjs';

const client = new Anthropic({ baseURL: process.argv[2], apiKey: 'any', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Tell me a short story about a lighthouse.' }];
const model = (await client.models.list()).data[0].id;
const request = (more) => ({ model, max_tokens: 16, messages, temperature: 0, ...more });
const total = (usage) =>
  usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;

const checks = {
  async message() {
    const message = await client.messages.create(request());
    assert.match(message.id, /^msg_/);
    assert.equal(message.model, model);
    assert.ok(message.content[0].text);
    assert.match(message._request_id, /^req_/);
  },
  async streamEqualsMessage() {
    const whole = await client.messages.create(request());
    const pieces = [];
    const stream = client.messages.stream(request()).on('text', (text) => pieces.push(text));
    const final = await stream.finalMessage();
    assert.ok(pieces.length > 1);
    assert.equal(pieces.join(''), final.content[0].text);
    assert.equal(final.content[0].text, whole.content[0].text);
    assert.equal(final.stop_reason, 'max_tokens');
  },
  async rawEvents() {
    const types = [];
    for await (const event of await client.messages.create(request({ stream: true }))) {
      types.push(event.type);
    }
    assert.equal(types[0], 'message_start');
    assert.deepEqual(types.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
  },
  async countEqualsUsage() {
    const { input_tokens } = await client.messages.countTokens({ model, messages });
    const { usage } = await client.messages.create(request({ max_tokens: 1 }));
    assert.equal(input_tokens, total(usage));
  },
  async modelsByAnIdWithASlash() {
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async errors() {
    await assert.rejects(client.messages.create(request({ messages: [] })), (error) =>
      error instanceof Anthropic.BadRequestError && error.type === 'invalid_request_error');
    await assert.rejects(client.messages.create(request({ model: 'no-such-model' })), (error) =>
      error instanceof Anthropic.NotFoundError && error.type === 'not_found_error');
  },
  async abortedStreamLeavesTheServerWell() {
    const stream = client.messages.stream(request({ max_tokens: 400 }));
    await new Promise((resolve) => stream.once('text', resolve));
    stream.abort();
    await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    assert.equal((await client.messages.create(request({ max_tokens: 1 }))).usage.output_tokens, 1);
  },
};

await runChecks(checks);
