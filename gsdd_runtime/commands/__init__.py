"""One file a command of ``gsdd-rt``: it reads options, calls the library and prints. Nothing is computed here.

What is slow to import is imported inside the command, so that ``gsdd-rt --help`` is quick.
"""
