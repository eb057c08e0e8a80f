"""``mdsgen-serve``: sound for films over HTTP, and a page to do it by hand."""

from __future__ import annotations

from pathlib import Path

import click

from mdsgen.cli.options import bundle_option, engine_option, finite, threads_option
from mdsgen.command import command
from mdsgen.errors import ServerError


@command("mdsgen-serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another needs a --token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="MDSGEN_TOKEN", help="What requests must carry.  [default: $MDSGEN_TOKEN, or none]")
@bundle_option
@engine_option()
@click.option("--provider", multiple=True, help="An ONNX Runtime execution provider; repeat it in order of preference.")
@threads_option
@click.option("--max-size", type=click.IntRange(1), default=512, show_default=True, help="Largest film, in MiB.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(0, min_open=True),
    callback=finite,
    default=600.0,
    show_default=True,
    help="Most seconds of sound that a request may ask for.",
)
@click.option("--max-steps", type=click.IntRange(1), default=100, show_default=True, help="Most denoising steps.")
@click.option("--queue", type=click.IntRange(0), default=8, show_default=True, help="Requests that may wait.")
def main(
    host: str,
    port: int,
    token: str | None,
    bundle: str | Path | None,
    engine: str,
    provider: tuple[str, ...],
    threads: int | None,
    max_size: int,
    max_seconds: float,
    max_steps: int,
    queue: int,
) -> None:
    """Serve sound for films over HTTP.

    It prints the address of its page when it is ready, and ends at a signal.
    """
    try:
        from mdsgen.server import Limits, ServerSettings, serve
    except ModuleNotFoundError as error:
        raise ServerError(f"the server's libraries are missing ({error}): pip install 'mdsgen[serve]'") from error
    from mdsgen.runtime import Pipeline

    limits = Limits(bytes=max_size * 2**20, seconds=max_seconds, steps=max_steps, waiting=queue)
    settings = ServerSettings(host, port, token, limits)
    pipeline = Pipeline.open(bundle, engine, threads=threads, providers=provider or ("CPUExecutionProvider",))
    serve(pipeline, settings, click.echo)


if __name__ == "__main__":
    main()
