"""The systems compared: how each is configured and started in front of the fake upstream.

Owns the proxies and the base class; the routers and Hearth have files of their own.
"""

import os
import resource
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.gateway.endpoint import is_free, wait_until_it_chats
from tests.bench.gateway.processes import Process

UPSTREAM_PORT = 9000
GATEWAY_CORE = 0
TOOLS_CORE = 1
CHECKOUT = Path(__file__).resolve().parents[3]
_START_S = 20.0


class CannotStart(Exception):
    """A system cannot be compared here; the message says why."""


class System:
    """One gateway or proxy. Subclasses say how it is started."""

    name: str
    port: int
    start_s = _START_S
    slow = False  # one round tells enough, more would take most of the time
    holds = True  # whether thousands of streams are a fair question to it

    def __init__(self, folder: Path) -> None:
        """``folder`` is its own, and empty."""
        self.folder = folder
        self.key = "none"
        self.notes: list[str] = []
        self._process: Process | None = None

    @property
    def process(self) -> Process | None:
        """What serves it; ``direct`` has none of its own."""
        return self._process

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "log"

    def command(self) -> Sequence[str]:
        """Writes its configuration and returns what starts it."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Variables it needs beside ours."""
        return {}

    def ports(self) -> Sequence[int]:
        """Those it will listen on."""
        return [self.port]

    def start(self) -> None:
        """Returns when it serves.

        Raises:
            CannotStart, NotReady, CannotInstall, OSError: it does not.
        """
        if taken := [port for port in self.ports() if not is_free(port)]:
            raise CannotStart(f"port {taken[0]} is taken")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.command()
        if shutil.which(command[0]) is None:
            raise CannotStart(f"{command[0]} is not installed")
        process = self._process = Process(
            command,
            core=GATEWAY_CORE,
            log=self.log,
            folder=CHECKOUT,
            environment=self.environment(),
        )
        wait_until_it_chats(self.port, self.key, lambda: process.alive, self.start_s)

    def stop(self) -> None:
        """Ends it; nothing happens when it does not run."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def restart(self) -> None:
        """Stops and starts it, so that its memory is that of a fresh one."""
        self.stop()
        self.start()


class Direct(System):
    """No gateway at all: what the upstream and the load generator can do."""

    name = "direct"
    port = UPSTREAM_PORT

    def start(self) -> None:
        """The upstream is started by the benchmark."""

    def stop(self) -> None:
        """Nor is it ended here."""


class Nginx(System):
    """A plain reverse proxy, the yardstick."""

    name = "nginx"
    port = 18081

    def command(self) -> Sequence[str]:
        """One worker; streams unbuffered, bodies kept in memory."""
        config = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # its temporary folders are ours
        temporary = "\n".join(
            f"  {kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(f"""{user}
daemon off;
pid {self.folder}/pid;
error_log {self.folder}/log warn;
worker_processes 1;
worker_rlimit_nofile {_file_limit()};
events {{ worker_connections {_file_limit() - 100}; }}
http {{
  access_log off;
{temporary}
  client_max_body_size 64m;
  client_body_buffer_size 512k;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  upstream fake {{
    server 127.0.0.1:{UPSTREAM_PORT};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location / {{
      proxy_pass http://fake;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
""")
        return ["nginx", "-p", str(self.folder), "-c", str(config)]


class Haproxy(System):
    """The other plain proxy."""

    name = "haproxy"
    port = 18082

    def command(self) -> Sequence[str]:
        """One thread; no-delay or it keeps tokens, abortonclose or it never cancels."""
        config = self.folder / "haproxy.cfg"
        config.write_text(f"""global
  nbthread 1
  maxconn {(_file_limit() - 200) // 2}
defaults
  mode http
  option http-no-delay
  option abortonclose
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-request 60s
frontend front
  bind 127.0.0.1:{self.port}
  backlog 4096
  default_backend fake
backend fake
  server fake 127.0.0.1:{UPSTREAM_PORT}
""")
        return ["haproxy", "-db", "-f", str(config)]


def _file_limit() -> int:
    # The benchmark has raised its own limit as far as it goes, and children inherit it.
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
