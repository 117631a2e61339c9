#!/usr/bin/env python3
"""Starts the servers that agent_sdk_test.mjs asks: agent_sdk_test.py SCRIPTED_SERVER."""

import pathlib
import subprocess
import sys
import tempfile

from support import HERE, WAIT_SECONDS_MAX, Server, call, clean_environment, write_script

ADD = call("mcp__local__add", a=40, b=2)
ANSWER = ("^42$", "It is forty-two.")
DIRECT = [ANSWER, ("Add the numbers", ADD)]
DEFERRED = [ANSWER, ("Add the numbers", call("ToolSearch", query="select:mcp__local__add")),
            ("mcp__local__add|Tool loaded|^$", ADD)]


def main():
    with tempfile.TemporaryDirectory() as scratch:
        urls = []
        servers = []
        try:
            for name, rules in (("direct", DIRECT), ("deferred", DEFERRED)):
                folder = pathlib.Path(scratch) / name
                folder.mkdir()
                script = write_script(folder, rules)
                servers.append(Server([sys.argv[1], "--port", "0", "--script", script]))
                urls.append(servers[-1].url)
            done = subprocess.run(["node", HERE / "agent_sdk_test.mjs", *urls], check=False,
                                  timeout=WAIT_SECONDS_MAX, env=clean_environment())
        finally:
            for server in servers:
                server.__exit__()
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
