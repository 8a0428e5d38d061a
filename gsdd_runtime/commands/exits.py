"""How a program of ours ends: 0 done, 2 wrong use or bad input, 1 anything else; one line on stderr says why."""

from __future__ import annotations

import sys
from collections.abc import Callable

from gsdd_runtime import ranks
from gsdd_runtime.errors import GsddError, InputError, printable


def exit_code(program: str, work: Callable[[], object]) -> int:
    """Does ``work`` and returns the exit code, which is what it returns where that is a number."""
    try:
        code = work()
    except InputError as error:
        return fail(program, str(error), 2, error)
    except GsddError as error:
        return fail(program, str(error), 1, error)
    except KeyboardInterrupt as interruption:
        return fail(program, why(interruption), 1, interruption)
    except BrokenPipeError:
        # The reader of the output is gone (`gsdd-rt info | head`): nobody is left to tell.
        sys.stderr.close()
        return 1
    return code if isinstance(code, int) else 0


def why(interruption: KeyboardInterrupt) -> str:
    """What there is to say of a Ctrl-C; distilling tells how to go on."""
    return str(interruption) or "interrupted"


def fail(program: str, message: str, code: int, error: BaseException | None = None) -> int:
    """One line on stderr; returns the code. Of several processes that share a run one alone tells."""
    if not ranks.joined().may_tell(error):
        return code
    print(f"{program}: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
