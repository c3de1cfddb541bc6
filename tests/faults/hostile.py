"""What people type into a search box to leave it: paths, SQL, forged lines of logs, shells, templates."""

from itertools import product
from pathlib import Path

FORGED_EVENT = "forged by a client"


def hostile_strings(prize: Path) -> list[str]:
    """A few hundred of them; whoever obeys one makes the file, drops the index, sleeps or tells a secret."""
    return [*_paths(), *_statements(prize), *_forged_lines(), *_commands(prize), *_rest()]


def _paths() -> list[str]:
    ups = [
        "../" * 8,
        "..\\" * 8,
        "..%2f" * 8,
        "%2e%2e/" * 8,
        "....//" * 8,
        "..%c0%af" * 8,
        "/",
        "file:///",
        "./../" * 8,
    ]
    targets = ["etc/passwd", "proc/self/environ", "data/breakers/bm25", "data/indexes/bm25/live"]
    return [f"{up}{target}" for up, target in product(ups, targets)] + ["..", ".", "~root", "//", "C:\\boot.ini"]


def _statements(prize: Path) -> list[str]:
    ends = ["", "'", '"', "')", "'))", "\\'", "$$", "$1", "'::text"]
    statements = [
        "; DROP SCHEMA embed_search CASCADE; --",
        "; UPDATE embed_search.generations SET live = false; --",
        f"; COPY (SELECT 1) TO PROGRAM 'touch {prize}'; --",
        "; SELECT pg_sleep(30); --",
        " OR 1=1 --",
        " UNION SELECT rolname, rolpassword FROM pg_authid --",
        "||pg_terminate_backend(pg_backend_pid())||",
        "/**/AND/**/1=CAST((SELECT version())AS int)--",
        "; CREATE TABLE embed_search.mine (a int); --",
        "; SET ROLE embed_search_writer; TRUNCATE embed_search.g000001_documents CASCADE; --",
    ]
    return [f"word{end}{statement}" for end, statement in product(ends, statements)]


def _forged_lines() -> list[str]:
    breaks = [
        "\n",
        "\r\n",
        "\r",
        "\x85",
        "\u2028",
        "\u2029",
        "\x0b",
        "\x0c",
        "\x1b[2K\x1b[1A\n",
        "\x08" * 80,
        '"}\n',
        "\\n",
    ]
    lines = [f'{{"event": "{FORGED_EVENT}", "logger": "api.audit"}}', f"INFO {FORGED_EVENT} status=200"]
    return [f"word{end}{line}" for end, line in product(breaks, lines)]


def _commands(prize: Path) -> list[str]:
    act = f"touch {prize}"
    forms = ["; {}", "| {}", "&& {}", "$({})", "`{}`", "\n{}\n", "|| {} #", "{{{{{}}}}}", "${{{}}}", "<%= `{}` %>"]
    python = [f"__import__('os').system('{act}')", f"{{{{ cycler.__init__.__globals__.os.popen('{act}').read() }}}}"]
    return [f"word{form.format(act)}" for form in forms] + python


def _rest() -> list[str]:
    markup = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</mark><svg onload=alert(1)>"]
    markup += ['<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "javascript:alert(1)"]
    formats = ["%s%s%s%n", "{0.__class__}", "%(password)s", "{settings.database_url}", "#{7*7}", "[[${7*7}]]"]
    names = ["__offsets__", "generations", "null", "undefined", "NaN", "-1", "1e309", "true", "[]", "{}", "@@version"]
    queries = ["(" * 400, "[" * 200, "*" * 100, "~" * 100, '"' * 101, "AND OR NOT", "title:", "+-+-+-", "/[/", "/(?i/i"]
    others = [
        "a" * 500,
        "${jndi:ldap://127.0.0.1/a}",
        "*)(uid=*",
        "\ufeffword",
        "w\u202eord",
        "\U0001f600",
        "\\",
        "'",
        ";",
    ]
    return [*markup, *formats, *names, *queries, *others]
