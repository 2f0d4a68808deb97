"""Compile kernels before they are needed, with a bar."""

from rich.console import Console
from rich.progress import Progress

from minitransformer.backend import get_backend


def warm_up_if_cold() -> None:
    """If the numba backend is selected and was never used on these sources, compile it whole."""
    if get_backend() == "numba":
        from minitransformer.backends.numba import disk_cache

        if not disk_cache.is_warm():
            warm_up(everything=False)


def warm_up(everything: bool) -> None:
    """Compile the kernels that a GPT needs, or all, on all cores."""
    from minitransformer.doctor.warm import jobs, warm_all

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    title = "compiling the kernels for this CPU, once"
    if not console.is_terminal:
        console.print(f"{title} (15 to 40 s)")
    names = jobs(everything)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=len(names))
        for name in warm_all(names):
            bar.update(task, advance=1, description=f"{title}: {name}")
