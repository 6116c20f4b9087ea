"""The resource provider protocol over a `Provider`.

Owns translating messages into calls and errors into statuses. Does not own the process (process)
or any resource type.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event
from typing import NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.errors import PartialError, PluginError
from toolchain.plugins.resource import Call, Checked, Current, Messages, Provider, Resource
from toolchain.plugins.values import decode, encode, plain_props

_Result = TypeVar("_Result")
_STATUS_DETAILS = "grpc-status-details-bin"


def _check_response(checked: Checked) -> provider_pb2.CheckResponse:
    failures = [
        provider_pb2.CheckFailure(property=item.property, reason=item.reason)
        for item in checked.failures
    ]
    return provider_pb2.CheckResponse(
        inputs=None if failures else encode(checked.inputs), failures=failures
    )


def _diff_response(diff: Diff) -> provider_pb2.DiffResponse:
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if diff else response.DIFF_NONE,
        replaces=diff.replaces,
        stables=diff.stables,
        diffs=diff.tops,
        deleteBeforeReplace=diff.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=int(kind), inputDiff=diff.input_diff)
            for path, kind in diff.changes.items()
        },
    )


class ProviderService(provider_pb2_grpc.ResourceProviderServicer):  # type: ignore[misc]
    """Serves one provider. Methods not defined here answer UNIMPLEMENTED, as the official
    command and nomad plugins do for Handshake."""

    def __init__(self, provider: Provider, engine: Messages) -> None:
        self._provider = provider
        self._engine = engine
        self._cancelled = Event()

    def _abort(self, context: grpc.ServicerContext, text: str) -> NoReturn:
        context.abort(grpc.StatusCode.UNKNOWN, text)
        raise AssertionError("abort returned")

    def _partial(self, context: grpc.ServicerContext, error: PartialError) -> None:
        """Ends a call with the resource attached, which the engine then saves."""
        detail = any_pb2.Any()
        detail.Pack(
            provider_pb2.ErrorResourceInitFailed(
                id=error.resource_id, properties=encode(error.outputs), reasons=error.reasons
            )
        )
        code = grpc.StatusCode.UNKNOWN
        status = status_pb2.Status(code=code.value[0], message=str(error), details=[detail])
        context.set_trailing_metadata(((_STATUS_DETAILS, status.SerializeToString()),))
        context.abort(code, str(error))

    def _guarded(
        self, context: grpc.ServicerContext, work: Callable[[], _Result]
    ) -> _Result:
        try:
            return work()
        except PartialError as error:
            self._partial(context, error)
            raise
        except PluginError as error:
            self._abort(context, str(error))

    def _resource(self, context: grpc.ServicerContext, call: Call) -> Resource:
        resource = self._provider.resources.get(call.type)
        if resource is None:
            self._abort(
                context,
                f"resource type {call.type} is not supported by the stand-in for the "
                f"{self._provider.name} plugin; install the official plugin to use it",
            )
        return resource

    def _call(
        self, urn: str, *, preview: bool = False, timeout: float = 0.0, seed: bytes = b""
    ) -> Call:
        return Call(urn, self._engine, self._cancelled, preview, timeout, seed)

    def GetPluginInfo(
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        """Names the tokens only: types come from the Python SDK, which carries the full schema."""
        schema = {
            "name": self._provider.name,
            "version": self._provider.version,
            "resources": {token: {} for token in sorted(self._provider.resources)},
            "functions": {token: {} for token in sorted(self._provider.functions)},
        }
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        news = decode(request.news)
        return _check_response(
            self._guarded(context, lambda: self._provider.check_config(news))
        )

    def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        if not self._provider.diffs_config:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "DiffConfig is not implemented")
        old = plain_props(decode(request.old_inputs) or decode(request.olds))
        changes = compare(old, plain_props(decode(request.news)))
        # The plugin's own version is no setting: a swap of plugins must not show as one.
        changes.pop("version", None)
        return _diff_response(Diff(changes))

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        settings = plain_props(decode(request.args))
        self._guarded(context, lambda: self._provider.configure(settings))
        offered = self._provider.capabilities
        return provider_pb2.ConfigureResponse(
            acceptSecrets=offered.secrets,
            supportsPreview=True,
            acceptResources=offered.resources,
            acceptOutputs=offered.outputs,
            supports_autonaming_configuration=offered.autonaming,
        )

    def Invoke(
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        function = self._provider.functions.get(request.tok)
        if function is None:
            self._abort(context, f"function {request.tok} is not supported by the stand-in")
        call = self._call("", preview=request.preview)
        args = decode(request.args)
        result = self._guarded(context, lambda: function(call, args))
        return getattr(provider_pb2, "InvokeResponse")(**{"return": encode(result)})  # noqa: B009

    def Check(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        call = self._call(request.urn, seed=request.randomSeed)
        resource = self._resource(context, call)
        old, new = decode(request.olds), decode(request.news)
        return _check_response(self._guarded(context, lambda: resource.check(call, old, new)))

    def Diff(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        call = self._call(request.urn)
        resource = self._resource(context, call)
        current = Current(request.id, decode(request.old_inputs), decode(request.olds))
        new = decode(request.news)
        diff = self._guarded(context, lambda: resource.diff(call, request.id, current, new))
        return _diff_response(diff)

    def Create(
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        call = self._call(request.urn, preview=request.preview, timeout=request.timeout)
        resource = self._resource(context, call)
        inputs = decode(request.properties)
        created = self._guarded(context, lambda: resource.create(call, inputs))
        return provider_pb2.CreateResponse(id=created.id, properties=encode(created.outputs))

    def Read(
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        call = self._call(request.urn, timeout=request.timeout)
        resource = self._resource(context, call)
        current = Current(request.id, decode(request.inputs), decode(request.properties))
        found = self._guarded(context, lambda: resource.read(call, current))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id, inputs=encode(found.inputs), properties=encode(found.outputs)
        )

    def Update(
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        call = self._call(request.urn, preview=request.preview, timeout=request.timeout)
        resource = self._resource(context, call)
        old = Current(request.id, decode(request.old_inputs), decode(request.olds))
        inputs = decode(request.news)
        outputs = self._guarded(context, lambda: resource.update(call, old, inputs))
        return provider_pb2.UpdateResponse(properties=encode(outputs))

    def Delete(
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        call = self._call(request.urn, timeout=request.timeout)
        resource = self._resource(context, call)
        current = Current(request.id, decode(request.old_inputs), decode(request.properties))
        self._guarded(context, lambda: resource.delete(call, current))
        return empty_pb2.Empty()

    def Cancel(
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        self.end()
        return empty_pb2.Empty()

    def end(self) -> None:
        """Tells every running operation to stop."""
        self._cancelled.set()
        self._provider.cancel()
