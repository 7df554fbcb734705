"""The `vidsearch` program: the process is made ready before anything is imported that takes time, and ends at once.

Ctrl-C during the imports ends it at once; descriptors that the shell closed (`>&-`) are opened on /dev/null, so that no
file of ours takes their place. Cyclic garbage is looked for while a command runs, not while it starts or ends.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from vidsearch.errors import EXIT_INTERRUPTED


def main() -> None:
    """Runs the command line of this process and ends it with the exit code."""
    stoppable = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where the shell ignores Ctrl-C
    if stoppable:
        signal.signal(signal.SIGINT, _leave_at_once)
    _open_closed_streams()
    gc.disable()  # until a command runs (cli/app.py): all that an import makes stays
    # Our matrices are small, and a second thread of numpy's would burn a core for 20 ms after each product, waiting.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from vidsearch.cli.app import run

    if stoppable:
        signal.signal(signal.SIGINT, _stop)
    try:
        code = run()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except ImportError:  # what a native module makes of a KeyboardInterrupt while it is imported
        if not _stopped:
            raise
        code = EXIT_INTERRUPTED
    leave(code)


def leave(code: int) -> NoReturn:
    """Ends the process as `sys.exit` does, but for the 10 ms in which the interpreter takes every module apart.

    What was registered with `atexit` runs, the end of logging among it, and what was written goes out. It is `sys.exit`
    where more than that is to be done: where a thread still runs, where torch has devices, where a profiler, a debugger
    or `python -i` goes on afterwards, and where a stream takes no more.
    """
    _let_go_of_full_stderr()
    gc.freeze()  # else the interpreter looks for garbage once more, among all objects, to no end
    threading = sys.modules.get("threading")
    alone = threading is None or threading.active_count() == 1
    if alone and not sys.flags.inspect and not {"torch", "_lsprof", "bdb"} & sys.modules.keys():
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            sys.exit(code)
        os._exit(code)
    sys.exit(code)


def _let_go_of_full_stderr() -> None:
    """What stderr does not take goes nowhere: the interpreter's own last flush would make 120 of the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


_stopped: list[int] = []  # the signals that came


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)


def _stop(number: int, frame: FrameType | None) -> None:
    _stopped.append(number)
    raise KeyboardInterrupt


def _open_closed_streams() -> None:
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", errors="surrogateescape"))


if __name__ == "__main__":
    main()
