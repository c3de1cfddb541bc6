"""Somebody who writes documents over HTTP, whatever happens, and knows what was acknowledged."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from tests.faults.beside import beside
from tests.faults.corpus import WORDS
from tests.faults.system import System

NUMBERS: Final = 400
"""Of documents, so that most writes are updates."""

_ACCEPTED: Final = 202
_PAUSE_SECONDS: Final = 0.05


class Writing:
    """Writes one document after the other: one in twenty is deleted.

    Args:
        system: whose API is asked.
        seed: of what is drawn.

    Attributes:
        last: what was acknowledged last of each document, its text or None for its deletion; documents of which a
            later write was not acknowledged are left out, for nobody can know what became of it.
        acknowledged: how many writes were.
        refused: how many were not.
    """

    def __init__(self, system: System, seed: int) -> None:
        self.last: dict[str, str | None] = {}
        self.acknowledged = 0
        self.refused = 0
        self._dice = random.Random(seed)
        self._stop = threading.Event()
        self._url = f"http://127.0.0.1:{system.port}/documents/"

    def _run(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._stop.wait(_PAUSE_SECONDS):
                name = f"written-{self._dice.randrange(NUMBERS)}"
                text = " ".join(self._dice.choices(WORDS, k=12)) if self._dice.random() < 0.95 else None
                if self._write(http, name, text):
                    self.acknowledged += 1
                    self.last[name] = text
                else:
                    self.refused += 1
                    self.last.pop(name, None)

    def _write(self, http: httpx.Client, name: str, text: str | None) -> bool:
        try:
            if text is None:
                return http.delete(self._url + name).status_code == _ACCEPTED
            return http.put(self._url + name, json={"body": text}).status_code == _ACCEPTED
        except httpx.TransportError:
            return False

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Write for as long as the block."""
        with beside(self._run, self._stop):
            yield
