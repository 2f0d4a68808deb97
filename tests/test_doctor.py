import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minitransformer import doctor
from minitransformer.doctor import compute, machine, packages, report
from minitransformer.doctor.packages import Requirement
from minitransformer.doctor.report import Finding


def named(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    """Pretend that these distributions have these versions; an empty one is missing."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        if versions.get(name, "real") == "":
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def requires(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Pretend that the project is installed and asks for these."""
    installed(monkeypatch, {"minitransformer": "0.1.0"})
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: list(texts))


def test_a_healthy_machine_can_train() -> None:
    findings = doctor.diagnose()
    assert doctor.exit_status(findings) == 0
    topics = {finding.topic for finding in findings}
    assert topics == {"machine", "folders", "packages", "extras", "threads", "backends"}
    assert not [finding for finding in findings if finding.value.startswith("could not look")]
    assert "Training can run." in doctor.render(findings)


def test_every_problem_and_hint_comes_with_a_fix() -> None:
    for finding in doctor.diagnose():
        assert (finding.verdict == "ok") == (finding.fix == ""), finding


def test_a_problem_is_shown_with_its_fix_and_stops_training() -> None:
    findings = [
        Finding("packages", "numpy", "2.4.0"),
        Finding("packages", "numba", "missing", "problem", "pip install -e ."),
    ]
    assert doctor.exit_status(findings) == 1
    assert doctor.render(findings).splitlines() == [
        "packages",
        "  ok       numpy  2.4.0",
        "  problem  numba  missing",
        "                  -> pip install -e .",
        "",
        "Training cannot run: 1 to mend.",
    ]


def test_a_hint_does_not_stop_training() -> None:
    assert doctor.exit_status([Finding("extras", "test", "missing", "hint", "pip ...")]) == 0


def test_a_look_that_crashes_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def quantum() -> Iterator[Finding]:
        yield Finding("quantum", "qubits", "0")
        raise RuntimeError("decohered")

    monkeypatch.setattr(doctor, "LOOKS", (quantum,))
    findings = doctor.diagnose()
    assert [finding.name for finding in findings] == ["qubits", "quantum"]
    assert "RuntimeError: decohered" in findings[1].value


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    requires(monkeypatch, "regex>=2024.9.11")
    installed(monkeypatch, {"minitransformer": "0.1.0", "regex": ""})
    finding = named(list(packages.requirements()), "regex")
    assert finding.verdict == "problem"
    assert finding.value == "missing"
    assert "install -e" in finding.fix


@pytest.mark.parametrize(
    ("version", "verdict"), [("2.0.9", "problem"), ("2.1", "ok"), ("2.10.0", "ok"), ("3", "ok")]
)
def test_an_old_package_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, version: str, verdict: str
) -> None:
    installed(monkeypatch, {"numpy": version})
    assert packages.needed(Requirement("numpy", "2.1", "")).verdict == verdict


def test_a_broken_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"regex": "2025.1.1"})
    monkeypatch.setitem(sys.modules, "regex", None)  # makes its import fail
    finding = packages.needed(Requirement("regex", "2024.9.11", ""))
    assert finding.verdict == "problem"
    assert finding.fix.endswith("install --force-reinstall --no-deps regex==2025.1.1")


def test_a_missing_optional_package_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    requires(monkeypatch, 'mpi4py>=4.0; extra == "mpi"', "pytest>=8.3; extra == 'test'")
    installed(monkeypatch, {"minitransformer": "0.1.0", "mpi4py": "", "pytest": "9.0"})
    findings = list(packages.requirements())
    assert named(findings, "mpi").verdict == "hint"
    assert named(findings, "mpi").value == "missing mpi4py"
    assert '[mpi]"' in named(findings, "mpi").fix
    assert named(findings, "test") == Finding("extras", "test", "pytest 9.0")


