"""A small Nomad: just enough of the HTTP API for the tests of the stand-in, kept in memory.

Real servers are met in the live tests; this one answers at once and can be made to misbehave.
"""

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Missing(Exception):
    """Answer 404."""


class Refused(Exception):
    """Answer with another code: (code, words)."""


@dataclass
class FakeNomad:
    """The cluster's state, and what it was asked."""

    address: str = ""
    index: int = 10
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployment: dict[str, Any] = field(
        default_factory=lambda: {"Status": "successful", "StatusDescription": "ok"}
    )
    refuse: tuple[int, str] | None = None
    calls: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @staticmethod
    def spec(job: str = "web", *, indent: int | None = None, **more: Any) -> str:
        """A JSON job of one task."""
        task = {"Name": "t", "Driver": "raw_exec", "Config": {"command": "true"}}
        group = {"Name": "g", "Count": 1, "Tasks": [task]}
        return json.dumps(
            {"ID": job, "Name": job, "Type": "service", "TaskGroups": [group], **more},
            indent=indent,
        )

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if self.refuse is not None:
            raise Refused(*self.refuse)
        for prefix, serve in self._routes():
            if path.startswith(prefix):
                return serve(method, path.removeprefix(prefix), query, body)
        raise Missing(f"no route {path}")

    def _routes(self) -> list[tuple[str, Callable[..., Any]]]:
        return [
            ("/v1/jobs", self._register),
            ("/v1/job/", self._job),
            ("/v1/evaluation/", lambda *_: {"Status": "complete", "DeploymentID": "dep-1"}),
            ("/v1/deployment/", lambda *_: {"ID": "dep-1", **self.deployment}),
            ("/v1/var/", self._variable),
            ("/v1/acl/policy/", self._named),
            ("/v1/acl/token", self._token),
        ]

    def _register(self, method: str, _: str, query: dict[str, str], body: Any) -> Any:
        self.index += 1
        job = body["Job"]
        self.jobs[job["ID"]] = {
            "Namespace": "default",
            "Region": "global",
            "Datacenters": ["*"],
            "Status": "running",
            "Priority": 50,
            "Version": 0,
            "SubmitTime": 1_700_000_000_000_000_000,
            "Stable": False,
            "Stop": False,
            "AllAtOnce": False,
            **job,
            "JobModifyIndex": self.index,
            "CreateIndex": self.index,
        }
        return {"EvalID": "eval-1", "JobModifyIndex": self.index}

    def _job(self, method: str, name: str, query: dict[str, str], body: Any) -> Any:
        job = self.jobs.get(unquote(name))
        if job is None or job["Namespace"] != query.get("namespace", "default"):
            raise Missing("job not found")
        if method == "DELETE":
            job.update(Stop=True, Status="dead")
            if query.get("purge") == "true":
                del self.jobs[unquote(name)]
        return job

    def _variable(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        key = f"{unquote(path)}@{query.get('namespace', 'default')}"
        if method == "PUT":
            self.variables[key] = body
        elif key not in self.variables:
            raise Missing("variable not found")
        elif method == "DELETE":
            return self.variables.pop(key)
        return self.variables[key]

    def _named(self, method: str, name: str, query: dict[str, str], body: Any) -> Any:
        if method == "PUT":
            self.stored[name] = body
        elif name not in self.stored:
            raise Missing("ACL policy not found")
        elif method == "DELETE":
            return self.stored.pop(name)
        return self.stored[name]

    def _token(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        id_ = path.strip("/") or str(uuid.uuid4())
        if method == "PUT":
            ttl = {"24h": "24h0m0s"}.get(body.get("ExpirationTTL", ""), "")
            made = {"SecretID": str(uuid.uuid4()), "CreateTime": "2030-01-02T03:04:05.6789Z"}
            old = self.stored.get(id_, made)
            self.stored[id_] = {**old, **body, "AccessorID": id_, "ExpirationTTL": ttl}
        elif id_ not in self.stored:
            # As some of the real endpoints: what has gone is told with 404 by GET alone.
            if method == "DELETE":
                raise Refused(500, "no such token")
            raise Missing("ACL token not found")
        elif method == "DELETE":
            return self.stored.pop(id_)
        return self.stored[id_]


def serve(fake: FakeNomad) -> ThreadingHTTPServer:
    """Start it on a free port; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            fake.calls.append(f"{self.command} {parts.path}")
            fake.headers.append(dict(self.headers.items()))
            try:
                code, text = 200, json.dumps(fake.answer(self.command, parts.path, query, body))
            except Missing as error:
                code, text = 404, str(error)
            except Refused as error:
                code, text = error.args
            self.send_response(code)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
