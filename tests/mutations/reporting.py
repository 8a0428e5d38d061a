"""Mutations of reports: what a page holds, says and lets run."""

from __future__ import annotations

from mutation import Mutation

ACCOUNT = "gsdd_runtime/reports/account.py"
COMPARISON = "gsdd_runtime/reports/comparison.py"
GALLERY = "gsdd_runtime/reports/gallery.py"
ORIGINS = "gsdd_runtime/sets/origins.py"
PAGE = "gsdd_runtime/reports/page.py"
TERMINAL = "gsdd_runtime/reports/terminal.py"
WATCH = "gsdd_runtime/commands/watch.py"
ZOOM = "gsdd_runtime/reports/zoom.py"

MUTATIONS = [
    Mutation(
        "calls chosen real images distilled",
        ORIGINS,
        "(FITTED, IMPORTED, MERGED, *_CHOSEN)",
        "(FITTED, IMPORTED, MERGED)",
        ("test_origins.py::test_what_no_objective_made_is_not_called_distilled",),
    ),
    Mutation(
        "lets a set's text end the page's script",
        PAGE,
        '.replace("<", "\\\\u003c")',
        "",
        ("test_page.py::test_nothing_in_a_set_ends_up_as_markup",),
        short=True,
    ),
    Mutation(
        "packs a page's Gaussians in another order of bytes",
        GALLERY,
        "permute(2, 0, 1)",
        "permute(0, 1, 2)",
        ("test_page.py::test_a_gallery_holds_the_parameters_bit_for_bit",),
    ),
    Mutation(
        "shows the first value of a step that was logged twice",
        ACCOUNT,
        "points[step] = float(value)",
        "points.setdefault(step, float(value))",
        ("test_page.py::test_curves_follow_the_log",),
    ),
    Mutation(
        "draws a loss in a terminal on a scale that is not logarithmic",
        TERMINAL,
        "[math.log(value) for value in values]",
        "[value for value in values]",
        ("test_watch_terminal.py::test_a_curve_goes_through_its_points",),
    ),
    Mutation(
        "tells a pipe the last of several new records alone",
        WATCH,
        "lines[len(told) :] if",
        "lines[-1:] if",
        ("test_watch_terminal.py::test_a_pipe_gets_a_line_a_record_until_the_run_ends",),
    ),
    Mutation(
        "draws a set's images for the README without the names of their classes",
        COMPARISON,
        "names if place == 0 else None",
        "None",
        ("test_shown_pictures.py::test_the_pictures_of_the_demo_are_those_of_its_sets",),
    ),
    Mutation(
        "draws the README's near view of another part of the image",
        ZOOM,
        "_TOP, _LEFT = 0.25, 0.65, 0.7",
        "_TOP, _LEFT = 0.25, 0.6, 0.7",
        ("test_shown_pictures.py::test_the_pictures_of_the_demo_are_those_of_its_sets",),
    ),
]
