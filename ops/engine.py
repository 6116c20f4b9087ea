"""The Pulumi engine as a child process: one stack of one checkout.

Owns how the CLI is called, interrupted and recovered. Does not own what the words mean to people.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ops.checkout import Checkout
from ops.errors import INTERRUPTED, OpsError, PulumiFailed

_CANCELLED: Final = 8
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)
_DOTS: Final = re.compile(r"(\x1b\[[0-9;]*m)*@ \w+\.")


@dataclass(frozen=True)
class Engine:
    """Runs ``pulumi`` for one stack."""

    checkout: Checkout
    stack: str

    def ensure_stack(self) -> None:
        """Create the stack on first use. Which stack is selected stays as it is."""
        if not self.checkout.stack_file(self.stack).exists():
            known = sorted(
                file.name.split(".")[1] for file in self.checkout.root.glob("Pulumi.*.yaml")
            )
            msg = f"there is no Pulumi.{self.stack}.yaml; stacks here: {', '.join(known)}"
            raise OpsError(msg)
        if self._checkpoint.exists():
            return
        try:
            self._captured("stack", "init", "--no-select", self.stack)
        except PulumiFailed as error:
            if "incorrect passphrase" not in str(error):
                raise
            file = self.checkout.stack_file(self.stack).name
            msg = (
                f"{file}: encryptionsalt belongs to another passphrase than "
                f"{self.checkout.passphrase_file}; copy the passphrase file of the checkout the "
                "line came from, or delete the line if the file holds no `secure:` values"
            )
            raise OpsError(msg) from None

    def select(self) -> None:
        """Make this the stack that plain ``pulumi`` commands speak of."""
        self._captured("stack", "select", self.stack)

    def set_config(self, path: str, value: str) -> None:
        """Set one key of the stack file."""
        self._captured("config", "set", "--stack", self.stack, "--path", path, value)

    def preview(self, *options: str) -> dict[str, Any]:
        """What an update would do, as the engine's own JSON digest; errors are part of it."""
        done = self._run("preview", "--json", "--stack", self.stack, *options)
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            raise PulumiFailed(_last_words(done), done.returncode) from None

    def update(self, *options: str) -> None:
        """Apply the program, showing the engine's own progress. Raises PulumiFailed."""
        self._shown("up", "--yes", "--skip-preview", *options)

    def destroy(self) -> None:
        """Delete everything the stack made. Raises PulumiFailed."""
        self._shown("destroy", "--yes", "--skip-preview")

    def export(self) -> dict[str, Any]:
        """The state with secrets in plain; it must not leave this process."""
        done = self._captured("stack", "export", "--show-secrets", "--stack", self.stack)
        return dict(json.loads(done.stdout))

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs with secrets in plain; empty before the first update."""
        done = self._captured("stack", "output", "--json", "--show-secrets", "--stack", self.stack)
        return dict(json.loads(done.stdout))

    def recover(self) -> None:
        """Clear what a killed run left behind: its lock and its unfinished operations.

        Our resources are idempotent, so an operation that was cut off is simply done again.
        The caller holds the checkout's lock, hence no engine is running.
        """
        locks = self.checkout.home / "state" / ".pulumi" / "locks"
        if any(locks.rglob("*.json")):
            self._captured("cancel", "--yes", "--stack", self.stack)
        checkpoint = self._checkpoint
        if not checkpoint.exists() or '"pending_operations"' not in checkpoint.read_text():
            return
        deployment = json.loads(self._captured("stack", "export", "--stack", self.stack).stdout)
        deployment["deployment"].pop("pending_operations", None)
        self._run(
            "stack", "import", "--stack", self.stack, stdin=json.dumps(deployment)
        ).check_returncode()

    @property
    def _checkpoint(self) -> Path:
        stacks = self.checkout.home / "state" / ".pulumi" / "stacks" / "hearth"
        return stacks / f"{self.stack}.json"

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.checkout.environment(), "PATH": self.checkout.path()}

    def _command(self, args: Sequence[str]) -> list[str]:
        if not self.checkout.pulumi.exists():
            msg = "the toolchain is not installed in this checkout; run ./bootstrap.sh"
            raise OpsError(msg)
        return [str(self.checkout.pulumi), "--cwd", str(self.checkout.root), *args]

    def _run(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command(args), "--non-interactive"],
            env=self._environment(),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
        )

    def _captured(self, *args: str) -> subprocess.CompletedProcess[str]:
        done = self._run(*args)
        if done.returncode != 0:
            raise PulumiFailed(_last_words(done), done.returncode)
        return done

    def _shown(self, *args: str) -> None:
        """Run with the engine's lines on the screen and in a log file. The engine ends its steps
        in order when interrupted, so an interrupt is passed on and waited for, never turned into
        a kill; therefore it runs in a process group of its own.
        """
        color = "always" if sys.stdout.isatty() else "never"
        log = self.checkout.logs / f"{args[0]}-{self.stack}.log"
        child = subprocess.Popen(
            [*self._command(args), "--stack", self.stack, "--non-interactive", "--color", color],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        interrupted = False

        def pass_on(*_: object) -> None:
            nonlocal interrupted
            interrupted = True
            child.send_signal(signal.SIGINT)

        before = {number: signal.signal(number, pass_on) for number in _INTERRUPTS}
        try:
            _copy_lines(child, log)
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if interrupted or code == _CANCELLED:
            msg = "interrupted; what was finished is kept, run the same command to continue"
            raise PulumiFailed(msg, INTERRUPTED)
        if code != 0:
            raise PulumiFailed(f"the update failed; the reasons stand above and in {log}", code)


def selected_stack(checkout: Checkout) -> str | None:
    """The stack that plain ``pulumi`` commands speak of, or None when none is selected yet."""
    if not checkout.passphrase_file.exists():
        return None
    done = Engine(checkout, "")._run("stack", "--show-name")
    return done.stdout.strip() or None if done.returncode == 0 else None


def _copy_lines(child: "subprocess.Popen[str]", log: Path) -> None:
    """The child's lines to the screen and the log; its dots of progress to neither."""
    assert child.stdout is not None
    with log.open("w") as file:
        for line in child.stdout:
            if _DOTS.match(line) or not line.strip():
                continue
            file.write(line)
            file.flush()
            sys.stdout.write(line)
            sys.stdout.flush()


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    text = (done.stderr or done.stdout).strip()
    return text.removeprefix("error: ") or f"pulumi ended with exit code {done.returncode}"
