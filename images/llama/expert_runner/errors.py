"""What can go wrong in the runner, as one small tree. A message is one line, for the log."""


class RunnerError(Exception):
    """Anything the runner explains instead of crashing on."""


class ConfigurationError(RunnerError):
    """The settings, the key file or the address cannot be used; no rung is to blame."""


class HeaderError(RunnerError):
    """A file is no readable GGUF model."""


class RungError(RunnerError):
    """A rung was tried and does not serve."""
