"""Looks at the rungs on disk and the memory at hand. Owns the cache of headers; chooses nothing."""

from pathlib import Path

from contract.expert_settings import ExpertSettings, Rung
from expert_runner import ladder
from expert_runner.errors import HeaderError
from expert_runner.failures import FailureMemory, fingerprint
from expert_runner.flags import sizing_flags
from expert_runner.gguf_header import parts, read_header
from expert_runner.memory import HostMemory, budget_mib, needed_mib


class Survey:
    """The ladder as it stands at this moment."""

    def __init__(
        self, settings: ExpertSettings, *, memory: HostMemory, failures: FailureMemory
    ) -> None:
        self._settings = settings
        self._memory = memory
        self._failures = failures
        self._headers: dict[str, tuple[str, int | None, str | None]] = {}

    def look(self, held_mib: int = 0) -> list[ladder.Verdict]:
        """A verdict per rung, best first. ``held_mib`` comes free when the present server stops."""
        available = self._memory.available_mib()
        budget = budget_mib(self._settings, available_mib=available, held_mib=held_mib)
        return [ladder.judge(self._facts(rung), budget) for rung in self._settings.ladder]

    def fingerprint(self, rung: Rung) -> str:
        """Changes when the model, the binary or the flags do."""
        files = [Path(self._settings.llama_server), *parts(Path(rung.path))]
        return fingerprint(files, sizing_flags(self._settings))

    def _facts(self, rung: Rung) -> ladder.Facts:
        try:
            size = Path(rung.path).stat().st_size
        except OSError:
            return ladder.Facts(rung=rung)
        mark = self.fingerprint(rung)
        need, damage = self._need(rung, mark)
        failure = self._failures.get(rung.name, mark)
        return ladder.Facts(
            rung=rung,
            file_bytes=size,
            need_mib=need,
            damage=damage,
            retry_in_s=self._failures.retry_in_s(rung.name, mark),
            last_failure=failure.reason if failure else None,
        )

    def _need(self, rung: Rung, mark: str) -> tuple[int | None, str | None]:
        known = self._headers.get(rung.name)
        if known is None or known[0] != mark:
            known = (mark, *self._read(rung))
            self._headers[rung.name] = known
        return known[1], known[2]

    def _read(self, rung: Rung) -> tuple[int | None, str | None]:
        try:
            return needed_mib(read_header(Path(rung.path)), self._settings), None
        except HeaderError as error:
            return None, str(error)
