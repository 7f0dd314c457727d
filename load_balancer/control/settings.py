"""Settings of the control plane."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from core.errors import InvalidSettingError
from core.settings import PREFIX, Settings

SHORTEST_TOKEN = 16


class ControlSettings(Settings):
    """The operator's pages: where they listen, and what lets somebody change anything."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}CONTROL_")

    host: str = Field(
        "127.0.0.1", description="address the control plane listens on; beyond loopback only with a token"
    )
    port: int = Field(8081, ge=1, le=65535, description="port the control plane listens on")
    threads: int = Field(4, ge=1, le=64, description="requests the control plane answers at once")
    token: SecretStr = Field(
        SecretStr(""),
        description="bearer token of the admin API, at least 16 characters; empty: the file's, or no changes at all",
    )
    token_file: Path | None = Field(None, description="file that holds the bearer token of the admin API")

    @model_validator(mode="after")
    def _one_token(self) -> ControlSettings:
        if self.token.get_secret_value() and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the control plane."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def secret(self) -> str:
        """The admin token; empty where there is none, and then nothing can be changed over HTTP.

        Raises:
            InvalidSettingError: the file cannot be read, the token is too short, or there is none although
                the control plane listens beyond loopback.
        """
        token = self.token.get_secret_value()
        if self.token_file is not None:
            try:
                token = self.token_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise InvalidSettingError(
                    f"UNDERSTUDY_CONTROL_TOKEN_FILE: {self.token_file}: {error.strerror}"
                ) from None
        if (token or self.token_file is not None) and len(token) < SHORTEST_TOKEN:
            raise InvalidSettingError(
                f"UNDERSTUDY_CONTROL_TOKEN: shorter than {SHORTEST_TOKEN} characters (its value is not shown)"
            )
        if not token and not self.is_loopback:
            raise InvalidSettingError(
                f"UNDERSTUDY_CONTROL_HOST: {self.host} is beyond loopback, which needs UNDERSTUDY_CONTROL_TOKEN"
            )
        return token
