"""``minitransformer doctor``."""

import argparse

from minitransformer.doctor import diagnose, exit_status, render


def main(arguments: list[str]) -> int:
    """Print what this machine offers; 1 if training cannot run."""
    parser = argparse.ArgumentParser(
        "minitransformer doctor",
        description="Look at versions, backends, threads, BLAS and folders, and print the exact "
        "command that mends each problem. Exit status 1 if training cannot run.",
    )
    parser.add_argument(
        "--warm",
        action="store_true",
        help="also compile all kernels of the numba backend, which their first use would do",
    )
    options = parser.parse_args(arguments)
    findings = diagnose()
    print(render(findings))
    if options.warm:
        from minitransformer.cli.warming import warm_up

        warm_up(everything=True)
    return exit_status(findings)
