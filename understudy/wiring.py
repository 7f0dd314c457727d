"""Wiring of the command line: settings from the environment, checked once, and what is made from them."""

from __future__ import annotations

from core.errors import InvalidSettingError
from core.logging import set_up_logging
from core.settings import PlatformSettings, Settings, refuse_unknown_variables
from storage.connect import open_main_store
from storage.database import Database
from storage.migrate import migrate


def every_settings_class() -> list[type[Settings]]:
    """All settings classes of the platform, in the order of the README's table."""
    from deploy.settings import DeploySettings
    from inference.settings import InferenceSettings
    from ingest.settings import IngestSettings
    from load_balancer.control.settings import ControlSettings
    from load_balancer.settings import BalancerSettings

    return [
        PlatformSettings,
        InferenceSettings,
        BalancerSettings,
        ControlSettings,
        IngestSettings,
        DeploySettings,
    ]


def load_platform(*, service: bool = False) -> PlatformSettings:
    """The platform's settings, with every variable of the environment checked, and logging set up.

    A service logs from the level that is set; a command that answers a person logs warnings and worse.

    Raises:
        InvalidSettingError: a variable is unknown or invalid.
    """
    refuse_unknown_variables(every_settings_class())
    platform = PlatformSettings.load()
    asked_for_more = platform.log_level == "DEBUG"
    set_up_logging(platform.log_level if service or asked_for_more else "WARNING")
    return platform


def open_migrated_store(platform: PlatformSettings) -> Database:
    """The main store with its tables at the newest revision; made if absent."""
    try:
        platform.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettingError(f"UNDERSTUDY_HOME: {platform.home}: {error.strerror}") from None
    migrate(platform.sql_url)
    return open_main_store(platform)
