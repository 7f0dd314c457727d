"""`understudy train | recommend | explain | bundles | report`: making model bundles, asking and judging them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from core.clock import SystemClock, format_ms, parse_ms
from core.errors import InvalidInputError
from core.ids import check_version
from storage.bundles import BundleRef, list_bundles, open_bundle
from understudy.output import json_option, show
from understudy.wiring import load_platform, open_migrated_store

if TYPE_CHECKING:
    from inference.recommender import Recommendation

path = click.Path(path_type=Path)
PARTS_TOLD: Final = 4  # contributions beside each video


@click.command()
@click.option("--version", help="Name of the bundle to publish, from the platform's tables.")
@click.option(
    "--recipe",
    default="ranked",
    show_default=True,
    help="ranked, towers (ranked with two towers among its sources; needs that extra), blend, content, or broken (a demonstration).",
)
@click.option("--ratings", type=path, help="Instead of the tables: CSV user,item,ts,rating (ts in seconds).")
@click.option("--items", type=path, help="With --ratings: CSV item,title,genres,overview.")
@click.option("--out", type=path, help="With --ratings: the bundle's folder to be.")
@click.option(
    "--as-of", help="Leave out what is later: seconds, or RFC 3339.  [default: the newest interaction]"
)
@click.option("--no-evaluation", is_flag=True, help="Train only: such a bundle passes no offline gate.")
@json_option
def train(
    version: str | None,
    recipe: str,
    ratings: Path | None,
    items: Path | None,
    out: Path | None,
    as_of: str | None,
    no_evaluation: bool,
    as_json: bool,
) -> None:
    """Train and publish a model bundle: from the platform's tables, or from CSV files."""
    if ratings is not None and items is not None and out is not None and version is None:
        bundle = _train_from_csv(ratings, items, out, recipe, as_of, not no_evaluation)
    elif version is not None and (ratings, items, out) == (None, None, None):
        bundle = _train_from_tables(check_version(version), recipe, as_of, not no_evaluation)
    else:
        raise InvalidInputError("give --version NAME, or --ratings FILE --items FILE --out DIR")
    show(msgspec.to_builtins(bundle, enc_hook=str), as_json, lambda: [f"{bundle.version}: {bundle.digest}"])


def _train_from_csv(
    ratings: Path, items: Path, out: Path, recipe: str, as_of: str | None, evaluated: bool
) -> BundleRef:
    from training.build import check_free
    from training.csv_commands import train_from_csv
    from training.encoders import BESIDE, training_encoder
    from training.recipes import recipe_named

    load_platform()
    as_of_s = None if as_of is None else _as_of_ms(as_of) / 1000
    check_free(out.resolve().parent, out.resolve().name)  # before the encoder is exported beside it
    encoder = training_encoder(out.resolve().parent / BESIDE, _say)
    return train_from_csv(
        ratings,
        items,
        out,
        encoder,
        as_of_s=as_of_s,
        recipe=recipe_named(recipe),
        evaluated=evaluated,
        say=_say,
    )


def _train_from_tables(version: str, recipe: str, as_of: str | None, evaluated: bool) -> BundleRef:
    from training.build import train_bundle
    from training.encoders import training_encoder
    from training.recipes import recipe_named
    from training.tables import read_tables

    platform, clock = load_platform(), SystemClock()
    until_ms = clock.now_ms() if as_of is None else _as_of_ms(as_of)
    database = open_migrated_store(platform)
    dataset = read_tables(database, until_ms)
    database.close()
    return train_bundle(
        dataset,
        recipe_named(recipe),
        version,
        platform.bundles,
        training_encoder(platform.encoders, _say),
        as_of_ms=None if as_of is None else until_ms,
        created_ms=clock.now_ms(),
        evaluated=evaluated,
        say=_say,
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _as_of_ms(text: str) -> int:
    """Milliseconds of `--as-of`: whole or fractional seconds since 1970, or RFC 3339."""
    try:
        return round(float(text) * 1000)
    except (ValueError, OverflowError):
        return parse_ms(text)


@click.command()
@click.option("--bundle", type=path, required=True, help="A bundle's folder.")
@click.option("--users", type=path, required=True, help="Viewers' ids, one a line.")
@click.option("--count", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--out", type=path, required=True, help="CSV user,item,rank to write.")
@click.option("--diverse", is_flag=True, help="Mix the lists as they are when served.")
def recommend(bundle: Path, users: Path, count: int, out: Path, diverse: bool) -> None:
    """Recommend to many viewers from a bundle's folder, without any server."""
    from training.csv_commands import recommend_to_csv

    written = recommend_to_csv(bundle, users, count, out, diverse=diverse)
    click.echo(f"{out}: lists for {written:,} viewers")


@click.command()
@click.option("--bundle", type=path, required=True, help="A bundle's folder.")
@click.option("--user", required=True, help="The viewer's id.")
@click.option("--video", help="Also say what became of this video: shown, or which step dropped it.")
@click.option("--count", type=click.IntRange(1, 100), default=10, show_default=True)
@json_option
def explain(bundle: Path, user: str, video: str | None, count: int, as_json: bool) -> None:
    """Why a viewer is shown what, as of the bundle's time: sources and contributions of the ranker's features."""
    from inference.recommender import Recommender, Request, load_bundle

    recommender = Recommender(load_bundle(bundle))
    asked = Request(user, count, explain=True, explain_video=video)
    answer = recommender.recommend(asked, None, None, recommender.model.as_of_ms)
    show(answer, as_json, lambda: _explained(answer, user, video))


def _explained(answer: Recommendation, user: str, video: str | None) -> list[str]:
    lines = [f"nothing is known of viewer {user!r}"] if answer.cold else []
    for place, item in enumerate(answer.items, 1):
        most = sorted(item.parts.items(), key=lambda part: -abs(part[1]))[:PARTS_TOLD]
        added = ", ".join(f"{name} {value:+.2f}" for name, value in most)
        lines.append(f"{place:3} {item.video_id}  {item.score:.3f}  {', '.join(item.sources)}; {added}")
    return lines if video is None else [*lines, f"{video}: {answer.fate}"]


@click.command()
@json_option
def bundles(as_json: bool) -> None:
    """The published bundles, oldest first, with their offline figures."""
    found = [(ref, open_bundle(ref.path)) for ref in list_bundles(load_platform().bundles)]
    found.sort(key=lambda pair: pair[1].created_ms)
    rows = [
        {"version": ref.version, "digest": ref.digest, "as_of_ms": m.as_of_ms, "evaluation": m.evaluation}
        for ref, m in found
    ]
    lines = [f"{ref.version:20} as of {format_ms(m.as_of_ms)}  {ref.digest}" for ref, m in found]
    show(rows, as_json, lambda: lines or ["no bundle yet"])


@click.command()
@click.argument("bundle", metavar="DIR", type=path)
@click.option("--out", type=path, help="HTML file to write.  [default: report-VERSION.html]")
@click.option(
    "--against", type=path, metavar="DIR2", help="The bundle to compare with, as the offline gate does."
)
def report(bundle: Path, out: Path | None, against: Path | None) -> None:
    """Write a bundle's offline evaluation as one HTML page that needs nothing else."""
    from understudy.reports import report_page

    text = report_page(bundle, against)
    out = Path(f"report-{bundle.resolve().name}.html") if out is None else out
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{out}: cannot be written: {error}") from None
    click.echo(f"{out}: {len(text.encode()) / 1024:.0f} kB")
