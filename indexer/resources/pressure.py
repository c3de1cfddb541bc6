"""When memory is short: a reading in, a verdict out, nothing else.

Both lines are crossed upwards at one value and downwards at a lower one, so that a process which works close to a
line does not change its mind with every reading.
"""

from enum import IntEnum
from typing import Final

SOFT: Final = 0.70
"""Part of the limit from which on caches are given up."""

HARD: Final = 0.85
"""Part of the limit from which on work is refused."""

MARGIN: Final = 0.05
"""How far below a line the reading must fall before the line counts as left."""


class Pressure(IntEnum):
    """How short memory is; more is worse."""

    NONE = 0
    SOFT = 1
    HARD = 2


def pressure_after(current: Pressure, fraction: float) -> Pressure:
    """The pressure once this part of the limit is in use.

    Args:
        current: the pressure before.
        fraction: memory in use, 1.0 for all of the limit.
    """
    hard = HARD - MARGIN if current is Pressure.HARD else HARD
    soft = SOFT - MARGIN if current is not Pressure.NONE else SOFT
    if fraction >= hard:
        return Pressure.HARD
    return Pressure.SOFT if fraction >= soft else Pressure.NONE
