"""What is installed where: constraints, extras, images. The serving roles install and import without torch."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
SERVING = ("balancer", "inference", "releases")
DOCKERFILE = (ROOT / "deploy/images/Dockerfile").read_text()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def direct(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, extras of our own resolved."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for requirement in map(Requirement, EXTRAS[extra]):
            found += direct(*requirement.extras) if requirement.name == PROJECT["name"] else [requirement]
    return found


@functools.cache
def needs(name: str) -> list[Requirement]:
    """What an installed package asks for, whatever the marker."""
    return [Requirement(line) for line in importlib.metadata.requires(name) or ()]


def closure(requirements: Iterable[Requirement]) -> set[str]:
    """The names of all packages that these requirements install, by the metadata of what is installed here."""
    waiting, seen = list(requirements), set[tuple[str, str]]()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in requirement.extras | {""}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [
                    needed
                    for needed in needs(name)
                    if needed.marker is None or needed.marker.evaluate({"extra": extra})
                ]
    return {name for name, _ in seen}


def test_constraints_pin_every_dependency_within_its_range() -> None:
    pinned = pins()
    for requirement in direct("dev"):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_constraints_name_versions_alone() -> None:
    """No address of a registry, no path, and no local build that nobody else could install."""
    for name, version in pins().items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


@pytest.mark.parametrize("extra", SERVING)
def test_serving_installs_no_torch(extra: str) -> None:
    installed = closure(direct(extra))
    assert "flask" in installed
    assert not installed & {
        "torch",
        "sentence-transformers",
        "transformers",
        "implicit",
        "scikit-learn",
        "pandas",
    }


def test_training_does_install_torch() -> None:
    assert "torch" in closure(direct("training"))


def test_the_image_installs_the_serving_extras_pinned() -> None:
    (installed,) = re.findall(r"pip install .*'\.\[(.*)\]'", DOCKERFILE)
    assert tuple(installed.split(",")) == SERVING
    installs = [line for line in DOCKERFILE.splitlines() if "pip install" in line]
    assert all("-c constraints.txt" in line or "--no-index --no-deps" in line for line in installs)


def test_the_image_runs_as_nobody_special_and_is_checked() -> None:
    final = DOCKERFILE.split("FROM ")[-1]
    assert re.search(r"^USER (?!root|0)", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\\\n    CMD python -c", final, re.MULTILINE)
    assert "FROM python:3.11-slim" in DOCKERFILE


def test_the_image_holds_no_secret() -> None:
    """A mounted secret is there for one step of the build alone; whatever else names one would stay."""
    instructions = re.sub(r"^ *#.*$|--mount=type=secret\S+", "", DOCKERFILE, flags=re.MULTILINE)
    assert not re.search(r"password|token|secret|api_key|pip\.conf", instructions, re.IGNORECASE)


def test_only_code_goes_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    rooms = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert all((ROOT / room).exists() for room in rooms)
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"} <= set(rooms)


# Parts of a package that are published on their own: using the one is using the other.
PART_OF = {
    "werkzeug": "flask",
    "itsdangerous": "flask",
    "jinja2": "flask",
    "transformers": "sentence_transformers",
}
# Room -> the extras that are installed wherever it is used.
INSTALLED_WITH = {
    "core": (),
    "storage": ("archive",),
    "vectordb": ("training",),
    "inference": ("inference",),
    "load_balancer": ("balancer",),
    "ingest": (),
    "training": ("training", "towers"),
    "deploy": ("releases", "containers"),
    "understudy": ("demo",),
    "monitoring": ("dev",),
}


@functools.cache
def owners() -> dict[str, set[str]]:
    """Module -> the packages that bring it."""
    found = importlib.metadata.packages_distributions()
    return {module: {canonicalize_name(name) for name in names} for module, names in found.items()}


def imported(room: str) -> set[str]:
    """The top-level modules that a room imports, its own and the standard library's left out."""
    text = "\n".join(path.read_text() for path in (ROOT / room).rglob("*.py"))
    found = re.findall(r"^ *(?:from|import) (\w+)(?:\.[\w.]+)?(?: import | as |$)", text, re.MULTILINE)
    return set(found) - sys.stdlib_module_names - INSTALLED_WITH.keys()


@pytest.mark.parametrize("room", INSTALLED_WITH)
def test_what_a_room_imports_is_declared(room: str) -> None:
    """Not merely installed because something else happens to need it."""
    declared = {canonicalize_name(requirement.name) for requirement in direct(*INSTALLED_WITH[room])}
    for module in imported(room):
        assert owners().get(PART_OF.get(module, module), set()) & declared, f"{room} imports {module}"
