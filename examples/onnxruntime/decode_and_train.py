"""Decodes and trains from exported files with nothing but onnxruntime and numpy.

    python decode_and_train.py DECODER STEP [LIBRARY]

DECODER is what `gsdd-rt export SET --onnx DECODER` wrote, STEP what `gsdd-rt export SET --onnx-train-step STEP` did.
LIBRARY is the operator library, `gsdd.plugin_library("onnxruntime")`; without it the models run by the functions that
they carry.
"""

import json
import sys

import numpy as np
import onnxruntime as ort


def open_session(path: str, library: str | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it would warn of each parameter that may be fed
    if library is not None:
        options.register_custom_ops_library(library)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main(decoder_path: str, step_path: str, library: str | None = None, steps: int = 40) -> None:
    decoder = open_session(decoder_path, library)
    images, labels = decoder.run(["images", "labels"], {"indices": np.arange(4)})
    print(f"onnxruntime {ort.__version__}: images {images.shape} of labels {labels.tolist()}, mean {images.mean():.5f}")

    step = open_session(step_path, library)
    names = [output.name for output in step.get_outputs()]
    count = json.loads(step.get_modelmeta().custom_metadata_map["gsdd"])["images"]
    generator = np.random.default_rng(0)
    state: dict[str, np.ndarray] = {}
    for _ in range(steps):
        indices = generator.permutation(count)[:64]
        outputs = dict(zip(names, step.run(None, {"indices": indices, **state}), strict=True))
        state = {name.removeprefix("next."): value for name, value in outputs.items() if name.startswith("next.")}
    print(f"loss {float(outputs['loss']):.5f}, accuracy {float(outputs['accuracy']):.3f} after {steps} steps")


if __name__ == "__main__":
    main(*sys.argv[1:4])
