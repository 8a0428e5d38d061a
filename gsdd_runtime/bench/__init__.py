"""Measuring the decoder on this machine, side by side with what one would use instead."""

from gsdd_runtime.bench.chart import render_chart
from gsdd_runtime.bench.decode import run_decode_bench
from gsdd_runtime.bench.points import DEFAULT_POINTS, Point
from gsdd_runtime.bench.table import render_markdown, render_table

__all__ = ["DEFAULT_POINTS", "Point", "render_chart", "render_markdown", "render_table", "run_decode_bench"]
