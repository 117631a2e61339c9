"""What the tests of the real clients share: servers, a proxy that notes, Claude Code without a trace
of whoever runs the tests."""

import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from waiting import wait_until  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLAUDE = HERE / "node_modules" / ".bin" / "claude"
DEFAULT_MODEL = "smollm2-135m-instruct"
LONG_MODEL = "smollm2-135m-instruct-32k"
LONG_TOKENS = 32768
WAIT_SECONDS_MAX = 300  # For a whole run of a client.
OURS = re.compile("^(ONNX_|PROVIDER$|USE_ONNX$|ANTHROPIC_|CLAUDE|DISABLE_|XDG_)")


def clean_environment(**changes):
    """No settings of whoever runs the tests, of the server or of the client."""
    clean = {name: text for name, text in os.environ.items() if not OURS.match(name)}
    if "ONNX_LOCAL_HOME" in os.environ:
        clean["ONNX_LOCAL_HOME"] = os.environ["ONNX_LOCAL_HOME"]
    return {**clean, **{name: str(text) for name, text in changes.items()}}


def get_json(url):
    try:
        with urllib.request.urlopen(url, timeout=WAIT_SECONDS_MAX) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


class Server:
    """A server on a free port, for a `with` block."""

    def __init__(self, command, **variables):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.errors, text=True, env=clean_environment(**variables))
        self.url = None
        while self.url is None:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError("the server ended: " + self.said())
            found = re.search(r"http://[\w.:]+\d", line)
            self.url = found and found.group(0)
        # Whatever else it says must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def wait_until_ready(self):
        wait_until(lambda: get_json(self.url + "/health")["status"] == "ready", "the model is loaded")
        return self

    def model(self):
        return get_json(self.url + "/v1/models")["data"][0]["id"]

    def stop(self):
        """As a user would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS_MAX)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WAIT_SECONDS_MAX)
        self.process.stdout.close()
        self.errors.close()


def serve(program, model, *arguments, **variables):
    server = Server([program, "serve", "--port", "0", "--model", model, *arguments], **variables)
    return server.wait_until_ready()


def make_long_model(program):
    """The default model with a window of 32k tokens, once in a store."""
    listed = subprocess.run([program, "list", "--json"], capture_output=True, check=True,
                            env=clean_environment())
    models = {model["name"]: model for model in json.loads(listed.stdout)["models"]}
    if LONG_MODEL not in models or models[LONG_MODEL]["problem"]:
        gguf = ROOT / ".deps" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
        subprocess.run([program, "import", gguf, "--context", str(LONG_TOKENS), "--name", LONG_MODEL],
                       check=True, stdout=subprocess.DEVNULL, env=clean_environment())
    return LONG_MODEL


class Noted:
    """One request that went through the proxy, and what its answer said."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers = method, path, headers
        self.body = json.loads(body) if body else {}
        self.bytes = len(body or b"")
        self.status = 0
        self.began = time.monotonic()
        self.first_token_seconds = None
        self.usage = {}
        self.stop_reason = None

    def is_message(self):
        return self.method == "POST" and self.path.partition("?")[0] == "/v1/messages"

    def note(self, line):
        if b"content_block_delta" in line and self.first_token_seconds is None:
            self.first_token_seconds = time.monotonic() - self.began
        if not line.startswith(b"data:"):
            return
        event = json.loads(line[5:])
        if event["type"] == "message_start":
            self.usage.update(event["message"]["usage"])
        if event["type"] == "message_delta":
            self.usage.update({k: v for k, v in event["usage"].items() if v is not None})
            self.stop_reason = event["delta"]["stop_reason"]

    def prompt_tokens(self):
        return sum(self.usage.get(name) or 0 for name in
                   ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))

    def cached_tokens(self):
        return self.usage.get("cache_read_input_tokens") or 0

    def tool_results(self):
        return [block for message in self.body.get("messages", [])
                if isinstance(message["content"], list)
                for block in message["content"] if block["type"] == "tool_result"]


