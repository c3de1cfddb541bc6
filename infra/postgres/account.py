"""Whom PostgreSQL runs as when we are root, which it refuses to be, and how that account reaches its files.

The account needs to pass through every directory above its data and its programs, and people keep both under a closed
`/root`. Opening such a directory to everyone would weaken the machine, so an access control list lets this one account
through (search only) and nobody else.
"""

import errno
import os
import pwd
import shutil
import stat
import struct
import subprocess
from pathlib import Path

from infra.supervisor.service import Account, StartError

ACCOUNT_NAME = "embed-search"

_READ, _SEARCH = 4, 1
_NAME_EXISTS = 9  # exit status of useradd

# A POSIX access control list as an extended attribute holds it: the format's version, then for each entry its tag,
# permissions and id, sorted by tag and id. The format is that of Linux's uapi header posix_acl_xattr.h.
_ATTRIBUTE = "system.posix_acl_access"
_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF

_AclEntry = tuple[int, int, int]


def service_account() -> Account | None:
    """The account that PostgreSQL has to run as: ours (None), or for root a system account made for it.

    Raises:
        StartError: root, and the account cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        _make_account()
        entry = pwd.getpwnam(ACCOUNT_NAME)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_account() -> None:
    useradd = shutil.which("useradd")
    advice = f"run as a normal user, or make a system account called {ACCOUNT_NAME}"
    if useradd is None:
        raise StartError(f"PostgreSQL refuses to run as root and there is no useradd here: {advice}")
    command = [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", "--user-group", ACCOUNT_NAME]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - all of it is ours
    if result.returncode not in {0, _NAME_EXISTS}:  # another process may have been quicker
        raise StartError(f"PostgreSQL refuses to run as root and {result.stderr.strip() or 'useradd failed'}: {advice}")


def let_through(account: Account, path: Path) -> None:
    """Let the account pass through the directories above a path, each only if it cannot already.

    Raises:
        StartError: the file system has no access control lists; the message says what to do instead.
    """
    for directory in reversed(path.absolute().parents):
        if not _may(account, directory, _SEARCH):
            _grant(account, directory, _SEARCH)


def let_read(account: Account, tree: Path) -> None:
    """Let the account read everything in a tree, and run what its owner may run: a strict umask keeps others out."""
    for directory, _, files in os.walk(tree):
        if not _may(account, Path(directory), _READ | _SEARCH):
            _grant(account, Path(directory), _READ | _SEARCH)
        for name in files:
            file = Path(directory) / name
            wanted = _READ | (_SEARCH if file.stat().st_mode & stat.S_IXUSR else 0)
            if not _may(account, file, wanted):
                _grant(account, file, wanted)


def _may(account: Account, path: Path, wanted: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return (status.st_mode >> 6) & wanted == wanted
    entries = _read_acl(path, status.st_mode)
    mask = next((permissions for tag, permissions, _ in entries if tag == _MASK), 7)
    for tag, permissions, holder in entries:
        if tag == _USER and holder == account.uid:
            return permissions & mask & wanted == wanted
    return status.st_mode & wanted == wanted


def _grant(account: Account, path: Path, wanted: int) -> None:
    entries = [entry for entry in _read_acl(path, path.stat().st_mode) if not _replaced(entry, account)]
    entries.append((_USER, wanted, account.uid))
    mask = 0
    for tag, permissions, _ in entries:
        if tag in {_USER, _GROUP_OBJ, _GROUP}:
            mask |= permissions
    entries.append((_MASK, mask, _NO_ID))
    packed = _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in sorted(entries, key=_acl_order))
    try:
        os.setxattr(path, _ATTRIBUTE, packed)
    except OSError as exc:
        advice = f"choose a --data-dir elsewhere, run as a normal user, or run: chmod o+x {path}"
        raise StartError(f"the account {account.name} cannot pass through {path} ({exc.strerror}): {advice}") from exc


def _replaced(entry: _AclEntry, account: Account) -> bool:
    tag, _, holder = entry
    return tag == _MASK or (tag == _USER and holder == account.uid)


def _acl_order(entry: _AclEntry) -> tuple[int, int]:
    return entry[0], entry[2]


def _read_acl(path: Path, mode: int) -> list[_AclEntry]:
    try:
        packed = os.getxattr(path, _ATTRIBUTE)
    except OSError as exc:
        if exc.errno not in {errno.ENODATA, errno.ENOTSUP}:
            raise
        bits = ((_USER_OBJ, mode >> 6 & 7), (_GROUP_OBJ, mode >> 3 & 7), (_OTHER, mode & 7))
        return [(tag, permissions, _NO_ID) for tag, permissions in bits]
    return list(_ENTRY.iter_unpack(packed[_HEADER.size :]))
