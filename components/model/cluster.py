"""The whole stack file, as written. Cross-field rules live here."""

from difflib import get_close_matches

from pydantic import Field, ValidationInfo, model_validator

from components.model.base import Name, Section
from components.model.expert import Expert
from components.model.host import Host, Role
from components.model.model_file import ModelFile
from components.model.service import Apps, Gateway, Hub, Nomad
from contract.gateway_settings import ExpertRoute
from contract.routing_settings import AUTO
from contract.services import SELFTEST


class ClusterConfig(Section):
    """The value of ``hearth:cluster`` in ``Pulumi.<stack>.yaml``."""

    hosts: dict[Name, Host] = Field(min_length=1, description="The machines, by name.")
    experts: dict[Name, Expert] = Field(min_length=1, description="What is served, by name.")
    models: dict[str, ModelFile] = Field(
        default_factory=dict, description="Model files on top of the shipped catalogue."
    )
    gateway: Gateway = Field(default_factory=Gateway, description="The API endpoint.")
    nomad: Nomad = Field(default_factory=Nomad, description="The scheduler.")
    apps: Apps = Field(default_factory=Apps, description="How Hearth's own services run.")
    hub: Hub = Field(default_factory=Hub, description="Where model files come from.")

    @model_validator(mode="after")
    def _someone_leads_and_someone_works(self) -> "ClusterConfig":
        for role in Role:
            if not any(role in host.roles for host in self.hosts.values()):
                msg = f"no host has the role {role.value}; add it to the roles of one host"
                raise ValueError(msg)
        servers = sum(Role.SERVER in host.roles for host in self.hosts.values())
        if servers not in (1, 3, 5):
            msg = f"{servers} servers cannot form a majority safely; use 1, 3 or 5"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names_point_somewhere(self) -> "ClusterConfig":
        for alias, target in self.gateway.aliases.items():
            if target not in self.experts:
                msg = f"gateway.aliases.{alias}: there is no expert {target!r}"
                raise ValueError(msg)
            if alias in self.experts:
                msg = f"gateway.aliases.{alias}: an expert has this name already"
                raise ValueError(msg)
        default = self.gateway.default_expert
        if default is not None and default not in self.experts:
            msg = f"gateway.default-expert: there is no expert {default!r}"
            raise ValueError(msg)
        for name, expert in self.experts.items():
            if expert.host is not None and expert.host not in self.hosts:
                msg = f"experts.{name}.host: there is no host {expert.host!r}"
                raise ValueError(msg)
            for fallback in expert.fallbacks:
                if fallback not in self.experts or fallback == name:
                    msg = f"experts.{name}.fallbacks: there is no other expert {fallback!r}"
                    raise ValueError(msg)
        if AUTO in self.gateway.aliases:
            msg = f"gateway.aliases.{AUTO}: the name {AUTO!r} asks for a choice; use another"
            raise ValueError(msg)
        try:
            self.gateway.routing.check(routes(self.experts))
        except ValueError as error:
            msg = f"gateway.{error}"
            raise ValueError(msg) from None
        return self

    @model_validator(mode="after")
    def _rungs_are_known(self, info: ValidationInfo) -> "ClusterConfig":
        catalogue = (info.context or {}).get("catalogue", {})
        known = {SELFTEST, *catalogue, *self.models}
        for name, expert in self.experts.items():
            for rung in expert.ladder:
                if rung not in known:
                    close = get_close_matches(rung, known, n=1)
                    hint = f"; did you mean {close[0]!r}?" if close else ""
                    msg = (
                        f"experts.{name}.ladder: model {rung!r} is neither in the catalogue "
                        f"nor under models{hint}"
                    )
                    raise ValueError(msg)
        return self


def routes(experts: dict[str, Expert], *, routed: bool = True) -> dict[str, ExpertRoute]:
    """What the gateway is told of the experts. Only where it chooses among them (``routed``) must
    it know their contexts: otherwise a changed context would restart it for nothing.
    """
    return {
        name: ExpertRoute(
            capabilities=expert.capabilities,
            description=expert.description,
            fallbacks=expert.fallbacks,
            context_tokens=expert.context_tokens if routed else None,
            input_price=expert.input_price,
            output_price=expert.output_price,
        )
        for name, expert in experts.items()
    }
