"""Serves one provider over the engine's gRPC protocol.

Owns the translation between messages and the plain shapes of ``resource`` and ``provider``; knows
no resource type.
"""

import os
import signal
import sys
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from toolchain.plugins.diffing import Diff
from toolchain.plugins.errors import InitFailed, PluginError
from toolchain.plugins.provider import Provider
from toolchain.plugins.resource import Checked, Resource
from toolchain.plugins.values import Properties, from_struct, reveal, to_struct

MAX_MESSAGE = 400 * 1024 * 1024
_WORKERS = 64
_DEFAULT_TIMEOUT_S = 0.0

Reply = TypeVar("Reply")


class EngineLog:
    """Tells the engine what a resource is doing. Without an engine (tests) it is silent."""

    def __init__(self, stub: Any, urn: str) -> None:
        self._stub = stub
        self._urn = urn

    def progress(self, line: str) -> None:
        """A line for the progress display."""
        if self._stub is not None and line.strip():
            self._stub.Log(
                engine_pb2.LogRequest(
                    severity=engine_pb2.INFO, message=line, urn=self._urn, ephemeral=True
                )
            )


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One provider's answers. Handshake, GetSchema and the like stay unimplemented, as the
    engine accepts.
    """

    def __init__(self, provider: Provider, engine: str | None) -> None:
        self._provider = provider
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine)) if engine else None

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def Attach(self, request: Any, context: Any) -> Any:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(request.address))
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return _check_reply(self._provider.check_config(from_struct(request.news)))

    def DiffConfig(self, request: Any, context: Any) -> Any:
        # A provider never forces its resources to be replaced.
        some = request.old_inputs != request.news
        kind = provider_pb2.DiffResponse.DIFF_SOME if some else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=kind)

    def Configure(self, request: Any, context: Any) -> Any:
        settings = reveal(from_struct(request.args))
        self._guarded(context, lambda: self._provider.configure(settings))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=self._provider.accepts_secrets,
            supportsPreview=True,
            acceptResources=True,
            acceptOutputs=False,
        )

    def Invoke(self, request: Any, context: Any) -> Any:
        function = self._provider.invokes.get(request.tok)
        if function is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown function {request.tok}")
            raise AssertionError  # abort raises; this tells the type checker
        arguments = reveal(from_struct(request.args))
        result = self._guarded(context, lambda: function(arguments, EngineLog(self._engine, "")))
        return provider_pb2.InvokeResponse(**{"return": to_struct(result)})

    def Check(self, request: Any, context: Any) -> Any:
        resource = self._resource(request, context)
        old, new = from_struct(request.olds), from_struct(request.news)
        name = request.urn.rsplit("::", 1)[-1]
        return _check_reply(self._guarded(context, lambda: resource.check(name, old, new)))

    def Diff(self, request: Any, context: Any) -> Any:
        resource = self._resource(request, context)
        old, new = from_struct(request.old_inputs), from_struct(request.news)
        ignored = set(request.ignoreChanges)
        new |= {name: old[name] for name in ignored if name in old}
        outputs = from_struct(request.olds)
        return _diff_reply(self._guarded(context, lambda: resource.diff(old, new, outputs)))

    def Create(self, request: Any, context: Any) -> Any:
        resource = self._resource(request, context)
        inputs = from_struct(request.properties)
        created = self._guarded(
            context,
            lambda: resource.create(
                request.urn.rsplit("::", 1)[-1],
                inputs,
                preview=request.preview,
                timeout_s=request.timeout or _DEFAULT_TIMEOUT_S,
                log=EngineLog(self._engine, request.urn),
            ),
            inputs,
        )
        return provider_pb2.CreateResponse(id=created.id, properties=to_struct(created.outputs))

    def Update(self, request: Any, context: Any) -> Any:
        resource = self._resource(request, context)
        new = from_struct(request.news)
        outputs = self._guarded(
            context,
            lambda: resource.update(
                request.id,
                from_struct(request.olds),
                from_struct(request.old_inputs),
                new,
                preview=request.preview,
                timeout_s=request.timeout or _DEFAULT_TIMEOUT_S,
                log=EngineLog(self._engine, request.urn),
            ),
            new,
        )
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        resource = self._resource(request, context)
        self._guarded(
            context,
            lambda: resource.delete(
                request.id,
                from_struct(request.properties),
                timeout_s=request.timeout or _DEFAULT_TIMEOUT_S,
                log=EngineLog(self._engine, request.urn),
            ),
        )
        return empty_pb2.Empty()

    def Read(self, request: Any, context: Any) -> Any:
        resource = self._resource(request, context)
        inputs, outputs = from_struct(request.inputs), from_struct(request.properties)
        found = self._guarded(context, lambda: resource.read(request.id, inputs, outputs))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, inputs=to_struct(found.inputs), properties=to_struct(found.outputs)
        )

    def Cancel(self, request: Any, context: Any) -> Any:
        self._provider.cancel()
        return empty_pb2.Empty()

    def _resource(self, request: Any, context: Any) -> Resource:
        token = request.urn.split("::")[2].rsplit("$", 1)[-1]
        resource = self._provider.types.get(token)
        if resource is None:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"the stand-in for the {self._provider.name} plugin does not know {token}; "
                "install the official plugin",
            )
            raise AssertionError  # abort raises; this tells the type checker
        return resource

    def _guarded(
        self, context: Any, call: Callable[[], Reply], inputs: Properties | None = None
    ) -> Reply:
        try:
            return call()
        except InitFailed as failure:
            detail = any_pb2.Any()
            detail.Pack(
                provider_pb2.ErrorResourceInitFailed(
                    id=failure.id,
                    properties=to_struct(failure.outputs),
                    reasons=[str(failure)],
                    inputs=to_struct(inputs or {}),
                )
            )
            status = status_pb2.Status(
                code=grpc.StatusCode.UNKNOWN.value[0], message=str(failure), details=[detail]
            )
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),)
            )
            context.abort(grpc.StatusCode.UNKNOWN, str(failure))
        except PluginError as failure:
            context.abort(grpc.StatusCode.UNKNOWN, str(failure))
        raise AssertionError  # abort raises; this tells the type checker


def _check_reply(checked: Checked) -> Any:
    return provider_pb2.CheckResponse(
        inputs=to_struct(checked.inputs),
        failures=[
            provider_pb2.CheckFailure(property=failure.name, reason=failure.reason)
            for failure in checked.failures
        ],
    )


def _diff_reply(diff: Diff) -> Any:
    response = provider_pb2.DiffResponse
    detailed = {}
    for path, kind in diff.changes.items():
        forces = path.partition(".")[0].partition("[")[0] in diff.replaces
        name = f"{kind}_REPLACE" if forces and "[" not in path else str(kind)
        detailed[path] = provider_pb2.PropertyDiff(
            kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True
        )
    some = bool(diff.changes or diff.replaces)
    return response(
        changes=response.DIFF_SOME if some else response.DIFF_NONE,
        diffs=diff.keys,
        replaces=sorted(diff.replaces),
        detailedDiff=detailed,
        hasDetailedDiff=bool(detailed),
    )


def new_server() -> Any:
    """A gRPC server with the limits the engine expects."""
    return grpc.server(
        futures.ThreadPoolExecutor(_WORKERS),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
        ],
    )


def run(server: Any, on_end: Callable[[], None]) -> int:
    """Listen, tell the engine the port, and serve until told to end. Never a traceback: the
    engine shows whatever a plugin writes to its standard error.
    """
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()

    def end(*_: object) -> None:
        on_end()
        # Threads may sit in calls that the engine no longer waits for.
        os._exit(0)

    # The engine runs plugins in process groups of their own, so an interrupt is its farewell.
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    parent = os.getppid()
    # An engine that was killed cannot tell anybody; its orphan ends by itself.
    while os.getppid() == parent:
        server.wait_for_termination(timeout=1.0)
    end()
    return 0


def serve(provider: Provider, argv: list[str] | None = None) -> int:
    """Serve one provider until the engine ends it."""
    arguments = sys.argv[1:] if argv is None else argv
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    server = new_server()
    servicer = Servicer(provider, addresses[0] if addresses else None)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    return run(server, provider.cancel)
