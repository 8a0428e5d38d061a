"""``python -m gsdd_runtime``: the command line, as ``gsdd-rt`` is."""

from gsdd_runtime.commands.cli import main

if __name__ == "__main__":
    main()
