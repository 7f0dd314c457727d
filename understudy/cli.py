"""`understudy ...`: the command line. Each command's module is imported only when it is called.

Exit codes: 0 done, 2 usage or bad input, 3 refused by state, 4 a dependency is away, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping

import click

from core.errors import UnderstudyError

COMMANDS: Mapping[str, str] = {
    "demo": "understudy.commands.demo:demo",
    "load": "understudy.commands.data:load",
    "simulate": "understudy.commands.traffic:simulate_command",
    "audit": "understudy.commands.data:audit",
    "archive": "understudy.commands.archiving:archive",
    "retention": "understudy.commands.housekeeping:retention",
    "forget": "understudy.commands.housekeeping:forget",
    "train": "understudy.commands.models:train",
    "recommend": "understudy.commands.models:recommend",
    "explain": "understudy.commands.models:explain",
    "bundles": "understudy.commands.models:bundles",
    "report": "understudy.commands.models:report",
    "ingest": "understudy.commands.processes:ingest",
    "serve": "understudy.commands.processes:serve",
    "balance": "understudy.commands.processes:balance",
    "control": "understudy.commands.processes:control",
    "haproxy": "understudy.commands.haproxy:haproxy",
    "replay": "understudy.commands.replay:replay",
    "release": "understudy.commands.releases:release",
    "evaluate": "understudy.commands.evaluate:evaluate",
    "migrate": "understudy.commands.settings:migrate",
    "settings": "understudy.commands.settings:settings",
}


class ReaderGoneError(Exception):
    """Nobody reads our output any more, as in `understudy ... | head`: no error of ours, though click says 1."""


class LazyGroup(click.Group):
    """Commands by name, imported on use: `understudy serve` must not pay for what `train` imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGoneError from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="understudy", message="understudy %(version)s")
def cli() -> None:
    """A video-recommendation platform in which a new model version earns its place by evidence."""


def main() -> None:
    """Run the command line and end the process with a stable exit code."""
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except UnderstudyError as error:
        click.echo(f"understudy: {error}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("understudy: interrupted", err=True)
        code = 130
    except (BrokenPipeError, ReaderGoneError):
        # The reader of our output went away; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
