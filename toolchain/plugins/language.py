"""Stand-in for the Python language host: tells the engine about the project, and runs the program.

The program is a child process of its own (``language_exec``), so that it may exit, crash or be
interrupted like any program, and its ``finally`` blocks run.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from toolchain.plugins import server
from toolchain.plugins.language_exec import ALREADY_REPORTED, VARIABLE
from toolchain.plugins.values import from_struct
from toolchain.plugins.versions import LANGUAGE_HOST

_GRACE_S: Final = 5.0
_NO_PLUGIN: Final = ("pulumi", "pulumi-policy")


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The engine's questions about a Python project."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None

    def Handshake(self, request: Any, context: Any) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=f"v{LANGUAGE_HOST}")

    def GetRequiredPlugins(self, request: Any, context: Any) -> Any:
        return language_pb2.GetRequiredPluginsResponse()

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=name.removeprefix("pulumi-"), kind="resource", version=f"v{version}"
                )
                for name, version in _installed()
                if name.startswith("pulumi-") and name not in _NO_PLUGIN
            ]
        )

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version)
                for name, version in _installed()
            ]
        )

    def About(self, request: Any, context: Any) -> Any:
        return language_pb2.AboutResponse(
            executable=_python(request.info),
            version=platform.python_version(),
            metadata={"toolchain": "Pip", "typechecker": "None"},
        )

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        """Install what requirements.txt names into the project's environment."""
        requirements = (
            Path(request.info.program_directory or request.directory) / "requirements.txt"
        )
        if not requirements.exists():
            return
        done = subprocess.run(
            [_python(request.info), "-m", "pip", "install", "-r", str(requirements)],
            capture_output=True,
            check=False,
        )
        yield language_pb2.InstallDependenciesResponse(stdout=done.stdout, stderr=done.stderr)
        if done.returncode != 0:
            msg = f"installing dependencies: pip ended with exit status {done.returncode}"
            raise RuntimeError(msg)

    def Run(self, request: Any, context: Any) -> Any:
        settings = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "parallel": request.parallel,
            "dry_run": request.dryRun,
            "directory": request.info.program_directory,
            "entry": request.info.entry_point or ".",
        }
        environment = {
            **os.environ,
            VARIABLE: json.dumps(settings),
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        executor = Path(__file__).with_name("language_exec.py")
        with self._lock:
            self._program = subprocess.Popen(
                [_python(request.info), str(executor)],
                cwd=request.pwd or request.info.program_directory,
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        code = self._program.wait()
        if code == ALREADY_REPORTED:
            return language_pb2.RunResponse(bail=True)
        if code != 0:
            return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}")
        return language_pb2.RunResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        self.stop()
        return empty_pb2.Empty()

    def stop(self) -> None:
        """Interrupt a running program, and end it when it does not end itself."""
        with self._lock:
            program = self._program
        if program is None or program.poll() is not None:
            return
        program.send_signal(signal.SIGINT)
        try:
            program.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            program.kill()


def serve(argv: list[str]) -> int:
    """Serve until the engine ends us. ``argv`` holds the engine's address among options."""
    addresses = [argument for argument in argv if not argument.startswith("-")]
    host = LanguageHost(addresses[0])
    grpc_server = server.new_server()
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, grpc_server)
    return server.run(grpc_server, host.stop)


def _python(info: Any) -> str:
    """The interpreter of the project's virtual environment, or else this one."""
    virtualenv = from_struct(info.options).get("virtualenv")
    if virtualenv:
        python = Path(info.root_directory) / virtualenv / "bin" / "python"
        if python.exists():
            return str(python)
    return sys.executable


def _installed() -> list[tuple[str, str]]:
    return sorted(
        (found.metadata["Name"].lower().replace("_", "-"), found.version)
        for found in distributions()
        if found.metadata["Name"]
    )
