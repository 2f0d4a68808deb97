"""The doctor's report: findings, their layout, and the commands that mend things."""

import os
import shutil
import sys
from pathlib import Path
from typing import Literal, NamedTuple

PACKAGE = Path(__file__).resolve().parents[1]


class Finding(NamedTuple):
    """One line of the report.

    Attributes
    ----------
    topic, name, value
        What was looked at and what was seen.
    verdict
        ``"problem"`` if training cannot run, ``"hint"`` if something could be better.
    fix
        The command or step that mends it.
    """

    topic: str
    name: str
    value: str
    verdict: Literal["ok", "hint", "problem"] = "ok"
    fix: str = ""


def exit_status(findings: list[Finding]) -> int:
    """0 if training can run, 1 if something that it needs is broken."""
    return int(any(finding.verdict == "problem" for finding in findings))


def render(findings: list[Finding]) -> str:
    """Lay the findings out as plain text that any terminal can show."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    for before, finding in zip([None, *findings], findings, strict=False):
        if before is None or before.topic != finding.topic:
            lines += ["", finding.topic]
        lines.append(f"  {finding.verdict:<8} {finding.name:<{width}}  {finding.value}")
        if finding.fix:
            lines.append(f"  {'':<8} {'':<{width}}  -> {finding.fix}")
    problems = sum(finding.verdict == "problem" for finding in findings)
    verdict = f"Training cannot run: {problems} to mend." if problems else "Training can run."
    return "\n".join([*lines[1:], "", verdict])


def install_command(extra: str = "") -> str:
    """Return the command that installs the project, from its clone if this is one."""
    suffix = f"[{extra}]" if extra else ""
    clone = PACKAGE.parent
    if not (clone / "pyproject.toml").exists():
        return f'{pip()} install "minitransformer{suffix}"'
    where = "." if clone == Path.cwd() else str(clone)
    return f'{pip()} install -e "{where}{suffix}"'


def pip() -> str:
    """Return ``pip``, spelt so that it belongs to this very Python."""
    found = shutil.which("pip")
    if found and Path(found).parent == Path(sys.executable).parent:
        return "pip"
    return f'"{sys.executable}" -m pip'


def set_variable(name: str, value: str) -> str:
    """Return the shell command that sets an environment variable."""
    return f'$env:{name} = "{value}"' if os.name == "nt" else f'export {name}="{value}"'


def unset_variable(name: str) -> str:
    """Return the shell command that removes an environment variable."""
    return f"Remove-Item Env:{name}" if os.name == "nt" else f"unset {name}"
