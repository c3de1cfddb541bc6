"""Settings: where they come from, and what stops the start."""

import traceback
from pathlib import Path

import pytest

from streams.document import MAX_BODY_BYTES
from streams.errors import SettingsError
from streams.settings import METHODS, Settings, load_settings, variable


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests, and no `.env` but the test's own."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)


def test_the_defaults_need_nothing() -> None:
    """A newcomer sets nothing at all."""
    settings = load_settings()
    assert (settings.host, settings.port, settings.indexes) == ("127.0.0.1", 8080, METHODS)
    assert (settings.kafka_bootstrap_servers, settings.database_url, settings.model_path) == (None, None, None)
    assert (settings.topic, settings.dead_letter_topic) == ("documents", "documents.dlq")
    assert settings.max_body_bytes == MAX_BODY_BYTES


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixed variables and the three conventional names."""
    monkeypatch.setenv("EMBED_SEARCH_PORT", "9000")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "one:9092,two:9092")
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere/db")
    monkeypatch.setenv("MODEL_PATH", "/models/m.gguf")
    settings = load_settings()
    assert settings.port == 9000
    assert settings.kafka_bootstrap_servers == "one:9092,two:9092"
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://somewhere/db"
    assert settings.model_path == Path("/models/m.gguf")


def test_dot_env_is_read_and_the_environment_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file for the machine, a variable for the occasion."""
    (tmp_path / ".env").write_text("EMBED_SEARCH_PORT=9000\nEMBED_SEARCH_TOPIC=notes\nUNRELATED=1\n")
    monkeypatch.setenv("EMBED_SEARCH_PORT", "9001")
    settings = load_settings()
    assert (settings.port, settings.topic) == (9001, "notes")


