"""Requests that are made to hurt: each one once took down, or held up, some search engine."""

import json
from typing import Final

import msgspec

_MILLION: Final = 1_000_000


class Bomb(msgspec.Struct, frozen=True):
    """One hostile `POST /search`."""

    name: str
    body: bytes


def _query(name: str, query: str, *methods: str, **request: object) -> Bomb:
    fields = {"query": query, **request} | ({"methods": methods} if methods else {})
    return Bomb(name, json.dumps(fields).encode())


def _text(name: str, body: str) -> Bomb:
    return Bomb(name, body.encode())


BOMBS: Final = (
    _query("100,000 nested parentheses", "(" * 100_000 + "a" + ")" * 100_000),
    _query("nested parentheses as far as a query goes", "(" * 2_000 + "a" + ")" * 2_000, "tantivy"),
    _query("parentheses that are never closed", "(" * 4_000, "tantivy"),
    _query("50,000 ORs", " OR ".join(["a"] * 50_000)),
    _query("ORs as far as a query goes", " OR ".join(["ba"] * 680), "tantivy"),
    _query("ANDs of NOTs", " AND NOT ".join(["ba"] * 400), "tantivy"),
    _query("minus signs", "-" * 4_000, "tantivy"),
    _query("plus signs", "+" * 4_000, "tantivy"),
    _query("quotation marks", '"' * 4_095, "tantivy"),
    _query("a phrase of 1,300 words", '"' + "ba " * 1_300 + '"', "tantivy"),
    _query("a prefix of one letter", "b*", "tantivy"),
    _query("1,000 prefixes", "b* " * 1_000, "tantivy"),
    _query("1,000 fuzzy words", "ba~ " * 1_000, "tantivy"),
    _query("a distance of 250", "document~250", "tantivy"),
    _query("a field that is none", "__proto__:x " * 300, "tantivy"),
    _query("colons", ":" * 4_000, "tantivy"),
    _query("carets", "ba^" * 1_300, "tantivy"),
    _query("a boost of infinity", "ba^1e999", "tantivy"),
    _query("a range without an end", "[a TO", "tantivy"),
    _query("ranges", "[a TO z] " * 450, "tantivy"),
    _query("backslashes", "\\" * 4_000, "tantivy"),
    _query("2,000 words", "ba " * 1_365, "bm25"),
    _query("one word of 4,096 letters", "b" * 4_096),
    _query("4,096 characters of four bytes", "\U0001f600" * 4_096),
    _query("4,097 characters", "b" * 4_097),
    _query("a million characters", "b" * _MILLION),
    _query("/.*/ x 1,300", "/" + ".*" * 1_300 + "/", "native"),
    _query("nested counts", "/((a{1,100}){1,100}){1,100}/", "native"),
    _query("a count of 1,000", "/(.{0,1000}x)/", "native"),
    _query("counts of alternatives", "/(a|b|ab){30,60}c/", "native"),
    _query("catastrophic backtracking", "/(a+)+$/", "native"),
    _query("alternatives x 1,000", "/" + "|".join(["ba"] * 1_000) + "/", "native"),
    _query("500 classes of letters", "/" + "\\pL" * 500 + "/", "native"),
    _query("a back reference", "/(a)\\1/", "native"),
    _query("a look behind", "/(?<=a)b/", "native"),
    _query("groups x 1,000", "/" + "(" * 1_000 + "a" + ")" * 1_000 + "/", "native"),
    _query("a class that is never closed", "/[" + "a" * 4_000 + "/", "native"),
    _query("any text", "/./", "native"),
    _query("any text or none", "/.*/s", "native"),
    _query("NUL characters", "\0" * 4_000),
    _query("right-to-left marks", "\u202e\u200f" * 2_000),
    _query("combining marks", "a" + "\u0301" * 4_000),
    _query("white space alone", " \t\n" * 1_000),
    _text("a lone surrogate", '{"query": "\\ud800"}'),
    Bomb("invalid UTF-8", b'{"query": "\xff\xfe\xc0\x80"}'),
    _text("JSON 2,000 deep", '{"query": "a", "filters": ' + '{"a":' * 2_000 + "1" + "}" * 2_001),
    _text("JSON arrays 30,000 deep", "[" * 30_000),
    _text("a number of 60,000 digits", '{"query": "a", "limit": ' + "9" * 60_000 + "}"),
    _query("an offset of 10**12", "document", offset=10**12),
    _query("a limit of 2**62", "document", limit=2**62),
    _query("a limit of -1", "document", limit=-1),
    _query("the largest page", "document", limit=1_000, offset=9_000),
    _query("a filter of 10,000 tags", "document", filters={"tags": ["x"] * 10_000}),
    _query("a method 10,000 times", "document", *["bm25"] * 10_000),
    _query("facets x 10,000", "document", facets=["source"] * 10_000),
    _query("a weight of infinity", "document", fusion={"kind": "rrf", "k": 60, "weights": {"bm25": 1e308}}),
    _query("a negative k", "document", fusion={"kind": "rrf", "k": -1}),
    _query("no time at all", "document", timeout_ms=0),
    _query("a token that is none", "document", wait_for="x" * 10_000),
    _text("no JSON", "query=document"),
    _text("nothing", ""),
)
