"""The version of gsdd-rt; the build reads it here, too."""

from __future__ import annotations

VERSION = "0.1.0"
