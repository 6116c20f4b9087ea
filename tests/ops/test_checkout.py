"""State on disk: private, made once, and one change at a time."""

import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ops.checkout import Checkout
from ops.errors import Busy
from ops.lock import exclusive


def test_the_passphrase_is_private_and_made_once(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.prepare()
    first = checkout.passphrase_file.read_text()
    checkout.prepare()
    assert checkout.passphrase_file.read_text() == first
    assert len(first) > 40
    assert stat.S_IMODE(checkout.passphrase_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(checkout.home.stat().st_mode) == 0o700


def test_nothing_of_the_environment_is_a_secret_itself(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.prepare()
    passphrase = checkout.passphrase_file.read_text().strip()
    assert passphrase not in str(checkout.environment())


def test_own_tools_come_first_on_the_path_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = str(tmp_path / ".hearth" / "bin")
    monkeypatch.setenv("PATH", f"/usr/bin:{own}")
    parts = Checkout(tmp_path).path().split(":")
    assert parts[0] == own
    assert parts.count(own) == 1


def test_a_second_change_is_refused_and_names_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = textwrap.dedent(
        f"""
        import sys, pathlib
        from ops.lock import exclusive
        with exclusive(pathlib.Path({str(lock)!r})):
            print("held", flush=True)
            sys.stdin.read()
        """
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"process {holder.pid}"), exclusive(lock):
            pass
        holder.kill()
    with exclusive(lock):  # a dead holder holds nothing
        pass
