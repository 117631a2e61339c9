#!/usr/bin/env python3
"""The interactive chat on a pseudo-terminal, Ctrl-C and all: cli_chat_test.py PROGRAM GGUF."""

import os
import pathlib
import pty
import select
import tempfile
import time
import unittest

import support
from support import PROGRAM

PROMPT = ">>> "
CTRL_C, CTRL_D = "\x03", "\x04"
LONG = "Write a very long story about the sea, with many chapters."


class Chat:
    """`onnx-local run` on a terminal of its own."""

    def __init__(self, *arguments, **variables):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.execve(PROGRAM, [str(PROGRAM), "run", *arguments],
                      support.environment(TERM="xterm", **variables))
        self.seen = ""

    def close(self):
        if self.process is not None:
            os.kill(self.process, 9)
            os.waitpid(self.process, 0)
        os.close(self.terminal)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def read_until(self, text):
        """What came up to `text`, which is taken away with it."""
        end = time.monotonic() + support.WAIT_SECONDS_MAX
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} came; there was: {self.seen!r}")
            try:
                piece = os.read(self.terminal, 65536)
            except OSError:  # The program has ended, and its terminal with it.
                piece = b""
            if not piece:
                raise AssertionError(f"it ended without {text!r}; there was: {self.seen!r}")
            self.seen += piece.decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def say(self, line):
        """The answer to a line, its echo left out."""
        self.type(line + "\n")
        self.read_until("\n")
        return self.read_until(PROMPT)

    def exit_code(self):
        while True:
            try:
                if not os.read(self.terminal, 65536):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.process, 0)
        self.process = None
        return os.waitstatus_to_exitcode(status)


class Interactive(unittest.TestCase):
    def start(self, *arguments):
        chat = Chat("--temperature", "0", *(arguments or ("--max-tokens", "40")))
        self.addCleanup(chat.close)
        self.greeting = chat.read_until(PROMPT)
        return chat

    def test_the_conversion_of_a_first_load_is_shown(self):
        model = pathlib.Path(os.environ["ONNX_LOCAL_HOME"]) / "models" / support.MODEL
        with tempfile.TemporaryDirectory() as home:
            chat = Chat("--ep", "cpu", ONNX_LOCAL_HOME=home, ONNX_MODEL_PATH=str(model))
            self.addCleanup(chat.close)
            chat.read_until("8-bit weights")
            chat.read_until(PROMPT)

    def test_a_conversation_has_a_memory_until_it_is_cleared(self):
        chat = self.start()
        self.assertIn("smollm2-135m-instruct", self.greeting)
        self.assertIn("Paris", chat.say("Name the capital of France."))
        self.assertIn("tokens/s", chat.say("/stats"))
        chat.say("Thank you.")
        longer = int(chat.say("/stats").split("prompt ")[1].split()[0])
        self.assertIn("new conversation", chat.say("/clear"))
        chat.say("Thank you.")
        shorter = int(chat.say("/stats").split("prompt ")[1].split()[0])
        self.assertLess(shorter, longer)
        chat.type("/exit\n")
        self.assertEqual(chat.exit_code(), 0)

    def test_commands_help(self):
        chat = self.start()
        for command in ("/clear", "/system", "/stats", "/exit"):
            self.assertIn(command, chat.say("/help"))
        self.assertIn("/nonsense", chat.say("/nonsense"))
        self.assertIn("no answer yet", chat.say("/stats"))
        self.assertIn("no system prompt", chat.say("/system"))
        chat.say("/system Be brief.")
        self.assertIn("Be brief.", chat.say("/system"))
        chat.type(CTRL_D)
        self.assertEqual(chat.exit_code(), 0)

    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        chat = self.start("--max-tokens", "4000")
        chat.type(LONG + "\n")
        chat.read_until("\n")
        support.wait_until(lambda: select.select([chat.terminal], [], [], 1)[0], "the answer begins")
        chat.type(CTRL_C)
        chat.read_until("(stopped)")
        chat.read_until(PROMPT)
        self.assertIn("Paris", chat.say("Name the capital of France."))
        chat.type(CTRL_D)
        self.assertEqual(chat.exit_code(), 0)

    def test_a_second_ctrl_c_at_the_prompt_leaves(self):
        chat = self.start()
        chat.type("half a line" + CTRL_C)
        chat.read_until("Ctrl-C again")
        chat.read_until(PROMPT)
        chat.type(CTRL_C)
        self.assertEqual(chat.exit_code(), 130)


if __name__ == "__main__":
    support.main()
