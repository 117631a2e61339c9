#!/usr/bin/env python3
"""32 clients at once, a third of which vanish, five rounds; then SIGTERM while streams run.

vanishing_clients.py PROGRAM starts `PROGRAM serve` with the default model. What a vanished client
leaves in the prefix cache depends on when it is missed; so each prompt is answered to its end once,
and the cache holds all that any round can add to it. Between rounds the test waits until nothing
runs. It fails where resident memory or open descriptors after round 5 differ from
round 2 by more than 2 %, a slot stays taken, a client that stayed got no whole answer, or the
server does not end with 0 after SIGTERM. Needs Linux's /proc and Python alone."""
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from waiting import WAIT_SECONDS_MAX, wait_until  # noqa: E402

CLIENTS = 32
ROUNDS = 5
COMPARED_ROUND = 2
TOLERANCE = 0.02
OUTPUT_TOKENS = 8
VANISHING_OUTPUT_TOKENS = 64


class Server:
    def __init__(self, program):
        self.process = subprocess.Popen([program, "serve", "--port", "0"], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.port = None
        threading.Thread(target=self._read_output, daemon=True).start()
        wait_until(lambda: self.port, "the server's address")
        wait_until(lambda: self.health().get("status") == "ready", "the model")

    def _read_output(self):
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found and self.port is None:
                self.port = int(found.group(1))

    def health(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
                return json.load(answer)
        except OSError:
            return {}

    def is_quiet(self):
        queue = self.health().get("queue", {})
        return queue.get("running") == 0 and queue.get("queued") == 0

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        """The least of a second: the connection of the last look at /health may be closing."""
        counts = []
        end = time.monotonic() + 1
        while time.monotonic() < end:
            counts.append(len(os.listdir(f"/proc/{self.process.pid}/fd")))
            time.sleep(0.02)
        return min(counts)


def send_request(port, client, tokens):
    body = json.dumps({
        "model": "claude-any", "max_tokens": tokens, "temperature": 0, "stream": True,
        "messages": [{"role": "user", "content": f"Story number {client}, please."}]}).encode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS_MAX)
    connection.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return connection


def read_until(connection, text):
    received = b""
    while text not in received:
        piece = connection.recv(65536)
        if not piece:
            break
        received += piece
    return received


def vanish(connection, client):
    """Every third client: at once, at the first token, or by a reset in the middle."""
    how = (client // 3) % 3
    if how > 0:
        read_until(connection, b"content_block_delta")
    if how == 2:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def one_client(port, client, failures):
    try:
        if client % 3 == 0:
            vanish(send_request(port, client, VANISHING_OUTPUT_TOKENS), client)
            return
        stay(port, client, OUTPUT_TOKENS, failures)
    except OSError as error:
        failures.append(f"client {client}: {error}")


def stay(port, client, tokens, failures):
    connection = send_request(port, client, tokens)
    received = read_until(connection, b"event: message_stop")
    if b"event: message_stop" not in received:
        failures.append(f"client {client} got no whole answer: {received[-300:]!r}")
    connection.close()


def stay_to_the_end(port, client, failures):
    try:
        tokens = VANISHING_OUTPUT_TOKENS if client % 3 == 0 else OUTPUT_TOKENS
        stay(port, client, tokens, failures)
    except OSError as error:
        failures.append(f"client {client}: {error}")


def run_round(server, behave):
    failures = []
    clients = [threading.Thread(target=behave, args=(server.port, client, failures))
               for client in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not failures, failures
    wait_until(server.is_quiet, "slots to be free again")


def check_rounds(server):
    run_round(server, stay_to_the_end)
    measured = {}
    for number in range(1, ROUNDS + 1):
        run_round(server, one_client)
        measured[number] = (server.resident_bytes(), server.descriptors())
        print("round {}: {:.1f} MiB, {} descriptors".format(
            number, measured[number][0] / 2**20, measured[number][1]), flush=True)
    for before, after, what in zip(measured[COMPARED_ROUND], measured[ROUNDS],
                                   ("resident bytes", "descriptors")):
        print(f"{what}: {100 * (after / before - 1):+.2f} %", flush=True)
        assert abs(after - before) <= before * TOLERANCE, \
            f"{what}: {before} after round {COMPARED_ROUND}, {after} after round {ROUNDS}"
    assert server.health()["status"] == "ready"


def check_termination_under_load(server):
    streams = [send_request(server.port, client, 400) for client in range(8)]
    read_until(streams[0], b"content_block_delta")
    server.process.send_signal(signal.SIGTERM)
    for stream in streams:
        received = read_until(stream, b"\0")  # To the end.
        assert (b"message_stop" in received or b"event: error" in received
                or b"HTTP/1.1 503" in received), received[-300:]
    code = server.process.wait(timeout=WAIT_SECONDS_MAX)
    assert code == 0, f"exit code {code} after SIGTERM"
    print("SIGTERM under load: every stream was ended, exit code 0", flush=True)


def main():
    server = Server(sys.argv[1])
    try:
        check_rounds(server)
        check_termination_under_load(server)
    finally:
        server.process.kill()


if __name__ == "__main__":
    main()
