"""The body of ``gsdd::GaussianSplat`` in standard ONNX operators: the render specification, version 1, for any runtime.

Written in ONNX Script: what looks like Python below becomes ONNX nodes, and never runs as Python. Images, bands of
rows and Gaussians are cut into parts of at most ``SAMPLES`` samples (or one row of one Gaussian, where that is more),
and one part is computed at a time. What depends on one Gaussian alone is float64; what depends on a sample, float32.
"""

# ONNX Script's types are not Python's, and its graphs name what they return.
# mypy: ignore-errors
# ruff: noqa: F821, RET504, UP037

from __future__ import annotations

import onnx
from onnxscript import BOOL, DOUBLE, FLOAT, graph, script, values
from onnxscript import opset18 as op

from gsdd_runtime.export.splat_nodes import BELOW_THRESHOLD, NEVER
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.gaussians import (
    ALPHA_LIMIT,
    CHOLESKY_BIAS,
    DEFAULT_SUPERSAMPLE,
    PIXEL_VARIANCE,
    SHAPE_PARAMETERS,
)

# Samples (images x Gaussians x sample points) of one part.
SAMPLES = 1 << 18

_FLOAT32 = onnx.TensorProto.FLOAT
_FLOAT64 = onnx.TensorProto.DOUBLE
_BOOL = onnx.TensorProto.BOOL
_domain = values.Opset(contract.DOMAIN, contract.VERSION)


class _BelowThreshold:
    """ONNX Script wants a ``value``."""

    value = BELOW_THRESHOLD


def _double(value: float) -> onnx.TensorProto:
    return onnx.helper.make_tensor("", _FLOAT64, [], [value])


