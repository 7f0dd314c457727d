"""Bad configuration is refused, with the variable named."""

import pytest

from core.errors import InvalidSettingError
from load_balancer.settings import BalancerSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "1e3"),
        ("PORT", ""),
        ("ARM_REQUESTS", "0"),
        ("PLAN_POLL_MS", "nan"),
        ("EVENTS_MS", "-1"),
    ],
)
def test_the_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"UNDERSTUDY_BALANCER_{name}", value)
    with pytest.raises(InvalidSettingError, match=f"UNDERSTUDY_BALANCER_{name}"):
        BalancerSettings.load()


def test_an_attempt_fits_into_a_request() -> None:
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_BALANCER_ATTEMPT_MS"):
        BalancerSettings.load(attempt_ms=1000, request_ms=900)
