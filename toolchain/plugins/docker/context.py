"""What goes into a build, as one digest: it tells whether an image must be built again. Pure reads.

Owns the reading of ``.dockerignore``. Does not own building.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolchain.plugins.errors import PluginError

_REMOTE: Final = re.compile(r"(https?|git|ssh)://|git@|github\.com/")
_BLOCK: Final = 1 << 20


def is_remote(context: str) -> bool:
    """Whether the daemon fetches the context itself."""
    return _REMOTE.match(context) is not None


def digest(context: str, dockerfile: str) -> str:
    """SHA-256 in hex over the Dockerfile and every file that is sent along: names, modes, contents.

    Raises PluginError when the Dockerfile or the context cannot be read. A remote context counts
    with its address only.
    """
    total = hashlib.sha256()
    if is_remote(context):
        total.update(f"{context}\0{dockerfile}".encode())
        return total.hexdigest()
    root = Path(context)
    try:
        total.update(_content(Path(dockerfile)))
        if not root.is_dir():
            raise PluginError(f"build context {context} is not a directory")
        rules = _rules(root, Path(dockerfile))
        for relative, path in sorted(_files(root, rules)):
            mode = path.lstat().st_mode
            total.update(f"{relative}\0{mode:o}\0".encode())
            total.update(os.readlink(path).encode() if path.is_symlink() else _content(path))
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise PluginError(
            f"could not read the build context: open {error.filename}: {reason}"
        ) from None
    return total.hexdigest()


@dataclass(frozen=True)
class Rule:
    """One line of ``.dockerignore``."""

    pattern: re.Pattern[str]
    again: bool

    @classmethod
    def of(cls, line: str) -> "Rule":
        """A rule from a line that is neither empty nor a comment."""
        again = line.startswith("!")
        return cls(_pattern(line.removeprefix("!").strip()), again)


def ignored(relative: str, rules: Sequence[Rule]) -> bool:
    """Whether a path below the context stays at home: the last rule that fits decides."""
    parts = relative.split("/")
    heads = ["/".join(parts[: place + 1]) for place in range(len(parts))]
    out = False
    for rule in rules:
        if out == rule.again and any(rule.pattern.fullmatch(head) for head in heads):
            out = not rule.again
    return out


def _rules(root: Path, dockerfile: Path) -> list[Rule]:
    for path in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), root / ".dockerignore"):
        if path.is_file():
            lines = (line.strip() for line in path.read_text().splitlines())
            return [Rule.of(line) for line in lines if line and not line.startswith("#")]
    return []


def _pattern(text: str) -> re.Pattern[str]:
    """``*`` and ``?`` stay within a name, ``**`` spans any number of them."""
    found = []
    for token in re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", os.path.normpath(text).strip("/")):
        match token:
            case "**/":
                found.append("(?:.*/)?")
            case "**":
                found.append(".*")
            case "*":
                found.append("[^/]*")
            case "?":
                found.append("[^/]")
            case _ if token.startswith("[") and token.endswith("]"):
                found.append(token)
            case _:
                found.append(re.escape(token))
    try:
        return re.compile("".join(found))
    except re.error as error:
        raise PluginError(f"unable to parse .dockerignore: {text}: {error}") from None


def _files(root: Path, rules: Sequence[Rule]) -> Iterator[tuple[str, Path]]:
    exceptions = any(rule.again for rule in rules)
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        base = here.relative_to(root)
        for name in names + [name for name in folders if (here / name).is_symlink()]:
            relative = (base / name).as_posix()
            if not ignored(relative, rules):
                yield relative, here / name
        if not exceptions:
            folders[:] = [one for one in folders if not ignored((base / one).as_posix(), rules)]


def _content(path: Path) -> bytes:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.digest()