@script(_domain, default_opset=op)
def GaussianSplat(
    gaussians,
    height: int,
    width: int,
    native_height: int,
    native_width: int,
    supersample: int = DEFAULT_SUPERSAMPLE,
    dtype: int = _FLOAT32,
):
    H = op.Reshape(height, [1])
    W = op.Reshape(width, [1])
    S = op.Reshape(supersample, [1])
    B = op.Shape(gaussians, start=0, end=1)
    N = op.Shape(gaussians, start=1, end=2)
    P = op.Shape(gaussians, start=2, end=3)
    C = P - SHAPE_PARAMETERS

    # How a part is cut: as many rows as fit with all Gaussians, as many Gaussians as fit with these rows, as many
    # images as fit with both; each divided evenly, rounded up.
    columns = W * S
    row_samples = columns * S
    count = op.Max(N, [1])
    rows_limit = op.Min(op.Max(SAMPLES / (row_samples * count), [1]), H)
    bands = (H + rows_limit - 1) / rows_limit
    rows = (H + bands - 1) / bands
    group_limit = op.Min(op.Max(SAMPLES / (row_samples * rows), [1]), count)
    groups = (count + group_limit - 1) / group_limit
    group = (count + groups - 1) / groups
    images = op.Max(B, [1])
    batch_limit = op.Min(op.Max(SAMPLES / (row_samples * rows * group), [1]), images)
    batches = (images + batch_limit - 1) / batch_limit
    batch = (images + batches - 1) / batches

    # A Gaussian with a number that is not finite draws nothing; neither do the zeros that fill the last part.
    given = op.Cast(gaussians, to=FLOAT.dtype)
    finite = op.Cast(op.Abs(given) <= 3.4028235e38, to=FLOAT.dtype)
    drawn = op.Cast(op.ReduceMin(finite, [-1], keepdims=1), to=BOOL.dtype)
    cleaned = op.Where(drawn, given, 0.0)
    filling = op.Concat([0], [0], [0], batches * batch - B, groups * group - N, [0], axis=0)
    filled = op.Pad(cleaned, filling)
    parts = op.Transpose(op.Reshape(filled, op.Concat(batches, batch, groups, group, P, axis=0)), perm=[0, 2, 1, 3, 4])

    # Sample points, in output pixels.
    half = op.Constant(value=_double(0.5))
    samples_per_pixel = op.Cast(supersample, to=DOUBLE.dtype)
    size_x = op.Cast(width, to=DOUBLE.dtype)
    size_y = op.Cast(height, to=DOUBLE.dtype)
    scale_x = size_x / op.Cast(native_width, to=DOUBLE.dtype)
    scale_y = size_y / op.Cast(native_height, to=DOUBLE.dtype)
    points_x = (op.Cast(op.Range(0, op.Squeeze(columns), 1), to=DOUBLE.dtype) + half) / samples_per_pixel
    sub_rows = (op.Cast(op.Range(0, supersample, 1), to=DOUBLE.dtype) + half) / samples_per_pixel
    band_rows = op.Cast(op.Range(0, op.Squeeze(rows), 1), to=DOUBLE.dtype)
    # [S, 1, rows]: sub-samples of a row stand beside the Gaussians, so that one sum goes over both.
    points_y = op.Reshape(sub_rows, [-1, 1, 1]) + band_rows
    band_starts = op.Cast(op.Range(0, op.Squeeze(bands), 1) * op.Squeeze(rows), to=DOUBLE.dtype)

    one = op.Constant(value=_double(1.0))
    zero = op.Constant(value=_double(0.0))
    bias = op.Constant(value=_double(CHOLESKY_BIAS))
    variance = op.Constant(value=_double(PIXEL_VARIANCE))
    smallest = op.Constant(value=_double(1e-300))
    never = op.Constant(value=_double(NEVER))
    parameter_sizes = op.Concat([1], [1], [1], [1], [1], C, [1], axis=0)
    sums_start = op.ConstantOfShape(op.Concat(batch, C, rows * columns, axis=0))
    alpha_shape = op.Concat(batch, S * group, rows * columns, axis=0)
    color_shape = op.Concat(batch, S, group, C, axis=0)
    color_flat_shape = op.Concat(batch, S * group, C, axis=0)
    pixel_shape = op.Concat(batch, C, rows, W, S, axis=0)
    limit = op.Constant(value_float=ALPHA_LIMIT)
    pooling = op.Cast(S, to=FLOAT.dtype)

    @graph()
    def render_images(part: FLOAT["groups", "batch", "group", "parameters"]):
        @graph()
        def render_band(first_row: DOUBLE):
            band_y = points_y + first_row

            @graph()
            def add_gaussians(sums: FLOAT["batch", "channels", "points"], some: FLOAT["batch", "group", "parameters"]):
                x, y, l11, l21, l22, color, opacity = op.Split(op.Cast(some, to=DOUBLE.dtype), parameter_sizes, axis=-1)
                center_x = (x + one) * half * size_x
                center_y = (y + one) * half * size_y
                a = (l11 + bias) * scale_x
                b = l21 * scale_y
                c = (l22 + bias) * scale_y
                # The determinant expanded: positive terms only, so that needles keep their digits.
                yy = b * b + c * c + variance
                twice_determinant = (a * a * c * c + variance * (a * a + yy)) * (one + one)
                # sigma = (u dx + v dy)^2 + dy^2 / 2yy. The inverse covariance's own three terms would cancel along a
                # needle, which float32 does not survive. dy counts from the canvas' row nearest the centre.
                u = op.Sqrt(yy / twice_determinant)
                v = op.Neg(a * b / op.Sqrt(yy * twice_determinant))
                anchor_y = op.Min(op.Max(center_y, zero), size_y)
                along_x = u * (points_x - center_x) + v * (anchor_y - center_y)
                v_rows = op.Unsqueeze(v, [1])
                along_y = v_rows * (band_y - op.Unsqueeze(anchor_y, [1]))
                # Opacity enters as a logarithm: alpha = exp(log o - sigma).
                visible = opacity > zero
                strength = op.Where(visible, op.Log(op.Max(opacity, smallest)), never)
                from_center = band_y - op.Unsqueeze(center_y, [1])
                yy_rows = op.Unsqueeze(yy, [1])
                exponent_y = op.Unsqueeze(strength, [1]) - from_center * from_center / (yy_rows + yy_rows)
                # [batch, S, group, rows, columns]: the only tensors of this size.
                offset = op.Unsqueeze(op.Cast(along_x, to=FLOAT.dtype), [1, 3]) + op.Unsqueeze(
                    op.Cast(along_y, to=FLOAT.dtype), [-1]
                )
                strengths = op.Exp(op.Unsqueeze(op.Cast(exponent_y, to=FLOAT.dtype), [-1]) - offset * offset)
                alphas = op.Clip(op.ThresholdedRelu(strengths, alpha=_BelowThreshold.value), None, limit)
                colors = op.Expand(op.Unsqueeze(op.Cast(color, to=FLOAT.dtype) / pooling, [1]), color_shape)
                weights = op.Transpose(op.Reshape(colors, color_flat_shape), perm=[0, 2, 1])
                sums_after = sums + op.MatMul(weights, op.Reshape(alphas, alpha_shape))
                return sums_after

            band_sums = op.Scan(sums_start, part, body=add_gaussians, num_scan_inputs=1)
            band = op.ReduceMean(op.Reshape(band_sums, pixel_shape), [-1], keepdims=0)
            return band

        piece_bands = op.Scan(band_starts, body=render_band, num_scan_inputs=1)
        piece = op.Transpose(piece_bands, perm=[1, 2, 0, 3, 4])
        return piece

    pieces = op.Scan(parts, body=render_images, num_scan_inputs=1)
    joined = op.Reshape(pieces, op.Concat(batches * batch, C, bands * rows, W, axis=0))
    return op.Cast(op.Slice(joined, [0, 0], op.Concat(B, H, axis=0), [0, 2]), to=dtype)


def at_opset(function: onnx.FunctionProto, opset: int) -> onnx.FunctionProto:
    """The function in a model of another opset: none of the operators used has changed its meaning since 18."""
    for imported in function.opset_import:
        if imported.domain == "":
            imported.version = opset
    return function


def splat_function(opset: int) -> onnx.FunctionProto:
    """The model-local function: domain, name and attributes are those of the operator (plugins/op_contract.json).

    Its ``opset`` has to be the model's, 18 or later.
    """
    return at_opset(GaussianSplat.to_function_proto(), opset)
