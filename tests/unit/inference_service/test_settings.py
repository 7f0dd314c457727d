"""Bad configuration is refused, with the variable named."""

import pytest

from core.errors import InvalidSettingError
from inference.settings import InferenceSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("THREADS", "0"),
        ("THREADS", "1e3"),
        ("TRENDING_HALF_LIFE_MINUTES", "nan"),
        ("PROFILE_MS", ""),
    ],
)
def test_the_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"UNDERSTUDY_INFERENCE_{name}", value)
    with pytest.raises(InvalidSettingError, match=f"UNDERSTUDY_INFERENCE_{name}"):
        InferenceSettings.load()
