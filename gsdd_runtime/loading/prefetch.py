"""Decoding ahead of use: on a CUDA device the next batches are made on a side stream while the current one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from gsdd_runtime.devices import send

Batch = tuple[Tensor, Tensor]
Request = TypeVar("Request")


def placed(batch: Batch, device: torch.device) -> Batch:
    """A batch with both its tensors on the device, whatever its decoder left where."""
    images, labels = batch
    return send(images, device), send(labels, device)


def decode_ahead(
    requests: Iterator[Request], decode: Callable[[Request], Batch], device: torch.device, depth: int
) -> Iterator[tuple[Request, Batch]]:
    """Yields each request with its ``decode(request)``, in order.

    On a CUDA device up to ``depth`` batches are decoded ahead on a side stream; the consumer's stream waits for a
    batch when it takes it, and the host never does, unless ``decode`` itself waits. Elsewhere, or with ``depth`` 0,
    each batch is decoded when it is asked for: the processor that would decode ahead is the one that trains.

    What ``requests`` or ``decode`` raises comes in the place of its batch, behind all that were decoded before.
    """
    if device.type != "cuda" or depth == 0:
        for request in requests:
            yield request, decode(request)
        return
    side = torch.cuda.Stream(device)
    # What the consumer's stream wrote before now (parameters, say) has to be there for the side stream.
    side.wait_stream(torch.cuda.current_stream(device))
    ready: deque[tuple[Request, Batch, torch.cuda.Event]] = deque()
    failures: list[Exception] = []

    def start_next() -> None:
        if failures:
            return
        try:
            for request in requests:
                with torch.cuda.stream(side):
                    batch = decode(request)
                    event = torch.cuda.Event()
                    event.record(side)
                ready.append((request, batch, event))
                return
        except Exception as error:
            failures.append(error)

    for _ in range(depth):
        start_next()
    while ready:
        request, batch, event = ready.popleft()
        current = torch.cuda.current_stream(device)
        current.wait_event(event)
        for tensor in batch:
            # Its memory belongs to the side stream: it must not be reused there while this stream reads it.
            if tensor.is_cuda:
                tensor.record_stream(current)
        start_next()
        yield request, batch
    if failures:
        raise failures[0]
