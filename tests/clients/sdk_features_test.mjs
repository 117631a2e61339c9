// Anthropic's TypeScript SDK: tools, output formats, thinking, batches, pages, errors:
//   node sdk_features_test.mjs BASE_URL
// Schemas admit finitely many values, so that what is enforced ends, with any model.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { runChecks } from './checks.mjs';

const client = new Anthropic({ baseURL: process.argv[2], apiKey: 'any', maxRetries: 0 });
const model = (await client.models.list()).data[0].id;
const waitMsMax = 300_000;
const ask = (content) => [{ role: 'user', content }];
const request = (more) =>
  ({ model, max_tokens: 200, messages: ask('What is the weather in Paris?'), temperature: 0, ...more });
const weather = { name: 'get_weather', description: 'Get the weather of a city',
  input_schema: { type: 'object', additionalProperties: false, required: ['city', 'days'],
    properties: { city: { type: 'string', enum: ['Paris', 'Rome'] },
      days: { type: 'integer', enum: [1, 2, 3] } } } };
const forced = { tools: [weather], tool_choice: { type: 'tool', name: 'get_weather' } };
const Person = z.object({ name: z.enum(['Ann', 'Bob']), isOpen: z.boolean(),
  at: z.object({ side: z.enum(['left', 'right']) }), note: z.enum(['new', 'old']).nullable() });

function assertWeather(block) {
  assert.equal(block.type, 'tool_use');
  assert.equal(block.name, 'get_weather');
  assert.ok(['Paris', 'Rome'].includes(block.input.city) && [1, 2, 3].includes(block.input.days));
}

async function untilEnded(id) {
  const end = Date.now() + waitMsMax;
  for (;;) {
    const batch = await client.messages.batches.retrieve(id);
    if (batch.processing_status === 'ended') return batch;
    assert.ok(Date.now() < end, 'the batch does not end');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const checks = {
  async aForcedToolIsCalled() {
    const message = await client.messages.create(request(forced));
    assert.equal(message.stop_reason, 'tool_use');
    assertWeather(message.content.at(-1));
  },
  async aStreamedCallIsTheSame() {
    const whole = await client.messages.create(request(forced));
    const pieces = [];
    const stream = client.messages.stream(request(forced))
      .on('inputJson', (piece) => pieces.push(piece));
    const final = await stream.finalMessage();
    assert.ok(pieces.length > 0);
    assert.deepEqual(final.content.at(-1).input, whole.content.at(-1).input);
  },
  async aResultGoesBack() {
    const first = await client.messages.create(request(forced));
    const result = { type: 'tool_result', tool_use_id: first.content.at(-1).id, content: 'sunny' };
    const messages = [...request().messages, { role: 'assistant', content: first.content },
      { role: 'user', content: [result] }];
    const answer = await client.messages.create(request({ messages, tools: [weather], max_tokens: 16 }));
    assert.equal(answer.role, 'assistant');
  },
  async parseGivesAnObjectOfTheSchema() {
    const message = await client.messages.parse(request({
      messages: ask('A record about Bob.'), output_config: { format: zodOutputFormat(Person) } }));
    assert.equal(message.stop_reason, 'end_turn');
    assert.ok(Person.safeParse(message.parsed_output).success, JSON.stringify(message.content));
  },
  async thinkingIsAccepted() {
    for (const thinking of [{ type: 'adaptive' }, { type: 'disabled' }]) {
      assert.equal((await client.messages.create(request({ thinking, max_tokens: 8 }))).type, 'message');
    }
  },
  async theToolRunnerRunsAFunctionOfOurs() {
    const calls = [];
    const add = betaZodTool({ name: 'add', description: 'Add two numbers',
      inputSchema: z.object({ a: z.enum(['2', '40']), b: z.enum(['2', '40']) }),
      run: ({ a, b }) => { calls.push([a, b]); return String(Number(a) + Number(b)); } });
    const runner = client.beta.messages.toolRunner({ model, max_tokens: 150, tools: [add],
      max_iterations: 2, messages: ask('Use the tool to add 2 and 40.'),
      tool_choice: { type: 'tool', name: 'add' } });
    const messages = [];
    for await (const message of runner) messages.push(message);
    assert.ok(calls.length > 0);
    assert.equal(messages.length, 2);
  },
  async modelsComeByPages() {
    const ids = [];
    for await (const entry of client.models.list({ limit: 1 })) ids.push(entry.id);
    assert.ok(ids.includes(model));
  },
  async countTokensCountsTools() {
    const messages = ask('Hi');
    const bare = await client.messages.countTokens({ model, messages });
    const more = await client.messages.countTokens({ model, messages, tools: [weather] });
    assert.ok(bare.input_tokens < more.input_tokens);
    const beta = await client.beta.messages.countTokens({ model, messages });
    assert.equal(beta.input_tokens, bare.input_tokens);
  },
  async aBatchHasResults() {
    const params = { model, max_tokens: 4, messages: ask('Hi') };
    const { id } = await client.messages.batches.create({
      requests: ['a', 'b'].map((custom_id) => ({ custom_id, params })) });
    await untilEnded(id);
    const kinds = {};
    for await (const { custom_id, result } of await client.messages.batches.results(id)) {
      kinds[custom_id] = result.type;
    }
    assert.deepEqual(kinds, { a: 'succeeded', b: 'succeeded' });
    await client.messages.batches.delete(id);
    await assert.rejects(client.messages.batches.retrieve(id), Anthropic.NotFoundError);
  },
  async errorsHaveTheirClasses() {
    const rejects = (promise, kind, type) => assert.rejects(promise, (error) =>
      error instanceof kind && error.type === type && error.requestID?.startsWith('req_'));
    await rejects(client.messages.create(request({ messages: [] })), Anthropic.BadRequestError,
      'invalid_request_error');
    await rejects(client.messages.create(request({ tools: [{ name: 'x' }] })),
      Anthropic.BadRequestError, 'invalid_request_error');
    await rejects(client.models.retrieve('no-such-model'), Anthropic.NotFoundError,
      'not_found_error');
  },
};

await runChecks(checks);
