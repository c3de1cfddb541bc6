"""What a Tantivy index of ours looks like: its fields, its text analysis and where its files lie.

    <generation>/segments/        Tantivy's own files
    <generation>/watermark.json   see `indexer.tantivy.marker`

Text analyzers are no part of those files, so every opening goes through `open_index`, which brings them along.
"""

from pathlib import Path
from typing import Final

import tantivy

from indexer.errors import GenerationUnusable
from indexer.generation import Generation, GenerationSettings
from indexer.tantivy.stop_words import ENGLISH
from streams.errors import SettingsError

INDEX: Final = "tantivy"

FORMAT_VERSION: Final = 4
"""Of the schema and of what the `stored` field holds.

4: position.
3: values, for facets.
2: labels, published (microseconds since the epoch; none without a date).
1: id, title, body, source, tags, language, stored (JSON of a StoredDocument), timestamp, offset.
"""

DEFAULT_ANALYZER: Final = "english"

ID: Final = "id"
TEXT_FIELDS: Final = ("title", "body")
EXACT_FIELDS: Final = ("id", "source", "tags", "language")
STORED: Final = "stored"
TIMESTAMP: Final = "timestamp"
OFFSET: Final = "offset"
POSITION: Final = "position"
"""Of the record, as one number, see `indexer.tantivy.hit_ids`."""

LABELS: Final = "labels"
PUBLISHED: Final = "published"
VALUES: Final = "values"
"""The names of what a document is counted by, see `indexer.facets`."""

MANIFEST: Final = "meta.json"
"""Tantivy's list of segments, replaced by every commit and merge."""

SEGMENTS: Final = "segments"
"""The folder of Tantivy's files, in that of the generation."""

WRITER_LOCK: Final = f"{SEGMENTS}/.tantivy-writer.lock"
"""The file that a writer of Tantivy locks, with flock."""

_MAX_TOKEN_BYTES: Final = 256
_TEXT: Final = "text"


def generation_settings(analyzer: str = DEFAULT_ANALYZER) -> GenerationSettings:
    """What a Tantivy generation is built with.

    Args:
        analyzer: a language that Tantivy can stem, such as `english` or `german`.

    Raises:
        SettingsError: Tantivy has no such stemmer.
    """
    try:
        text_analyzer(analyzer)
    except ValueError as exc:
        raise SettingsError(f"analyzer: tantivy has no stemmer for {analyzer!r}") from exc
    return GenerationSettings(index=INDEX, format_version=FORMAT_VERSION, analyzer=analyzer)


def text_analyzer(language: str) -> tantivy.TextAnalyzer:
    """Words to terms: split at what is no letter or digit, lower-case, without accents, stemmed.

    Stop words stay in the index, so that phrases are exact; a query leaves them out (see `stop_word_analyzer`).
    """
    return _folding().filter(tantivy.Filter.stemmer(language)).build()


def stop_word_analyzer(language: str) -> tantivy.TextAnalyzer:
    """As `text_analyzer`, but gives no term for a stop word."""
    stop_words = (
        tantivy.Filter.custom_stopword(sorted(ENGLISH)) if language == "english" else tantivy.Filter.stopword(language)
    )
    return _folding().filter(stop_words).filter(tantivy.Filter.stemmer(language)).build()


def folding_analyzer() -> tantivy.TextAnalyzer:
    """As `text_analyzer`, but does not stem: the beginning of a word has no stem."""
    return _folding().build()


def segments_directory(generation: Generation) -> Path:
    """Where Tantivy's files lie."""
    return generation.directory / SEGMENTS


def index_exists(generation: Generation) -> bool:
    """Whether Tantivy's files were created; a directory without its manifest holds no index."""
    return (segments_directory(generation) / MANIFEST).exists()


def open_index(generation: Generation) -> tantivy.Index:
    """Open Tantivy's files, creating them when there are none.

    Raises:
        GenerationUnusable: they are damaged or of another schema.
    """
    try:
        index = tantivy.Index(_schema(), path=str(segments_directory(generation)))
        index.register_tokenizer(_TEXT, text_analyzer(generation.settings.analyzer))
        index.config_reader(reload_policy="manual")
    except BaseException as exc:
        if not is_engine_fault(exc):
            raise
        raise GenerationUnusable(f"tantivy cannot open {generation.directory}: {exc}") from exc
    return index


def is_engine_fault(exc: BaseException) -> bool:
    """Whether Tantivy raised this: ordinary exceptions, and its panics, which are not `Exception`s."""
    return isinstance(exc, Exception) or type(exc).__name__ == "PanicException"


def _folding() -> tantivy.TextAnalyzerBuilder:
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(_MAX_TOKEN_BYTES))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
    )


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(ID, stored=True, tokenizer_name="raw", index_option="basic")
    for name in TEXT_FIELDS:
        builder.add_text_field(name, tokenizer_name=_TEXT, index_option="position")
    for name in EXACT_FIELDS[1:]:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_bytes_field(STORED, stored=True)
    builder.add_unsigned_field(LABELS, indexed=True)
    builder.add_text_field(VALUES, tokenizer_name="raw", index_option="basic", fast=True)
    for name in (TIMESTAMP, OFFSET, PUBLISHED):
        builder.add_integer_field(name, fast=True)
    builder.add_unsigned_field(POSITION, fast=True)
    return builder.build()
