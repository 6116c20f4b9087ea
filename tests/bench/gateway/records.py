"""What was measured: one row per measure, system and round; medians and ratios over the rounds."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

Row = dict[str, float]


@dataclass
class Records:
    """All rows of a run, and what went wrong in words."""

    rows: dict[str, dict[str, dict[int, Row]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    notes: list[str] = field(default_factory=list)

    def add(self, measure: str, system: str, round_number: int, row: Row) -> None:
        """Keeps a row."""
        self.rows[measure][system][round_number] = row

    def systems(self, measure: str) -> list[str]:
        """Those with at least one row, in the order they came."""
        return list(self.rows.get(measure, {}))

    def median(self, measure: str, system: str, column: str) -> float | None:
        """Over the rounds that have the figure."""
        rounds = self._rounds(measure, system)
        values = [row[column] for row in rounds.values() if column in row]
        return statistics.median(values) if values else None

    def total(self, measure: str, system: str, column: str) -> float:
        """Over all rounds."""
        return sum(row.get(column, 0.0) for row in self._rounds(measure, system).values())

    def worst(self, measure: str, system: str, column: str) -> float | None:
        """The largest of all rounds."""
        rounds = self._rounds(measure, system)
        return max((row[column] for row in rounds.values() if column in row), default=None)

    def ratio(self, measure: str, system: str, base: str, column: str) -> float | None:
        """Median of the ratios of the same round: other load then weighs on both sides."""
        ours, theirs = self._rounds(measure, system), self._rounds(measure, base)
        ratios = [
            ours[number][column] / theirs[number][column]
            for number in ours
            if number in theirs and column in ours[number] and theirs[number].get(column)
        ]
        return statistics.median(ratios) if ratios else None

    def difference(self, measure: str, system: str, base: str, column: str) -> float | None:
        """Median of the differences of the same round."""
        ours, theirs = self._rounds(measure, system), self._rounds(measure, base)
        values = [
            ours[number][column] - theirs[number][column]
            for number in ours
            if number in theirs and column in ours[number] and column in theirs[number]
        ]
        return statistics.median(values) if values else None

    def _rounds(self, measure: str, system: str) -> dict[int, Row]:
        return self.rows.get(measure, {}).get(system, {})
