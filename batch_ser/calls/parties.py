"""Who speaks in a recording: a role, a channel without one, or a mixture of all channels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

MIX, SPLIT = "mix", "split"  # values of `--channels`; a mixture is a party of this name
MIXED = -1  # the number of the channel of a mixture
DUAL_MONO = "dual_mono"  # a note


def party_of(channel: int, role: str | None) -> str:
    """The name of a party, which ends the names of its columns."""
    if role is not None:
        return role
    return MIX if channel == MIXED else f"ch{channel}"


def in_order(parties: Iterable[str]) -> tuple[str, ...]:
    """Roles by their names, then channels by their numbers, then the mixture."""

    def key(party: str) -> tuple[int, int, str]:
        number = party.removeprefix("ch")
        is_channel = party.startswith("ch") and number.isascii() and number.isdecimal()
        return (2, 0, "") if party == MIX else (1, int(number), "") if is_channel else (0, 0, party)

    return tuple(sorted(set(parties), key=key))


@dataclass(frozen=True)
class Channels:
    """What the settings of an output state of its channels: a silent one has no rows."""

    choice: str = SPLIT  # `--channels`
    roles: Mapping[int, str] = field(default_factory=dict)  # `--roles`
    own_roles: bool = False  # a manifest gives roles to its recordings

    def parties(self, file: Mapping[str, Any], *tables: pa.Table | None) -> dict[int, str]:
        """The party of each channel of a recording, also of silent ones.

        `file` is its row in the files table; `tables` are its rows in others, which count first.
        """
        found = self.expected(file)
        for table in tables:
            if table is not None:
                channels, first = np.unique(table["channel"].to_numpy(), return_index=True)
                roles = (table["role"][at].as_py() for at in first.tolist())
                found |= {
                    n: party_of(n, role) for n, role in zip(channels.tolist(), roles, strict=True)
                }
        return dict(sorted(found.items()))

    def expected(self, file: Mapping[str, Any]) -> dict[int, str]:
        """The parties of the channels on which speech was detected, as far as settings show them.

        With roles of a manifest, which are in no table, a silent channel is of nobody known.
        """
        detected = len(file["speech_s"] or ())
        numbers = list(range(detected))
        if self.choice == MIX:
            numbers = [MIXED] * detected
        elif self.choice != SPLIT:
            numbers = [int(each) for each in self.choice.split(",")][:detected]
        if self.own_roles:
            return {}
        fits = max(self.roles, default=0) < (file["channels"] or 0)
        fits = fits and DUAL_MONO not in (file["note"] or "").split(", ")
        roles = self.roles if fits else {}
        return {number: party_of(number, roles.get(number)) for number in numbers}
