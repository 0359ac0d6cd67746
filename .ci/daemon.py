"""A daemon for the scripts beside this one.

In: the program, a folder to work in, arguments and settings. Out: the process and its two addresses; rows of its data folder.
"""

import csv
import io
import os
import re
import socket
import subprocess


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(program, folder, *arguments, **settings):
    """The process, and where visitors and operators reach it; `settings` are variables of its environment."""
    environment = {**os.environ, "CLICKLOG_ADMIN__LISTEN": "127.0.0.1:0", **settings}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    daemon = subprocess.Popen([program, "serve", *arguments], cwd=folder, env=environment, **pipes)
    said = ""
    for line in daemon.stdout:
        said += line
        if "operators" in line:
            return daemon, *(re.search(rf"{name} +(https?://\S+)", said)[1] for name in ("visitors", "operators"))
    raise SystemExit("the daemon did not start")


def exported(program, folder, table, columns):
    command = [program, "export", table, "--columns", columns, "--data", folder / "clicklog-data"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(csv.DictReader(io.StringIO(text)))
