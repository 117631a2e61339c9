#!/usr/bin/env python3
"""The real Claude Code against the real server: claude_code_test.py PROGRAM SCRIPTED_SERVER.

With the default model every check holds for any model's output: it is the protocol that is tested.
Tool loops run against `scripted_server`, whose model says what the test wants, in the raw form that
models write calls in."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

import support
from support import DEFAULT_MODEL, Project, Proxy, Server, call

PROGRAM, SCRIPTED_SERVER = (pathlib.Path(word).resolve() for word in sys.argv[1:3])


class Case(unittest.TestCase):
    def setUp(self):
        self.project = self.enterContext(Project())

    def assert_answered(self, done, proxy=None):
        told = f"{done.stdout}\n{done.stderr}"
        self.assertEqual(done.returncode, 0, told)
        self.assertTrue(done.stdout.strip(), told)
        if proxy:
            self.assertEqual({noted.status for noted in proxy.messages()}, {200}, told)


class DefaultModel(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(support.serve(PROGRAM, DEFAULT_MODEL))
        cls.model = cls.server.model()

    def test_a_bare_question_is_answered_with_one_request(self):
        with Proxy(self.server.url) as proxy:
            done = self.project.claude(proxy.url, self.model, "--bare", "-p", "Say hello.")
            self.assert_answered(done, proxy)
            self.assertEqual(len(proxy.messages()), 1)

    def test_a_second_turn_computes_only_what_is_new(self):
        with Proxy(self.server.url) as proxy:
            ask = lambda *words: self.project.claude(proxy.url, self.model, "--bare", *words)
            self.assert_answered(ask("-p", "Remember the word plum."))
            self.assert_answered(ask("--continue", "-p", "Which word?"), proxy)
            first, second = proxy.messages()
            new = second.prompt_tokens() - first.prompt_tokens()
            computed = second.prompt_tokens() - second.cached_tokens()
            # A block of the cache, or the last token, may be computed again.
            self.assertLessEqual(computed, new + 64)

    def test_the_json_output_tells_usage(self):
        with Proxy(self.server.url) as proxy:
            done = self.project.claude(proxy.url, self.model, "--bare", "-p", "Say hi.",
                                       "--output-format", "json")
        self.assert_answered(done)
        result = [entry for entry in support.results_of(done.stdout) if entry["type"] == "result"][-1]
        self.assertEqual((result["subtype"], result["is_error"]), ("success", False))
        self.assertGreater(result["usage"]["output_tokens"], 0)

    def test_a_request_that_ends_with_a_system_message_is_answered(self):
        with Proxy(self.server.url) as proxy:
            done = self.project.claude(proxy.url, self.model, "-p", "Say hi.", "--system-prompt",
                                       "You are terse.", "--tools", "Bash,Read")
            self.assert_answered(done, proxy)
            self.assertEqual(proxy.messages()[0].body["messages"][-1]["role"], "system")

    def test_an_unknown_model_is_told_clearly(self):
        done = self.project.claude(self.server.url, "no-such-model", "--bare", "-p", "hi")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("model", (done.stdout + done.stderr).lower())

    def test_a_prompt_that_does_not_fit_is_told_clearly(self):
        done = self.project.claude(self.server.url, self.model, "--bare", "-p", "Say hi.",
                                   "--append-system-prompt", "word " * 9000, window=32768)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("prompt is too long", (done.stdout + done.stderr).lower())


class Commands(Case):
    """Our own commands around the real client."""

    def run_ours(self, *arguments):
        variables = support.clean_environment(
            HOME=self.project.home, PATH=f"{support.CLAUDE.parent}:{os.environ['PATH']}",
            CLAUDE_CODE_MAX_RETRIES="1")
        return subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.project.folder, text=True,
                              capture_output=True, env=variables, check=False,
                              stdin=subprocess.DEVNULL, timeout=support.WAIT_SECONDS_MAX)

    def test_launch_starts_a_server_and_claude_answers(self):
        done = self.run_ours("launch", "claude", "--port", 0, "--bare", "-p",
                             "Say hello in one short sentence.")
        self.assert_answered(done)

    def test_what_warm_computed_is_not_computed_again(self):
        with support.serve(PROGRAM, DEFAULT_MODEL) as server:
            port = server.url.rpartition(":")[2]
            done = self.run_ours("warm", "claude-code", "--port", port, "--json", "--bare")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            warmed = json.loads(done.stdout)
            self.assertGreater(warmed["computed_tokens"], 0)
            with Proxy(server.url) as proxy:
                variables = {"window": 8192, "output": 2048}
                asked = self.project.claude(proxy.url, server.model(), "--bare", "-p", "What is a sea?",
                                            **variables)
                self.assert_answered(asked, proxy)
                noted = proxy.messages()[0]
                computed = noted.prompt_tokens() - noted.cached_tokens()
                # The question itself, and the rest of the last block.
                self.assertLess(computed, 96)


class ScriptedModel(Case):
    """Full tool loops."""

    def serve_script(self, rules):
        script = support.write_script(self.project.scratch, rules)
        server = self.enterContext(Server([SCRIPTED_SERVER, "--port", "0", "--script", script]))
        return server, self.enterContext(Proxy(server.url))

    def ask(self, proxy, server, *arguments):
        done = self.project.claude(proxy.url, server.model(), *arguments, window=65536, output=4096)
        self.assert_answered(done, proxy)
        return done

    def test_bash_runs_and_its_result_comes_back(self):
        server, proxy = self.serve_script([
            ("Make the file", "I will.\n" + call("Bash", command="echo a-marker | tee made.txt",
                                                 description="make a file")),
            ("a-marker", "The file is made.")])
        done = self.ask(proxy, server, "--bare", "-p", "Make the file.", "--allowedTools", "Bash")
        self.assertEqual((self.project.folder / "made.txt").read_text(), "a-marker\n")
        self.assertIn("The file is made.", done.stdout)
        first, second = proxy.messages()
        self.assertEqual(first.stop_reason, "tool_use")
        self.assertEqual(len(second.tool_results()), 1)

    def test_two_calls_of_one_turn_are_both_run(self):
        (self.project.folder / "one.txt").write_text("first-content\n")
        (self.project.folder / "two.txt").write_text("second-content\n")
        folder = self.project.folder
        server, proxy = self.serve_script([
            ("Read both", call("Read", file_path=str(folder / "one.txt")) + "\n"
             + call("Read", file_path=str(folder / "two.txt"))),
            ("(first|second)-content", "Both are read.")])
        done = self.ask(proxy, server, "--bare", "-p", "Read both.", "--allowedTools", "Read")
        self.assertIn("Both are read.", done.stdout)
        results = json.dumps(proxy.messages()[-1].tool_results())
        self.assertIn("first-content", results)
        self.assertIn("second-content", results)

    def test_a_call_that_fails_comes_back_as_an_error(self):
        missing = self.project.folder / "missing.txt"
        server, proxy = self.serve_script([
            ("Read it", call("Read", file_path=str(missing))),
            ("not exist|does not|No such", "There is no such file.")])
        done = self.ask(proxy, server, "--bare", "-p", "Read it.", "--allowedTools", "Read")
        self.assertIn("There is no such file.", done.stdout)
        self.assertTrue(proxy.messages()[-1].tool_results()[0]["is_error"])

    def test_a_deferred_tool_is_found_and_used(self):
        server, proxy = self.serve_script([
            ("Note it", call("ToolSearch", query="select:TodoWrite,TaskCreate,WebFetch")),
            ("tool_reference|WebFetch|TaskCreate|TodoWrite|^$", "The tool is loaded.")])
        done = self.ask(proxy, server, "-p", "Note it.")
        self.assertIn("The tool is loaded.", done.stdout)
        first, second = proxy.messages()[0], proxy.messages()[-1]
        declared = {tool["name"] for tool in first.body["tools"] if not tool.get("defer_loading")}
        self.assertIn("ToolSearch", declared)
        references = [block for result in second.tool_results()
                      if isinstance(result["content"], list) for block in result["content"]
                      if block["type"] == "tool_reference"]
        self.assertTrue(references, second.tool_results())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
