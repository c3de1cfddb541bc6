"""`embed-search keys`: makes a key, shows it once, and takes it back."""

import json
import time
from pathlib import Path

from api.access.keys import KeyRing
from api.access.scopes import Scope
from tests.system.processes import run_command


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    """The key opens what it was made for, is never shown again, and is worth nothing once revoked."""
    path = tmp_path / "keys.json"
    environment = {"EMBED_SEARCH_KEYS_FILE": str(path)}
    made = run_command(["keys", "create", "crawler", "--scope", "write", "--scope", "read", "--days", "1"], environment)
    shown = made.stdout.strip()
    key = KeyRing(path, clock=time.monotonic).find(shown)
    assert key is not None
    assert key.scopes == {Scope.READ, Scope.WRITE}

    listed = run_command(["keys", "list", "--json"], environment)
    assert [entry["name"] for entry in json.loads(listed.stdout)] == ["crawler"]
    assert shown.partition(".")[2] not in listed.stdout + run_command(["keys", "list"], environment).stdout

    assert run_command(["keys", "revoke", key.prefix], environment).returncode == 0
    assert KeyRing(path, clock=time.monotonic).find(shown) is None
    assert run_command(["keys", "revoke", key.prefix], environment).returncode == 1


def test_a_key_file_must_be_named() -> None:
    """Without one there is nowhere to keep a key."""
    refused = run_command(["keys", "list"], {})
    assert refused.returncode == 2
    assert "EMBED_SEARCH_KEYS_FILE" in refused.stderr