class Proxy:
    """Between a client and a server, for a `with` block: notes what goes through and changes one
    thing. A small model rambles up to its limit; Claude Code then asks it to go on, three times, and
    fails. So `max_tokens` is shown as `end_turn`."""

    def __init__(self, url):
        self.target = urllib.parse.urlsplit(url)
        self.noted = []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                proxy.pass_on(self)

            do_GET = do_POST = do_HEAD = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def pass_on(self, handler):
        size = int(handler.headers.get("content-length") or 0)
        body = handler.rfile.read(size) if size else None
        noted = Noted(handler.command, handler.path, dict(handler.headers), body)
        self.noted.append(noted)
        hop = ("connection", "accept-encoding")  # The host stays: the server looks at it.
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in (*hop, "host")}
        connection = http.client.HTTPConnection(self.target.hostname, self.target.port,
                                                timeout=WAIT_SECONDS_MAX)
        handler.close_connection = True
        try:
            connection.request(handler.command, handler.path, body, headers)
            answer = connection.getresponse()
            noted.status = answer.status
            handler.send_response(answer.status)
            for name, text in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    handler.send_header(name, text)
            handler.send_header("connection", "close")
            handler.end_headers()
            while handler.command != "HEAD":
                line = answer.readline(1 << 20)
                if not line:
                    break
                line = line.replace(b'"stop_reason":"max_tokens"', b'"stop_reason":"end_turn"')
                noted.note(line)
                handler.wfile.write(line)
                handler.wfile.flush()
        except OSError:
            noted.status = noted.status or 502
        finally:
            connection.close()

    def messages(self):
        return [noted for noted in self.noted if noted.is_message()]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Project:
    """A folder to work in and a home, for a `with` block; Claude Code runs there."""

    def __init__(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="onnx-local-clients-"))
        self.folder = self.scratch / "project"
        self.home = self.scratch / "home"
        self.folder.mkdir()
        self.home.mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.scratch, ignore_errors=True)

    def variables(self, url, model, window, output=128):
        """Of Claude Code: section "Claude Code" of docs/cli.md."""
        models = {f"ANTHROPIC_DEFAULT_{size}_MODEL": model for size in ("HAIKU", "SONNET", "OPUS")}
        return {"HOME": self.home, "TERM": "dumb", "LANG": "C.UTF-8", "ANTHROPIC_BASE_URL": url,
                "ANTHROPIC_AUTH_TOKEN": "local", "ANTHROPIC_MODEL": model, **models,
                "ANTHROPIC_SMALL_FAST_MODEL": model, "CLAUDE_CODE_MAX_CONTEXT_TOKENS": window,
                "CLAUDE_CODE_MAX_OUTPUT_TOKENS": output, "CLAUDE_CODE_MAX_RETRIES": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "CLAUDE_CODE_ATTRIBUTION_HEADER": "0", "API_TIMEOUT_MS": WAIT_SECONDS_MAX * 1000}

    def claude(self, url, model, *arguments, window=8192, output=128):
        """The finished process of `claude ARGUMENTS`."""
        return subprocess.run(
            [CLAUDE, *map(str, arguments)], cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=WAIT_SECONDS_MAX, check=False,
            env=clean_environment(**self.variables(url, model, window, output)))


def call(name, **arguments):
    """A tool call as the scripted model writes it."""
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


def write_script(folder, rules, replies=("I have nothing to say.",)):
    """For `scripted_server`: pairs of a pattern of the last text or result, and what is said."""
    file = pathlib.Path(folder) / "script.json"
    file.write_text(json.dumps({"rules": [{"match": match, "say": say} for match, say in rules],
                                "replies": list(replies)}))
    return file


def results_of(text):
    """Claude Code's JSON output: one object, or an array of them."""
    found = json.loads(text)
    return found if isinstance(found, list) else [found]
