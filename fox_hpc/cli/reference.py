"""Writes docs/cli.md from the commands themselves: `python -m fox_hpc.cli.reference`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from .app import COMMANDS, group

HEAD = """\
# The command line

Written by `scripts/docs` from the commands' own help.
"""


def reference() -> str:
    """Give the text of docs/cli.md."""
    parts = [HEAD]
    for context in _contexts():
        text = context.command.get_help(context)
        parts.append(f"## {context.command_path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _contexts() -> Iterator[click.Context]:
    top = click.Context(group, info_name="fox-hpc", terminal_width=100, max_content_width=100)
    yield top
    for name in COMMANDS:
        command = group.get_command(top, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=top)
        if not isinstance(command, click.Group):
            yield below
            continue
        for inner, leaf in command.commands.items():
            yield click.Context(leaf, info_name=inner, parent=below)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
