"""Runs the `check_` methods of an object, as checks.mjs does functions."""

import sys


def run_checks(checks):
    """Prints a line per check, and ends this process: 1 where one failed."""
    failed = 0
    for name in (name for name in dir(checks) if name.startswith("check_")):
        try:
            getattr(checks, name)()
            print("ok", name, flush=True)
        except Exception as error:  # A check that fails must not hide the others.
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)
