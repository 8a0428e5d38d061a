"""The body of ``gsdd::GaussianSplatGrad`` in standard ONNX operators: the specification's gradient, for any runtime.

Cut into parts and written in ONNX Script as ``splat_function.py`` is. A Gaussian's geometry gets its gradient from six
sums over its samples, of the weight ``w = dL/dalpha * alpha`` times powers of the two terms of sigma. These are of
order one wherever something is drawn, so that the sums keep their digits for needles too.
"""

# ONNX Script's types are not Python's, and its graphs name what they return.
# mypy: ignore-errors
# ruff: noqa: F821, RET504, UP037

from __future__ import annotations

import onnx
from onnxscript import BOOL, DOUBLE, FLOAT, graph, script, values
from onnxscript import opset18 as op

from gsdd_runtime.export.splat_function import SAMPLES, _BelowThreshold, _double, at_opset
from gsdd_runtime.export.splat_nodes import NEVER
from gsdd_runtime.splatting import contract
from gsdd_runtime.splatting.gaussians import (
    ALPHA_LIMIT,
    CHOLESKY_BIAS,
    DEFAULT_SUPERSAMPLE,
    PIXEL_VARIANCE,
    SHAPE_PARAMETERS,
)

_domain = values.Opset(contract.DOMAIN, contract.VERSION)


