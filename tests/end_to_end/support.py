"""What the tests of the program share: PROGRAM and GGUF come from the command line."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from waiting import WAIT_SECONDS_MAX, wait_until  # noqa: E402

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
GGUF = pathlib.Path(sys.argv[2]).resolve()
MODEL = "smollm2-135m-instruct"

# What decides how the program runs; a test sets what it wants.
OUR_VARIABLES = re.compile("^(ONNX_(?!LOCAL_HOME)|PROVIDER$|USE_ONNX$|XDG_)")


def environment(**changes):
    clean = {name: text for name, text in os.environ.items() if not OUR_VARIABLES.match(name)}
    clean["HOME"] = os.environ["ONNX_LOCAL_HOME"]  # No settings of whoever runs the tests.
    return {**clean, **changes}


def run(*arguments, text="", variables=None, folder=None):
    """The finished process: returncode, stdout, stderr."""
    return subprocess.run([PROGRAM, *map(str, arguments)], input=text, capture_output=True, text=True,
                          timeout=WAIT_SECONDS_MAX, env=environment(**(variables or {})), cwd=folder,
                          check=False)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """`onnx-local serve` on a free port, for a `with` block."""

    def __init__(self, *arguments, variables=None):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--port", "0", *map(str, arguments)], env=environment(**(variables or {})),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.banner = ""
        while "Ctrl-C" not in self.banner:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError("the server ended: " + self.process.stderr.read())
            self.banner += line
        self.url = re.search(r"http://[^/\s]+", self.banner).group(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=WAIT_SECONDS_MAX)

    def get(self, path):
        """(status, JSON)."""
        return self.request(urllib.request.Request(self.url + path))

    def post(self, path, body):
        return self.request(urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}))

    def request(self, request):
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS_MAX) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def wait_until_ready(self):
        wait_until(lambda: "ready" in json.dumps(self.get("/health")[1]), "the model is loaded")

    def stop(self, signal):
        """Its exit code and what it wrote on standard error."""
        self.process.send_signal(signal)
        _, errors = self.process.communicate(timeout=WAIT_SECONDS_MAX)
        return self.process.returncode, errors


def main():
    unittest.main(argv=sys.argv[:1], verbosity=2)
