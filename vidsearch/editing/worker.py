"""The process that cuts: `python -m vidsearch.editing.worker <memory in bytes>`, started by `process`.

Standard input carries one job a message, standard output what it gives; whatever the codec libraries print goes to
standard error. The process ends when its standard input does, so that none is left when the program is killed, and it
ignores Ctrl-C, which is the program's to handle.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import IO

from vidsearch.editing.process import Ended, Given, Job, Refused, TooLittleMemory
from vidsearch.errors import VidsearchError
from vidsearch.video.ipc import send
from vidsearch.video.memory import limit_memory
from vidsearch.video.worker_process import claim_standard_output, jobs_from_standard_input


def main() -> None:
    """Serve jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(int(sys.argv[1]), decord=False)
    answers = claim_standard_output()
    try:
        for job in jobs_from_standard_input():
            serve(job, answers)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # an orderly end would wait for the thread that reads


def serve(job: Job, answers: IO[bytes]) -> None:
    """Do one job: what it gives, then how it ended. Any other error is a bug and ends the process."""
    try:
        for value in job.work(*job.arguments):
            send(answers, Given(value))
        send(answers, Ended())
    except VidsearchError as error:
        send(answers, Refused(error))
    except MemoryError:
        send(answers, TooLittleMemory())


if __name__ == "__main__":
    main()
