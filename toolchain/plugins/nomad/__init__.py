"""Stand-in for the nomad plugin, over Nomad's HTTP API."""

from toolchain.plugins.nomad.acl import AclPolicy, AclRole, AclToken
from toolchain.plugins.nomad.api import Api
from toolchain.plugins.nomad.job import Job
from toolchain.plugins.nomad.named import Namespace, NodePool, SchedulerConfig
from toolchain.plugins.nomad.variable import Variable
from toolchain.plugins.nomad.volume import DynamicHostVolume
from toolchain.plugins.provider import Provider
from toolchain.plugins.resource import Checked
from toolchain.plugins.values import Properties, secret
from toolchain.plugins.versions import VERSIONS

_SECRET_SETTINGS = ("secretId", "headers", "httpAuth", "keyPem")


def provider() -> Provider:
    """The plugin."""
    api = Api()
    return Provider(
        name="nomad",
        version=VERSIONS["nomad"],
        accepts_secrets=False,
        configure=api.configure,
        check_config=_check_config,
        types={
            "nomad:index/job:Job": Job(api),
            "nomad:index/variable:Variable": Variable(api),
            "nomad:index/aclPolicy:AclPolicy": AclPolicy(api),
            "nomad:index/aclRole:AclRole": AclRole(api),
            "nomad:index/aclToken:AclToken": AclToken(api),
            "nomad:index/namespace:Namespace": Namespace(api),
            "nomad:index/nodePool:NodePool": NodePool(api),
            "nomad:index/schedulerConfig:SchedulerConfig": SchedulerConfig(api),
            "nomad:index/dynamicHostVolume:DynamicHostVolume": DynamicHostVolume(api),
        },
    )


def _check_config(settings: Properties) -> Checked:
    return Checked(
        {
            name: secret(value) if name in _SECRET_SETTINGS else value
            for name, value in settings.items()
        }
    )
