"""Compares the `bm25` method with tantivy-py on all documents, and with rank_bm25 and bm25s on a part they can hold."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, cast

import msgspec

from indexer.analysis import Analyzer, get_analyzer
from indexer.backend import Answer
from indexer.registry import LOCAL_ENGINES
from infra.bench.corpus import Corpus, spread, survey, without_title
from infra.bench.machine import this_machine
from infra.bench.okapi import Ranked, Tokenized, bm25s_installed, bm25s_peer, rank_bm25_peer, same_ranking, tokenize
from infra.bench.own import OwnEngine
from infra.bench.progress import Progress, counted
from infra.bench.report import Agreement, Report, Row, index_figures, make_agreement, make_row
from infra.bench.tantivy_peer import build_tantivy, tantivy_peers
from infra.bench.timing import Timed, run_in_turns
from infra.bench.words import word_queries
from streams.document import Document
from streams.settings import Settings

INDEX: Final = "bm25"

_SEED: Final = 5
_DRAWN_FROM: Final = 2_000
"""Documents that queries are drawn from."""


class Bm25Comparison(msgspec.Struct, frozen=True):
    """What to compare.

    Attributes:
        folder: of text files.
        files: how many of them at most; None for all.
        subset: how many of those the peers in memory get.
        queries: how many.
        limit: hits of each answer.
    """

    folder: Path
    files: int | None
    subset: int
    queries: int
    limit: int


def compare_bm25(asked: Bm25Comparison, workplace: Path, show: Progress) -> Report:
    """Build every index, run every query by every engine, hold our scores against rank_bm25's.

    Args:
        asked: what to compare.
        workplace: an empty folder for the indexes.
        show: told of each step.

    Raises:
        BenchFailed: the folder holds no words.
    """
    show("reading", 0.0)
    corpus = survey(asked.folder, files=asked.files)
    subset = [without_title(document) for document in corpus.read(asked.subset)]
    show("reading", 1.0)
    analyzer = get_analyzer(LOCAL_ENGINES[INDEX].settings(Settings()).analyzer)
    drawn_from = [document.body for document in spread(subset, len(subset), _DRAWN_FROM)]
    queries = word_queries(drawn_from, analyzer, asked.queries, seed=_SEED)
    run = _Run(analyzer, queries, asked.limit, workplace, show)
    rows = run.on_everything(corpus)
    more_rows, agreement = run.on_subset(subset)
    notes = [] if bm25s_installed() else ["bm25s is not installed and was left out"]
    return Report(INDEX, this_machine(), len(queries), asked.limit, [*rows, *more_rows], [agreement], notes)


class _Run(msgspec.Struct, frozen=True):
    """The same queries for every engine."""

    analyzer: Analyzer
    queries: Sequence[str]
    limit: int
    workplace: Path
    show: Progress

    def on_everything(self, corpus: Corpus) -> list[Row]:
        documents = counted(corpus.read(), corpus.documents, "bm25", self.show)
        with closing(OwnEngine(INDEX, self.workplace / "everything", documents)) as own:
            documents = counted(corpus.read(), corpus.documents, "tantivy", self.show)
            index, build = build_tantivy(self.workplace / "tantivy", documents)
            peers = tantivy_peers(index, self.limit)
            contenders = [own.contender(self.limit), *peers]
            timed = run_in_turns(contenders, self.queries, on_pass=self._searching("all documents"))
            ours = timed[own.name].milliseconds
            counting, not_counting = (
                make_row(peer.name, build.documents, timed[peer.name].milliseconds, ours) for peer in peers
            )
            counting = msgspec.structs.replace(counting, index=index_figures(build))
            return [self._own_row(own, ours), counting, not_counting]

    def on_subset(self, subset: Sequence[Document]) -> tuple[list[Row], Agreement]:
        """The documents must have no titles: the peers know only text, and how often a title counts is ours."""
        documents = counted(subset, len(subset), "bm25, subset", self.show)
        with closing(OwnEngine(INDEX, self.workplace / "subset", documents)) as own:
            self.show("in memory", 0.0)
            tokenized = tokenize(subset, self.analyzer)
            reference, reference_build = rank_bm25_peer(tokenized, self.analyzer, self.limit)
            peers = [(reference, reference_build)]
            if bm25s_installed():
                peers.append(bm25s_peer(tokenized, self.analyzer, self.limit))
            self.show("in memory", 1.0)
            contenders = [own.contender(self.limit), *(peer for peer, _ in peers)]
            timed = run_in_turns(contenders, self.queries, on_pass=self._searching("subset"))
            ours = timed[own.name].milliseconds
            rows = [
                make_row(peer.name, len(subset), timed[peer.name].milliseconds, ours, index=index_figures(build))
                for peer, build in peers
            ]
            agreement = self._agreement(reference.name, timed[own.name], timed[reference.name], tokenized)
            return [self._own_row(own, ours), *rows], agreement

    def _own_row(self, own: OwnEngine, times: Sequence[float]) -> Row:
        memory = own.reader_memory(self.queries, self.limit)
        index = index_figures(own.build, reader_bytes=memory)
        return make_row(own.name, own.build.documents, times, times, index=index)

    def _agreement(self, peer: str, ours: Timed, theirs: Timed, tokenized: Tokenized) -> Agreement:
        pairs = zip(self.queries, ours.answers, theirs.answers, strict=True)
        verdicts = (
            (query, same_ranking(cast("Answer", mine), cast("Ranked", other), tokenized.ids))
            for query, mine, other in pairs
        )
        return make_agreement(peer, f"the best {self.limit} scores", verdicts)

    def _searching(self, step: str) -> Callable[[float], None]:
        return lambda share: self.show(step, share)
