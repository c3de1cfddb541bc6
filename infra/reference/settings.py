"""Writes `docs/settings.md`: `python -m infra.reference.settings > docs/settings.md`."""

from pydantic_core import PydanticUndefined

from streams.settings import Settings, variable

_INTRODUCTION = """# Settings

Settings come from environment variables or a `.env` file in the working directory; options of a command go
first. A variable that begins with `EMBED_SEARCH_` and is not listed here stops the start, because a misspelt
setting would otherwise be silent.

| variable | default | meaning |
| --- | --- | --- |
"""

_ELSEWHERE = """| `EMBED_SEARCH_URL` | `http://127.0.0.1:8080` | The running system that client commands talk to. |
| `EMBED_SEARCH_API_KEY` | unset | The key that client commands send. |
| `EMBED_SEARCH_CACHE_DIR` | `~/.cache/embed-search` | Where set-up keeps the Kafka jars, the model and built wheels. |
"""


def settings_page() -> str:
    """The page, in Markdown."""
    rows = (f"| `{variable(name)}` | {_default(name)} | {_meaning(name)} |\n" for name in Settings.model_fields)
    return _INTRODUCTION + "".join(rows) + _ELSEWHERE


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.default is PydanticUndefined:
        return "by the machine"
    if field.default is None:
        return "unset"
    value = field.default
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def _meaning(name: str) -> str:
    description = Settings.model_fields[name].description or ""
    # Of the three conventional names the description repeats the variable, for the settings object's own readers.
    return description.removeprefix(f"`{variable(name)}`: ")


if __name__ == "__main__":
    print(settings_page(), end="")  # noqa: T201 - standard output is where the page goes
