#!/usr/bin/env python3
"""Runs every command of the README as a reader would, from the top, and holds its figures.

    readme_test.py REPOSITORY

Here's how it works:
1. The `sh` blocks of README.md are taken in order; no line is left out.
2. `make run` is started in the background on a free port, and has to answer on /health; it is stopped by
   SIGTERM at the end, and has to exit 0. `make test` runs this file, so it is only asked for its plan.
3. Each other block is one shell script. It has to exit 0 and to print something.
4. Links to files of the repository have to exist; each figure in the measured comparison has to stand in
   docs/performance.md too.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

REPOSITORY = pathlib.Path(sys.argv.pop(1)).resolve()
README = (REPOSITORY / "README.md").read_text()
WAIT_SECONDS_MAX = 300


def shell_blocks(text):
    return [block.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.S)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Readme(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.scratch = tempfile.mkdtemp()
        clients = REPOSITORY / "tests" / "clients" / "node_modules" / ".bin"
        cls.environment = {
            **os.environ,
            "HOME": cls.scratch,
            "PATH": f"{clients}:{os.environ['PATH']}",
            "ONNX_PROXY_PORT": str(cls.port),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup")),
            "CARGO_HOME": os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo")),
        }
        cls.server = subprocess.Popen(
            ["make", "run"], cwd=REPOSITORY, env=cls.environment, start_new_session=True,
            stdout=subprocess.DEVNULL)
        cls.wait_until_healthy()

    @classmethod
    def wait_until_healthy(cls):
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            if cls.server.poll() is not None:
                raise AssertionError(f"`make run` ended with {cls.server.returncode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{cls.port}/health", timeout=5) as got:
                    if got.status == 200:
                        return
            except OSError:
                time.sleep(0.2)  # Between two looks at the condition.
        raise AssertionError("`make run` did not get healthy")

    @classmethod
    def tearDownClass(cls):
        os.killpg(cls.server.pid, signal.SIGTERM)
        cls.server.wait(30)
        shutil.rmtree(cls.scratch, ignore_errors=True)

    def run_block(self, block):
        script = block.replace("3001", str(self.port))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=REPOSITORY, env=self.environment,
            capture_output=True, text=True, timeout=WAIT_SECONDS_MAX, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stdout}\n{done.stderr}")
        self.assertTrue(done.stdout.strip(), f"printed nothing: {block}")
        return done.stdout

    def test_has_the_two_commands(self):
        lines = "\n".join(shell_blocks(README)).splitlines()
        commands = [line.split("#")[0].strip() for line in lines]
        self.assertIn("make run", commands)
        self.assertIn("make test", commands)
        plan = subprocess.run(["make", "-n", "test"], cwd=REPOSITORY, capture_output=True, text=True)
        self.assertEqual(plan.returncode, 0, plan.stderr)
        self.assertIn("ctest", plan.stdout)

    def test_every_other_block_runs(self):
        blocks = [block for block in shell_blocks(README) if "make run" not in block]
        self.assertGreaterEqual(len(blocks), 3)
        for block in blocks:
            with self.subTest(block=block):
                self.run_block(block)

    def test_links_lead_somewhere(self):
        links = re.findall(r"\]\(([^)#]+)\)", README)
        self.assertGreater(len(links), 3)
        for link in links:
            with self.subTest(link=link):
                self.assertTrue((REPOSITORY / link).exists())

    def test_figures_are_those_of_the_performance_page(self):
        performance = (REPOSITORY / "docs" / "performance.md").read_text()
        table = [line for line in README.splitlines() if line.startswith("|")][2:]
        figures = [figure for line in table for figure in re.findall(r"\d+(?:\.\d+)?", line)]
        self.assertGreaterEqual(len(figures), 6)
        for figure in figures:
            with self.subTest(figure=figure):
                self.assertIn(figure, performance)


if __name__ == "__main__":
    unittest.main(verbosity=2)
