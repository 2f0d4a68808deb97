"""A process for one contestant at a time: ``python -m benchmarks.worker THREADS``.

It reads requests from standard input and answers on standard output, a line of JSON each:
``{"build": [FACTORY, SETTINGS]}``, ``{"validate": FILE}`` (the results are written there) and
``{"run": STEPS}`` (the answer has ``"seconds"``). Between requests it waits in a read and uses no
processor. Whatever a library prints goes to standard error.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestant import Contestant, build
from minitransformer.memory import keep_freed_memory


def main(threads: int) -> None:
    """Serve until standard input ends."""
    confine(threads)
    keep_freed_memory()  # as our command line does; it helps every contestant
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    contestant: Contestant | None = None
    for line in sys.stdin:
        try:
            contestant, answer = obey(json.loads(line), contestant)
        except Exception as error:  # of any library; the parent decides
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def obey(
    request: dict[str, Any], contestant: Contestant | None
) -> tuple[Contestant | None, dict[str, Any]]:
    """Carry out one request; the contestant from then on, and the answer."""
    match request:
        case {"build": [factory, settings]}:
            del contestant  # before the next one needs the memory
            return build(factory, settings), {}
        case {"validate": file} if contestant:
            with Path(file).open("wb") as stream:
                np.savez(stream, allow_pickle=False, **contestant.validate())
            return contestant, {}
        case {"run": steps} if contestant:
            return contestant, {"seconds": contestant.run(steps)}
    raise ValueError(f"{request} cannot be done, contestant: {contestant}")


def confine(threads: int) -> None:
    """Keep to as many cores as there are threads, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    main(int(sys.argv[1]))
