import pytest

from toolchain import system


def which(*present: str) -> system.Which:
    return lambda name: f"/usr/bin/{name}" if name in present else None


def whats(needs: list[system.Need]) -> list[str]:
    return [need.what for need in needs]


def test_a_machine_with_compilers_needs_nothing() -> None:
    assert system.missing(which("cc", "c++"), {}, git=False, venv=False) == []


@pytest.mark.parametrize(
    ("present", "environ", "expected"),
    [
        (("gcc",), {}, ["a C++ compiler"]),
        (("clang", "clang++"), {}, []),
        (("icx", "icpx"), {"CC": "icx -O2", "CXX": "icpx"}, []),
        ((), {"CC": "", "CXX": "gone"}, ["a C compiler", "a C++ compiler"]),
    ],
)
def test_any_compiler_will_do_also_one_that_was_chosen(
    present: tuple[str, ...], environ: dict[str, str], expected: list[str]
) -> None:
    assert whats(system.missing(which(*present), environ, git=False, venv=False)) == expected


def test_git_and_the_venv_module_are_asked_for_only_where_they_are_used() -> None:
    compilers = which("cc", "c++")
    needs = system.missing(compilers, {}, git=True, venv=True, venv_usable=lambda: False)
    assert whats(needs) == ["git", "Python's venv module"]
    assert system.missing(compilers, {}, git=False, venv=False, venv_usable=lambda: False) == []


@pytest.mark.parametrize("name", ["apt-get", "dnf", "pacman"])
def test_every_need_has_a_package_for_every_manager(name: str) -> None:
    needs = system.missing(which(), {}, git=True, venv=True, venv_usable=lambda: False)
    assert len(needs) == 4
    known = system.manager(which(name))
    assert known is not None
    names = system.packages(needs, known)
    assert len(names) == len(set(names)) >= 3


def test_a_machine_without_a_known_package_manager_is_told_apart() -> None:
    assert system.manager(which("zypper")) is None
