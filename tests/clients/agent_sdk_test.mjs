// The Agent SDK with an in-process MCP tool against scripted servers:
//   node agent_sdk_test.mjs DIRECT_URL DEFERRED_URL
// DIRECT_URL's model calls the tool; DEFERRED_URL's searches for it first (agent_sdk_test.py writes
// their scripts).
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSdkMcpServer, query, tool } from '@anthropic-ai/claude-agent-sdk';
import { z } from 'zod';
import { runChecks } from './checks.mjs';

const [direct, deferred] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), 'onnx-local-agent-'));
const model = 'onnx-local/scripted';

function environment(url, more) {
  const own = Object.entries(process.env).filter(([name]) => !/^(ANTHROPIC_|CLAUDE)/.test(name));
  return { ...Object.fromEntries(own), HOME: scratch, ANTHROPIC_BASE_URL: url,
    ANTHROPIC_API_KEY: 'local', ANTHROPIC_MODEL: model, ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
    CLAUDE_CODE_MAX_CONTEXT_TOKENS: '65536', CLAUDE_CODE_MAX_OUTPUT_TOKENS: '4096',
    CLAUDE_CODE_MAX_RETRIES: '1', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', ...more };
}

// Asks, and gives back what the tool was called with, the results that came back, and the answer.
async function run(url, prompt, options = {}, variables = {}) {
  const calls = [];
  const add = tool('add', 'Adds two numbers', { a: z.number(), b: z.number() }, async (input) => {
    calls.push(input);
    return { content: [{ type: 'text', text: String(input.a + input.b) }] };
  });
  const server = createSdkMcpServer({ name: 'local', version: '1.0.0', tools: [add] });
  const results = [];
  let answer = null;
  const messages = query({ prompt, options: { model, cwd: scratch, maxTurns: 8,
    mcpServers: { local: server }, allowedTools: ['mcp__local__add'],
    env: environment(url, variables), settingSources: [], ...options } });
  for await (const message of messages) {
    if (message.type === 'user' && Array.isArray(message.message.content)) {
      results.push(...message.message.content.filter((block) => block.type === 'tool_result'));
    }
    if (message.type === 'result') answer = message;
  }
  return { calls, results, answer };
}

const checks = {
  async aToolOfOursRunsAndItsResultComesBack() {
    const { calls, results, answer } = await run(direct, 'Add the numbers.',
      { tools: [], systemPrompt: 'You are terse.' });
    assert.deepEqual(calls, [{ a: 40, b: 2 }]);
    assert.match(JSON.stringify(results), /"42"/);
    assert.equal(answer.subtype, 'success');
    assert.match(answer.result, /forty-two/);
  },
  async allToolsDeclaredAtOnce() {
    const { calls, answer } = await run(direct, 'Add the numbers.', {},
      { ENABLE_TOOL_SEARCH: 'false' });
    assert.deepEqual(calls, [{ a: 40, b: 2 }]);
    assert.equal(answer.subtype, 'success');
  },
  async aDeferredToolIsSearchedForLoadedAndRun() {
    const { calls, results, answer } = await run(deferred, 'Add the numbers.');
    assert.match(JSON.stringify(results), /tool_reference/);
    assert.deepEqual(calls, [{ a: 40, b: 2 }]);
    assert.equal(answer.subtype, 'success');
    assert.match(answer.result, /forty-two/);
  },
};

process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
await runChecks(checks);
