from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from core.errors import InvalidSettingError
from core.settings import PlatformSettings, Settings, refuse_unknown_variables


class Example(Settings):
    """A room's settings."""

    share: float = Field(0.1, ge=0, le=1, description="share of the audience")
    token: SecretStr = Field(SecretStr("x"), min_length=1, description="a secret")


@pytest.mark.parametrize("value", ["20", "nan", "", "1e3", "abc"])
def test_a_value_out_of_range_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("UNDERSTUDY_SHARE", value)
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_SHARE"):
        Example.load()


def test_a_secret_never_stands_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    class Long(Settings):
        token: SecretStr = Field(min_length=50)

    monkeypatch.setenv("UNDERSTUDY_TOKEN", "hunter2")
    with pytest.raises(InvalidSettingError) as caught:
        Long.load()
    assert "UNDERSTUDY_TOKEN" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_variable_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidSettingError, match=r"UNDERSTUDY_DATABSE_URL.*UNDERSTUDY_DATABASE_URL"):
        refuse_unknown_variables([PlatformSettings], {"UNDERSTUDY_DATABSE_URL": "x"})


def test_known_and_foreign_variables_pass() -> None:
    refuse_unknown_variables([PlatformSettings], {"UNDERSTUDY_HOME": "x", "PATH": "y"})


def test_every_variable_has_a_description() -> None:
    assert all(PlatformSettings.variables().values())


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("mongodb://mongo/db\n")
    settings = PlatformSettings.load(mongodb_url_file=tmp_path / "url")
    assert settings.mongodb_url.get_secret_value() == "mongodb://mongo/db"


def test_a_secret_given_twice_or_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidSettingError, match="UNDERSTUDY_MONGODB_URL and UNDERSTUDY_MONGODB_URL_FILE"
    ) as twice:
        PlatformSettings.load(mongodb_url="mongodb://u:hunter2@m", mongodb_url_file=tmp_path / "url")
    assert "hunter2" not in str(twice.value)
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_KAFKA_PASSWORD_FILE"):
        PlatformSettings.load(kafka_password_file=tmp_path / "absent")


def test_signing_in_needs_a_name_and_a_password() -> None:
    with pytest.raises(
        InvalidSettingError, match="UNDERSTUDY_KAFKA_SECURITY SASL_SSL needs UNDERSTUDY_KAFKA_USER"
    ) as refused:
        PlatformSettings.load(kafka_security="SASL_SSL", kafka_password="hunter2")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_KAFKA_MECHANISM"):
        PlatformSettings.load(kafka_mechanism="GSSAPI")


@pytest.mark.parametrize("servers", ["k", "k:abc", "k:99999", ",", "k:1,", "k:1;l:2", "a b:1", ":9092"])
def test_kafka_servers_that_are_no_addresses_are_refused(servers: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"UNDERSTUDY_KAFKA_SERVERS.*HOST:PORT"):
        PlatformSettings.load(kafka_servers=servers)
    assert PlatformSettings.load(kafka_servers="k-1.x:9092, [::1]:9093").kafka_servers
