"""Who speaks on which channel: `--roles 0=agent,1=customer`, or a manifest's column `roles`."""

import re
from collections.abc import Mapping

from batch_ser.errors import UsageError

Roles = Mapping[int, str]  # by the number of the channel, in order
MAX_CHANNEL = 127  # of an int8
SEPARATORS = re.compile("[,;]")  # in CSV a comma may end the value
EXPECTED = "expected the number and the role of each channel, such as 0=agent,1=customer"


def parse_roles(text: str) -> dict[int, str]:
    """Roles by channel; of a text without any, none. Both `,` and `;` separate them.

    Raises:
        UsageError: not a list of different channel numbers from 0, each with a role.
    """
    found: dict[int, str] = {}
    if not text.strip():
        return found
    for part in SEPARATORS.split(text):
        number, equals, role = (each.strip() for each in part.partition("="))
        is_number = number.isascii() and number.isdecimal()
        if not (equals and role and is_number) or "=" in role:
            raise UsageError(f"found {text}; {EXPECTED}")
        if (channel := int(number)) in found:
            raise UsageError(f"found {text}, with channel {channel} twice; {EXPECTED}")
        if channel > MAX_CHANNEL:
            raise UsageError(f"found {text}; channels are numbers from 0 to {MAX_CHANNEL}")
        found[channel] = role
    return dict(sorted(found.items()))


def normal_roles(roles: Roles) -> str:
    """Roles, written in one way: `1=customer; 0=agent` is `0=agent,1=customer`."""
    return ",".join(f"{channel}={role}" for channel, role in sorted(roles.items()))
