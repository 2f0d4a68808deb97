"""``minitransformer doctor``."""

import argparse

from minitransformer.doctor import diagnose, exit_status, render


def main(arguments: list[str]) -> int:
    """Print what this machine offers; 1 if training cannot run."""
    argparse.ArgumentParser(
        "minitransformer doctor",
        description="Look at versions, backends, threads, BLAS and folders, and print the exact "
        "command that mends each problem. Exit status 1 if training cannot run.",
    ).parse_args(arguments)
    findings = diagnose()
    print(render(findings))
    return exit_status(findings)
