"""The import table of the project, executable: who may import whom, and how large a file may be."""

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "components": CHECKOUT / "components",
    "contract": CHECKOUT / "images/base/contract",
    "expert_runner": CHECKOUT / "images/llama/expert_runner",
    "gateway": CHECKOUT / "gateway",
    "ops": CHECKOUT / "ops",
    "toolchain": CHECKOUT / "toolchain",
}
OURS = set(PACKAGES)
# Which of our packages each may import, beside itself.
ALLOWED = {
    "components": {"contract"},
    "contract": set(),
    "expert_runner": {"contract"},
    "gateway": {"contract"},
    "ops": {"components", "contract", "toolchain"},
    "toolchain": set(),
}
PURE = ["components/model", "components/plan", "components/render", "components/naming.py"]
LIMIT = 400


def python_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if "__pycache__" not in file.parts)


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_imports_only_what_the_table_allows(package: str) -> None:
    wrong = [
        f"{file.relative_to(CHECKOUT)} imports {name}"
        for file in python_files(PACKAGES[package])
        for name in imports(file)
        if name.split(".")[0] in OURS - ALLOWED[package] - {package}
    ]
    assert wrong == []


def pure_files() -> list[Path]:
    roots = [CHECKOUT / name for name in PURE]
    return [file for root in roots for file in ([root] if root.is_file() else python_files(root))]


def test_deciding_and_writing_never_touch_pulumi_or_the_machine() -> None:
    forbidden = {"pulumi", "os", "subprocess", "socket", "httpx"}
    wrong = [
        f"{file.relative_to(CHECKOUT)} imports {name}"
        for file in pure_files()
        for name in imports(file)
        if name.split(".")[0].split("_")[0] in forbidden
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("folder", "may"),
    [
        ("model", {"components.model", "components.naming"}),
        ("plan", {"components.model", "components.naming", "components.plan"}),
        (
            "render",
            {"components.model", "components.naming", "components.plan", "components.render"},
        ),
    ],
)
def test_validate_decide_and_write_look_one_way(folder: str, may: set[str]) -> None:
    wrong = [
        f"{file.relative_to(CHECKOUT)} imports {name}"
        for file in python_files(CHECKOUT / "components" / folder)
        for name in imports(file)
        if name.startswith("components.") and not any(name.startswith(ok) for ok in may)
    ]
    assert wrong == []


def test_only_the_edge_reads_pulumi_configuration() -> None:
    readers = [
        str(file.relative_to(CHECKOUT))
        for file in [*python_files(CHECKOUT / "components"), CHECKOUT / "__main__.py"]
        if "pulumi.Config(" in file.read_text()
    ]
    assert readers == ["components/stack.py"]


def test_the_composition_is_short_and_decides_nothing() -> None:
    source = (CHECKOUT / "__main__.py").read_text()
    assert len(source.splitlines()) <= 60
    assert not any(isinstance(node, ast.If | ast.IfExp) for node in ast.walk(ast.parse(source)))


def test_no_file_outgrows_the_limit() -> None:
    files = [file for folder in PACKAGES.values() for file in python_files(folder)]
    files += python_files(CHECKOUT / "tests")
    long = {str(file.relative_to(CHECKOUT)): len(file.read_text().splitlines()) for file in files}
    assert {name: lines for name, lines in long.items() if lines > LIMIT} == {}


def test_every_component_registers_its_outputs_last() -> None:
    for file in python_files(CHECKOUT / "components"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and any(
                "ComponentResource" in ast.unparse(base) for base in node.bases
            ):
                init = next(
                    item
                    for item in node.body
                    if isinstance(item, ast.FunctionDef) and item.name == "__init__"
                )
                last = ast.unparse(init.body[-1])
                assert last.startswith("self.register_outputs("), f"{file}: {node.name}"
                token = ast.unparse(init.body[0])
                assert f":{node.name}'" in token, f"{file}: {node.name} has another token"
