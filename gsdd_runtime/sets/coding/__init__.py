"""Coded sets: parameters rounded as far as their image lets them be, and entropy-coded (docs/file-format.md).

From the ground up: ``tokens`` splits whole numbers into a coded and a plain part, ``rans`` codes tokens by tables,
``stream`` puts both into bytes, ``steps`` rounds Gaussians, ``gaussians`` and ``pixels`` say in which order and under
which contexts their numbers go.
"""
