"""A deployment of Flower on this machine: a SuperLink, SuperNodes, and one run of the app bench_flower.py.

No encryption, and every interval at which Flower's processes look for work as it ships: 3 s for the server's
app and for a SuperNode, 1 s for what starts the processes of the apps.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_S, RUN_S = 60.0, 600.0
PROJECT = """
[project]
name = "bench"
version = "1.0.0"
description = "The peers' work"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "bench"

[tool.flwr.app.components]
serverapp = "bench_flower:server"
clientapp = "bench_flower:client"
"""
CONFIG = """
[superlink]
default = "here"

[superlink.here]
address = "{address}"
insecure = true
"""


def deploy(sites):
    """Start the processes, run the app, and end them; files come to lie in a new folder below this one.

    Raises:
        RuntimeError: the SuperLink did not come up.
        subprocess.SubprocessError: the app did not end in time, or not well.
    """
    folder = Path(tempfile.mkdtemp(dir=".")).resolve()
    link, *nodes = free_ports(sites + 1)
    address = f"127.0.0.1:{link}"
    app = make_app(folder, address)
    # Nothing may be called up or fetched while it is measured.
    os.environ.update(FLWR_HOME=str(folder), FLWR_DISABLE_UPDATE_CHECK="1")
    with contextlib.ExitStack() as stack:
        no_uv = "--disable-runtime-dependency-installation"
        start(stack, folder / "link.log", "flower-superlink", "--insecure", "--port", str(link), no_uv)
        wait_for(link)
        for port in nodes:
            words = ["--insecure", "--superlink", address, "--port", str(port)]
            start(stack, folder / f"node-{port}.log", "flower-supernode", *words)
        words = [tool("flwr"), "run", str(app), "here", "--stream"]
        subprocess.run(words, check=True, timeout=RUN_S)


def make_app(folder, address):
    """Write the app, and where `flwr run` finds the SuperLink."""
    app = folder / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(PROJECT)
    shutil.copy(Path(__file__).with_name("bench_flower.py"), app)
    (folder / "config.toml").write_text(CONFIG.format(address=address))
    return app


def start(stack, log, name, *words):
    """Start one process, which ends with the stack."""
    target = stack.enter_context(log.open("w"))
    process = subprocess.Popen([tool(name), *words], stdout=target, stderr=target)
    stack.callback(process.wait)
    stack.callback(process.terminate)


def free_ports(count):
    """Find ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def wait_for(port):
    """Wait until somebody listens."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Flower's SuperLink did not listen within {START_S:.0f} s")


def tool(name):
    """Find a command of the venv that runs this."""
    return str(Path(sys.executable).with_name(name))
