"""Coded sets: parameters rounded as far as their image lets them be, and entropy-coded (docs/file-format.md).

From the ground up: ``tokens`` splits whole numbers into a coded and a plain part, ``rans`` codes tokens by tables,
``tables`` chooses and stores those, ``plain`` keeps the plain bits, ``stream`` puts all into bytes; ``steps`` rounds
Gaussians, ``gaussians`` and ``pixels`` say in which order and under which contexts their numbers go.
"""
