"""What has to be on the machine before set-up can do its work: one line for each thing that is missing."""

import re
import shutil
import subprocess

_LEAST_JAVA = 17
_VERSION_WITHIN = 30.0


def missing_java() -> str | None:
    """What to install for `java`; None when a new enough one is there."""
    java = shutil.which("java")
    wanted = f"a JDK {_LEAST_JAVA} or newer (Debian: apt install default-jdk-headless; macOS: brew install openjdk)"
    if java is None:
        return f"Java is missing: install {wanted}, or set KAFKA_BOOTSTRAP_SERVERS to a Kafka of yours"
    found = _java_version(java)
    if found is None:
        return f"{java} does not run: install {wanted}"
    if found < _LEAST_JAVA:
        return f"Java {found} is too old: install {wanted}"
    return None


def missing_maven() -> str | None:
    """What to install for `mvn`."""
    if shutil.which("mvn"):
        return None
    return "Maven is missing: install it (Debian: apt install maven; macOS: brew install maven)"


def missing_compilers() -> str | None:
    """What to install for a C and C++ compiler; CMake and Ninja come with the build."""
    if any(map(shutil.which, ("cc", "gcc", "clang"))) and any(map(shutil.which, ("c++", "g++", "clang++"))):
        return None
    return "a C and C++ compiler is missing: install one (Debian: apt install g++; macOS: xcode-select --install)"


def _java_version(java: str) -> int | None:
    """The feature release: 8 for `1.8.0_392`, 17 for `17.0.15`."""
    try:
        result = subprocess.run(  # noqa: S603 - the java on PATH, asked for its version
            [java, "-version"], check=False, capture_output=True, text=True, timeout=_VERSION_WITHIN
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', result.stderr + result.stdout)
    return int(found[1]) if found else None
