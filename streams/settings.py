"""Every setting there is: environment variables `EMBED_SEARCH_*`, a `.env` file, and four conventional names.

A variable with our prefix that is not a setting stops the start, because a misspelt setting is otherwise silent.
Only entry points read settings; everything else is handed what it needs.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streams.credentials import check_database_url, check_kafka
from streams.document import MAX_BODY_BYTES
from streams.errors import SettingsError

PREFIX: Final = "EMBED_SEARCH_"
SEMANTIC: Final = "semantic"
METHODS: Final = ("bm25", "tantivy", "native", SEMANTIC)
"""The search methods, each with an index of that name, in the order in which answers list them."""

STEMMERS: Final = (
    *("none", "arabic", "armenian", "basque", "catalan", "czech", "danish", "dutch", "dutch_porter", "english"),
    *("esperanto", "estonian", "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish"),
    *("italian", "lithuanian", "nepali", "norwegian", "persian", "polish", "porter", "portuguese", "romanian"),
    *("russian", "serbian", "sesotho", "spanish", "swedish", "tamil", "turkish", "yiddish"),
)
"""The languages that Snowball stems (https://snowballstem.org/algorithms/), and `none`."""

STOP_WORDS: Final = ("none", "english")

STORE_FIELDS: Final = (
    *("kafka_bootstrap_servers", "kafka_security_protocol", "kafka_sasl_mechanism", "kafka_sasl_user"),
    *("kafka_sasl_password", "kafka_sasl_password_file", "kafka_ca_file", "kafka_certificate_file", "kafka_key_file"),
    "database_url",
)
"""Where Kafka and PostgreSQL are, and how to get in."""

# Read by other entry points than the settings object: the client's target and key, and the cache that set-up fills.
_PREFIXED_ELSEWHERE = frozenset({"EMBED_SEARCH_URL", "EMBED_SEARCH_API_KEY", "EMBED_SEARCH_CACHE_DIR"})


def _split_names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _known_methods(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("must name at least one index")
    if unknown := [name for name in names if name not in METHODS]:
        raise ValueError(f"unknown index {unknown[0]!r}, the indexes are {', '.join(METHODS)}")
    return tuple(name for name in METHODS if name in names)


def _known_stemmer(name: str) -> str:
    if name not in STEMMERS:
        raise ValueError(f"must be one of {', '.join(STEMMERS)}")
    return name


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ip_network(name)) for name in names)


def _guarded_url(url: SecretStr) -> SecretStr:
    check_database_url(url.get_secret_value())
    return url


IndexNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_names), AfterValidator(_known_methods)]


