"""Documentation and code say the same: settings, dependencies, rooms, links, commands, examples."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest
import yaml

from core.errors import InvalidInputError
from core.events import DETAILS, WITHOUT_VIDEO, parse_event
from core.recommend_query import parse_recommend_query
from scripts.settings_table import table
from understudy.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_readme_lists_every_variable_with_its_meaning() -> None:
    assert table() in (ROOT / "README.md").read_text(), "run `make docs`"


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "docs/dependencies.md").read_text()
    sections = dict(re.findall(r"^## (.*)\n((?:\|.*\n)+)", text, re.MULTILINE))
    said = {
        (re.findall(r"`(\w+)`", title) or ["every process"])[0]: re.findall(
            r"^\| ([\w-]+) \| \S", rows, re.MULTILINE
        )
        for title, rows in sections.items()
    }
    for names in said.values():
        names.remove("package")
    wanted = {
        "every process": PROJECT["project"]["dependencies"],
        **PROJECT["project"]["optional-dependencies"],
    }
    names = {
        extra: [re.split(r"[\[>=<]", line)[0] for line in lines if not line.startswith("understudy[")]
        for extra, lines in wanted.items()
    }
    assert said == names


def test_the_table_of_rooms_names_every_room() -> None:
    rooms = re.findall(r"^\| \[`(\w+)/`\]", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rooms) == sorted(PROJECT["tool"]["mypy"]["packages"])


def test_one_request_opens_at_most_five_files() -> None:
    section = (ROOT / "README.md").read_text().split("## One request")[1].split("\n## ")[0]
    files = re.findall(r"^\d\. \[`(.*?)`\]", section, re.MULTILINE)
    assert 0 < len(files) <= 5
    assert all((ROOT / file).is_file() for file in files)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not link.startswith("https://"):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of every line that calls our command line, beyond its name."""
    for line in text.splitlines():
        if found := re.match(r"^(?:- )?(?:\.venv/bin/)?understudy +(.*)$", line.strip()):
            yield shlex.split(found[1])


def parses(arguments: list[str]) -> None:
    """Parse a command line down to its last subcommand, without running it.

    Raises:
        ClickException: there is no such command, option or argument.
    """
    command: click.Command = cli
    parent: click.Context | None = None
    while isinstance(command, click.Group) and not _stands_alone(command, arguments):
        parent = command.make_context(command.name or "", arguments[:1], parent, resilient_parsing=True)
        name, found, _ = command.resolve_command(parent, arguments)
        assert found is not None, name
        command, arguments = found, arguments[1:]
    command.make_context(command.name or "", arguments, parent)


def _stands_alone(group: click.Group, arguments: list[str]) -> bool:
    return group.invoke_without_command and not (arguments and arguments[0] in group.commands)


@each_page
def test_commands_in_console_blocks_exist(page: Path) -> None:
    for block in blocks(page, "console"):
        for arguments in commands(block):
            parses(arguments)


@each_page
def test_commands_in_the_text_exist(page: Path) -> None:
    for words in re.findall(r"`understudy ((?: ?[a-z]+(?:-[a-z]+)*)+)", page.read_text()):
        command: click.Command = cli
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{page.name}: understudy {words}"
            command = found


def test_the_readme_names_every_command() -> None:
    section = (ROOT / "README.md").read_text().split("## Command line")[1].split("\n## ")[0]
    named = set(re.findall(r"`(?:understudy )?(?:release )?(\w+)`", section))
    release = cli.get_command(click.Context(cli), "release")
    assert isinstance(release, click.Group)
    assert named >= (COMMANDS.keys() | release.commands.keys()) - {"release"}


def test_commands_of_the_pipeline_exist() -> None:
    pipeline = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
    lines = [line for job in pipeline.values() if isinstance(job, dict) for line in job.get("script", ())]
    found = list(commands("\n".join(lines)))
    assert len(found) >= 3
    for arguments in found:
        parses(arguments)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    for line in ("understudy dance", "understudy release start", "understudy release tick --twice"):
        with pytest.raises(click.ClickException):
            parses(next(commands(line)))


@each_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
        assert any(fnmatch(target, known.replace("%", "*")) for known in targets), (
            f"{page.name}: make {target}"
        )


@each_page
def test_json_examples_are_json(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)


def test_the_example_event_is_accepted() -> None:
    (event,) = (block for block in blocks(ROOT / "docs/http.md", "json") if "event_type" in block)
    document = json.loads(event) | {"event_id": "1"}
    assert parse_event(json.dumps(document).encode(), 2_000_000_000_000).request_id == document["request_id"]


def test_event_types_and_their_details_are_documented() -> None:
    text = (ROOT / "docs/http.md").read_text().split("| event_type | details |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", text, re.MULTILINE)
    said = {name: details for names, details in rows for name in re.findall(r"`(\w+)`", names)}
    assert said.keys() == DETAILS.keys()
    for name, (details, _) in DETAILS.items():
        assert set(re.findall(r"`(\w+)`", said[name])) == set(details)
        assert ("no video" in said[name]) == (name in WITHOUT_VIDEO)


def test_query_parameters_are_documented() -> None:
    text = (ROOT / "docs/http.md").read_text().split("## POST")[0]
    said = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    with pytest.raises(InvalidInputError, match="unknown parameter") as refused:
        parse_recommend_query("42", "unknown=1")
    known = str(refused.value).split("known: ")[1].split(", ")
    assert sorted(said) == sorted(known)


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen:
            continue
        seen.add(page)
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            target = page.parent / link
            if target.is_dir():
                waiting += target.glob("*.md")
            elif target.suffix == ".md":
                waiting.append(target)
    assert seen >= {page.resolve() for page in PAGES}


@each_page
def test_python_examples_run(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})
    if page.name == "online-evaluation-use.md":
        assert capsys.readouterr().out.startswith("roll_back at look ")
