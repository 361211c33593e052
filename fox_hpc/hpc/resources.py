"""HpcConfig: what a site's job asks its scheduler for; `hpc_config=` of a recipe as a checked value."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from ..errors import RecipeError

SCHEDULERS = ("auto", "slurm", "pbs", "lsf", "fake-slurm", "fake-pbs", "fake-lsf")
#: Other names under which a key may be given.
ALIASES = {"queue": "partition"}

_TIME = re.compile(r"(\d+)|(\d+):[0-5]\d:[0-5]\d|(\d+)-\d{1,2}(:[0-5]\d(:[0-5]\d)?)?")
_MEM = re.compile(r"(?P<size>[1-9]\d*)(?P<unit>[KMGT])B?", re.IGNORECASE)
# They turn one job into several, into one on a cluster that is not polled, or into none; or they make
# the command stay until the job has ended.
_REFUSED = {
    "#SBATCH": re.compile(r"(--(array|clusters?|wait|test-only)(?![\w-])|-[aMW])"),
    "#PBS": re.compile(r"(-[IJtz]|-W\s*\S*\bblock=)"),
    "#BSUB": re.compile(r"(-(K|I[ps]?)(?!\w)|-J\s*\S*\[)"),
}


@dataclass(frozen=True)
class HpcConfig:
    """What one site's job asks for; every field is rendered, none is ignored.

    Args:
        scheduler: "auto" takes one that answers here, else the local fake.
        gpu_request: how Slurm is asked for GPUs, "gres" or "gpus-per-node"; others have one way.
        mem: memory per node, `64G` or `512M`; None leaves it to the site's default.
        time_limit: `4:00:00`, `1-00:00:00` or minutes; None leaves it to the partition's default.
        exclusive: True asks for whole nodes.
        directives: lines that go verbatim behind all others, so that they win: `--reservation=class`.
        prologue: shell lines that run before the job's python starts: `module load cuda`.
        python: the interpreter on the compute nodes, as shell words (`singularity exec my.sif python`).
        container: words in front of the ranks' python, `apptainer exec --nv my.sif`; the driver, which
            starts them, stays outside, where the scheduler's launcher is.
        launcher: what starts the ranks' side on each node: "auto", or one of the scheduler's. "jsrun"
            says that LSF runs on a machine with CSM, whose jobs are asked for in other words.
        signal_lead: seconds before the time limit at which the ranks are told, at most half of it; 0
            tells nothing.
        max_attempts: how many jobs a site may use up when the scheduler takes them away.
    """

    scheduler: str = "auto"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    nodes_per_client: int = 1
    gpus_per_node: int = 0
    cpus_per_node: int = 1
    mem: str | None = None
    time_limit: str | None = None
    constraint: str | None = None
    exclusive: bool = False
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    python: str | None = None
    container: str | None = None
    gpu_request: str = "gres"
    launcher: str = "auto"
    signal_lead: int = 120
    max_attempts: int = 3

    @property
    def time_limit_s(self) -> int | None:
        """The time limit in seconds, None if the site's default stands."""
        if self.time_limit is None:
            return None
        days, dash, clock = self.time_limit.rpartition("-")
        parts = [int(part) for part in clock.split(":")]
        if not dash and len(parts) == 1:
            return 60 * parts[0]
        hours, minutes, seconds = [*parts, 0, 0][:3]
        return 86400 * int(days or 0) + 3600 * hours + 60 * minutes + seconds

    @property
    def lead_s(self) -> int:
        """The lead in seconds: a job shorter than it would be told at its very start."""
        limit = self.time_limit_s
        return self.signal_lead if limit is None else min(self.signal_lead, limit // 2)

    def rank_python(self, default: str) -> list[str]:
        """Give the words that start the ranks' python, in its container if there is one.

        Args:
            default: path of the interpreter, for a config that names none.
        """
        python = [default] if self.python is None else shlex.split(self.python)
        return [*shlex.split(self.container or ""), *python]

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str = "hpc_config") -> HpcConfig:
        """Check a recipe's mapping, key by key.

        Args:
            where: what the mapping is called in an error's text.

        Raises:
            RecipeError: a key is unknown, or its value cannot be right; the text says what would be.
        """
        if not isinstance(mapping, Mapping):
            raise RecipeError(f"{where}={mapping!r} is a {type(mapping).__name__}, and must be a mapping")
        checked = {}
        for key, value in mapping.items():
            name = ALIASES.get(key, key)
            if name not in _CHECKS:
                raise RecipeError(_unknown(key, where))
            if name in checked:
                raise RecipeError(f"{where} has both 'partition' and 'queue', which are one setting")
            checked[name] = _checked(name, value, f"{where}[{key!r}]")
        config = cls(**checked)
        try:
            check_directives(config.directives, _PREFIXES.get(config.scheduler.removeprefix("fake-")))
        except RecipeError as wrong:
            raise RecipeError(f"{where}['directives']={list(config.directives)!r}: {wrong}") from None
        return config

    def merged(self, overrides: Mapping[str, Any], where: str = "hpc_config") -> HpcConfig:
        """Give a config in which `overrides` (one site's keys) replace the values of this one."""
        renamed = {ALIASES.get(key, key): value for key, value in overrides.items()}
        if len(renamed) == len(overrides):
            overrides = {**self.as_mapping(), **renamed}
        return HpcConfig.from_mapping(overrides, where)

    def asked(self) -> str:
        """Say in words what is asked for."""
        words = [
            f"{self.nodes_per_client} node{'s' * (self.nodes_per_client > 1)}",
            f"{self.cpus_per_node} CPUs",
        ]
        words += [f"{self.gpus_per_node} GPUs"] * bool(self.gpus_per_node) + [f"{self.mem} memory"] * bool(
            self.mem
        )
        text = words[0] + " with " + " and ".join(words[1:]) + " each"
        for name in ("partition", "account", "qos", "constraint", "time_limit"):
            if value := getattr(self, name):
                text += f", {name} {value}"
        return text

    def as_mapping(self) -> dict[str, Any]:
        """Give the values that are not the defaults, as JSON can hold them; `from_mapping` reads them."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }


_PREFIXES = {"slurm": "#SBATCH", "pbs": "#PBS", "lsf": "#BSUB"}


def check_directives(lines: Iterable[str], prefix: str | None = None) -> None:
    """Refuse directives that cannot work, or that are written for another scheduler.

    Args:
        prefix: of the scheduler that will read them, `#SBATCH`; None if that is not known yet.

    Raises:
        RecipeError: names the line.
    """
    for line in lines:
        own = next((word for word in _REFUSED if line.startswith(word)), None)
        if own and prefix and own != prefix:
            raise RecipeError(f"{line!r} is none of the directives that start with {prefix}")
        option = line.removeprefix(own or "").strip()
        if not option.startswith("-"):
            raise RecipeError(f"{line!r} is not an option; '--reservation=class' would be one")
        # Long options are Slurm's; a letter means something else to each.
        reader = own or prefix or ("#SBATCH" if option.startswith("--") else None)
        if reader and _REFUSED[reader].match(option):
            raise RecipeError(f"{line!r} cannot work: a site is one job, on the cluster of its relay")


def _unknown(key: object, where: str) -> str:
    close = difflib.get_close_matches(str(key), [*_CHECKS, *ALIASES], n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    right = ", ".join(map(_with_default, fields(HpcConfig)))
    return f"{where} has no key {key!r}{guess} Right are, with their defaults: {right}"


def _with_default(field: Field[Any]) -> str:
    default = "" if field.default is MISSING else f"={field.default!r}"
    alias = [f" (or {alias})" for alias, name in ALIASES.items() if name == field.name]
    return f"{field.name}{default}{''.join(alias)}"


def _checked(name: str, value: Any, where: str) -> Any:
    default = HpcConfig.__dataclass_fields__[name].default
    if value is None and default is None:
        return None
    try:
        return _CHECKS[name](value)
    except ValueError as wrong:
        raise RecipeError(f"{where}={value!r}: {wrong}") from None


def _one_of(*right: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in right:
            raise ValueError(f"{', '.join(map(repr, right))} are right")
        return str(value)

    return check


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
        raise ValueError("a name on one line, without blanks around it, is right")
    return value


def _count(least: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"a whole number from {least} on is right")
        return value

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False is right")
    return value


def _mem(value: Any) -> str:
    match = _MEM.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a whole number with its unit, per node, is right: '64G', '512M'")
    return f"{match['size']}{match['unit'].upper()}"


def _time_limit(value: Any) -> str:
    # "4:00" is refused: four minutes to Slurm, four hours to LSF and to most readers. So is nought,
    # which Slurm takes for no limit at all.
    text = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not _TIME.fullmatch(text) or not re.search(r"[1-9]", text):
        raise ValueError("'4:00:00', '1-00:00:00' or minutes are right")
    return text


def _lines(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise ValueError("a list of lines is right")
    for line in value:
        if not isinstance(line, str) or "\n" in line or "\r" in line or "\0" in line:
            raise ValueError(f"each entry is one line of text, and {line!r} is not")
    return tuple(value)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "scheduler": _one_of(*SCHEDULERS),
    "partition": _word,
    "account": _word,
    "qos": _word,
    "nodes_per_client": _count(1),
    "gpus_per_node": _count(0),
    "cpus_per_node": _count(1),
    "mem": _mem,
    "time_limit": _time_limit,
    "constraint": _word,
    "exclusive": _flag,
    "directives": _lines,
    "prologue": _lines,
    "python": _word,
    "container": _word,
    "gpu_request": _one_of("gres", "gpus-per-node"),
    "launcher": _one_of("auto", "srun", "pbs_tmrsh", "pbsdsh", "blaunch", "jsrun", "mpiexec"),
    "signal_lead": _count(0),
    "max_attempts": _count(1),
}
