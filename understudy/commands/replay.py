"""`understudy replay`: logged requests once more, to a version that no viewer has seen yet."""

from __future__ import annotations

import click

from core.errors import DependencyError, InvalidInputError, RefusedError
from understudy.output import FiniteRange, json_option, progress, show
from understudy.replaying import InProcess, OverHttp, Replayed
from understudy.replaying import replay as again
from understudy.wiring import load_platform, open_migrated_store

share = FiniteRange(0, 1)


@click.command()
@click.argument("version", required=False)
@click.option("--url", help="A running inference service instead of a VERSION opened here.")
@click.option("--last", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True, help="Requests.")
@click.option(
    "--errors", type=share, default=0.0, show_default=True, help="Share of errors that is let pass."
)
@click.option(
    "--overlap", type=share, default=0.0, show_default=True, help="Least mean overlap of the lists."
)
@json_option
def replay(
    version: str | None, url: str | None, last: int, errors: float, overlap: float, as_json: bool
) -> None:
    """Ask VERSION for what viewers were shown last, and compare lists, times and errors.

    Exit code 3 where there are more errors or less overlap than is let pass, 4 where nothing was answered.
    """
    from storage.exposures import newest_exposures

    if (version is None) == (url is None):
        raise InvalidInputError("give a VERSION, or --url of a running inference service")
    platform = load_platform()
    with open_migrated_store(platform).read() as connection:
        logged = [stored.exposure for stored in newest_exposures(connection, last)]
    if not logged:
        raise RefusedError("nothing has been shown to viewers yet: there is nothing to replay")
    candidate = OverHttp(url) if url is not None else InProcess(platform, str(version))
    with progress("requests") as on_progress:
        found = again(logged, candidate, lambda done: on_progress(done, len(logged)))
    show(found, as_json, lambda: _lines(found))
    _judge(found, errors, overlap)


def _judge(found: Replayed, errors: float, overlap: float) -> None:
    if not found.answered:
        raise DependencyError(f"not one of {found.requests:,} requests was answered")
    failed = 1 - found.answered / found.requests
    if failed > errors:
        raise RefusedError(f"{failed:.2%} of the requests failed; {errors:.2%} are let pass")
    if found.overlap < overlap:
        raise RefusedError(f"the mean overlap is {found.overlap:.3f}; at least {overlap:.3f} is asked for")


def _lines(found: Replayed) -> list[str]:
    ours, theirs = found.latency_ms, found.logged_latency_ms
    return [
        f"{found.candidate}: {found.answered:,} of {found.requests:,} requests answered, {found.short:,} short",
        f"overlap {found.overlap:.3f}, same order {found.order:.3f}, identical lists {found.identical:.1%}",
        f"median {ours.median:.1f} ms, p99 {ours.p99:.1f} ms (logged: {theirs.median:.1f}, {theirs.p99:.1f})",
        *(f"error, {count:,} times: {why}" for why, count in found.errors.items()),
    ]
