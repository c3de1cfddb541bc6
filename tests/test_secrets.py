"""No secret is in the repository: everything that looks like one is known, and is none."""

import subprocess
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[1]

FULL_OF_HASHES = frozenset({"uv.lock", "infra/kafka/jars.sha256", "tests/test_secrets.py"})

_A_TRACE, _ANOTHER_TRACE = "11d33efc2208b4c342269d8da7cde286f9681f0f", "0a24796d4c71ce722a92f450f69dc36c60b21de4"
_NOT_TO_BE_REPEATED = "f3bbbd66a63d4bf1747940578ec3d0103530e21d"
_A_SPAN = "8750a512f22c55598175aee8790ae2470ec88d16"

KNOWN = {
    "api/description/examples.py": {"aba56f89642c837dcc786ae029087cb63f9e20e8"},  # a token: offsets
    "api/description/administered.py": {"f1d627a893357631fa0ceb65b072b65668407957"},  # the prefix of a key
    "infra/kubernetes/base/search.yaml": {"883993d0233098fb3bc96bff05b1361bdeb62073"},  # the name of a secret
    "infra/kubernetes/overlays/production/kafka-credentials.yaml": {"42d9dbe4b150faa7c432e077c75e80cf5e35c817"},  # too
    "infra/setup/minilm.py": {"b93a2ed374bb6eb40ac34ff314bc1ba43836013f"},  # sha256 of a wheel
    "tests/api/test_documents.py": {_A_TRACE},
    "tests/infra/test_postgres.py": {"a8b0e49f08584d0837f13141da4404b60bb57e96"},  # a wrong password on purpose
    "tests/infra/backup/test_local_indexes.py": {_NOT_TO_BE_REPEATED},
    "tests/indexer/semantic/test_roles.py": {  # placeholders of passwords that each run makes, and one to take apart
        "f5592f2e12a03812f94594899ae143bd47b01671",
        "fd499cf5c153641c977f26a83740c81cf04bc9b2",
    },
    "tests/services/secured_kafka.py": {  # of a broker that lives as long as the tests
        "65174f8cc317deb9cc79e1d58ff7fb9f9b03e757",
        "eef0b36b735aa1158b287b384d6424e55e2203c1",
    },
    "tests/streams/test_settings.py": {  # what must not be repeated
        "909ec6990571138aa907fb4f114fac4dc8d859a8",
        _NOT_TO_BE_REPEATED,
    },
    "tests/streams/test_tracing.py": {_ANOTHER_TRACE},
    "tests/system/test_traces.py": {_A_TRACE, _ANOTHER_TRACE, _A_SPAN},
}
"""SHA-1 of what looks like a secret, by file."""


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name and name not in FULL_OF_HASHES]


def _found(root: Path, names: list[str]) -> dict[str, set[str]]:
    secrets = SecretsCollection(root=str(root))
    with default_settings():
        secrets.scan_files(*(str(root / name) for name in names))
    found: dict[str, set[str]] = {}
    for name, secret in secrets:
        found.setdefault(name, set()).add(secret.secret_hash)
    return found


def test_nothing_that_looks_like_a_secret_is_unknown() -> None:
    """A key, a password or a token that was left in a file shows up here."""
    unknown = {name: hashes - KNOWN.get(name, set()) for name, hashes in _found(ROOT, _tracked()).items()}
    assert {name: hashes for name, hashes in unknown.items() if hashes} == {}


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    """Kinds that this project could leak: a private key, and a key of ours beside its name."""
    (tmp_path / "key.pem").write_text("-----BEGIN " + "PRIVATE KEY-----\n")
    (tmp_path / "settings.env").write_text("EMBED_SEARCH_API_" + 'KEY="' + "a1b2c3d4e5f6" * 4 + '"\n')
    assert _found(tmp_path, ["key.pem", "settings.env"]).keys() == {"key.pem", "settings.env"}
