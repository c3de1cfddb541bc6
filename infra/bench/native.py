"""Compares the `native` method with ripgrep, on the same texts and the same patterns."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, cast

import msgspec

from infra.bench.corpus import Corpus, survey, without_title
from infra.bench.machine import this_machine
from infra.bench.own import OwnEngine
from infra.bench.patterns import BenchPattern, bench_patterns
from infra.bench.progress import Progress, counted
from infra.bench.report import Agreement, Report, Row, index_figures, make_agreement, make_row
from infra.bench.ripgrep import Ripgrep, copy_texts, find_ripgrep, same_matches
from infra.bench.timing import Contender, Timed, run_in_turns
from streams.document import Document

INDEX: Final = "native"

_SEED: Final = 5
_DRAWN_FROM: Final = 2_000
"""Documents that patterns are drawn from."""

_Files = frozenset[str]


class NativeComparison(msgspec.Struct, frozen=True):
    """What to compare.

    Attributes:
        folder: of text files.
        files: how many of them at most; None for all.
        queries: how many patterns.
        limit: hits of each answer.
    """

    folder: Path
    files: int | None
    queries: int
    limit: int


def compare_native(asked: NativeComparison, workplace: Path, show: Progress) -> Report:
    """Build the index, run every pattern by both, hold the sets of matching documents against each other.

    Args:
        asked: what to compare.
        workplace: an empty folder for the index, and for the texts as ripgrep reads them.
        show: told of each step.

    Raises:
        BenchFailed: the folder holds no identifiers, or ripgrep fails.
    """
    show("reading", 0.0)
    corpus = survey(asked.folder, files=asked.files)
    patterns = bench_patterns([each.body for each in corpus.read(_DRAWN_FROM)], asked.queries, seed=_SEED)
    show("reading", 1.0)
    texts = workplace / "texts"
    texts.mkdir()
    program = find_ripgrep()
    ripgrep = Ripgrep(program, texts) if program else None
    documents = _documents(corpus, texts if ripgrep else None)
    with closing(OwnEngine(INDEX, workplace / "index", counted(documents, corpus.documents, INDEX, show))) as own:
        rows, agreements = _Run(own, ripgrep, patterns, asked.limit, show).compare()
    notes = [] if ripgrep else ["ripgrep is not installed and was left out"]
    return Report(INDEX, this_machine(), len(patterns), asked.limit, rows, agreements, notes)


def _documents(corpus: Corpus, texts: Path | None) -> Iterable[Document]:
    """Documents without titles, since ripgrep looks into files and not at their names."""
    documents = map(without_title, corpus.read())
    return copy_texts(documents, texts) if texts else documents


class _Run(msgspec.Struct, frozen=True):
    """The same patterns for both."""

    own: OwnEngine
    ripgrep: Ripgrep | None
    patterns: Sequence[BenchPattern]
    limit: int
    show: Progress

    def compare(self) -> tuple[list[Row], list[Agreement]]:
        own: Contender[BenchPattern] = Contender(INDEX, lambda pattern: self.own.answer(pattern.query, self.limit))
        if self.ripgrep is None:
            timed = run_in_turns([own], self.patterns, on_pass=self._step("searching"))
            return [self._own_row(timed[INDEX])], []
        peer = Contender(self.ripgrep.version(), self.ripgrep.matching, runs=1)
        self.ripgrep.matching(self.patterns[0])  # so that the first one timed finds its files in the page cache
        timed = run_in_turns([own, peer], self.patterns, on_pass=self._step("searching"))
        row = make_row(peer.name, self.own.build.documents, timed[peer.name].milliseconds, timed[INDEX].milliseconds)
        return [self._own_row(timed[INDEX]), row], [self._agreement(peer.name, timed[peer.name])]

    def _own_row(self, timed: Timed) -> Row:
        memory = self.own.reader_memory([pattern.query for pattern in self.patterns], self.limit)
        index = index_figures(self.own.build, reader_bytes=memory)
        return make_row(INDEX, self.own.build.documents, timed.milliseconds, timed.milliseconds, index=index)

    def _agreement(self, peer: str, theirs: Timed) -> Agreement:
        everything = self.own.build.documents
        pairs = counted(zip(self.patterns, theirs.answers, strict=True), len(self.patterns), "checking", self.show)
        verdicts = (
            (pattern.query, same_matches(self.own.answer(pattern.query, everything), cast("_Files", files)))
            for pattern, files in pairs
        )
        return make_agreement(peer, "the set of matching documents", verdicts)

    def _step(self, step: str) -> Callable[[float], None]:
        return lambda share: self.show(step, share)