def test_an_option_goes_before_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was typed wins, whatever the variable is called; what was not typed changes nothing."""
    monkeypatch.setenv("EMBED_SEARCH_PORT", "9001")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "environment:9092")
    monkeypatch.setenv("EMBED_SEARCH_TOPIC", "notes")
    settings = load_settings(port=9002, kafka_bootstrap_servers="option:9092", topic=None)
    assert (settings.port, settings.kafka_bootstrap_servers, settings.topic) == (9002, "option:9092", "notes")


@pytest.mark.parametrize("name", ["EMBED_SEARCH_PROT", "EMBED_SEARCH_", "embed_search_prot"])
def test_a_misspelt_setting_stops_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be silent otherwise."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=rf"unknown setting {name}; the settings are .*EMBED_SEARCH_PORT"):
        load_settings()


def test_a_misspelt_setting_in_dot_env_stops_the_start(tmp_path: Path) -> None:
    """The file is no less strict than the environment."""
    (tmp_path / ".env").write_text("EMBED_SEARCH_PROT=1\n")
    with pytest.raises(SettingsError, match="EMBED_SEARCH_PROT"):
        load_settings()


@pytest.mark.parametrize("name", ["EMBED_SEARCH_URL", "EMBED_SEARCH_CACHE_DIR"])
def test_variables_of_other_programs_of_ours_are_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's target and the set-up's cache are no mistakes."""
    monkeypatch.setenv(name, "anything")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMBED_SEARCH_PORT", "0"),
        ("EMBED_SEARCH_PORT", "http"),
        ("EMBED_SEARCH_TOPIC", "no spaces"),
        ("EMBED_SEARCH_MAX_BODY_BYTES", "-1"),
        ("EMBED_SEARCH_INDEXES", "bm25,elastic"),
        ("EMBED_SEARCH_INDEXES", ","),
        ("EMBED_SEARCH_LOG_LEVEL", "loud"),
        ("EMBED_SEARCH_BM25_STEMMER", "klingon"),
        ("EMBED_SEARCH_BM25_STOP_WORDS", "german"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message begins with what to mend."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load_settings()


def test_a_wrong_stemmer_is_told_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are many languages, and a name is easily mistaken."""
    monkeypatch.setenv("EMBED_SEARCH_BM25_STEMMER", "deutsch")
    with pytest.raises(SettingsError, match=r"must be one of none, arabic, .*german.*yiddish"):
        load_settings()


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody mends settings one start at a time."""
    monkeypatch.setenv("EMBED_SEARCH_PORT", "0")
    monkeypatch.setenv("EMBED_SEARCH_WORKERS", "0")
    with pytest.raises(SettingsError, match=r"EMBED_SEARCH_PORT: .*; EMBED_SEARCH_WORKERS: "):
        load_settings()


def test_a_wrong_option_is_named_by_its_variable() -> None:
    """An option has no other name that the documentation lists."""
    with pytest.raises(SettingsError, match=r"^EMBED_SEARCH_PORT: "):
        load_settings(port=99_999)


def test_a_wrong_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value can be a secret, and the message ends up in logs."""
    monkeypatch.setenv("EMBED_SEARCH_PORT", "hunter2")
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


def test_no_value_is_repeated_by_the_cause_of_a_refusal_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback has the whole chain of errors."""
    monkeypatch.setenv("EMBED_SEARCH_PORT", "hunter2")
    monkeypatch.setenv("EMBED_SEARCH_KAFKA_SASL_PASSWORD", "hunter3")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter4@db.example/db")
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    assert "hunter" not in "".join(traceback.format_exception(refusal.value))


def test_a_list_is_separated_by_commas_and_kept_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers list the methods in one order, however they were typed."""
    monkeypatch.setenv("EMBED_SEARCH_INDEXES", " semantic, bm25,bm25 ,")
    assert load_settings().indexes == ("bm25", "semantic")
    assert load_settings(indexes="native").indexes == ("native",)


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and shells pass on what is not set as an empty text."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "MODEL_PATH", "EMBED_SEARCH_PORT", "EMBED_SEARCH_INDEXES"):
        monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


def test_every_setting_is_described() -> None:
    """The documentation is made from the descriptions."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:5432/db",
        "postgresql://me:hunter2@localhost/db",
        "postgresql://me:hunter2@[::1]/db",
        "postgresql:///db?user=me&password=hunter2",
        "postgresql://me:hunter2@/db?host=/run/postgresql",
        "postgresql://me@db.example/db",
        "postgresql://me:hunter2@db.example/db?sslmode=verify-full",
        "postgresql://me:hunter2@db.example/db?sslmode=require",
        "postgresql://me:hunter2@db.example/db?sslmode=disable",
    ],
)
def test_a_database_url_that_says_how_its_password_travels(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays on this machine, there is none, or the mode was chosen, for better or worse."""
    monkeypatch.setenv("DATABASE_URL", url)
    database_url = load_settings().database_url
    assert database_url is not None
    assert database_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@db.example/db",
        "postgresql://me:hunter2@db.example/db?sslmode=prefer",
        "postgresql://me:hunter2@db.example/db?sslmode=allow",
        "postgresql://me:hunter2@127.0.0.1,db.example/db",
        "postgresql://me@db.example/db?password=hunter2",
        "postgresql://me:hunter2@127.0.0.1.example/db",
        "postgresql://me:hunter2@/db?host=db.example",
        "postgresql://me:hunter2@10.0.0.1:5432/db",
        "postgresql://me:hunter2@127.0.0.1/db?sslmode=verify_full",
        "postgresql://me:hunter2@127.0.0.1/db?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
        "postgresql://me:hunter2@127.0.0.1/db?sslmode=verify-full&sslrootcert=system",
        "mysql://me:hunter2@127.0.0.1/db",
        "me:hunter2@127.0.0.1/db",
        "postgresql://me:hunter2@[127.0.0.1/db",
    ],
)
def test_a_password_in_clear_text_has_to_be_chosen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libpq does by default depends on whoever is in between; the message does not repeat the password."""
    monkeypatch.delenv("PGSSLMODE", raising=False)
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: ") as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


def test_the_mode_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does for libpq, unless the URL has one of its own."""
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db.example/db")
    assert load_settings().database_url
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db.example/db?sslmode=prefer")
    with pytest.raises(SettingsError):
        load_settings()


KAFKA = "EMBED_SEARCH_KAFKA"
SASL = {"SASL_USER": "me", "SASL_PASSWORD": "hunter2"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"SECURITY_PROTOCOL": "ssl"}, "SECURITY_PROTOCOL"),
        ({"SECURITY_PROTOCOL": "TLS"}, "SECURITY_PROTOCOL"),
        ({"SASL_MECHANISM": "GSSAPI"}, "SASL_MECHANISM"),
        (SASL, "SASL_USER"),
        ({"SECURITY_PROTOCOL": "SSL", **SASL}, "SASL_USER"),
        ({"SECURITY_PROTOCOL": "SSL", "SASL_PASSWORD_FILE": "f"}, "SASL_PASSWORD_FILE"),
        ({"CA_FILE": "f"}, "CA_FILE"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CA_FILE": "f", **SASL}, "CA_FILE"),
        ({"SECURITY_PROTOCOL": "SSL", "KEY_FILE": "f"}, "CERTIFICATE_FILE"),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_USER"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USER": "me"}, "SASL_PASSWORD"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_PASSWORD_FILE": "f", **SASL}, "SASL_PASSWORD_FILE"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", **SASL}, "SASL_MECHANISM"),
    ],
)
def test_security_of_kafka_that_has_no_effect_or_is_not_whole_stops_the_start(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets a password believes that it is asked for; one that goes out in clear text is refused."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092,kafka.example:9092")
    for name, value in given.items():
        monkeypatch.setenv(f"{KAFKA}_{name}", value)
    with pytest.raises(SettingsError, match=f"{KAFKA}_{named}") as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


def test_credentials_need_a_kafka_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go to no broker that somebody else names, and the one that `up` starts wants none."""
    for name, value in {"SECURITY_PROTOCOL": "SASL_SSL", **SASL}.items():
        monkeypatch.setenv(f"{KAFKA}_{name}", value)
    with pytest.raises(SettingsError, match="needs KAFKA_BOOTSTRAP_SERVERS"):
        load_settings()


@pytest.mark.parametrize("servers", ["127.0.0.1:9092", "localhost:9092,[::1]:9092"])
def test_a_plain_password_may_stay_on_this_machine(servers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is in between there."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    for name, value in {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", **SASL}.items():
        monkeypatch.setenv(f"{KAFKA}_{name}", value)
    assert load_settings().kafka_sasl_mechanism == "PLAIN"


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `repr`, in a dump, in JSON."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1/db")
    for name, value in {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", **SASL}.items():
        monkeypatch.setenv(f"{KAFKA}_{name}", value)
    settings = load_settings(port=9000)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in shown
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == "hunter2"
