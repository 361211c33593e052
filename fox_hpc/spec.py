"""RunSpec: all that the processes of one run are started with; `run.json` in the run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from .errors import WorkspaceError

SPEC_VERSION = 1


class SiteSpec(msgspec.Struct, frozen=True):
    """One site of a run: its name, how its ranks are started, what its job asks for, its props."""

    name: str
    run_cmd: str | None = None
    hpc: dict[str, Any] = {}
    props: dict[str, Any] = {}


class OwnerSpec(msgspec.Struct, frozen=True):
    """What the owner of a cluster says for the code that runs there, whatever the recipe says.

    Args:
        props: go before the recipe's.
        incoming: filters of what comes in, `module:function`; they come first.
        outgoing: filters of what leaves; they come last.
        folder: where their modules are looked for first, "" for nowhere else than usual.
        errors: what is told of an error: "full", "message" (without traceback and stderr) or "type" alone.
    """

    props: dict[str, Any] = {}
    incoming: tuple[str, ...] = ()
    outgoing: tuple[str, ...] = ()
    folder: str = ""
    errors: Literal["full", "message", "type"] = "full"


class RelaySpec(msgspec.Struct, frozen=True):
    """Where a relay listens for its workers.

    Args:
        listen: the address that it binds; "*" is every IPv4 one, "::" every one.
        advertise: names, addresses or whole urls under which the compute nodes are to try it first.
        ports: the first and last port that it may take, None for any free one.
    """

    listen: str = "*"
    advertise: tuple[str, ...] = ()
    ports: tuple[int, int] | None = None


class RunSpec(msgspec.Struct, frozen=True):
    """Everything a relay, driver or worker needs to know of its run; holds no secret.

    Args:
        run: the run's id, also the name of its folder.
        folder: the run folder, absolute, on a disk that the compute nodes see.
        client_class: "FoxClientAPI" for the Client API, else the client's class or module name.
        training_module: the module that the worker is given, None if the client object says all.
        code_path: folders that go first on the workers' `sys.path`.
        python: the interpreter on the compute nodes.
        scheduler: "local" (processes on this machine), "slurm" or "fake-slurm".
        server_urls: where the server listens, best first.
        poll_s: seconds between two looks at the queue in steady state.
        blob_location: a folder that the server and the ranks see, for what is too big for a message; ""
            sends it over the network.
        lease_s: seconds that a worker and its relay may be out of touch.
        relay: where the relay listens for its workers.
        all_sites: the names of all sites of the run, if other relays serve some of them.
        client_objects, server_objects: the names of the sub-objects that calls may go to.
        owner: what the owner of the relay's cluster says.
    """

    run: str
    job_name: str
    folder: str
    sites: tuple[SiteSpec, ...]
    min_clients: int
    client_class: str
    python: str
    scheduler: str
    server_urls: tuple[str, ...]
    training_module: str | None = None
    code_path: tuple[str, ...] = ()
    poll_s: float = 30.0
    lease_s: float = 60.0
    blob_location: str = ""
    relay: RelaySpec = RelaySpec()
    all_sites: tuple[str, ...] = ()
    client_objects: tuple[str, ...] = ()
    server_objects: tuple[str, ...] = ()
    owner: OwnerSpec = OwnerSpec()
    version: int = SPEC_VERSION

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all sites of the run, in order."""
        return self.all_sites or tuple(site.name for site in self.sites)

    def site(self, name: str) -> SiteSpec:
        """Return the site of that name."""
        return next(site for site in self.sites if site.name == name)


def run_file(folder: str | os.PathLike[str]) -> Path:
    """Where a run's spec lies."""
    return Path(folder) / "run.json"


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file so that a reader, or a crash, sees the old or the new one and never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def save_spec(spec: RunSpec) -> None:
    """Write `run.json` into the run folder."""
    write_atomically(run_file(spec.folder), msgspec.json.format(msgspec.json.encode(spec)))


def load_spec(folder: str | os.PathLike[str]) -> RunSpec:
    """Read `run.json`.

    Raises:
        WorkspaceError: the file is missing, unreadable, or of another version.
    """
    path = run_file(folder)
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=RunSpec)
    except OSError as error:
        raise WorkspaceError(f"{folder} is not a run folder: {path.name}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise WorkspaceError(f"{path} is not a run's spec: {error}") from error
    if spec.version != SPEC_VERSION:
        raise WorkspaceError(f"{path} is of version {spec.version}; this fox-hpc reads {SPEC_VERSION}")
    return spec
