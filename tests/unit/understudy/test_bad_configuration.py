"""Bad configuration: the start is refused, the variable named, secrets masked."""

import sys
from pathlib import Path

import pytest

from core.errors import InvalidSettingError
from deploy.evaluation import ReleasePlan
from understudy.cli import main

SECRET = "hunter2-hunter2"


def refused(monkeypatch: pytest.MonkeyPatch, command: str, variable: str, value: str) -> bool:
    """Whether the command ends as bad input does."""
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["understudy", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code == 2


@pytest.mark.parametrize(
    ("row", "command", "variable", "value"),
    [
        ("C3 empty", "balance", "UNDERSTUDY_BALANCER_ARM_REQUESTS", ""),
        ("C4 no thread", "serve v1", "UNDERSTUDY_INFERENCE_THREADS", "0"),
        ("C5 an exponent", "balance", "UNDERSTUDY_BALANCER_PORT", "1e3"),
        ("C6 misspelt", "balance", "UNDERSTUDY_BALANCER_PROT", "8080"),
        ("C7 a short secret", "control", "UNDERSTUDY_CONTROL_TOKEN", SECRET),
        ("C9 an unknown driver", "migrate", "UNDERSTUDY_DATABASE_URL", f"oracle9i://u:{SECRET}@h/d"),
    ],
)
def test_the_start_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    row: str,
    command: str,
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    assert refused(monkeypatch, command, variable, value), row
    said = capsys.readouterr().err
    assert variable in said
    assert SECRET not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["balance", "control", "ingest", "migrate"])
def test_a_home_that_cannot_be_written_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").touch()
    assert refused(monkeypatch, command, "UNDERSTUDY_HOME", str(tmp_path / "file" / "home"))  # C8
    assert "UNDERSTUDY_HOME" in capsys.readouterr().err


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_an_error_rate_outside_0_to_1_is_refused_by_name(alpha: float) -> None:
    with pytest.raises(InvalidSettingError, match="alpha_non_inferiority"):  # C11
        ReleasePlan(alpha_non_inferiority=alpha)


@pytest.mark.parametrize("window_ms", [0, -1])
def test_a_window_below_the_minimum_is_refused_by_name(window_ms: int) -> None:
    with pytest.raises(InvalidSettingError, match="window_ms"):  # C12
        ReleasePlan(window_ms=window_ms)
