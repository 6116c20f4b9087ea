"""Stand-in for the docker plugin: images only, over the docker command line."""

from toolchain.plugins.command.process import Processes
from toolchain.plugins.docker.cli import Docker
from toolchain.plugins.docker.image import Image
from toolchain.plugins.provider import Provider
from toolchain.plugins.versions import VERSIONS


def provider() -> Provider:
    """The plugin."""
    processes = Processes()
    docker = Docker(processes)
    return Provider(
        name="docker",
        version=VERSIONS["docker"],
        configure=docker.configure,
        types={"docker:index/image:Image": Image(docker)},
        cancel=processes.kill_all,
    )
