"""Settings: where they come from, and what stops the start."""

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
    assert settings.database_url == "postgresql://somewhere/db"
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
