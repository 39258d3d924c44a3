"""`polytask doctor`: what the speed and the last bits of a training depend on, on this machine."""

import os
import platform

import typer

import polytask


def doctor() -> None:
    """Print versions, threads, and which kernels and matrix products run on this machine."""
    import torch

    from polytask import kernels
    from polytask.products import bf16_is_emulated, onednn_is_faster

    products = "oneDNN" if onednn_is_faster() else "torch's choice"
    typer.echo(f"polytask {polytask.__version__}, Python {platform.python_version()}")
    typer.echo(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} processors, "
        f"{torch.backends.cpu.get_cpu_capability()}"
    )
    typer.echo(f"float32 products by {products}")
    how = "emulated, so slower" if bf16_is_emulated() else "not emulated, as far as torch knows"
    typer.echo(f"bfloat16 products (--precision=bf16): {how}")
    typer.echo(kernels.state())
