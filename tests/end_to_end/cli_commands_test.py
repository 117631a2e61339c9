#!/usr/bin/env python3
"""Each subcommand as a new user runs it: cli_commands_test.py PROGRAM GGUF."""

import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

import support
from support import GGUF, MODEL, PROGRAM, run

BENCH_KEYS = {"prefill_tokens_per_s", "decode_tokens_per_s", "load_ms", "model_load_ms",
              "first_token_ms", "resident_bytes"}


class Commands(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.scratch)

    def check(self, done, code=0):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def json_of(self, *arguments, code=0, **options):
        return json.loads(self.check(run(*arguments, "--json", **options), code).stdout)

    def own_home(self):
        return {"ONNX_LOCAL_HOME": str(self.scratch / "home")}

    # The program itself.

    def test_version(self):
        self.assertRegex(self.check(run("--version")).stdout, r"^onnx-local \d+\.\d+\.\d+\n$")

    def test_without_a_command_it_shows_the_help(self):
        self.assertIn("Subcommands:", self.check(run(), 2).stdout)

    def test_wrong_usage_is_exit_code_2_with_a_hint(self):
        done = self.check(run("lst"), 2)
        self.assertRegex(done.stderr, r"^onnx-local: .*lst")
        self.assertIn("--help", done.stderr)
        self.assertEqual(self.json_of("list", "--nope", code=2)["error"]["code"], "invalid_request")

    def test_a_bad_setting_names_where_it_came_from(self):
        done = self.check(run("list", variables={"ONNX_PROXY_PORT": "many"}), 2)
        self.assertIn("ONNX_PROXY_PORT", done.stderr)

    def test_the_settings_file_counts_and_unknown_keys_are_told(self):
        (self.scratch / "onnx-local.toml").write_text('port = 4000\nprot = 1\n')
        done = self.check(run("doctor", "--json", folder=self.scratch))
        self.assertIn('unknown setting "prot"', done.stderr)
        settings = {setting["key"]: setting for setting in json.loads(done.stdout)["settings"]}
        self.assertEqual(settings["port"], {"key": "port", "value": "4000", "origin": "onnx-local.toml"})

    def test_another_provider_is_refused_clearly(self):
        done = self.check(run("list", variables={"PROVIDER": "gemini"}), 2)
        self.assertIn("local models only", done.stderr)
        for variables in ({"PROVIDER": "onnx"}, {"USE_ONNX": "true"}):
            self.check(run("list", variables=variables))

    # Models.

    def test_import_list_show(self):
        done = self.check(run("import", GGUF, variables=self.own_home()))
        name = GGUF.stem.lower()
        self.assertIn(name, done.stdout)
        self.assertEqual(done.stderr, "", "no progress where standard error is no terminal")
        models = self.json_of("list", variables=self.own_home())["models"]
        self.assertEqual([model["name"] for model in models], [name])
        self.assertTrue(models[0]["default"])
        self.assertEqual(models[0]["problem"], "")
        shown = self.json_of("show", name, variables=self.own_home())
        self.assertEqual(shown["context_tokens"], 8192)
        self.assertEqual(shown["quantization"], "Q4_1")
        self.assertIn(name, self.check(run("list", variables=self.own_home())).stdout)
        self.assertIn("8192 tokens", self.check(run("show", variables=self.own_home())).stdout)

    def test_an_embedding_model_is_listed_and_shown_and_writes_no_text(self):
        data = pathlib.Path(__file__).parent.parent / "data" / "tiny_embedding"
        shutil.copytree(data, self.scratch / "home" / "models" / "vectors")
        entry, = self.json_of("list", variables=self.own_home())["models"]
        self.assertEqual((entry["name"], entry["kind"], entry["problem"]), ("vectors", "embedding", ""))
        shown = self.json_of("show", "vectors", variables=self.own_home())
        self.assertEqual([shown[key] for key in ("kind", "dimensions", "pooling", "context_tokens")],
                         ["embedding", 8, "mean", 64])
        self.assertIn("length 1", self.check(run("show", "vectors", variables=self.own_home())).stdout)
        error = self.json_of("run", "Hello", code=1, variables={"ONNX_MODEL_PATH": str(data)})["error"]
        self.assertIn("tiny_embedding is an embedding model", error["message"])
        self.assertIn("/v1/embeddings", error["hint"])

    def test_a_longer_window_is_imported_as_a_model_of_its_own(self):
        home = self.own_home()
        done = self.check(run("import", GGUF, "--context", 32768, variables=home))
        name = GGUF.stem.lower() + "-32k"
        self.assertIn(name, done.stdout)
        self.assertEqual(self.json_of("show", name, variables=home)["context_tokens"], 32768)
        question = ("run", name, "Hello", "--max-tokens", "4")
        self.assertTrue(self.check(run(*question, variables=home)).stdout.strip())
        done = self.check(run("import", GGUF, "--rope-scaling", "linear", variables=home), 1)
        self.assertIn("--context", done.stderr)

    def test_an_empty_store_says_what_to_do(self):
        self.assertIn("onnx-local import", self.check(run("list", variables=self.own_home())).stdout)
        done = self.check(run("show", variables=self.own_home()), 1)
        self.assertIn("onnx-local import", done.stderr)

    def test_two_imports_of_one_name_take_turns(self):
        command = [PROGRAM, "import", str(GGUF), "--name", "twice"]
        both = [subprocess.Popen(command, env=support.environment(**self.own_home()),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        for process in both:
            _, errors = process.communicate(timeout=support.WAIT_SECONDS_MAX)
            self.assertEqual(process.returncode, 0, errors)
        models = self.json_of("list", variables=self.own_home())["models"]
        self.assertEqual([(model["name"], model["problem"]) for model in models], [("twice", "")])

    def test_an_import_that_is_interrupted_leaves_nothing(self):
        models = self.scratch / "home" / "models"
        models.mkdir(parents=True)
        with open(models / ".held.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen([PROGRAM, "import", str(GGUF), "--name", "held"],
                                       env=support.environment(**self.own_home()),
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            waits = pathlib.Path(f"/proc/{process.pid}/fd")
            support.wait_until(
                lambda: any(os.path.realpath(fd) == lock.name for fd in waits.iterdir()),
                "the import waits for the lock")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=support.WAIT_SECONDS_MAX)
        self.assertEqual(process.returncode, 130, errors)
        self.assertEqual([entry.name for entry in models.iterdir()], [".held.lock"])

    def test_a_truncated_file_is_refused_and_leaves_nothing(self):
        broken = self.scratch / "broken.gguf"
        broken.write_bytes(GGUF.read_bytes()[:1_000_000])
        error = self.json_of("import", broken, code=1, variables=self.own_home())["error"]
        self.assertEqual(error["code"], "model_corrupt")
        self.assertEqual(self.json_of("list", variables=self.own_home())["models"], [])

    def test_a_missing_file_and_a_bad_name(self):
        self.assertIn("nowhere.gguf", self.check(run("import", "nowhere.gguf"), 1).stderr)
        self.assertIn("name", self.check(run("import", GGUF, "--name", "../x"), 1).stderr)

    def test_a_damaged_model_is_seen(self):
        folder = self.scratch / "home" / "models" / "damaged"
        shutil.copytree(pathlib.Path(os.environ["ONNX_LOCAL_HOME"]) / "models" / MODEL, folder)
        data = folder / "model.onnx.data"
        os.truncate(data, data.stat().st_size - 1)
        models = self.json_of("list", variables=self.own_home())["models"]
        self.assertIn("model.onnx.data", models[0]["problem"])
        report = self.json_of("doctor", code=1, variables=self.own_home())
        self.assertFalse(report["ok"])
        done = self.check(run("run", "damaged", "Hello", variables=self.own_home()), 1)
        self.assertIn("model.onnx.data", done.stderr)

    # The machine.

    def test_doctor_finds_nothing_wrong(self):
        report = self.json_of("doctor", "--full", "--port", "0")
        self.assertTrue(report["ok"], report)
        names = [check["name"] for check in report["checks"]]
        for name in ("processor", "cores", "memory", "ONNX Runtime", "provider onnx-local", "provider cpu",
                     "models folder", f"model {MODEL}", "default model", "port"):
            self.assertIn(name, names)
        self.assertIn("Nothing is wrong.", self.check(run("doctor")).stdout)

    def test_doctor_and_show_name_the_instruction_set_that_is_forced(self):
        forced = {"ONNX_LOCAL_ISA": "portable"}
        report = self.json_of("doctor", "--port", "0", variables=forced)
        details = {check["name"]: check["detail"] for check in report["checks"]}
        self.assertIn("instruction set portable", details["provider onnx-local"])
        self.assertEqual(self.json_of("show", MODEL, variables=forced)["instruction_set"], "portable")

    def peak_memory(self, *arguments, variables):
        """The most bytes that a run of the program held."""
        with open(os.devnull, "wb") as nothing:
            process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=nothing, stderr=nothing,
                                       env=support.environment(**variables))
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss * 1024

    def test_a_load_takes_little_more_memory_than_the_models_file(self):
        home = self.own_home()
        models = self.scratch / "home" / "models"
        models.mkdir(parents=True)
        (models / MODEL).symlink_to(self.json_of("show", MODEL)["path"])
        file_bytes = self.json_of("show", MODEL, variables=home)["size_bytes"]
        for start in ("first", "second"):
            peak = self.peak_memory("bench", MODEL, "--prompt", 16, "--generate", 2, "--repeat", 1, variables=home)
            self.assertLess(peak, 1.3 * file_bytes + 100e6, f"{start} start")
        self.assertTrue(list((self.scratch / "home" / "cache" / "packed").glob("*/weights.*")))

    def test_bench_has_exactly_its_keys(self):
        figures = self.json_of("bench", "--prompt", 32, "--generate", 4, "--depth", 16, "--batch", 2,
                               "--repeat", 1)
        self.assertEqual(set(figures), BENCH_KEYS | {"total_tokens_per_s"})
        for key, figure in figures.items():
            self.assertGreater(figure, 0, key)
        self.assertIn("tokens/s", self.check(
            run("bench", "--prompt", 16, "--generate", 2, "--repeat", 1)).stdout)

    def test_bench_shows_where_a_steps_time_goes(self):
        # Long enough that the load's own step, timed apart, does not weigh.
        shares = self.json_of("bench", "--profile", "--prompt", 256, "--generate", 32, "--repeat", 1)
        for steps in ("prefill", "decode"):
            kinds = [kernel["kind"] for kernel in shares[steps]["kernels"]]
            self.assertIn("product", kinds)
            self.assertIn("attention", kinds)
            self.assertEqual(kinds[-1], "else")
            self.assertAlmostEqual(sum(k["share"] for k in shares[steps]["kernels"]), 1, delta=0.2)

    def test_our_own_provider_runs_by_default_and_gives_way_with_a_warning(self):
        done = self.check(run("bench", "--prompt", 16, "--generate", 2, "--repeat", 1))
        self.assertRegex(done.stdout, r"execution provider +onnx-local")
        done = self.check(run("bench", "--prompt", 16, "--generate", 2, "--repeat", 1,
                              variables={"ONNX_LOCAL_EP_LIBRARY": "/nowhere/libonnxlocal_ep.so"}))
        self.assertRegex(done.stdout, r"execution provider +cpu")
        self.assertEqual(done.stderr.count("/nowhere/libonnxlocal_ep.so"), 1, done.stderr)

    def test_bench_refuses_what_does_not_fit(self):
        self.assertIn("context", self.check(run("bench", "--depth", 9000, "--repeat", 1), 1).stderr)

    def test_perplexity_compares_with_a_reference(self):
        text = self.scratch / "text.txt"
        text.write_text("The quick brown fox jumps over the lazy dog. " * 20)
        options = ["perplexity", text, "--chunk", 64]
        first = self.json_of(*options, "--top-tokens")
        self.assertGreater(first["perplexity"], 1)
        self.assertEqual(len(first["top_tokens"]), first["scored_tokens"])
        reference = self.scratch / "reference.json"
        reference.write_text(json.dumps(first))
        second = self.json_of(*options, "--reference", reference)
        self.assertAlmostEqual(second["perplexity_ratio"], 1, places=6)
        self.assertEqual(second["top_token_agreement"], 1)

    # Answers.

    def test_run_answers_one_prompt(self):
        done = self.check(run("run", "--temperature", 0, "Name the capital of France."))
        self.assertIn("Paris", done.stdout)
        self.assertEqual(done.stderr, "")

    def test_run_answers_with_int8_keys_and_values(self):
        done = self.check(run("run", "--kv-cache-type", "int8", "--temperature", 0,
                              "Name the capital of France."))
        self.assertIn("Paris", done.stdout)
        self.assertEqual(done.stderr, "")

    def test_run_takes_the_prompt_from_a_pipe(self):
        done = self.check(run("run", MODEL, "--temperature", 0, text="Name the capital of France."))
        self.assertIn("Paris", done.stdout)

    def test_run_gives_json(self):
        answer = self.json_of("run", "--max-tokens", 4, "--temperature", 0, "Count to one hundred.")
        self.assertEqual(answer["model"], MODEL)
        self.assertEqual(answer["stop_reason"], "max_tokens")
        self.assertEqual(answer["usage"]["output_tokens"], 4)
        self.assertGreater(answer["usage"]["prompt_tokens"], 4)
        self.assertTrue(answer["text"])

    def test_run_is_the_same_again_with_a_seed(self):
        options = ["run", "--seed", 7, "--max-tokens", 24, "Tell me a story."]
        first, second = self.check(run(*options)), self.check(run(*options))
        self.assertEqual(first.stdout, second.stdout)

    def test_onnx_runtime_reports_to_nobody(self):
        # Its official builds keep what they mean to send in the cache folder.
        variables = {"XDG_CACHE_HOME": str(self.scratch), "CI": "", "ORT_DISABLE_TELEMETRY": "0"}
        self.check(run("run", "--max-tokens", 1, "Hello", variables=variables))
        self.assertFalse([path for path in self.scratch.rglob("*") if "deviceid" in path.name])
        self.assertFalse((self.scratch / "Microsoft").exists())

    def test_run_stops_at_a_text(self):
        options = ["--temperature", 0, "--stop", "Paris", "Name the capital of France."]
        answer = self.json_of("run", *options)
        self.assertEqual(answer["stop_reason"], "stop_sequence")
        self.assertNotIn("Paris", answer["text"])

    def test_run_names_what_is_there_when_a_model_is_not(self):
        done = self.check(run("run", "--model", "none", "Hello"), 1)
        self.assertIn(MODEL, done.stderr)

    def test_run_without_a_prompt_or_a_terminal_is_wrong(self):
        self.assertIn("prompt", self.check(run("run"), 1).stderr)

    def test_run_takes_a_gguf_file_by_its_path(self):
        done = self.check(run("run", GGUF, "--max-tokens", 2, "Hello", variables=self.own_home()))
        self.assertTrue(done.stdout.strip())
        self.assertEqual(len(self.json_of("list", variables=self.own_home())["models"]), 1)


if __name__ == "__main__":
    support.main()
