"""The group of commands, and what their exit codes mean.

A command's module is imported when it is called, so that `--help` stays quick.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from ..errors import FoxError
from .report import exit_code, say, say_line

EXIT_CODES = """\
\b
Exit codes:
  0    done
  1    the run failed: its algorithm, or too many of its sites
  2    a wrong option, recipe or config
  3    the scheduler refused the job, or cannot be used; or doctor found a fault
  4    a run folder or keys cannot be used, or there is no such run
  5    an optional package is missing
  130  cancelled by Ctrl-C (143: by SIGTERM, 129: by a lost terminal)"""

#: command → (module below this package, one line of help)
COMMANDS = {
    "new": ("new", "Write a starter project."),
    "submit": ("submit", "Run a recipe and watch it until it ends."),
    "render": ("render", "Print the jobs of a recipe: scripts and commands."),
    "export": ("export", "Write a recipe and its code as a folder to review, sign and run elsewhere."),
    "status": ("status", "Show what is known of a run."),
    "logs": ("logs", "Print what a site's job wrote."),
    "attach": ("attach", "Watch a run that is on, until it ends."),
    "cancel": ("cancel", "End a run and its jobs."),
    "cleanup": ("cleanup", "End jobs that a dead run has left behind."),
    "serve": ("serve", "Run a recipe's algorithm for sites that join from elsewhere."),
    "join": ("join", "Take part in a run of a server elsewhere, from this login node."),
    "keys": ("keys", "Make and revoke the keys of a server and its sites."),
    "doctor": ("doctor", "Examine a cluster, and write its site.toml."),
    "fake": ("fake", "A scheduler for machines that have none."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of a run's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[cmd_name][0]}", __package__)
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fox-hpc", message="%(prog)s %(version)s")
def group() -> None:
    """Federated learning as plain Python, each site's share run as a batch job."""


def run(args: Sequence[str] | None = None) -> None:
    """Run one command, turn every FoxError into one line on stderr, and exit."""
    try:
        code = group.main(None if args is None else list(args), prog_name="fox-hpc", standalone_mode=False)
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx else "fox-hpc"
        say_line(f"{error.format_message().rstrip('.')} (see {asked} --help)")
        code = 2
    except click.ClickException as error:
        say_line(error.format_message())
        code = 2
    except click.Abort:
        code = 130
    except FoxError as error:
        say(error)
        code = exit_code(error)
    sys.exit(code or 0)
