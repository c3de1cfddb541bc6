"""Files are read through beside their writer: what is found is said, and what could not be read is no damage."""

import threading

import pytest

from indexer.errors import GenerationUnusable
from indexer.scrub import GoOn, Scrub


def test_the_first_damage_is_said_again_and_again() -> None:
    """By whoever asks, until somebody closes it."""

    def look(go_on: GoOn) -> None:
        go_on()
        raise GenerationUnusable("a file does not match its checksum")

    scrub = Scrub(look)
    for wait in (True, False):
        with pytest.raises(GenerationUnusable, match="its checksum"):
            scrub.check(wait=wait)
    scrub.close()


def test_a_process_that_has_too_many_files_open_has_found_no_damage() -> None:
    """An index would be set aside that nothing is wrong with."""

    def look(_: GoOn) -> None:
        raise OSError(24, "Too many open files")

    scrub = Scrub(look)
    scrub.check(wait=True)
    assert not scrub.busy
    scrub.close()


def test_it_ends_when_it_is_closed() -> None:
    """Between two chunks, however much is left."""
    reading = threading.Event()

    def look(go_on: GoOn) -> None:
        while True:
            reading.set()
            go_on()

    scrub = Scrub(look)
    assert reading.wait(40)
    scrub.close()
    assert not scrub.busy
    scrub.check()
