"""The packages: what the project's own metadata asks for, beside what is installed."""

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from minitransformer.doctor.report import Finding, install_command, pip


class Requirement(NamedTuple):
    """A requirement in the metadata, such as ``mpi4py>=4.0; extra == 'mpi'``."""

    name: str
    bound: str
    extra: str

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Read the name, the lower bound and the extra that it belongs to (or "")."""
        specifier, _, marker = text.partition(";")
        name = re.split(r"[^\w.-]", specifier.strip())[0]
        bound = re.search(r">=\s*([\w.]+)", specifier)
        extra = re.search(r"extra == ['\"](\w+)['\"]", marker)
        return cls(name, bound[1] if bound else "0", extra[1] if extra else "")


def requirements() -> Iterator[Finding]:
    """Whether each package is there, new enough and whole; optional ones by extra."""
    try:
        version = importlib.metadata.version("minitransformer")
        texts = importlib.metadata.requires("minitransformer") or []
    except importlib.metadata.PackageNotFoundError:
        value = "its files are here, but it is not installed"
        yield Finding("packages", "minitransformer", value, "problem", install_command())
        return
    yield Finding("packages", "minitransformer", version)
    wanted = [Requirement.parse(text) for text in texts if not _elsewhere(text)]
    for requirement in wanted:
        if not requirement.extra:
            yield needed(requirement)
    for extra in dict.fromkeys(requirement.extra for requirement in wanted):
        if extra:
            yield optional(extra, [each.name for each in wanted if each.extra == extra])


def needed(requirement: Requirement) -> Finding:
    """Judge a package without which training cannot run."""
    name, bound, _ = requirement
    version = installed_version(name)
    if version is None:
        return Finding("packages", name, "missing", "problem", install_command())
    if _numbers(version) < _numbers(bound):
        value = f"{version}, but {bound} or newer is needed"
        return Finding("packages", name, value, "problem", install_command())
    try:
        importlib.import_module(name.replace("-", "_"))
    except Exception as error:  # a broken binary raises anything
        value = f"{version} cannot be imported: {error}"
        fix = f"{pip()} install --force-reinstall --no-deps {name}=={version}"
        return Finding("packages", name, value, "problem", fix)
    return Finding("packages", name, version)


def optional(extra: str, names: list[str]) -> Finding:
    """Judge the packages of one extra."""
    versions = {name: installed_version(name) for name in names}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        value = f"missing {', '.join(missing)}"
        return Finding("extras", extra, value, "hint", install_command(extra))
    value = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Finding("extras", extra, value)


def installed_version(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _elsewhere(text: str) -> bool:
    return re.search(rf"sys_platform != ['\"]{sys.platform}", text) is not None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