class Settings(BaseSettings):
    """The settings object; the variable of a field is `EMBED_SEARCH_` and its name in capitals, or what it says."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    kafka_bootstrap_servers: str | None = Field(
        default=None,
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS"),
        description="`KAFKA_BOOTSTRAP_SERVERS`: host:port[,host:port] of a Kafka cluster; unset, `up` starts its own.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="How Kafka is spoken to, in Kafka's own words: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`."
        " With TLS the name in the broker's certificate is always checked.",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512",
        description="How the password is proved to Kafka: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.",
    )
    kafka_sasl_user: str | None = Field(default=None, description="User name at Kafka.")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="Password of that user.")
    kafka_sasl_password_file: Path | None = Field(
        default=None, description="File that holds the password instead; a newline at its end does not belong to it."
    )
    kafka_ca_file: Path | None = Field(
        default=None,
        description="Certificates (PEM) of whoever may vouch for the brokers; unset, those that this machine trusts.",
    )
    kafka_certificate_file: Path | None = Field(
        default=None, description="Certificate (PEM) that this system shows to brokers that ask for one."
    )
    kafka_key_file: Path | None = Field(
        default=None, description="Its private key (PEM, not encrypted), if it is not in the same file."
    )
    database_url: Annotated[SecretStr, AfterValidator(_guarded_url)] | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="`DATABASE_URL`: a PostgreSQL with pgvector; unset, `up` starts its own. It takes the parameters of"
        " libpq, such as `?sslmode=verify-full&sslrootcert=FILE`, and must name a mode where its password goes to"
        " another machine.",
    )
    model_path: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("MODEL_PATH"),
        description="`MODEL_PATH`: a GGUF embedding model; unset, the MiniLM that set-up makes.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT"),
        pattern="^https?://[^/]+",
        description="`OTEL_EXPORTER_OTLP_ENDPOINT`: collector that spans are sent to by OTLP over HTTP, such as"
        " `http://127.0.0.1:4318`; unset, none are sent.",
    )
    data_dir: Path = Field(default=Path("data"), description="Where indexes, and what `up` starts, keep their data.")
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8080, ge=1, le=65_535, description="Port the API listens on.")
    workers: int = Field(default=2, ge=1, le=64, description="API worker processes.")
    keys_file: Path | None = Field(
        default=None,
        description="File of API keys, as `embed-search keys` writes it; followed while the API runs.",
    )
    anonymous_scopes: str | None = Field(
        default=None,
        pattern="^(all|none|(read|write|admin)(,(read|write|admin))*)$",
        description="What needs no key: `all`, `none`, or some of `read,write,admin`; unset, all where the API"
        " listens on a loopback address, and none elsewhere.",
    )
    key_rate: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Requests a second that each key may make, twice as many at once; 0 for any number. Unset, any"
        " number where the API listens on a loopback address, and 50 elsewhere.",
    )
    address_rate: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="The same for each address from which requests come without a key, or with a wrong one; elsewhere"
        " 10.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_names), AfterValidator(_networks)] = (
        Field(
            default=(),
            description="Networks, separated by commas, whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`.",
        )
    )
    indexes: IndexNames = Field(default=METHODS, description="Indexes to run, separated by commas.")
    topic: str = Field(
        default="documents",
        pattern=r"^[a-zA-Z0-9._-]{1,200}$",
        description="The topic that is the source of truth; its dead letters go to the same name with `.dlq`.",
    )
    partitions: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Partitions of a topic that is created. More than one spreads embedding over several semantic"
        " indexers, and demands that every producer of a document uses the same partitioner (murmur2, Kafka's own).",
    )
    replication_factor: int = Field(default=1, ge=1, le=9, description="Replicas of a topic that is created.")
    topic_gap: Literal["refuse", "rebuild"] = Field(
        default="refuse",
        description="What an indexer does when its index does not fit the topic any more: another topic under the name,"
        " other partitions, or records that are gone unread. `refuse` stops it with a message; `rebuild` sets the index"
        " aside and builds it anew from the topic, while searches see what is built so far.",
    )
    max_body_bytes: int = Field(
        default=MAX_BODY_BYTES, ge=1, le=4 * MAX_BODY_BYTES, description="Limit of a document's body, bytes of UTF-8."
    )
    bad_record_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="An indexer stops reading, and says so, when more of its last 500 records (at least 50) are bad"
        " than this share: something is broken then. 1 for never. `embed-search dlq resume` has it read on.",
    )
    bm25_stemmer: Annotated[str, AfterValidator(_known_stemmer)] = Field(
        default="english",
        description="Language whose endings the bm25 index takes off words, one that Snowball knows, such as `german`,"
        " or `none`. An index keeps what it was built with, and must be built anew to change it.",
    )
    bm25_stop_words: str = Field(
        default="english",
        pattern=f"^({'|'.join(STOP_WORDS)})$",
        description="Words that the bm25 index leaves out: the frequent ones of `english`, or `none`. As with stemming,"
        " an index keeps it.",
    )
    batch_documents: int = Field(
        default=2_000, ge=1, le=100_000, description="An indexer commits after this many documents."
    )
    batch_bytes: int = Field(
        default=33_554_432, ge=1, description="An indexer commits after this many bytes of records."
    )
    batch_age_ms: int = Field(
        default=1_000, ge=1, le=60_000, description="An indexer commits when its oldest uncommitted change is this old."
    )
    keep_previous_hours: float = Field(
        default=24.0,
        ge=0,
        le=8_760,
        description="How long the generation that was live before is fed, so that `rollback` is at once; then it is"
        " removed.",
    )
    rebuild_share: float = Field(
        default=0.5,
        ge=0.01,
        le=1,
        description="How much of its time a rebuild may work, so that searches keep the processor and the disk; more"
        " where it would never catch up.",
    )
    timeout_ms: int = Field(default=1_000, ge=1, le=60_000, description="Deadline of a search that names none.")
    max_searches: int = Field(
        default=32,
        ge=1,
        le=1_024,
        description="Searches that an API worker runs at a time at most, and fewer while the processor is short; eight"
        " times as many wait for their turn, and what is beyond gets 503 `overloaded`.",
    )
    embedding_threads: int = Field(
        # Threads of llama.cpp wait for one another by spinning: where each processor has one, searches get none.
        default_factory=lambda: max(1, min(4, (os.cpu_count() or 1) // 2)),
        ge=1,
        le=64,
        description="Threads of an embedder; unset, half as many as there are processors, and four at most.",
    )
    indexer_niceness: int = Field(
        default=0,
        ge=0,
        le=19,
        description="How far indexers, and what embeds for them, step back for searches on the same machine, as of"
        " `nice`; where processors are short, that costs lag. A rebuild steps back by 19.",
    )
    memory_limit_bytes: int | None = Field(
        default=None,
        ge=67_108_864,
        description="Anonymous memory that a process may use: caches are given up at 70 %, work is refused at 85 %."
        " Unset, the limit of the container for all of its processes, or the machine's memory.",
    )
    open_files_limit: int | None = Field(
        default=None,
        ge=128,
        description="File handles that a process may have open; unset, what the system allows (`RLIMIT_NOFILE`).",
    )
    disk_free_bytes: int = Field(
        default=1 << 30,
        ge=0,
        description="Health is degraded while the file system of the data directory has fewer bytes free.",
    )
    disk_free_percent: float = Field(
        default=5.0, ge=0, le=100, description="The same in percent of the file system; both hold."
    )
    lag_stall_seconds: float = Field(
        default=120.0,
        gt=0,
        description="Health is degraded when an index has not moved for so long while offsets are left to read. Longer"
        " than a batch takes, and a batch of long documents takes an embedder a while.",
    )
    indexer_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Port on which an indexer answers `/livez`, `/readyz`, `/health` and `/metrics`, without a key, at"
        " the API's address; `up` gives it to the first index, and the following ports to the others. Unset, none.",
    )
    log_queries: bool = Field(
        default=True,
        description="Whether queries of searches are written down: in the log as they came, and the latest ones in the"
        " data directory, for rebuilds to ask. `false` for a hash and a length in the log, and none kept.",
    )
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Least level logged.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        values = {name: getattr(self, name) for name in type(self).model_fields}
        check_kafka(values, {name: variable(name) for name in values})
        return self

    @property
    def dead_letter_topic(self) -> str:
        """Where records go that cannot be indexed."""
        return dead_letters_of(self.topic)


def dead_letters_of(topic: str) -> str:
    """The topic of what cannot be indexed, of a topic of documents."""
    return f"{topic}.dlq"


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - values of any field, validated by pydantic
    """Read the settings from the environment and `.env`; options given on a command line go first.

    Args:
        overrides: fields by name; None means not given.

    Raises:
        SettingsError: naming every setting that is unknown or wrong.
    """
    _refuse_unknown({**dotenv_values(".env"), **os.environ})
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings()
        # Validated again as a whole, by field name: an option has no variable of its own.
        return Settings.model_validate(settings.model_dump() | given, by_name=True) if given else settings
    except ValidationError as exc:
        raise SettingsError("; ".join(_describe(error) for error in exc.errors())) from exc


def variable(field: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"{PREFIX}{field.upper()}"


def _refuse_unknown(environment: Mapping[str, str | None]) -> None:
    known = {variable(field) for field in Settings.model_fields} | _PREFIXED_ELSEWHERE
    unknown = sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; the settings are {', '.join(sorted(known))}")


def _describe(error: Any) -> str:  # noqa: ANN401 - pydantic's error details, a mapping
    location = str(error["loc"][0]) if error["loc"] else ""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not location:  # about several settings, which it names itself
        return message
    # The place is a field, or its variable where that has a name of its own.
    return f"{variable(location) if location in Settings.model_fields else location}: {message}"
