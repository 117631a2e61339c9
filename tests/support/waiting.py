"""Waiting for what another process does."""

import time

WAIT_SECONDS_MAX = 120  # For anything that has to happen; nothing waits as long where it works.


def wait_until(is_so, what):
    """Looks again and again; the pause only spares the processor. Gives what `is_so` gave."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"did not happen in {WAIT_SECONDS_MAX} s: {what}")
