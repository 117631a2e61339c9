#!/usr/bin/env python3
"""Imports the default model into $ONNX_LOCAL_HOME unless it is there: import_default_model.py PROGRAM GGUF.

It is run once too, so that what the runtime derives is there before tests run side by side.
"""

import json
import subprocess
import sys

NAME = "smollm2-135m-instruct"


def main():
    program, gguf = sys.argv[1:3]
    listed = subprocess.run([program, "list", "--json"], capture_output=True, check=True)
    models = {model["name"]: model for model in json.loads(listed.stdout)["models"]}
    if NAME not in models or models[NAME]["problem"]:
        subprocess.run([program, "import", gguf, "--name", NAME], check=True)
    warm_up = ["bench", NAME, "--prompt", "0", "--generate", "1", "--repeat", "1"]
    subprocess.run([program, *warm_up], check=True)


if __name__ == "__main__":
    main()