def test_a_clone_that_is_not_installed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"minitransformer": ""})
    [finding] = packages.requirements()
    assert finding.verdict == "problem"


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("numpy>=2.1", ("numpy", "2.1", "")),
        ("tomli-w", ("tomli-w", "0", "")),
        ("numba-cuda[cu13]>=0.20; extra == 'cuda'", ("numba-cuda", "0.20", "cuda")),
        ('mpich>=4.2; (sys_platform != "win32") and extra == "mpi"', ("mpich", "4.2", "mpi")),
    ],
)
def test_requirements_are_read(text: str, requirement: tuple[str, str, str]) -> None:
    assert Requirement.parse(text) == requirement


def test_an_unwritable_cache_folder_is_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked / "cache"))
    finding = named(list(machine.folders()), "kernel cache")
    assert finding.verdict == "hint"
    assert "NUMBA_CACHE_DIR" in finding.fix
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "made" / "later"))
    assert named(list(machine.folders()), "kernel cache").verdict == "ok"


def test_an_unwritable_working_folder_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_writable", lambda folder: False)
    assert named(list(machine.folders()), "this folder").verdict == "problem"


def test_a_python_without_the_default_text_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    assert named(list(machine.folders()), "default text").verdict == "hint"


def test_forced_blas_kernels_are_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert "OPENBLAS_CORETYPE" not in [finding.name for finding in compute.blas()]
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    finding = named(list(compute.blas()), "OPENBLAS_CORETYPE")
    assert finding.verdict == "hint"
    assert "Prescott" in finding.value


def test_a_lone_workqueue_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "_has_layer", lambda name: name == "workqueue")
    assert named(list(compute.numba()), "Numba layers").verdict == "hint"
    monkeypatch.setattr(compute, "_has_layer", lambda name: True)
    assert named(list(compute.numba()), "Numba layers").verdict == "ok"


def test_an_unknown_backend_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINITRANSFORMER_BACKEND", "abacus")
    finding = named(list(compute.backends()), "chosen")
    assert finding.verdict == "problem"
    assert "abacus" in finding.value


def test_a_textbook_that_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minitransformer.ops", None)
    [finding] = compute.backends()
    assert (finding.name, finding.verdict) == ("numpy", "problem")


def test_a_backend_is_absent_broken_or_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    fix = "pip install driver"
    monkeypatch.setattr(compute.backend, "backends", lambda: ["numpy"])
    assert compute.packaged("abacus", fix).value == "not built in this version"
    monkeypatch.setattr(compute.backend, "backends", lambda: ["abacus", "numpy"])
    monkeypatch.setitem(sys.modules, "minitransformer.backends.abacus", None)
    assert compute.packaged("abacus", fix)[3:] == ("hint", fix)
    monkeypatch.setitem(sys.modules, "minitransformer.backends.abacus", sys)
    assert compute.packaged("abacus", fix).value.startswith("kernels for 0 of")


def test_the_fix_works_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    monkeypatch.setattr(report, "PACKAGE", clone / "minitransformer")
    monkeypatch.setattr(report, "pip", lambda: "pip")
    monkeypatch.chdir(clone)
    assert report.install_command("test") == 'pip install "minitransformer[test]"'
    (clone / "pyproject.toml").write_bytes(b"")
    assert report.install_command("test") == 'pip install -e ".[test]"'
    assert report.install_command() == 'pip install -e "."'
    monkeypatch.chdir(tmp_path)
    assert report.install_command("test") == f'pip install -e "{clone}[test]"'


WITHOUT_PACKAGES = """
import sys
for name in ("numpy", "numba", "llvmlite", "rich", "safetensors", "threadpoolctl"):
    sys.modules[name] = None
from minitransformer import doctor
findings = doctor.diagnose()
print(doctor.render(findings))
sys.exit(doctor.exit_status(findings))
"""


def test_the_doctor_speaks_when_the_packages_cannot() -> None:
    command = [sys.executable, "-c", WITHOUT_PACKAGES]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert finished.returncode == 1, finished.stderr
    assert "Training cannot run" in finished.stdout
    assert "PYTHONUTF8" in finished.stdout
