"""Turns the tree of a query into Tantivy queries.

A plain word counts in title and body, each by its own BM25 score, and the two are added: a title is short, so a word
in it weighs more by length normalisation alone. On Cranfield that gives nDCG@10 0.399; with Tantivy's own short list
of stop words 0.389. Measured with the short list, the title weighted by 0.5 lost 0.002, by 2 lost 0.016, and a
disjunction maximum in place of the sum lost 0.002.
"""

import re
from collections.abc import Sequence
from typing import Final

import tantivy

from indexer.tantivy.marker import MARKER_ID
from indexer.tantivy.schema import (
    EXACT_FIELDS,
    ID,
    TEXT_FIELDS,
    folding_analyzer,
    stop_word_analyzer,
    text_analyzer,
)
from indexer.tantivy.syntax import Clause, Everything, Group, Node, Occur, Phrase, Word

MAX_EXPANSIONS: Final = 64
"""A prefix is scored by this many of its commonest words; documents with only others match with the score 0."""

_OCCURS: Final[dict[Occur, tantivy.Occur]] = {
    "should": tantivy.Occur.Should,
    "must": tantivy.Occur.Must,
    "must_not": tantivy.Occur.MustNot,
}
_REGEX_SPECIAL: Final = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~/]")


class Compiler:
    """Compiles queries for indexes of one schema; safe for concurrent threads.

    Args:
        schema: of the index.
        language: whose stems and stop words count.
    """

    def __init__(self, schema: tantivy.Schema, language: str) -> None:
        self._schema = schema
        self._stemming = text_analyzer(language)
        self._without_stop_words = stop_word_analyzer(language)
        self._folding = folding_analyzer()

    def compile(self, node: Node, searcher: tantivy.Searcher) -> tantivy.Query:
        """The Tantivy query for a tree; it never matches the marker document.

        Args:
            node: the tree.
            searcher: the snapshot that will be asked; prefixes are looked up in its words.
        """
        return self._compiled(node, searcher) or tantivy.Query.empty_query()

    def every_document(self) -> tantivy.Query:
        """All documents but the marker."""
        marker = tantivy.Query.term_query(self._schema, ID, MARKER_ID)
        return tantivy.Query.boolean_query(
            [(tantivy.Occur.Must, tantivy.Query.all_query()), (tantivy.Occur.MustNot, marker)]
        )

    def _compiled(self, node: Node, searcher: tantivy.Searcher) -> tantivy.Query | None:
        """None stands for a part that says nothing, such as a lone punctuation mark."""
        match node:
            case Everything():
                return self.every_document()
            case Group():
                return self._group(node, searcher)
            case Phrase():
                return _any_of([self._phrase(name, node) for name in _fields(node.field)])
            case Word():
                terms = [] if node.prefix or node.field in EXACT_FIELDS else self._stemming.analyze(node.text)
                return _any_of([self._word(name, node, terms, searcher) for name in _fields(node.field)])

    def _group(self, group: Group, searcher: tantivy.Searcher) -> tantivy.Query | None:
        compiled = [(c.occur, self._compiled(c.node, searcher)) for c in self._telling(group.clauses)]
        clauses = [(_OCCURS[occur], query) for occur, query in compiled if query is not None]
        if not clauses:
            return None
        if all(occur == tantivy.Occur.MustNot for occur, _ in clauses):
            clauses.append((tantivy.Occur.Must, self.every_document()))
        return tantivy.Query.boolean_query(clauses)

    def _telling(self, clauses: Sequence[Clause]) -> Sequence[Clause]:
        """Without plain words that say nothing (unless there are no others) or that have been said."""
        telling = {self._meaning(clause): clause for clause in reversed(clauses)}
        telling.pop((), None)
        if any(clause.occur != "must_not" for clause in telling.values()):
            return list(reversed(telling.values()))
        return clauses

    def _meaning(self, clause: Clause) -> object:
        """Equal for two plain words with the same terms; empty for a stop word."""
        match clause:
            case Clause("should", Word(field="", distance=0, prefix=False) as word):
                return tuple(self._without_stop_words.analyze(word.text))
        return clause

    def _phrase(self, field: str, phrase: Phrase) -> tantivy.Query | None:
        if field in EXACT_FIELDS:
            return self._term(field, phrase.text)
        return self._sequence(field, phrase.text, slop=phrase.slop)

    def _sequence(self, field: str, text: str, *, slop: int = 0) -> tantivy.Query | None:
        terms: list[str | tuple[int, str]] = [(t.position, t.text) for t in self._stemming.pre_tokenize(text).tokens]
        if len(terms) <= 1:
            return _any_of([self._term(field, term[1]) for term in terms])
        return tantivy.Query.phrase_query(self._schema, field, terms, slop)

    def _word(self, field: str, word: Word, terms: Sequence[str], searcher: tantivy.Searcher) -> tantivy.Query | None:
        """A word, which is so many terms in a field of text."""
        if word.prefix:
            return self._prefix(field, word.text, searcher)
        if field in EXACT_FIELDS:
            return self._fuzzy(field, word.text, word.distance)
        # `boundary-layer` is two terms, and each counts; a phrase on top made Cranfield worse by 0.013.
        return _any_of([self._fuzzy(field, term, word.distance) for term in terms])

    def _fuzzy(self, field: str, term: str, distance: int) -> tantivy.Query:
        exact = self._term(field, term)
        if not distance:
            return exact
        near = tantivy.Query.fuzzy_term_query(self._schema, field, term, distance=distance)
        return tantivy.Query.boolean_query([(tantivy.Occur.Should, exact), (tantivy.Occur.Should, near)])

    def _prefix(self, field: str, text: str, searcher: tantivy.Searcher) -> tantivy.Query | None:
        if field in EXACT_FIELDS:
            return self._pattern(field, text) if text else None
        beginning = "".join(self._folding.analyze(text)[-1:])
        if not beginning:
            return None
        words = [word for word, _ in searcher.terms_with_prefix(field, beginning, limit=MAX_EXPANSIONS)]
        # The index holds stems: `running*` begins none of them, so what it stems to counts as well.
        words += [stem for stem in self._stemming.analyze(text)[-1:] if stem not in words]
        parts: list[tantivy.Query | None] = [self._term(field, word) for word in words]
        if len(words) >= MAX_EXPANSIONS:
            parts.append(tantivy.Query.const_score_query(self._pattern(field, beginning), 0.0))
        return _any_of(parts)

    def _pattern(self, field: str, beginning: str) -> tantivy.Query:
        literal = _REGEX_SPECIAL.sub(r"\\\g<0>", beginning)
        return tantivy.Query.regex_query(self._schema, field, f"(?s){literal}.*")

    def _term(self, field: str, term: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, term)


def _fields(field: str) -> tuple[str, ...]:
    return (field,) if field else TEXT_FIELDS


def _any_of(queries: Sequence[tantivy.Query | None]) -> tantivy.Query | None:
    clauses = [(tantivy.Occur.Should, query) for query in queries if query is not None]
    if len(clauses) == 1:
        return clauses[0][1]
    return tantivy.Query.boolean_query(clauses) if clauses else None
