#!/usr/bin/env python3
"""PDF files in requests, and the child that reads them: cli_pdf_test.py PROGRAM GGUF."""

import base64
import pathlib
import subprocess
import unittest

import support

DOCUMENTS = pathlib.Path(__file__).resolve().parents[1] / "data" / "documents"
HELLO = (DOCUMENTS / "hello.pdf").read_bytes()
EMPTY = (DOCUMENTS / "empty.pdf").read_bytes()
CIRCULAR = (DOCUMENTS / "circular_page_tree.pdf").read_bytes()  # libFuzzer's: read without end.


def pdf_text(data):
    return subprocess.run([support.PROGRAM, "pdf-text"], input=data, capture_output=True, check=False,
                          timeout=support.WAIT_SECONDS_MAX, env={})


def request(data):
    source = {"type": "base64", "media_type": "application/pdf",
              "data": base64.b64encode(data).decode()}
    return {"model": support.MODEL, "max_tokens": 4, "messages": [
        {"role": "user", "content": [{"type": "document", "source": source},
                                     {"type": "text", "text": "What does it say?"}]}]}


class Child(unittest.TestCase):
    def test_writes_the_text(self):
        child = pdf_text(HELLO)
        self.assertEqual(child.returncode, 0)
        self.assertIn(b"Hello from a PDF", child.stdout)

    def test_says_why_there_is_none(self):
        for data, why in [(EMPTY, b"holds no text"), (b"hello", b"no PDF"), (HELLO[:300], b"PDF")]:
            child = pdf_text(data)
            self.assertEqual(child.returncode, 3)
            self.assertIn(why, child.stdout)


class Requests(unittest.TestCase):
    def test_have_the_text_of_their_pdf_files(self):
        with support.Server() as server:
            server.wait_until_ready()
            count = "/v1/messages/count_tokens"
            status, with_text = server.post(count, request(HELLO))
            self.assertEqual(status, 200)
            self.assertGreater(with_text["input_tokens"], 20)
            self.assertEqual(server.post("/v1/messages", request(HELLO))[0], 200)
            status, refused = server.post("/v1/messages", request(EMPTY))
            self.assertEqual(status, 400)
            self.assertIn("holds no text", refused["error"]["message"])

    def test_are_refused_where_a_file_is_read_without_end(self):
        with support.Server() as server:
            server.wait_until_ready()
            status, refused = server.post("/v1/messages", request(CIRCULAR))
            self.assertEqual(status, 400)
            self.assertIn("PDF", refused["error"]["message"])
            self.assertEqual(server.post("/v1/messages", request(HELLO))[0], 200)


if __name__ == "__main__":
    support.main()
