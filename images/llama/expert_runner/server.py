"""One llama-server process. Owns its start, its output and its end; knows nothing of ladders."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from expert_runner.errors import RungError
from expert_runner.flags import ENVIRONMENT

_PR_SET_PDEATHSIG: Final = 1
_KEPT_LINES: Final = 40
_KILL_WAIT_S: Final = 5.0
_CAUSES: Final = {
    signal.SIGKILL: "most likely out of memory",
    signal.SIGILL: "the binary uses instructions this CPU lacks",
    signal.SIGABRT: "it gave up; an RPC worker that went away does this",
}
# The task's own credentials are no business of a model server, and llama-server reads its flags
# from the environment too.
_WITHHELD: Final = ("NOMAD_", "VAULT_", "CONSUL_", "LLAMA_")


class ServerProcess:
    """A started llama-server. It dies with the thread that created it: use the main one."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
        try:
            self._process = subprocess.Popen(
                argv,
                env=child_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            raise RungError(f"cannot start {argv[0]}: {error.strerror}") from error
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reader = threading.Thread(target=self._forward, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id, for memory accounting."""
        return self._process.pid

    def ended(self) -> str | None:
        """How the process ended, in words, or None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._reader.join(1.0)
        return describe_end(code, list(self._lines))

    def terminate(self) -> None:
        """Asks for an end: the first time after the requests in flight, the second time at once."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process whatever it does, a stopped one too, and waits for it."""
        self._signal(signal.SIGKILL)
        # A process stuck in the kernel ends when the kernel lets it; waiting longer helps nobody.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_WAIT_S)

    def stop(self, grace_s: float, hurried: threading.Event) -> None:
        """Ends the process: it may finish its requests for ``grace_s``, or until ``hurried``."""
        for patience in (grace_s, 2.0):
            self.terminate()
            waited = 0.0
            while waited < patience:
                if self._process.poll() is not None:
                    return
                if hurried.is_set() and patience == grace_s:
                    break
                waited += _wait(self._process, 0.1)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _forward(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream:
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip()
                self._lines.append(line)
                print(line, file=sys.stderr, flush=True)


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What llama-server may see of this process's environment."""
    passed = {k: v for k, v in environment.items() if not k.startswith(_WITHHELD)}
    return passed | ENVIRONMENT


def describe_end(code: int, lines: Sequence[str]) -> str:
    """An exit status in words, with the server's own last complaint. A negative status is a
    signal, and so is one above 128, as a shell or container in between reports it.
    """
    number = -code if code < 0 else code - 128
    if code == 0:
        what = "ended without being asked"
    elif number in signal.Signals.__members__.values():
        name = signal.Signals(number)
        what = f"killed by {name.name}"
        if name in _CAUSES:
            what += f" ({_CAUSES[name]})"
    else:
        what = f"exit status {code}"
    complaints = [line for line in lines if "error" in line.lower() or "failed" in line.lower()]
    return f"{what}: {complaints[-1].strip()[:200]}" if complaints else what


def _wait(process: subprocess.Popen[bytes], seconds: float) -> float:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return seconds
    return 0.0


def _die_with_parent() -> Callable[[], None]:
    """A hook for the child: without it, killing the runner would leave an orphan on the port."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def hook() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent died between fork and prctl, so no signal will come

    return hook
