"""Asks a Triton Inference Server for images of a distilled set: the standard library and numpy alone.

    gsdd-rt export SET.safetensors --triton models --normalize
    tritonserver --model-repository models
    python examples/triton/client.py localhost:8000 SET 0 5 7

The server speaks version 2 of KServe's protocol over HTTP. Numbers travel as JSON here; NVIDIA's own client (`pip
install 'tritonclient[http]'`) sends them as they lie in memory, which is what one wants for large batches.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Sequence

import numpy as np

DTYPES = {"FP32": np.float32, "FP16": np.float16, "BF16": np.float32, "INT64": np.int64}


def decode(server: str, model: str, indices: Sequence[int]) -> dict[str, np.ndarray]:
    """``images`` ``[batch, C, H, W]`` and ``labels`` of the set's images at ``indices``."""
    wanted = {"name": "indices", "shape": [len(indices), 1], "datatype": "INT64", "data": [[i] for i in indices]}
    request = urllib.request.Request(
        f"http://{server}/v2/models/{model}/infer",
        data=json.dumps({"inputs": [wanted]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        outputs = json.load(response)["outputs"]
    return {
        output["name"]: np.array(output["data"], DTYPES[output["datatype"]]).reshape(output["shape"])
        for output in outputs
    }


if __name__ == "__main__":
    server, model, *indices = sys.argv[1:]
    for name, array in decode(server, model, [int(index) for index in indices]).items():
        print(name, array.dtype, array.shape)
