"""From a sample to all inputs: audio, core-seconds, rows and bytes, stratum by stratum."""

from dataclasses import dataclass
from functools import cached_property

from batch_ser.results import SPEECH
from jobs.plan.estimates import Estimate, Units, ratios, total
from jobs.plan.sample_costs import Sample
from jobs.plan.sample_tables import FILES, SEGMENTS, TableCosts
from jobs.plan.sampling import Drawn, StratumKey
from jobs.sharding import listed_s


@dataclass(frozen=True)
class Totals:
    """Estimates of all inputs together."""

    drawn: Drawn
    sample: Sample
    tables: TableCosts

    @cached_property
    def _audio_s(self) -> dict[StratumKey, Estimate]:
        """Seconds of audio of each stratum: what its bytes let expect, corrected by its sample."""
        units = {
            key: Units([listed_s(each.file) for each in files], [each.duration_s for each in files])
            for key, files in self.sample.decoded.items()
        }
        strata = self.drawn.strata
        return {key: each * strata[key].listed_s for key, each in ratios(units, self._left).items()}

    @property
    def _left(self) -> dict[StratumKey, float]:
        """Of each stratum the share of files that was not decoded."""
        strata, decoded = self.drawn.strata, self.sample.decoded
        return {key: 1 - len(decoded[key]) / strata[key].files for key in strata}

    def audio_s(self) -> Estimate:
        """Seconds of audio, of all recordings."""
        each = dict.fromkeys(self._audio_s, Estimate(1.0))
        return total(self._audio_s, each)

    def of(self, name: str) -> Estimate:
        """The total of what a field of `Scored` measured."""
        return total(self._audio_s, self._rates(name))

    def _rates(self, name: str) -> dict[StratumKey, Estimate]:
        """A field of `Scored` for each second of audio, by stratum."""
        units, left = {}, {}
        for key, shards in self.sample.scored.items():
            units[key] = Units(
                [each.audio_s for each in shards], [getattr(each, name) for each in shards]
            )
            audio_s = self._audio_s[key].value
            left[key] = max(0.0, 1 - sum(units[key].x) / audio_s) if audio_s else 0.0
        return ratios(units, left)

    def failed(self) -> Estimate:
        """Files that fail, those that the listing found among them."""
        names, strata = self.sample.failed, self.drawn.strata
        units = {
            key: Units([1.0] * len(files), [float(each.file.file in names) for each in files])
            for key, files in self.sample.decoded.items()
        }
        files = {key: Estimate(stratum.files) for key, stratum in strata.items()}
        known = Estimate(self.drawn.failed.total())
        return known + total(files, ratios(units, self._left)) if files else known

    def longest_core_s(self) -> float:
        """Core-seconds of the recording that takes longest, which one worker does alone."""
        rates = self._rates("core_s")
        longest = (
            self._audio_s[key].value * stratum.longest_s / stratum.listed_s * rates[key].value
            for key, stratum in self.drawn.strata.items()
            if stratum.listed_s
        )
        return max(longest, default=0.0)

    def results_bytes(self) -> Estimate:
        """The size of the final tables and of `run.json`."""
        tables = self.tables
        rows = {
            SEGMENTS: self.of("segments"),
            FILES: Estimate(self.drawn.files),
            SPEECH: self.of("speech"),
        }
        size = Estimate(tables.fixed_bytes)
        for table, each in rows.items():
            size += each * tables.row_bytes[table]
        return size
