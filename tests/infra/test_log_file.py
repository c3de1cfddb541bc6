from pathlib import Path

from infra.supervisor.log_file import LogFile


def test_a_full_log_is_put_aside_and_the_oldest_forgotten(tmp_path: Path) -> None:
    """The directory holds a bounded number of files of a bounded size, the newest output in NAME itself."""
    log = LogFile(tmp_path / "a.log", limit=10, kept=2)
    for number in range(5):
        log.write(f"line {number}\n".encode())
    log.close()
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"a.log": "line 4\n", "a.log.1": "line 3\n", "a.log.2": "line 2\n"}


def test_a_log_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    """A new supervisor appends to the log of the one before."""
    for word in (b"one\n", b"two\n"):
        log = LogFile(tmp_path / "a.log")
        log.write(word)
        log.close()
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"


def test_the_tail_has_the_last_lines_however_they_arrive(tmp_path: Path) -> None:
    """Lines are put together across pieces; an unfinished last one counts."""
    log = LogFile(tmp_path / "a.log", tail_lines=2)
    for piece in (b"one\ntw", b"o\nthr", b"ee\n", b"fo"):
        log.remember(piece)
    assert log.tail == ("two", "three", "fo")


def test_the_tail_is_bounded_even_without_line_ends(tmp_path: Path) -> None:
    """A program that never ends its line does not fill the memory."""
    log = LogFile(tmp_path / "a.log")
    for _ in range(1000):
        log.remember(b"x" * 1000)
    assert sum(map(len, log.tail)) < 1000


def test_a_new_process_begins_a_new_tail(tmp_path: Path) -> None:
    """The last words of the run before are not mistaken for this one's."""
    log = LogFile(tmp_path / "a.log")
    log.remember(b"old\nol")
    log.forget()
    log.remember(b"new\n")
    assert log.tail == ("new",)
