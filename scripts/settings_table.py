"""Write the table of variables into the README, from the settings classes.

make docs
"""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from core.settings import Settings
from understudy.wiring import every_settings_class

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- settings: made by `make docs` -->\n", "<!-- end of settings -->\n"


def table() -> str:
    """Every variable of every class, with its default and what it means."""
    rows = [row for cls in every_settings_class() for row in rows_of(cls)]
    return "| variable | default | what it is |\n|---|---|---|\n" + "".join(rows)


def rows_of(cls: type[Settings]) -> list[str]:
    meanings = cls.variables().items()
    defaults = [field.default for field in cls.model_fields.values()]
    return [
        f"| `{name}` | {shown(default)} | {text} |\n"
        for (name, text), default in zip(meanings, defaults, strict=True)
    ]


def shown(default: object) -> str:
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    return "" if value in {None, ""} else f"`{value}`"


def with_table(text: str) -> str:
    """The README with the table between its marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def main() -> None:
    README.write_text(with_table(README.read_text()))


if __name__ == "__main__":
    main()
