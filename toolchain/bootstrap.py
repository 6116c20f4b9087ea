"""`./bootstrap.sh` after it has found a Python: from a bare checkout to the first answer.

Owns the order: system packages, Python environment, toolchain, `hearth up`. Does not own what
each of them does. Standard library only, and run with the system's Python.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from toolchain import lock as lock_file
from toolchain import system
from toolchain.checkout import Checkout
from toolchain.environment import Environment, base_interpreter
from toolchain.errors import CommandError, ToolchainError
from toolchain.progress import Display, display_for, elapsed_text, running

Run = Callable[[Sequence[str], Mapping[str, str], Path | None], int]
Ask = Callable[[str], bool]
HandOver = Callable[[Sequence[str], Mapping[str, str]], int]


def _run_here(argv: Sequence[str], environ: Mapping[str, str], log: Path | None) -> int:
    """Runs a program on our terminal, its output to `log` if given; its exit code.

    Ctrl-C reaches the program as well: it is left to end in its own way and we wait for it.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        try:
            process = subprocess.Popen(list(argv), env=dict(environ), stdout=output, stderr=output)
        except OSError as error:
            raise CommandError(f"{argv[0]}: {error.strerror}") from error

        def pass_on(number: int, _frame: FrameType | None) -> None:
            process.send_signal(number)

        previous = signal.signal(signal.SIGTERM, pass_on)
        try:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:
                    continue
        finally:
            signal.signal(signal.SIGTERM, previous)


