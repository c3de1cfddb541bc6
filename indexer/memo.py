"""What short texts gave, remembered: text repeats itself, and so do queries."""

from collections.abc import Callable
from typing import Final, TypeVar

_REMEMBERED_TEXTS: Final = 65_536
_REMEMBERED_CHARACTERS: Final = 64

V = TypeVar("V")


class Memo(dict[str, V]):
    """Remembers what a function gave for short texts; `memo[text]` computes what is not known.

    Full, it starts anew: the frequent comes back at once. Safe for any number of threads.

    Args:
        compute: the function; gives the same for the same text, always.
    """

    def __init__(self, compute: Callable[[str], V]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, text: str) -> V:
        value = self._compute(text)
        if len(text) <= _REMEMBERED_CHARACTERS:
            if len(self) >= _REMEMBERED_TEXTS:
                self.clear()
            self[text] = value
        return value
