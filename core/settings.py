"""Typed settings from the environment: the only place that reads it.

Each room has one class that derives from `Settings`, with its own prefix. A variable that begins with
`UNDERSTUDY_` and belongs to no class is refused, because a misspelt name that is silently ignored is worse
than an error.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import InvalidSettingError

PREFIX = "UNDERSTUDY_"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
# Read by the test suite and the Makefile, not by a process of the platform.
FOREIGN_VARIABLES = frozenset({"UNDERSTUDY_REQUIRE_SERVICES", "UNDERSTUDY_SERVICES_DIR"})


class Settings(BaseSettings):
    """Base of the rooms' settings classes: frozen, strict about unknown names, every field documented."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=False)

    @classmethod
    def load(cls, **given: Any) -> Self:
        """The settings from the environment; `given` (from the command line) wins over it.

        Raises:
            InvalidSettingError: names the variable and what is wrong, and masks secrets.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise InvalidSettingError("; ".join(_explain(cls, detail) for detail in error.errors())) from None

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Variable name -> description, as the README's table shows it."""
        prefix = cls.model_config.get("env_prefix", PREFIX)
        return {
            f"{prefix}{name}".upper(): field.description or "" for name, field in cls.model_fields.items()
        }


class PlatformSettings(Settings):
    """What every room shares: where things are."""

    home: Path = Field(Path("var"), description="folder of everything the platform writes on this machine")
    database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL of the main store; empty: SQLite in the home folder"
    )
    mongodb_url: SecretStr = Field(
        SecretStr(""),
        description="MongoDB URL of the serving store; empty: the embedded store in the home folder",
    )
    kafka_servers: str = Field(
        "",
        description="Kafka bootstrap servers, comma-separated; empty: the embedded event log in the home folder",
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to speak to Kafka: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="how to sign in to Kafka with SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_user: str = Field("", description="user name, or API key, for SASL")
    kafka_password: SecretStr = Field(SecretStr(""), description="password, or API secret, for SASL")
    kafka_ca_file: Path | None = Field(
        None, description="certificates that Kafka's is checked against; empty: the machine's own"
    )
    database_url_file: Path | None = Field(None, description="file that holds the main store's URL")
    mongodb_url_file: Path | None = Field(None, description="file that holds the MongoDB URL")
    kafka_password_file: Path | None = Field(None, description="file that holds the password for SASL")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, given: dict[str, Any]) -> dict[str, Any]:
        secrets = [name for name in cls.model_fields if given.get(f"{name}_file")]
        return {**given, **{name: _read_secret(name, given) for name in secrets}}

    @model_validator(mode="after")
    def _can_sign_in(self) -> PlatformSettings:
        complete = self.kafka_user and self.kafka_password.get_secret_value()
        if self.kafka_security.startswith("SASL") and not complete:
            raise ValueError(f"kafka_security {self.kafka_security} needs kafka_user and kafka_password")
        return self

    @field_validator("kafka_servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")] if value else []
        if not all(
            _ADDRESS.fullmatch(server) and int(server.rpartition(":")[2]) < 2**16 for server in servers
        ):
            raise ValueError("must be HOST:PORT, or several with commas between them")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value

    @property
    def sql_url(self) -> str:
        """The URL in force, secrets included: for the engine, never for a log."""
        return self.database_url.get_secret_value() or f"sqlite:///{(self.home / 'understudy.db').resolve()}"

    @property
    def serving(self) -> Path:
        """Folder of the embedded serving store: of its own, since a container is given it to write."""
        return self.home / "serving"

    @property
    def archive(self) -> Path:
        """Folder of the raw archive."""
        return self.home / "archive"

    @property
    def bundles(self) -> Path:
        return self.home / "bundles"

    @property
    def encoders(self) -> Path:
        return self.home / "encoders"


def _read_secret(name: str, given: Mapping[str, Any]) -> str:
    variable, path = f"{PREFIX}{name}".upper(), Path(given[f"{name}_file"])
    if given.get(name):
        raise InvalidSettingError(f"{variable} and {variable}_FILE are both given")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettingError(f"{variable}_FILE: {path}: {error}") from None


def child_environment(**extra: str) -> dict[str, str]:
    """The environment for a process we start: ours, and `extra`."""
    return {**os.environ, **extra}


def serving_environment(**extra: str) -> dict[str, str]:
    """The same with one BLAS thread, unless the operator chose otherwise.

    Two BLAS pools in two serving processes fight for the same cores; one thread each doubles throughput.
    """
    threads = {name: os.environ.get(name, "1") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
    return child_environment(**threads, **extra)


def refuse_unknown_variables(
    classes: Iterable[type[Settings]], environment: Mapping[str, str] | None = None
) -> None:
    """Check that every UNDERSTUDY_ variable belongs to one of the classes.

    Raises:
        InvalidSettingError: names the variable and the nearest known ones.
    """
    known = {name for cls in classes for name in cls.variables()} | FOREIGN_VARIABLES
    for name in sorted(environment if environment is not None else os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InvalidSettingError(f"unknown variable {name}{hint}")


def _explain(cls: type[Settings], detail: Any) -> str:
    def variable(name: str) -> str:
        return f"{cls.model_config.get('env_prefix', PREFIX)}{name}".upper()

    if not detail["loc"]:  # a rule over several fields, all of which are its input, secrets included
        return re.sub(
            r"\w+",
            lambda word: variable(word[0]) if word[0] in cls.model_fields else word[0],
            str(detail["msg"]).removeprefix("Value error, "),
        )
    name = str(detail["loc"][0])
    field = cls.model_fields.get(name)
    secret = field is None or field.annotation is SecretStr
    shown = "" if secret or "input" not in detail else f" (is {str(detail['input'])[:80]!r})"
    return f"{variable(name)}: {detail['msg']}{shown}"
