#!/usr/bin/env python3
"""Makes a model folder that onnxruntime-genai takes, around the ONNX file that onnx-local really runs.

    genai_folder.py SOURCE_FOLDER RUNNING_FOLDER TARGET_FOLDER

SOURCE_FOLDER is the imported model, RUNNING_FOLDER the derived one (or the same). The weights are linked,
not copied. A derived graph has no default for `logits_positions`, which genai does not know: it gets the
last position, as in the imported graph, and the shape that goes with it.
"""

import os
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper


def main():
    source, running, target = (pathlib.Path(path) for path in sys.argv[1:4])
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "genai_config.json"):
        shutil.copy(source / name, target / name)
    model = onnx.load(running / "model.onnx", load_external_data=False)
    known = {tensor.name for tensor in model.graph.initializer}
    if "logits_positions" not in known:
        last = numpy_helper.from_array(np.array([-1], dtype=np.int64), "logits_positions")
        model.graph.initializer.append(last)
    for output in model.graph.output:
        if output.name == "logits":
            output.type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, target / "model.onnx")
    for file in running.glob("model.onnx.data*"):
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copy(file, target / file.name)


if __name__ == "__main__":
    main()
