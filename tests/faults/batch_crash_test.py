#!/usr/bin/env python3
"""Batches survive kill -9.

Here's how it works: a real server runs batches, and is killed again and again at moments that a
seed chooses: while a batch is being sent, right after it was accepted, while its results are
written, after a cancel. Each kill is followed by a new server on the same folder. In the end every
batch that was accepted must be there, ended, with exactly one result for each of its requests.

  batch_crash_test.py [--kills N] [--seed S] COMMAND...   {folder} in COMMAND is where batches are;
                                                          it must print a URL once it answers
"""

import argparse
import http.client
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE_S = 60
CHECK_EVERY = 50
REQUESTS_MAX = 12


class Killed(Exception):
    """The server went away under a call."""


class Server:
    """A process that answers; `kill` ends it as the kernel would."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                # Its log goes on: a pipe that nobody reads would stop it.
                self.reader = threading.Thread(target=self.process.stdout.read)
                self.reader.start()
                return
        raise AssertionError(f"{command} ended with {self.process.wait()} and no URL")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body and json.dumps(body),
                               {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Killed(str(error)) from error
        finally:
            connection.close()


class Run:
    """One seed's story."""

    def __init__(self, command, seed):
        self.command = command
        self.random = random.Random(seed)
        self.accepted = {}  # Batch id -> its custom ids.
        self.cancelled = set()
        self.names = 0

    def new_requests(self):
        self.names += 1
        return [{"custom_id": f"b{self.names}-r{i}",
                 "params": {"model": "claude-any", "max_tokens": 4,
                            "messages": [{"role": "user", "content": f"Say {i}."}]}}
                for i in range(self.random.randint(1, REQUESTS_MAX))]

    def create(self, server):
        requests = self.new_requests()
        status, body = server.call("POST", "/v1/messages/batches", {"requests": requests})
        assert status == 200, body
        batch = json.loads(body)
        self.accepted[batch["id"]] = [request["custom_id"] for request in requests]
        return batch["id"]

    def work_until_killed(self, server, kill_soon):
        """Makes, watches and cancels batches until somebody kills the server."""
        try:
            while True:
                batch = self.create(server)
                wanted = self.random.randint(0, len(self.accepted[batch]))
                while True:
                    status, body = server.call("GET", f"/v1/messages/batches/{batch}")
                    assert status == 200, body
                    read = json.loads(body)
                    done = sum(read["request_counts"].values()) - read["request_counts"]["processing"]
                    if read["processing_status"] == "ended" or done >= wanted:
                        break
                kill_soon.set()
                if self.random.random() < 0.2:
                    self.cancelled.add(batch)
                    server.call("POST", f"/v1/messages/batches/{batch}/cancel")
        except Killed:
            kill_soon.set()

    def one_life(self):
        server = Server(self.command)
        kill_soon = threading.Event()
        if self.random.random() < 0.2:
            kill_soon.set()  # A moment so early that the first batch may not be there yet.
        jitter_s = self.random.random() * 0.03
        client = threading.Thread(target=self.work_until_killed, args=(server, kill_soon))
        client.start()
        assert kill_soon.wait(PATIENCE_S), "no batch got anywhere"
        threading.Event().wait(jitter_s)
        server.kill()
        client.join(PATIENCE_S)
        assert not client.is_alive(), "a call outlived its server"

    def listed(self, server):
        """All batches that the server has, page by page."""
        found, after = [], ""
        while True:
            status, body = server.call("GET", f"/v1/messages/batches?limit=100{after}")
            assert status == 200, body
            page = json.loads(body)
            found += page["data"]
            if not page["has_more"]:
                return found
            after = "&after_id=" + page["last_id"]

    def check_in_peace(self):
        server = Server(self.command)
        try:
            return self.check(server)
        finally:
            server.kill()

    def check(self, server):
        deadline = time.monotonic() + PATIENCE_S
        while any(batch["processing_status"] != "ended" for batch in self.listed(server)):
            assert time.monotonic() < deadline, "batches never end"
        batches = {batch["id"]: batch for batch in self.listed(server)}
        lost = set(self.accepted) - set(batches)
        assert not lost, f"accepted and lost: {sorted(lost)}"
        for name, batch in batches.items():
            status, body = server.call("GET", f"/v1/messages/batches/{name}/results")
            assert status == 200, body
            lines = [json.loads(line) for line in body.splitlines()]
            ids = [line["custom_id"] for line in lines]
            assert len(ids) == len(set(ids)), f"{name}: a result is there twice: {sorted(ids)}"
            counts = batch["request_counts"]
            assert counts["processing"] == 0 and sum(counts.values()) == len(ids), (counts, ids)
            # One that was sent when the server died may be there too, and is then whole.
            assert sorted(ids) == sorted(self.accepted.get(name, ids)), (name, ids)
            for line in lines:
                kind = line["result"]["type"]
                allowed = ("succeeded", "canceled") if name in self.cancelled else ("succeeded",)
                assert kind in allowed, (name, line)
        return sum(len(ids) for ids in self.accepted.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="batch_crash_")
    command = [word.replace("{folder}", folder) for word in arguments.command]
    run = Run(command, arguments.seed)
    try:
        for life in range(arguments.kills):
            # A key may have so many open batches: they end from time to time.
            if life % CHECK_EVERY == CHECK_EVERY - 1:
                run.check_in_peace()
            run.one_life()
        requests = run.check_in_peace()
    except AssertionError as error:
        print(f"seed {arguments.seed}: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert len(run.accepted) >= arguments.kills // 2, "too few batches to mean anything"
    print(f"seed {arguments.seed}: {arguments.kills} kills, {len(run.accepted)} batches with "
          f"{requests} requests: none lost, none twice")
    return 0


if __name__ == "__main__":
    sys.exit(main())
