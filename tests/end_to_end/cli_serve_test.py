#!/usr/bin/env python3
"""`onnx-local serve` from its banner to its end: cli_serve_test.py PROGRAM GGUF."""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import unittest

import support
from support import MODEL, Server


class Serve(unittest.TestCase):
    def test_the_banner_has_a_curl_line_that_works_and_one_for_claude_code(self):
        with Server() as server:
            server.wait_until_ready()
            curl = re.search(r"^  (curl .*)$", server.banner, re.M).group(1)
            done = subprocess.run(shlex.split(curl), capture_output=True, check=True,
                                  timeout=support.WAIT_SECONDS_MAX)
            answer = json.loads(done.stdout)
            self.assertEqual(answer["type"], "message")
            self.assertTrue(answer["content"][0]["text"])
            self.assertIn(f"ANTHROPIC_BASE_URL={server.url} ", server.banner)
            self.assertIn(f"ANTHROPIC_MODEL=onnx-local/{MODEL} ", server.banner)
            self.assertIn("claude --bare -p", server.banner)

    def test_a_signal_ends_it_well(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server() as server:
                server.wait_until_ready()
                code, errors = server.stop(number)
                self.assertEqual(code, 0, errors)

    def test_health_names_the_execution_provider(self):
        for arguments, provider in (((), "onnx-local"), (("--ep", "cpu"), "cpu")):
            with Server(*arguments) as server:
                server.wait_until_ready()
                _, health = server.get("/health")
                self.assertEqual(health["providers"], [provider])
                self.assertEqual(health["warnings"], [])

    def ask(self, server, question):
        server.wait_until_ready()
        facts = " ".join(f"Room {number} is on floor {number // 7}." for number in range(60))
        body = {"model": MODEL, "max_tokens": 4,
                "messages": [{"role": "user", "content": f"{facts} {question}"}]}
        status, answer = server.post("/v1/messages", body)
        self.assertEqual(status, 200, answer)
        usage = answer["usage"]
        read = usage["cache_read_input_tokens"]
        return read, read + usage["cache_creation_input_tokens"] + usage["input_tokens"]

    def test_prompts_are_remembered_across_a_restart_until_they_are_cleared(self):
        with tempfile.TemporaryDirectory() as folder:
            flags = ("--cache-dir", folder, "--disk-cache", "512M")
            with Server(*flags) as server:
                self.assertEqual(self.ask(server, "Where is room 12?")[0], 0)
                busy = support.run("cache", "clear", "--cache-dir", folder)
                self.assertEqual(busy.returncode, 1, busy.stdout)
                self.assertEqual(server.stop(signal.SIGTERM)[0], 0)
            listed = json.loads(support.run("cache", "--json", "--cache-dir", folder).stdout)
            self.assertEqual([pool["model"] for pool in listed["models"]], [MODEL])
            self.assertGreater(listed["models"][0]["scopes"][0]["tokens"], 500)
            with Server(*flags, "--explain-cache") as server:
                read, all_tokens = self.ask(server, "Which rooms are on floor 3?")
                self.assertGreater(read, 0.9 * all_tokens)
                code, errors = server.stop(signal.SIGTERM)
                self.assertEqual(code, 0)
                self.assertIn(f"{read} of {all_tokens} prompt tokens read", errors)
                self.assertNotIn("floor", errors)
            self.assertEqual(support.run("cache", "clear", "--cache-dir", folder).returncode, 0)
            with Server(*flags) as server:
                self.assertEqual(self.ask(server, "Where is room 13?")[0], 0)

    def test_nothing_is_kept_on_disk_where_that_is_off(self):
        with tempfile.TemporaryDirectory() as folder:
            with Server("--cache-dir", folder, "--no-disk-cache") as server:
                self.ask(server, "Where is room 12?")
                self.assertEqual(server.stop(signal.SIGTERM)[0], 0)
            self.assertEqual(os.listdir(folder), [])

    def test_a_port_in_use_is_named_with_what_to_do(self):
        with Server() as server:
            port = server.url.rsplit(":", 1)[1]
            done = support.run("serve", "--port", port)
            self.assertEqual(done.returncode, 1)
            self.assertIn(port, done.stderr)
            self.assertIn("--port", done.stderr)
            report = support.run("doctor", "--json", "--port", port)
            checks = {check["name"]: check for check in json.loads(report.stdout)["checks"]}
            self.assertEqual(checks["port"]["status"], "warning")

    def test_a_broken_model_leaves_the_server_up_and_says_why(self):
        with Server(variables={"ONNX_MODEL_PATH": "/nowhere/model.onnx"}) as server:
            status, health = server.get("/health")
            self.assertIn("/nowhere/model.onnx", json.dumps(health), status)
            body = {"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
            status, answer = server.post("/v1/messages", body)
            self.assertEqual(status, 500)
            self.assertEqual(answer["type"], "error")
            code, errors = server.stop(signal.SIGTERM)
            self.assertEqual(code, 0)
            self.assertIn("/nowhere/model.onnx", errors)

    def test_the_port_may_come_from_the_environment(self):
        done = support.run("doctor", "--json", variables={"ONNX_PROXY_PORT": "45678"})
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        self.assertIn("45678", checks["port"]["detail"])


if __name__ == "__main__":
    support.main()
