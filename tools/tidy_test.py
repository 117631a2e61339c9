#!/usr/bin/env python3
"""Each rule of tools/tidy finds what it is for and leaves the rest alone, in small trees made here."""

import importlib.machinery
import importlib.util
import os
import tempfile
import unittest

TOOLS = os.path.dirname(os.path.abspath(__file__))


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(TOOLS, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


tidy = load("tidy")

TABLE = """
| folder | what | may include (besides `base`) |
|---|---|---|
| `src/base` | floor | nothing of ours |
| `src/model` | middle | - |
| `src/server` | top | model |
| `src/cli` | roof | all of these |
| `ep/cpu` | cellar | nothing of ours |
| `ep/rows` | stair | cpu |
"""


class Tidy(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.write("docs/architecture.md", TABLE)

    def write(self, path, text):
        full = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        parts = path.split("/")
        if parts[0] in ("src", "ep") and parts[-1] != "README.md":
            readme = os.path.join(self.folder.name, parts[0], parts[1], "README.md")
            if not os.path.exists(readme):
                self.write(f"{parts[0]}/{parts[1]}/README.md", "What lives here.\n")

    def rules(self):
        """(path, rule) of what is found."""
        findings, _ = tidy.check(self.folder.name)
        return [(finding.path, finding.rule) for finding in findings]

    def assert_fine(self):
        self.assertEqual(self.rules(), [])

    def assert_found(self, path, rule):
        self.assertEqual(self.rules(), [(path, rule)])

    def code(self, line, path="src/model/a.cpp"):
        self.write(path, line + "\n")

    def test_an_allowed_include_is_fine(self):
        self.write("src/base/a.h", "#pragma once\n")
        self.write("src/model/b.h", '#pragma once\n#include "base/a.h"\n')
        self.write("src/server/c.cpp", '#include "model/b.h"\n#include "base/a.h"\n')
        self.write("src/cli/d.cpp", '#include "model/b.h"\n')
        self.assert_fine()

    def test_an_include_against_the_direction_is_found(self):
        self.write("src/server/a.h", "#pragma once\n")
        self.code('#include "server/a.h"')
        self.assert_found("src/model/a.cpp", "include-direction")

    def test_base_includes_nothing_of_ours(self):
        self.write("src/model/a.h", "#pragma once\n")
        self.code('#include "model/a.h"', "src/base/b.cpp")
        self.assert_found("src/base/b.cpp", "include-direction")

    def test_the_provider_includes_downwards_and_nothing_of_src(self):
        self.write("src/base/a.h", "#pragma once\n")
        self.write("ep/cpu/a.h", "#pragma once\n")
        self.write("ep/rows/a.h", "#pragma once\n")
        self.code('#include "cpu/a.h"\n#include "plugin/names.h"', "ep/rows/a.cpp")
        self.assert_fine()
        self.code('#include "rows/a.h"', "ep/cpu/a.cpp")
        self.assert_found("ep/cpu/a.cpp", "include-direction")
        self.code('#include "base/a.h"', "ep/cpu/a.cpp")
        self.assert_found("ep/cpu/a.cpp", "include-path")

    def test_an_include_without_its_folder_is_found(self):
        self.write("src/model/a.h", "#pragma once\n")
        self.code('#include "a.h"', "src/model/b.cpp")
        self.assert_found("src/model/b.cpp", "include-path")

    def test_a_cycle_of_headers_is_found(self):
        self.write("src/model/a.h", '#pragma once\n#include "model/b.h"\n')
        self.write("src/model/b.h", '#pragma once\n#include "model/a.h"\n')
        self.assert_found("src/model/a.h", "include-cycle")

    def test_a_cycle_in_the_table_is_found(self):
        self.write("docs/architecture.md", TABLE.replace("| middle | - |", "| middle | server |"))
        self.assert_found("docs/architecture.md", "table-cycle")

    def test_a_folder_that_the_table_does_not_name_is_found(self):
        self.write("src/extra/a.cpp", "int x;\n")
        self.assert_found("src/extra", "table-cycle")

    def test_a_readme_has_one_line(self):
        self.write("src/model/a.cpp", "int x;\n")
        self.write("src/model/README.md", "One.\n\nTwo.\n")
        self.assert_found("src/model/README.md", "folder-readme")

    def test_third_parties_have_one_door(self):
        for line in ("#include <onnxruntime_c_api.h>", "#include <boost/asio.hpp>",
                     "#include <boost/json.hpp>", "#include <curl/curl.h>",
                     "#include <openssl/evp.h>", "#include <format>"):
            with self.subTest(line):
                self.code(line)
                self.assert_found("src/model/a.cpp", "door")

    def test_the_doors_themselves_are_open(self):
        self.code("#include <boost/json.hpp>", "src/base/json.cpp")
        self.code("#include <boost/beast.hpp>", "src/server/b.cpp")
        self.code("#include <onnx/onnx_pb.h>", "src/model/c.cpp")
        self.assert_fine()

    def test_banned_calls_are_found(self):
        for line in ('std::printf("x");', 'fprintf(stderr, "x");', 'puts("x");', "std::cout << 1;",
                     'system("ls");', 'auto f = popen("ls", "r");', "auto* p = new Thing();",
                     "delete p;", "delete[] p;", "exit(1);", "std::abort();", "strcpy(a, b);",
                     "sprintf(a, b);", "std::stoi(text);", "thread.detach();", "assert(x);",
                     'getenv("HOME");', 'throw Error("x");', "rand();", "malloc(3);"):
            with self.subTest(line):
                self.code(line)
                self.assert_found("src/model/a.cpp", "banned")

    def test_what_only_looks_like_a_banned_call_is_fine(self):
        for line in ("// printf(x); new Thing; exit(1);", 'auto s = "delete p; system(x)";',
                     "auto s = R\"(exit(1) \"new x\")\";", "Thing(const Thing&) = delete;",
                     "writer.exit(1);", "const auto& system() const;", "request.system();",
                     "boost::asio::detached;", "int news = 1;", "co_spawn(x, detached);",
                     "static_assert(x);", "char c = '\"'; // exit(1)", "auto n = 1'000'000;",
                     "set_terminate(x);", "catch (...) { throw; }",
                     "return std::unique_ptr<Engine>(new Engine(x));",
                     "return std::unique_ptr<Engine>(\n    new Engine(x));"):
            with self.subTest(line):
                self.code(line)
                self.assert_fine()

    def test_the_command_line_may_print(self):
        self.code('fmt::print("x");', "src/cli/a.cpp")
        self.assert_fine()

    def test_tests_do_not_sleep(self):
        self.code("std::this_thread::sleep_for(x);", "src/model/a_test.cpp")
        self.assert_found("src/model/a_test.cpp", "test-sleep")

    def test_long_lines_and_files_are_found(self):
        self.code("// " + "é" * 98)
        self.assert_found("src/model/a.cpp", "line-length")
        self.write("src/model/a.cpp", "\n" * 501)
        self.assert_found("src/model/a.cpp", "file-length")

    def test_tests_may_be_longer(self):
        self.write("src/model/a_test.cpp", "\n" * 800)
        self.assert_fine()

    def test_files_are_named_in_snake_case(self):
        self.code("int x;", "src/model/someFile.cpp")
        self.assert_found("src/model/someFile.cpp", "file-name")

    def test_a_header_is_included_once_and_says_what_a_class_is_for(self):
        self.write("src/model/a.h", "int x;\n")
        self.assert_found("src/model/a.h", "pragma-once")
        self.write("src/model/a.h", "#pragma once\nclass A {\n};\n")
        self.assert_found("src/model/a.h", "header-docs")
        self.write("src/model/a.h",
                   "#pragma once\nclass B;\n/// Holds.\ntemplate <class T>\nclass A {\n};\n")
        self.assert_fine()

    def test_notes_to_self_and_paths_of_one_machine_are_found(self):
        self.write("docs/a.md", "TO" + "DO: write\n")
        self.assert_found("docs/a.md", "unfinished")
        self.write("docs/a.md", "see /ho" + "me/ann/model\n")
        self.assert_found("docs/a.md", "one-machine")

    def test_an_excuse_with_a_reason_counts(self):
        self.code("delete p;  // tidy: allow(banned) the C library gave it")
        self.assert_fine()
        self.code("// tidy: allow(banned) the C library gave it\ndelete p;")
        self.assert_fine()
        self.code("// tidy: allow-file(banned) the C library's memory\n\n\n\ndelete p;")
        self.assert_fine()

    def test_an_excuse_without_a_reason_is_found(self):
        self.code("int x;  // tidy: allow(banned)")
        self.assert_found("src/model/a.cpp", "allow-reason")

    def test_the_project_itself_has_a_table(self):
        table = tidy.include_table(os.path.dirname(TOOLS))
        self.assertIn("engine", table)
        self.assertEqual(table["base"], set())
        self.assertNotIn("server", table["engine"])
        self.assertIsNone(tidy.find_cycle(table))


if __name__ == "__main__":
    unittest.main()
