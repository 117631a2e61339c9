#!/usr/bin/env python3
"""`onnx-local launch claude` with a stand-in for the client: cli_launch_test.py PROGRAM GGUF.

The stand-in is a script named `claude` that writes down what it was given; the real client runs in
tests/clients.
"""

import http.server
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import support
from support import MODEL, PROGRAM, Server, free_port, run

CLIENT = f"""#!{shutil.which("python3")}
import json, os, signal, sys, urllib.request

def ended(number, frame):
    print("signal", number, flush=True)
    sys.exit(40 + number)

signal.signal(signal.SIGTERM, ended)
signal.signal(signal.SIGINT, ended)
base = os.environ["ANTHROPIC_BASE_URL"]
with urllib.request.urlopen(base + "/health") as answer:
    health = json.load(answer)
print(json.dumps({{"arguments": sys.argv[1:], "variables": dict(os.environ), "health": health}}),
      flush=True)
if "--wait" in sys.argv:
    signal.pause()
sys.exit(int(os.environ.get("CLIENT_EXIT_CODE", "0")))
"""


class Launch(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.scratch)
        client = self.scratch / "bin" / "claude"
        client.parent.mkdir()
        client.write_text(CLIENT)
        client.chmod(0o755)
        self.variables = {"PATH": f"{client.parent}:{os.environ['PATH']}"}

    def launch(self, *arguments, **variables):
        return run("launch", *arguments, variables={**self.variables, **variables})

    def assert_free(self, port):
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(("127.0.0.1", port)), 0, "a server was left behind")

    def test_starts_a_server_runs_the_client_and_stops_the_server(self):
        port = free_port()
        done = self.launch("claude", "--port", port, "--bare", "-p", "a 'quoted' word", "--port", "7",
                           CLIENT_EXIT_CODE="5", ANTHROPIC_API_KEY="a real one", NO_PROXY="intranet")
        self.assertEqual(done.returncode, 5, done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual(seen["arguments"], ["--bare", "-p", "a 'quoted' word", "--port", "7"])
        self.assertEqual(seen["health"]["status"], "ready")
        variables = seen["variables"]
        self.assertEqual(variables["ANTHROPIC_BASE_URL"], f"http://127.0.0.1:{port}")
        for name in ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL",
                     "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL"):
            self.assertEqual(variables[name], f"onnx-local/{MODEL}", name)
        self.assertEqual(variables["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "8192")
        self.assertEqual(variables["CLAUDE_CODE_MAX_OUTPUT_TOKENS"], "2048")
        self.assertNotIn("ANTHROPIC_API_KEY", variables)
        self.assertIn("127.0.0.1", variables["NO_PROXY"])
        self.assert_free(port)

    def test_uses_the_server_that_runs_and_leaves_it(self):
        with Server("--context", "4096") as server:
            server.wait_until_ready()
            port = server.url.rpartition(":")[2]
            seen = json.loads(self.launch("--port", port, "claude", "-p", "x").stdout)
            self.assertEqual(seen["variables"]["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "4096")
            self.assertEqual(server.get("/health")[1]["status"], "ready")
            done = self.launch("claude", "--port", port, "--model", "another", "-p", "x")
            self.assertEqual(done.returncode, 1)
            self.assertIn(MODEL, done.stderr)

    def test_print_shows_lines_for_a_shell_and_starts_nothing(self):
        port = free_port()
        done = self.launch("claude", "--print", "--port", port)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_free(port)
        shell = subprocess.run(["sh", "-c", done.stdout + "env"], capture_output=True, text=True,
                               check=True, env={**self.variables, "ANTHROPIC_API_KEY": "x"})
        self.assertIn(f"ANTHROPIC_BASE_URL=http://127.0.0.1:{port}\n", shell.stdout)
        self.assertNotIn("ANTHROPIC_API_KEY", shell.stdout)
        for line in done.stdout.splitlines():
            self.assertRegex(line, r"^(export [A-Za-z_]+='.*'|unset [A-Z_]+)$")
            self.assertTrue(shlex.split(line))

    def test_says_how_to_install_the_client(self):
        done = self.launch("claude", "--port", free_port(), PATH=str(self.scratch))
        self.assertEqual(done.returncode, 1)
        self.assertIn("npm install -g @anthropic-ai/claude-code", done.stderr)

    def test_a_port_that_another_program_has_is_told(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.settimeout(support.WAIT_SECONDS_MAX)
            port = listener.getsockname()[1]
            process = subprocess.Popen(
                [PROGRAM, "launch", "claude", "--port", str(port)], stderr=subprocess.PIPE, text=True,
                env=support.environment(**self.variables))
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            _, errors = process.communicate(timeout=support.WAIT_SECONDS_MAX)
            connection.close()
        self.assertEqual(process.returncode, 1)
        self.assertIn("is not onnx-local", errors)

    def test_a_server_that_wants_a_key_gets_the_users(self):
        asked = []

        class Guarded(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                asked.append(self.headers.get("x-api-key"))
                is_list = self.path.startswith("/v1/")
                model = {"id": "onnx-local/m", "max_input_tokens": 4096}
                body = json.dumps({"name": "onnx-local", "status": "ready", "data": [model]}).encode()
                self.send_response(401 if is_list and asked[-1] != "open sesame" else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        port = server.server_port
        refused = self.launch("claude", "--port", port, "--print")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("ONNX_LOCAL_API_KEY", refused.stderr)
        shown = self.launch("claude", "--port", port, "--print", ONNX_LOCAL_API_KEY="open sesame")
        self.assertIn("ANTHROPIC_AUTH_TOKEN='open sesame'", shown.stdout)
        self.assertIn("CLAUDE_CODE_MAX_CONTEXT_TOKENS='4096'", shown.stdout)

    def test_a_model_that_cannot_be_loaded_is_told(self):
        done = self.launch("claude", "--port", free_port(), "--model", "no-such-model", "-p", "x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-model", done.stderr)

    def test_signals_reach_the_client_and_the_server_is_stopped(self):
        port = free_port()
        process = subprocess.Popen([PROGRAM, "launch", "claude", "--port", str(port), "--wait"],
                                   env=support.environment(**self.variables), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn("arguments", process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=support.WAIT_SECONDS_MAX)
        self.assertEqual(process.returncode, 40 + signal.SIGTERM, errors)
        self.assertRegex(output, r"signal 15")
        self.assert_free(port)

    def test_a_small_window_is_told(self):
        done = self.launch("claude", "--port", free_port(), "-p", "x")
        self.assertRegex(done.stderr, re.compile("window of 8192 tokens.*--bare", re.S))


if __name__ == "__main__":
    support.main()
