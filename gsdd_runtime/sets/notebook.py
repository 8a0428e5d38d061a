"""What a DistilledSet shows of itself in a notebook, and by matplotlib where that is installed."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from gsdd_runtime.errors import GsddError, InputError
from gsdd_runtime.sets.origins import in_words
from gsdd_runtime.splatting.gaussians import CHOLESKY, CHOLESKY_BIAS, COLOR, OPACITY, POSITION
from gsdd_runtime.wording import counted

if TYPE_CHECKING:
    from gsdd_runtime.sets.distilled_set import DistilledSet

# Of a set that is looked at in passing.
CLASSES, IMAGES = 10, 10
_POINTS = 64


class InNotebooks:
    """The face of a DistilledSet in notebooks; nothing but it is one."""

    @property
    def _shown(self) -> DistilledSet:
        return cast("DistilledSet", self)

    def _repr_png_(self) -> bytes:
        """The first images of the first classes, as a PNG picture."""
        from gsdd_runtime.sets.pictures import picture_of

        buffer = io.BytesIO()
        picture_of(self._shown, first_of_each(self._shown.hard_labels, CLASSES, IMAGES)).save(buffer, format="PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        """What it is in a line, and that picture."""
        own = self._shown
        made = f", {in_words(own.method)}" if own.method else ""
        accuracy = "".join(
            f"<br>{html.escape(str(one.get('network')))}: {100 * one['last_epoch']['mean']:.2f} %"
            for one in own.accuracy
        )
        labels = own.hard_labels
        shown = first_of_each(labels, CLASSES, IMAGES).numel()
        part = "" if shown == len(own) else f"<br>{counted(shown, 'image')} of {len(own)}, the first of each class:"
        picture = base64.b64encode(self._repr_png_()).decode()
        what = html.escape(f"{own!r}{made}")
        return (
            f"<div><code>{what}</code>{accuracy}{part}</div>"
            f'<img alt="{what}" style="max-width:100%" src="data:image/png;base64,{picture}">'
        )

    def show(self, classes: Sequence[str | int] | None = None, *, per_class: int = IMAGES) -> Any:
        """Draws the first images of each class by matplotlib, a row for each class.

        Args:
            classes: names of classes or their numbers, in the order to show; the first ten if left out.
            per_class: images of each.

        Returns:
            A matplotlib Figure, which a notebook shows.

        Raises:
            InputError: there is no such class, or no image of any.
            GsddError: matplotlib is not installed.
        """
        from gsdd_runtime.sets.pictures import class_name, picture_of

        own = self._shown
        labels = own.hard_labels
        chosen = range(min(own.classes, CLASSES)) if classes is None else [self._label(one) for one in classes]
        rows = {label: (labels == label).nonzero().flatten()[:per_class] for label in chosen}
        rows = {label: indices for label, indices in rows.items() if indices.numel()}
        if per_class < 1 or not rows:
            raise InputError("there is no image to show: name classes that the set has images of, per_class at least 1")
        figure = _figure(max(len(indices) for indices in rows.values()), len(rows))
        for place, (label, indices) in enumerate(rows.items()):
            axes = figure.add_subplot(len(rows), 1, place + 1)
            # Without the name, which matplotlib writes.
            picture = picture_of(own, indices)
            axes.imshow(picture, cmap="gray" if picture.mode == "L" else None, vmin=0, vmax=255)
            axes.set_title(class_name(own, label), loc="left", fontsize=9)
            axes.set_axis_off()
            axes.set_anchor("W")
        return figure

    def plot_ellipses(self, index: int, *, size: int = 512) -> Any:
        """Draws an image by matplotlib with the outline of each Gaussian at one deviation, dashed where it darkens.

        Args:
            index: of the image, 0 to M - 1.
            size: of the larger side that the image is drawn at, in pixels.

        Returns:
            A matplotlib Figure, which a notebook shows; its axes are in pixels of the native size.

        Raises:
            InputError: the set is one of pixels; an index or size out of range.
            GsddError: matplotlib is not installed.
        """
        from gsdd_runtime.sets.pictures import class_name, to_pictures

        own = self._shown
        if own.gaussians is None:
            raise InputError("plot_ellipses draws Gaussians, and this is a set of pixels")
        scale = max(1.0, size / max(own.height, own.width))
        (picture,) = to_pictures(own.decode(index, round(own.height * scale), round(own.width * scale)))
        figure = _figure(6, 6)
        axes = figure.add_subplot()
        gray = "gray" if own.channels == 1 else None
        axes.imshow(picture, cmap=gray, vmin=0, vmax=255, extent=(0, own.width, own.height, 0))
        gaussians = own.rows(index)[0].double().cpu()
        for outline, gaussian in zip(outlines(gaussians, own.height, own.width), gaussians, strict=True):
            if gaussian[OPACITY] < 1 / 255:
                continue
            darkens = bool(gaussian[COLOR].sum() < 0)
            color, style = ("tab:blue", "--") if darkens else ("gold", "-")
            axes.plot(*outline.T, linewidth=1, color=color, linestyle=style)
        axes.set_xlim(0, own.width)
        axes.set_ylim(own.height, 0)
        axes.set_title(f"{class_name(own, int(own.hard_labels[index]))}, image {index}")
        return figure

    def _label(self, named: str | int) -> int:
        own = self._shown
        if isinstance(named, str) and own.class_names and named in own.class_names:
            return own.class_names.index(named)
        if isinstance(named, int) and 0 <= named < own.classes:
            return named
        known = ", ".join(own.class_names or ()) or f"0 to {own.classes - 1}"
        raise InputError(f"there is no class {named!r} in the set: it has {known}")


def first_of_each(labels: Tensor, classes: int, images: int) -> Tensor:
    """Indices of the first ``images`` of each of the first ``classes`` that there are: int64 ``[B]``."""
    present = labels.unique()[:classes]
    return torch.cat([(labels == label).nonzero().flatten()[:images] for label in present])


def outlines(gaussians: Tensor, height: int, width: int) -> Tensor:
    """The ellipse of each of ``[N, 6 + C]`` at one deviation, in pixels of the native size: ``[N, 64, 2]``."""
    angle = torch.linspace(0, 2 * torch.pi, _POINTS, dtype=gaussians.dtype)
    l11, l21, l22 = (value[:, None] for value in gaussians[:, CHOLESKY].unbind(-1))
    center = (gaussians[:, None, POSITION] + 1) / 2 * gaussians.new_tensor([width, height])
    x = (l11 + CHOLESKY_BIAS) * angle.cos()
    y = l21 * angle.cos() + (l22 + CHOLESKY_BIAS) * angle.sin()
    return center + torch.stack([x, y], dim=-1)


def _figure(columns: int, rows: int) -> Any:
    """A figure that needs no window; a notebook shows it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GsddError(f"this needs matplotlib: pip install 'gsdd-rt[plots]' ({error})") from error

    class Shown(Figure):
        """Shows itself in a notebook, whether or not that was told of matplotlib."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    return Shown(figsize=(max(2.0, min(columns, 16)), max(1.5, rows)), layout="constrained")
