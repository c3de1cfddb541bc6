r"""The query language of the `tantivy` method, from text to a small tree; nothing here knows the engine.

    words            any of them; more and rarer ones rank higher
    "a phrase"       these words in this order; "a phrase"~2 lets two words stand between
    title:word       in this field only: title, body, or exactly equal: id, source, tags, language
    +word  -word     must be there, must not be there
    a AND b, a OR b, NOT a, (…)
    word~  word~2    up to that many typing errors
    begin*           words that begin so; * alone is every document
    \+               the character itself

Tantivy's own parser has no fuzzy words and no prefixes outside phrases, and it recurses without a limit, so that
nesting kills the process. Here everything is bounded before the engine sees it.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from indexer.errors import InvalidQuery

MAX_CHARACTERS: Final = 4_096
MAX_DEPTH: Final = 16
MAX_CLAUSES: Final = 64
MAX_WORDS: Final = 256

FIELDS: Final = frozenset({"title", "body", "id", "source", "tags", "language"})

Occur = Literal["should", "must", "must_not"]


class Word(msgspec.Struct, frozen=True):
    """A word, possibly misspelt, or the beginning of one.

    Attributes:
        text: as typed.
        field: the field to look in; title and body when empty.
        distance: how many typing errors to forgive.
        prefix: whether other letters may follow.
    """

    text: str
    field: str = ""
    distance: int = 0
    prefix: bool = False


class Phrase(msgspec.Struct, frozen=True):
    """Words in this order, with up to `slop` others between them."""

    text: str
    field: str = ""
    slop: int = 0


class Everything(msgspec.Struct, frozen=True):
    """Every document."""


class Clause(msgspec.Struct, frozen=True):
    """A part of a group, and whether a document should, must or must not match it."""

    occur: Occur
    node: "Node"


class Group(msgspec.Struct, frozen=True):
    """Clauses that count together."""

    clauses: tuple[Clause, ...]


Node = Word | Phrase | Everything | Group


class ParsedQuery(msgspec.Struct, frozen=True):
    """How a query was understood.

    Attributes:
        node: the tree.
        detail: what the user should know about it, if anything.
    """

    node: Node
    detail: str = ""


class QuerySyntaxError(ValueError):
    """The text does not follow the grammar."""


def understand(text: str) -> ParsedQuery:
    """Read a query; one that does not follow the grammar is read as plain words, and the answer says so.

    Raises:
        InvalidQuery: it is too long, too deep or has too many clauses.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidQuery(f"query must be at most {MAX_CHARACTERS} characters, got {len(text)}")
    # NUL is what sets reserved ids apart, and a lone surrogate is no text.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    if _PLAIN.fullmatch(text) and _OPERATORS.isdisjoint(text.split()):
        return _as_words(text, "")
    try:
        node = parse(text)
    except QuerySyntaxError as exc:
        return _as_words(text, f"read as plain words: {exc}")
    if not _is_plain(node):
        _check_clauses(node)
        return ParsedQuery(node)
    return _as_words(text, "")


def parse(text: str) -> Node:
    """Read a query by the grammar.

    Raises:
        QuerySyntaxError: it does not follow the grammar.
        InvalidQuery: it is nested too deeply.
    """
    return _Parser(list(_tokens(text))).query()


def _as_words(text: str, detail: str) -> ParsedQuery:
    words = list(dict.fromkeys(re.findall(r"\w+(?:[^\w\s]+\w+)*", text)))
    if detail:
        words = [word for word in words if word not in _OPERATORS]
    if len(words) > MAX_WORDS:
        detail = "; ".join(filter(None, (detail, f"only the first {MAX_WORDS} of {len(words)} words were used")))
    clauses = tuple(Clause("should", Word(word)) for word in words[:MAX_WORDS])
    return ParsedQuery(Group(clauses), detail)


def _is_plain(node: Node) -> bool:
    """Whether a tree is nothing but words."""
    return isinstance(node, Group) and all(
        clause.occur == "should" and isinstance(clause.node, Word) and clause.node == Word(clause.node.text)
        for clause in node.clauses
    )


def _check_clauses(node: Node) -> None:
    count = sum(1 for _ in _leaves(node))
    if count > MAX_CLAUSES:
        raise InvalidQuery(f"query must have at most {MAX_CLAUSES} clauses, got {count}")