@script(_domain, default_opset=op)
def GaussianSplatGrad(
    grad_images, gaussians, native_height: int, native_width: int, supersample: int = DEFAULT_SUPERSAMPLE
):
    S = op.Reshape(supersample, [1])
    H = op.Shape(grad_images, start=2, end=3)
    W = op.Shape(grad_images, start=3, end=4)
    B = op.Shape(gaussians, start=0, end=1)
    N = op.Shape(gaussians, start=1, end=2)
    P = op.Shape(gaussians, start=2, end=3)
    C = P - SHAPE_PARAMETERS

    # Rows, Gaussians and images of a part, as in GaussianSplat.
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

    given = op.Cast(gaussians, to=FLOAT.dtype)
    finite = op.Cast(op.Abs(given) <= 3.4028235e38, to=FLOAT.dtype)
    drawn = op.Cast(op.ReduceMin(finite, [-1], keepdims=1), to=BOOL.dtype)
    cleaned = op.Where(drawn, given, 0.0)
    images_added = batches * batch - B
    filled = op.Pad(cleaned, op.Concat([0], [0], [0], images_added, groups * group - N, [0], axis=0))
    parts = op.Transpose(op.Reshape(filled, op.Concat(batches, batch, groups, group, P, axis=0)), perm=[0, 2, 1, 3, 4])
    # A pixel is the mean of its S x S samples: so is what each of them gets of the pixel's gradient.
    per_sample = op.Cast(grad_images, to=FLOAT.dtype) / op.Cast(S * S, to=FLOAT.dtype)
    image_filling = op.Concat([0], [0], [0], [0], images_added, [0], bands * rows - H, [0], axis=0)
    image_parts = op.Transpose(
        op.Reshape(op.Pad(per_sample, image_filling), op.Concat(batches, batch, C, bands, rows, W, axis=0)),
        perm=[0, 3, 1, 2, 4, 5],
    )

    half = op.Constant(value=_double(0.5))
    samples_per_pixel = op.Cast(supersample, to=DOUBLE.dtype)
    size_x = op.Cast(op.Squeeze(W), to=DOUBLE.dtype)
    size_y = op.Cast(op.Squeeze(H), to=DOUBLE.dtype)
    scale_x = size_x / op.Cast(native_width, to=DOUBLE.dtype)
    scale_y = size_y / op.Cast(native_height, to=DOUBLE.dtype)
    points_x = (op.Cast(op.Range(0, op.Squeeze(columns), 1), to=DOUBLE.dtype) + half) / samples_per_pixel
    sub_rows = (op.Cast(op.Range(0, supersample, 1), to=DOUBLE.dtype) + half) / samples_per_pixel
    points_y = op.Reshape(sub_rows, [-1, 1, 1]) + op.Cast(op.Range(0, op.Squeeze(rows), 1), to=DOUBLE.dtype)
    band_starts = op.Cast(op.Range(0, op.Squeeze(bands), 1) * op.Squeeze(rows), to=DOUBLE.dtype)

    one = op.Constant(value=_double(1.0))
    two = op.Constant(value=_double(2.0))
    zero = op.Constant(value=_double(0.0))
    bias = op.Constant(value=_double(CHOLESKY_BIAS))
    variance = op.Constant(value=_double(PIXEL_VARIANCE))
    smallest = op.Constant(value=_double(1e-300))
    # Nothing that far out is drawn; times a weight of zero it must stay zero.
    far = op.Constant(value=_double(1e15))
    near = op.Constant(value=_double(-1e15))
    never = op.Constant(value=_double(NEVER))
    limit = op.Constant(value_float=ALPHA_LIMIT)
    nothing = op.Constant(value_float=0.0)
    parameter_sizes = op.Concat([1], [1], [1], [1], [1], C, [1], axis=0)
    sum_sizes = op.Concat([1], [1], [1], [1], [1], [1], C, axis=0)
    sums_start = op.ConstantOfShape(op.Concat(batch, group, C + 6, axis=0))
    pixel_rows = rows * W
    band_flat = op.Concat(batch, C, pixel_rows, axis=0)
    pixel_shape = op.Concat(batch, [1], group, rows, W, [1], axis=0)
    sample_pixel_shape = op.Concat(batch, [1], group, rows, W, S, axis=0)
    sample_shape = op.Concat(batch, [1], group, rows, columns, axis=0)
    pooling_shape = op.Concat(batch, S, group, rows, W, S, axis=0)
    pooled_shape = op.Concat(batch, group, pixel_rows, axis=0)

    @graph()
    def differentiate_images(
        part: FLOAT["groups", "batch", "group", "parameters"],
        image_bands: FLOAT["bands", "batch", "channels", "rows", "width"],
    ):
        @graph()
        def differentiate_group(some: FLOAT["batch", "group", "parameters"]):
            x, y, l11, l21, l22, color, opacity = op.Split(op.Cast(some, to=DOUBLE.dtype), parameter_sizes, axis=-1)
            center_x = (x + one) * half * size_x
            center_y = (y + one) * half * size_y
            a = (l11 + bias) * scale_x
            b = l21 * scale_y
            c = (l22 + bias) * scale_y
            yy = b * b + c * c + variance
            twice_determinant = (a * a * c * c + variance * (a * a + yy)) * two
            # sigma = t^2 + q^2 with t = u dx + v dy, q = r dy.
            u = op.Sqrt(yy / twice_determinant)
            v = op.Neg(a * b / op.Sqrt(yy * twice_determinant))
            r = one / op.Sqrt(yy * two)
            anchor_y = op.Min(op.Max(center_y, zero), size_y)
            along_x = op.Min(op.Max(u * (points_x - center_x) + v * (anchor_y - center_y), near), far)
            column_terms = op.Unsqueeze(op.Cast(along_x, to=FLOAT.dtype), [1, 3])
            strength = op.Where(opacity > zero, op.Log(op.Max(opacity, smallest)), never)
            color_float = op.Cast(color, to=FLOAT.dtype)

            @graph()
            def add_band(
                sums: FLOAT["batch", "group", "sums"],
                first_row: DOUBLE,
                band: FLOAT["batch", "channels", "rows", "width"],
            ):
                band_y = points_y + first_row
                row_terms = op.Unsqueeze(v, [1]) * (band_y - op.Unsqueeze(anchor_y, [1]))
                q_wide = op.Min(op.Max(op.Unsqueeze(r, [1]) * (band_y - op.Unsqueeze(center_y, [1])), near), far)
                exponent = op.Unsqueeze(strength, [1]) - q_wide * q_wide
                q = op.Cast(q_wide, to=FLOAT.dtype)
                t = column_terms + op.Unsqueeze(op.Cast(row_terms, to=FLOAT.dtype), [-1])
                strengths = op.Exp(op.Unsqueeze(op.Cast(exponent, to=FLOAT.dtype), [-1]) - t * t)
                kept = op.ThresholdedRelu(strengths, alpha=_BelowThreshold.value)

                band_pixels = op.Reshape(band, band_flat)
                alphas = op.Reshape(op.Clip(kept, None, limit), pooling_shape)
                pooled = op.Reshape(op.ReduceSum(alphas, [1, 5], keepdims=0), pooled_shape)
                color_sums = op.MatMul(pooled, op.Transpose(band_pixels, perm=[0, 2, 1]))

                # dL/dalpha is a pixel's; where o exp(-sigma) exceeds 1 nothing passes the clip.
                by_pixel = op.Reshape(op.MatMul(color_float, band_pixels), pixel_shape)
                by_sample = op.Reshape(op.Expand(by_pixel, sample_pixel_shape), sample_shape)
                w = op.Where(kept > limit, nothing, kept) * by_sample
                wt = w * t
                row_w = op.ReduceSum(w, [-1], keepdims=0)
                row_wt = op.ReduceSum(wt, [-1], keepdims=0)
                row_wtt = op.ReduceSum(wt * t, [-1], keepdims=0)
                row_wq = row_w * q
                moments = op.Concat(
                    op.Unsqueeze(op.ReduceSum(row_w, [1, 3], keepdims=0), [-1]),
                    op.Unsqueeze(op.ReduceSum(row_wt, [1, 3], keepdims=0), [-1]),
                    op.Unsqueeze(op.ReduceSum(row_wq, [1, 3], keepdims=0), [-1]),
                    op.Unsqueeze(op.ReduceSum(row_wtt, [1, 3], keepdims=0), [-1]),
                    op.Unsqueeze(op.ReduceSum(row_wt * q, [1, 3], keepdims=0), [-1]),
                    op.Unsqueeze(op.ReduceSum(row_wq * q, [1, 3], keepdims=0), [-1]),
                    color_sums,
                    axis=-1,
                )
                sums_after = sums + moments
                return sums_after

            group_sums = op.Scan(sums_start, band_starts, image_bands, body=add_band, num_scan_inputs=2)
            w0, wt1, wq1, wtt2, wtq2, wqq2, grad_color = op.Split(
                op.Cast(group_sums, to=DOUBLE.dtype), sum_sizes, axis=-1
            )
            grad_center_x = two * u * wt1
            grad_center_y = two * (v * wt1 + r * wq1)
            # dL/dSigma = 1/2 L^-T (sum of w z z^T) L^-1, with z = L^-1 d and L^-1 = sqrt(2) [[u, v], [0, r]].
            grad_xx = two * u * u * wtt2
            grad_xy = two * u * (v * wtt2 + r * wtq2)
            grad_yy = two * (v * v * wtt2 + two * v * r * wtq2 + r * r * wqq2)
            grads = op.Cast(
                op.Concat(
                    grad_center_x * half * size_x,
                    grad_center_y * half * size_y,
                    two * scale_x * (a * grad_xx + b * grad_xy),
                    two * scale_y * (a * grad_xy + b * grad_yy),
                    two * scale_y * c * grad_yy,
                    grad_color,
                    w0 / op.Max(opacity, smallest),
                    axis=-1,
                ),
                to=FLOAT.dtype,
            )
            return grads

        piece_groups = op.Scan(part, body=differentiate_group, num_scan_inputs=1)
        piece = op.Transpose(piece_groups, perm=[1, 0, 2, 3])
        return piece

    pieces = op.Scan(parts, image_parts, body=differentiate_images, num_scan_inputs=2)
    joined = op.Reshape(pieces, op.Concat(batches * batch, groups * group, P, axis=0))
    return op.Slice(joined, [0, 0], op.Concat(B, N, axis=0), [0, 1])


def gradient_function(opset: int) -> onnx.FunctionProto:
    """The model-local function, as ``splat_function`` gives that of the forward operator."""
    return at_opset(GaussianSplatGrad.to_function_proto(), opset)
