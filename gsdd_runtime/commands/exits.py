"""How a program of ours ends: 0 done, 2 wrong use or bad input, 1 anything else; one line on stderr says why."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable

from gsdd_runtime import ranks
from gsdd_runtime.errors import GsddError, InputError, printable

# What PyTorch, NumPy, the interpreter and C++ say where the system gives no memory, not even a stack for a thread.
_NO_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|cannot allocate memory|unable to allocate|bad_alloc"
    r"|can't start new thread|could not (create|execute) a (primitive|memory object)",
    re.IGNORECASE,
)
_WITHOUT_MEMORY = (
    "there is too little memory ({said}): end other programs, ask for fewer or smaller images at once, "
    "or take a machine with more"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the system, or a device, had no memory to give."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None)
        # PyTorch's own, of CUDA: it is not imported for this.
        or type(error).__name__ == "OutOfMemoryError"
    )


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
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return fail(program, _WITHOUT_MEMORY.format(said=" ".join(str(error).split())[:120] or "no more is free"), 1)
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