def _leaves(node: Node) -> Iterator[Node]:
    if not isinstance(node, Group):
        yield node
        return
    for clause in node.clauses:
        yield from _leaves(clause.node)


_OPERATORS: Final = frozenset({"AND", "OR", "NOT"})

_PLAIN: Final = re.compile(r"\s*\w[\w\s]*")
"""Nothing but words, unless one of them is an operator: most queries, which need not be taken apart."""

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<sign>[+-])(?=[^\s)])
    | (?P<field>[A-Za-z_]+):(?=[\w"(*])
    | "(?P<phrase>(?:\\.|[^"\\])*)"(?:~(?P<slop>\d{1,2}))?
    | (?P<word>(?:\\.|[^\s()"\\])+)
    """,
    re.VERBOSE | re.DOTALL,
)

_FUZZY: Final = re.compile(r"(?P<text>.*[^\\])~(?P<distance>\d?)", re.DOTALL)
_MAX_DISTANCE: Final = 2


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    slop: int = 0


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QuerySyntaxError(_complaint(text[at]))
        at = match.end()
        kind = "phrase" if match["phrase"] is not None else str(match.lastgroup)
        if kind == "word" and match["word"] in _OPERATORS:
            yield _Token("operator", match["word"])
        elif kind != "space":
            yield _Token(kind, match[kind], int(match["slop"] or 0))


def _complaint(character: str) -> str:
    return "a quotation mark is not closed" if character == '"' else f"{character} stands alone"


class _Parser:
    """Recursive descent over tokens; only parentheses recurse."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def query(self) -> Node:
        node = self._alternatives("")
        if self._peek() is not None:
            raise QuerySyntaxError("a parenthesis is not opened")
        return node

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, kind: str, text: str = "") -> bool:
        token = self._peek()
        if token is None or token.kind != kind or (text and token.text != text):
            return False
        self._at += 1
        return True

    def _alternatives(self, field: str) -> Group:
        """Clauses one after the other, OR between them or not."""
        clauses = [self._conjunction(field)]
        while (token := self._peek()) is not None and token.kind != "close":
            self._take("operator", "OR")
            clauses.append(self._conjunction(field))
        return Group(tuple(clauses))

    def _conjunction(self, field: str) -> Clause:
        clauses = [self._clause(field)]
        while self._take("operator", "AND"):
            clauses.append(self._clause(field))
        if len(clauses) == 1:
            return clauses[0]
        required = (Clause("must", c.node) if c.occur == "should" else c for c in clauses)
        return Clause("should", Group(tuple(required)))

    def _clause(self, field: str) -> Clause:
        if self._take("operator", "NOT") or self._take("sign", "-"):
            return Clause("must_not", self._operand(field))
        if self._take("sign", "+"):
            return Clause("must", self._operand(field))
        return Clause("should", self._operand(field))

    def _operand(self, field: str) -> Node:
        token = self._peek()
        if token is None:
            raise QuerySyntaxError("the query ends where a word is expected")
        self._at += 1
        match token.kind:
            case "open":
                return self._parenthesised(field)
            case "field":
                return self._operand(_known_field(token.text))
            case "phrase":
                return Phrase(_unescaped(token.text), field, token.slop)
            case "word":
                return _word(token.text, field)
            case _:
                raise QuerySyntaxError(f"a word is expected before {token.text}")

    def _parenthesised(self, field: str) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidQuery(f"query must be nested at most {MAX_DEPTH} deep")
        node = self._alternatives(field)
        if not self._take("close"):
            raise QuerySyntaxError("a parenthesis is not closed")
        self._depth -= 1
        return node


def _known_field(name: str) -> str:
    if name not in FIELDS:
        raise QuerySyntaxError(f"there is no field {name}, only {', '.join(sorted(FIELDS))}")
    return name


def _word(text: str, field: str) -> Node:
    if text == "*" and not field:
        return Everything()
    if fuzzy := _FUZZY.fullmatch(text):
        return Word(_unescaped(fuzzy["text"]), field, distance=_distance(fuzzy["distance"]))
    if text.endswith("*") and not text.endswith("\\*"):
        return Word(_unescaped(text.rstrip("*")), field, prefix=True)
    return Word(_unescaped(text), field)


def _distance(digits: str) -> int:
    distance = int(digits or 1)
    if distance > _MAX_DISTANCE:
        raise QuerySyntaxError(f"a fuzzy word may have at most {_MAX_DISTANCE} errors")
    return distance


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
