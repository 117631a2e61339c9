#!/usr/bin/env python3
"""Every command's help has an example, and every example works: cli_help_test.py PROGRAM GGUF.

The examples run in a folder that holds the GGUF file and a text, as their reader's would.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import support
from support import GGUF, PROGRAM, run

COMMANDS = ["serve", "run", "launch", "warm", "import", "list", "cache", "show", "doctor", "bench",
            "perplexity"]


# A client that asks for one token and says what it was asked itself.
CLIENT = """
import json, os, sys, urllib.request
body = {"model": os.environ["ANTHROPIC_MODEL"], "max_tokens": 1, "messages": [
    {"role": "user", "content": "Hello"}]}
urllib.request.urlopen(urllib.request.Request(
    os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
    {"content-type": "application/json"})).read()
print(sys.argv[1:])
"""


def examples(help_text):
    _, _, after = help_text.partition("Example")
    return re.findall(r"^  (.*\bonnx-local .*)$", after, re.M)


class Help(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.scratch)
        (self.scratch / GGUF.name).symlink_to(GGUF)
        # A client that only says what it was asked; the real one runs in tests/clients.
        client = self.scratch / "bin" / "claude"
        client.parent.mkdir()
        client.write_text(f"#!{sys.executable}\n{CLIENT}")
        client.chmod(0o755)
        (self.scratch / "text.txt").write_text("It was the best of times, it was the worst. " * 160)

    def run_example(self, line):
        path = f"{PROGRAM.parent}:{self.scratch}/bin:{os.environ['PATH']}"
        variables = support.environment(PATH=path, ONNX_PROXY_PORT=str(support.free_port()))
        if " serve" in line:
            line = re.sub(r"( --port \d+)?$", " --port 0", line, count=1)
        process = subprocess.Popen(["bash", "-c", "exec " + line if "|" not in line else line],
                                   cwd=self.scratch, env=variables, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started = ""
        if " serve" in line:
            while "Ctrl-C" not in started:
                piece = process.stdout.readline()
                if not piece:
                    break
                started += piece
            process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=support.WAIT_SECONDS_MAX)
        self.assertEqual(process.returncode, 0, f"{line}\n{output}{errors}")
        self.assertTrue(started + output, line)

    def test_every_command_has_help_with_an_example_that_works(self):
        general = run("--help").stdout
        for command in COMMANDS:
            with self.subTest(command=command):
                self.assertRegex(general, rf"(?m)^  {command} ")
                done = run(command, "--help")
                self.assertEqual(done.returncode, 0)
                found = examples(done.stdout)
                self.assertTrue(found, f"no example for {command}")
                for line in found:
                    self.run_example(line)

    def test_the_programs_own_examples_work(self):
        found = examples(run("--help").stdout)
        self.assertTrue(found)
        for line in found:
            self.run_example(line)

    def test_no_command_is_left_out(self):
        listed = run("--help").stdout.partition("Subcommands:")[2].partition("\n\n")[0]
        self.assertEqual(set(re.findall(r"(?m)^  (\w+)", listed)), set(COMMANDS))


if __name__ == "__main__":
    support.main()
