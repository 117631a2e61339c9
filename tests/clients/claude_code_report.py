"""What Claude Code's real first prompt and its second turn cost, before and after a restart of the
server. Used by claude_code_long_test.py and bench/claude_code."""

import support
from support import LONG_TOKENS, Project, Proxy

ROWS = (("first prompt", ("-p", "Say hello.")),
        ("second turn", ("--continue", "-p", "Say it again.")),
        ("another question", ("-p", "What is a lighthouse?")))
AFTER_RESTART = (("another question after a restart", ("-p", "What is a harbour?")),
                 ("its second turn", ("--continue", "-p", "Where is one?")))


BLOCK_TOKENS = 64  # A block of the cache, and the last token, may be computed again.


class Row:
    def __init__(self, name, noted, done):
        self.name, self.noted, self.done = name, noted, done
        self.prompt = noted.prompt_tokens()
        self.cached = noted.cached_tokens()
        self.computed = self.prompt - self.cached
        self.first_token_seconds = noted.first_token_seconds

    def fields(self):
        return {"what": self.name, "prompt_tokens": self.prompt, "cached_tokens": self.cached,
                "computed_tokens": self.computed, "first_token_s": round(self.first_token_seconds, 2),
                "answer_tokens": self.noted.usage.get("output_tokens")}


def ask(server, project, rows):
    """One `Row` for each, the first request of its run; fails where Claude Code does."""
    found = []
    for name, arguments in rows:
        with Proxy(server.url) as proxy:
            done = project.claude(proxy.url, server.model(), *arguments, window=LONG_TOKENS, output=64)
            if done.returncode != 0 or not done.stdout.strip():
                raise AssertionError(f"{name}: {done.stdout}\n{done.stderr}\n{server.said()}")
            noted = proxy.messages()[0]
            if noted.status != 200 or noted.first_token_seconds is None:
                raise AssertionError(f"{name}: status {noted.status}, {noted.usage}")
        found.append(Row(name, noted, done))
    return found


def measure(program, model):
    """All rows, from an empty cache; the server is restarted between the two groups."""
    with Project() as project:
        arguments = ("--cache-dir", project.scratch / "prefixes")
        with support.serve(program, model, *arguments) as server:
            rows = ask(server, project, ROWS)
            code = server.stop()
            if code != 0:
                raise AssertionError(f"the server ended with {code}: {server.said()}")
        with support.serve(program, model, *arguments) as server:
            rows += ask(server, project, AFTER_RESTART)
        return rows


def table(rows):
    head = ("request", "tokens", "cached", "computed", "first token")
    lines = [head] + [(row.name, str(row.prompt), str(row.cached), str(row.computed),
                       f"{row.first_token_seconds:.2f} s") for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in lines)
