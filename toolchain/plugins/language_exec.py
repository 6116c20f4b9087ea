"""Runs one Pulumi program. Started by the language host as a process of its own.

The settings come in one environment variable, and the program sees ``sys.argv == ["."]``, its own
folder first on ``sys.path``, and ``__main__`` as its name.
"""

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path

VARIABLE = "HEARTH_LANGUAGE_RUN"
INTERRUPTED = 130
ALREADY_REPORTED = 32  # the exit code after an error the engine has been told


def run() -> int:
    """Run the program; returns the exit code."""
    threading.Thread(target=_end_with_host, args=(os.getppid(),), daemon=True).start()
    settings = json.loads(os.environ.pop(VARIABLE))
    directory = Path(settings["directory"])
    entry = directory / settings["entry"]
    # This file's own folder is first; its modules must not hide the program's.
    sys.path[0] = str(directory)
    sys.argv = [settings["entry"]]

    import asyncio
    import runpy

    import pulumi
    import pulumi.runtime

    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=settings["monitor"],
            engine=settings["engine"],
            project=settings["project"],
            stack=settings["stack"],
            parallel=settings["parallel"],
            dry_run=settings["dry_run"],
            organization=settings["organization"],
            root_directory=settings["root_directory"],
        )
    )
    path = str(entry / "__main__.py" if entry.is_dir() else entry)

    def program() -> None:
        runpy.run_path(path, run_name="__main__")

    try:
        # The runner turns an interrupt into a cancelled task; raised in the middle of the loop's
        # own code it would end in tracebacks of the SDK's callbacks.
        with asyncio.Runner() as runner:
            runner.run(pulumi.runtime.run_in_stack(program))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception:
        pulumi.log.error(
            f"Program failed with an unhandled exception:\n{_user_traceback(directory)}"
        )
    else:
        return 0
    return ALREADY_REPORTED


def _end_with_host(host: int) -> None:
    """A language host that was killed tells nobody: its program would wait for answers for ever."""
    while os.getppid() == host:
        time.sleep(1.0)
    os._exit(INTERRUPTED)


def _user_traceback(directory: Path) -> str:
    """The traceback without the frames of the SDK and of this file."""
    kind, error, frames = sys.exc_info()
    kept = [
        frame
        for frame in traceback.extract_tb(frames)
        if frame.filename.startswith(str(directory)) and "site-packages" not in frame.filename
    ]
    lines = traceback.format_list(kept) + traceback.format_exception_only(kind, error)
    return "Traceback (most recent call last):\n" + "".join(lines)


if __name__ == "__main__":
    try:
        code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK keeps threads of its own that would hold a finished program for seconds.
    os._exit(code)