def _hand_over_here(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Becomes that program, so that signals reach it and nobody stands in between."""
    sys.stderr.flush()
    try:
        os.execve(argv[0], list(argv), dict(environ))
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from error


def _ask_here(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


class Bootstrap:
    """One run for one checkout; `ask` and `run` are the only ways to a person and the system."""

    def __init__(
        self,
        *,
        checkout: Checkout,
        environment: Environment,
        display: Display,
        environ: Mapping[str, str],
        needs_git: bool,
        is_root: bool,
        which: system.Which = shutil.which,
        run: Run = _run_here,
        ask: Ask = _ask_here,
        hand_over: HandOver = _hand_over_here,
    ) -> None:
        self._checkout = checkout
        self._environment = environment
        self._display = display
        self._environ = environ
        self._needs_git = needs_git
        self._is_root = is_root
        self._which = which
        self._run = run
        self._ask = ask
        self._hand_over = hand_over

    def _missing(self) -> list[system.Need]:
        return system.missing(
            self._which,
            self._environ,
            git=self._needs_git,
            venv=not self._environment.usable(),
        )

    # -- looking

    def check(self) -> int:
        """Prints what is there and what would be done; 0 if nothing is missing, else 1."""
        findings = [(f"system: {need.what}", "install it") for need in self._missing()]
        if not self._environment.usable():
            findings.append(("Python environment", "create .venv"))
        if not self._environment.packages_current():
            findings.append(("Python packages", "install requirements/runtime.txt"))
        if not self._environment.linked():
            findings.append(("import roots and the hearth command", "write them into .venv"))
        for part, action in findings:
            self._display.note(f"--  {part}: would {action}")
        if any(part.startswith("Python") for part, _ in findings):
            self._display.note("--  toolchain: would look once the Python environment is there")
            return 1
        self._display.note("ok  Python environment: .venv")
        return max(1 if findings else 0, self._toolchain(["--check"]))

    # -- doing

    def system_packages(self, *, allowed: bool) -> None:
        """Installs what is missing: as root at once, else after one question, through sudo."""
        needs = self._missing()
        if not needs:
            return
        what = " and ".join(need.what for need in needs)
        manager = system.manager(self._which)
        if manager is None:
            raise ToolchainError(f"{what} missing", fix="install it, then run this again")
        names = system.packages(needs, manager)
        sudo: tuple[str, ...] = () if self._is_root else ("sudo",)
        by_hand = shlex.join([*sudo, *manager.install, *names])
        refusal = ToolchainError(f"{what} missing", fix=by_hand)
        if not allowed or (sudo and self._which("sudo") is None):
            raise refusal
        if sudo and not self._ask(f"{what} missing. Run `{by_hand}` now?"):
            raise refusal
        self._install_packages(manager, names, sudo)

    def _install_packages(
        self, manager: system.Manager, names: Sequence[str], sudo: Sequence[str]
    ) -> None:
        # No live display here: sudo may have to ask for a password on the same terminal.
        began = time.monotonic()
        log = self._checkout.logs / "bootstrap-system.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self._display.note(f"system packages: installing {' '.join(names)}")
        command = [*sudo, *manager.install, *names]
        if self._run(command, self._environ, log) != 0:
            # Fresh images come with empty package lists.
            self._run([*sudo, *manager.refresh], self._environ, log)
            if self._run(command, self._environ, log) != 0:
                tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
                text = "".join(f"\n    {line}" for line in tail)
                raise CommandError(
                    f"{manager.name} could not install {' '.join(names)}:{text}",
                    fix=shlex.join(command),
                    log=str(log),
                )
        took = elapsed_text(time.monotonic() - began)
        self._display.note(f"ok  system packages: {' '.join(names)} [{took}]")

    def python_environment(self) -> None:
        """Creates `.venv`, installs the pinned packages, writes import roots and launcher."""
        environment = self._environment
        logs = self._checkout.logs
        if not environment.usable():
            with running(self._display, "Python environment", logs / "bootstrap-venv.log") as step:
                environment.create(step)
                step.finish(f".venv with Python {environment.python_version()}")
        if not environment.packages_current():
            title = "Python packages"
            with running(self._display, title, logs / "bootstrap-pip.log") as step:
                step.activity("installing requirements/runtime.txt")
                environment.install(step)
                step.finish("pinned versions, hashes verified")
        if not environment.linked():
            with running(self._display, "hearth command", logs / "bootstrap-link.log") as step:
                environment.link()
                step.finish(".venv/bin/hearth")

    def _toolchain(self, arguments: Sequence[str]) -> int:
        argv = [str(self._checkout.python), "-m", "toolchain", *arguments]
        return self._run(argv, self._environ, None)

    def toolchain(self) -> int:
        """Runs `python -m toolchain` with the environment's own interpreter."""
        return self._toolchain([])

    def first_run(self, arguments: Sequence[str]) -> int:
        """Hands over to `hearth up`, which asks, applies and prints the answer."""
        argv = [str(self._environment.launcher), "up", *arguments, "--first-run"]
        return self._hand_over(argv, self._environ)


def parser() -> argparse.ArgumentParser:
    """The command line of bootstrap.sh."""
    made = argparse.ArgumentParser(
        prog="./bootstrap.sh",
        description="From a bare checkout to the first answer; run it again at any time.",
    )
    made.add_argument("--stack", default="dev", metavar="NAME", help="default: dev")
    made.add_argument(
        "--run-local", action="store_true", help="run the services without containers"
    )
    made.add_argument("--yes", action="store_true", help="apply without asking")
    made.add_argument("--check", action="store_true", help="say what would be done, change nothing")
    made.add_argument("--no-up", action="store_true", help="stop before `hearth up`")
    made.add_argument(
        "--no-system-packages", action="store_true", help="never call the package manager"
    )
    return made


def run(options: argparse.Namespace, bootstrap: Bootstrap) -> int:
    """The steps in order; returns an exit code or raises ToolchainError."""
    if options.check:
        return bootstrap.check()
    bootstrap.system_packages(allowed=not options.no_system_packages)
    bootstrap.python_environment()
    code = bootstrap.toolchain()
    if code != 0 or options.no_up:
        return code
    arguments = ["--stack", options.stack]
    arguments += ["--run-local"] if options.run_local else []
    arguments += ["--yes"] if options.yes else []
    return bootstrap.first_run(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: that of the first step that failed, 130 after Ctrl-C."""
    options = parser().parse_args(arguments)
    display = display_for(sys.stderr)
    checkout = Checkout.containing_this_package()
    # Settings of another environment must not leak into this one's interpreter.
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        lock = lock_file.load()
        bootstrap = Bootstrap(
            checkout=checkout,
            environment=Environment(checkout, base_interpreter(), environ),
            display=display,
            environ=environ,
            needs_git=lock.llama.source == "git",
            is_root=os.geteuid() == 0,
        )
        return run(options, bootstrap)
    except ToolchainError as error:
        for line in error.lines():
            display.note(line)
        return 1
    except KeyboardInterrupt:
        display.note("interrupted; run the same command again to go on from here")
        return 130


if __name__ == "__main__":
    sys.exit(main())
