"""The command line as a person or a script meets it: help, exit codes, JSON. All share one home, fresh at first."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from understudy.cli import COMMANDS, cli, main
from understudy.output import FiniteRange


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli") / "home"


@pytest.fixture(autouse=True)
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(home))


def understudy(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["understudy", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_without_arguments_it_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    understudy(monkeypatch)
    said = capsys.readouterr()
    assert "Commands:" in said.out + said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert understudy(monkeypatch, command, "--help") == 0
    assert "Usage:" in capsys.readouterr().out


def every_command(group: click.Group) -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield from every_command(command) if isinstance(command, click.Group) else [command]


def test_no_option_takes_a_number_that_is_none() -> None:
    floats = [
        (command.name, option.name, option.type)
        for command in every_command(cli)
        for option in command.params
        if isinstance(option.type, click.FloatRange | click.types.FloatParamType)
    ]
    assert len(floats) > 10
    assert [float_ for float_ in floats if not isinstance(float_[2], FiniteRange)] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["trian"], 2, "Did you mean train?"),
        (["release", "start", "v9"], 2, "no bundle 'v9'"),
        (["release", "promote"], 3, "no release is open"),
        (["release", "rollback"], 3, "no main yet"),
        (["release", "start", "v1", "--plan", "absent.json"], 2, "absent.json"),
        (["release", "plan"], 3, "--viewers-a-day"),
        (["release", "plan", "--base-rate", "0.2"], 2, "--viewers-a-day"),
        (["release", "plan", "--viewers-a-day", "nan"], 2, "finite"),
        (["release", "plan", "--viewers-a-day", "9", "--hours", "1"], 2, "window_ms"),
        (["train"], 2, "--version NAME"),
        (["train", "--version", "../v1"], 2, "version '../v1'"),
        (["load", "--ratings", "r.csv"], 2, "--items"),
        (["load", "--data", "absent"], 2, "absent"),
        (["load", "--rate", "nan"], 2, "finite"),
        (["simulate", "--new-videos", "inf"], 2, "finite"),
        (["recommend", "--bundle", "absent", "--users", "u", "--out", "o"], 2, "absent"),
        (["serve", "v1", "--port", "0"], 2, "port"),
        (["ingest", "replay-dead-letters", "--topic", "none"], 2, "topic 'none'"),
        (["retention"], 2, "--older-than"),
        (["migrate", "--to", "9999"], 2, "9999"),
        (["forget", "no/body"], 2, "user_id"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_ends_with_its_code_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    assert understudy(monkeypatch, *arguments) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_dependency_that_is_away_ends_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", "postgresql://nobody:hunter2@127.0.0.1:1/none")
    assert understudy(monkeypatch, "release", "status") == 4
    assert "hunter2" not in capsys.readouterr().err


def test_a_misspelt_variable_is_refused_by_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERSTUDY_INGEST_PROT", "1")
    assert understudy(monkeypatch, "bundles") == 2
    assert "UNDERSTUDY_INGEST_PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["bundles"],
        ["settings"],
        ["audit"],
        ["ingest", "replay-dead-letters"],
        ["archive"],
        ["retention", "--older-than", "30"],
        ["forget", "u1"],
        ["release", "status"],
        ["release", "history"],
        ["release", "tick"],
        ["release", "plan", "--viewers-a-day", "2000", "--hours", "12"],
    ],
)
def test_json_always_parses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert understudy(monkeypatch, *arguments, "--json") == 0
    json.loads(capsys.readouterr().out)
