"""Does every click and every conversion that comes through a proxy end up once, as it was sent, under who sent it?

In: the program, and an empty folder. Out: one line for each proxy, exit status 1 if anything was lost, doubled, or is of somebody
else.
Keeps: each visitor has an address of his own, 127.1.0.1 and so on, and claims another in a header of his own. Connections are
kept. Halfway the proxy is told to load its configuration again.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import daemon

VISITORS = 24
CLICKS = 100
ROOT = Path(__file__).parent.parent


def start_daemon(program, folder):
    settings = folder / "clicklog.toml"
    listeners = [daemon.free_port(), daemon.free_port()]
    settings.write_text(
        f"""[edge]
listen = ["127.0.0.1:{listeners[0]}", {{ address = "127.0.0.1:{listeners[1]}", proxy_protocol = true }}]
trusted_proxies = ["127.0.0.1/32"]
workers = 2
"""
    )
    process, _, _ = daemon.start(program, folder, "--config", settings)
    return process, listeners


def configured(name, port, listeners):
    """The shipped configuration, at other ports."""
    text = (ROOT / "ops/proxies" / name).read_text()
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{listeners[0]}").replace("127.0.0.1:8090", f"127.0.0.1:{listeners[1]}")
    if name == "nginx.conf":
        text = text.replace("listen 80;", f"listen 127.0.0.1:{port[0]};")
        return "worker_processes 2;\npid nginx.pid;\nerror_log stderr;\ndaemon off;\nevents {}\nhttp {\naccess_log off;\n" + text + "}\n"
    if name == "haproxy.cfg":
        return text.replace("bind :80\n", f"bind 127.0.0.1:{port[0]}\n").replace("bind :81\n", f"bind 127.0.0.1:{port[1]}\n")
    return "{\n\tadmin off\n}\n" + text.replace("http://trk.example.com", f"http://trk.example.com:{port[0]}")


def start_proxy(name, folder, port, listeners):
    file = folder / name
    file.write_text(configured(name, port, listeners))
    command = {
        "nginx.conf": ["nginx", "-p", folder, "-c", file, "-e", "stderr"],
        "haproxy.cfg": ["haproxy", "-W", "-f", file],
        "Caddyfile": ["caddy", "run", "--adapter", "caddyfile", "--config", file],
    }[name]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    log = open(folder / f"{name}.log", "w")
    proxy = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port[0])) == 0:
                return proxy
        if proxy.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"{name} did not start: {(folder / f'{name}.log').read_text()}")


def reload(name, proxy):
    """Loads the configuration again; Caddy would by its own API, which is off here."""
    if name == "nginx.conf":
        proxy.send_signal(signal.SIGHUP)
    elif name == "haproxy.cfg":
        proxy.send_signal(signal.SIGUSR2)


class Visitor(threading.Thread):
    """Somebody with an address, who clicks and converts over one connection, and opens another where it was closed."""

    def __init__(self, number, port, begun):
        super().__init__()
        self.address = f"127.1.0.{number}"
        self.port = port
        self.begun = begun
        self.clicks = {}
        self.conversions = {}
        self.failed = []
        self.connection = None

    def connect(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(self.address, 0))

    def ask(self, target):
        headers = {
            "Host": f"trk.example.com:{self.port}",
            "User-Agent": f"Mozilla/5.0 ({self.address})",
            "X-Forwarded-For": "203.0.113.7",
        }
        try:
            self.connection.request("GET", target, headers=headers)
            answer = self.connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # The proxy let go of a connection that it held to be idle. Browsers ask again then, and so does he.
            self.connection.close()
            self.connect()
            self.connection.request("GET", target, headers=headers)
            answer = self.connection.getresponse()
        answer.read()
        # A proxy that loads its configuration again closes connections behind an answer, and says so in it.
        if answer.getheader("Connection", "").lower() == "close":
            self.connection.close()
            self.connect()
        return answer

    def run(self):
        self.connect()
        for number in range(CLICKS):
            self.begun.release()
            name = f"{self.address}-{number}"
            try:
                answer = self.ask(f"/c/demo?sub1={name}&visitor_id={name}")
                click = re.search(r"s2=([0-9a-z]{26})", answer.getheader("Location") or "")
                self.clicks[name] = click[1]
                if number % 5 == 0:
                    answer = self.ask(f"/postback/demo-network?click_id={click[1]}&payout=1.50&transaction_id={name}")
                    if answer.getheader("X-Clicklog-Result") != "accepted":
                        raise ValueError(answer.getheader("X-Clicklog-Result"))
                    self.conversions[name] = click[1]
            except Exception as error:  # whatever it is, the visitor got no answer
                self.failed.append((name, repr(error)))
                self.connection.close()
                self.connect()


def check(name, program, folder, visitors):
    """What is recorded is what was answered."""
    clicks, conversions, address = {}, {}, {}
    failed = [failure for visitor in visitors for failure in visitor.failed]
    for visitor in visitors:
        clicks.update(visitor.clicks)
        conversions.update(visitor.conversions)
        address.update({name: visitor.address for name in visitor.clicks})
    wrong = [f"no answer: {failure}" for failure in failed]
    rows = [row for row in daemon.exported(program, folder, "clicks", "click_id,external_id,address") if row["external_id"] in clicks]
    if len(rows) != len(clicks):
        wrong.append(f"{len(rows)} clicks for {len(clicks)} answers")
    for row in rows:
        who = row["external_id"]
        if (row["click_id"], row["address"]) != (clicks[who], address[who]):
            wrong.append(f"{who} is recorded as {row}")
    rows = daemon.exported(program, folder, "conversions", "click_id,transaction_id,verdict")
    rows = [row for row in rows if row["transaction_id"] in conversions]
    if len(rows) != len(conversions) or any(row["click_id"] != conversions[row["transaction_id"]] for row in rows):
        wrong.append(f"{len(rows)} decisions for {len(conversions)} conversions, or of other clicks")
    if wrong:
        raise SystemExit(f"{name}: " + "\n".join(wrong[:10]))
    print(f"{name}: {len(clicks)} clicks and {len(conversions)} conversions of {len(visitors)} visitors, each once, each their own")


def play(name, shown, which, program, folder):
    """One proxy. `which` of its ports is asked."""
    folder.mkdir()
    process, listeners = start_daemon(program, folder)
    port = [daemon.free_port(), daemon.free_port()]
    try:
        proxy = start_proxy(name, folder, port, listeners)
        try:
            begun = threading.Semaphore(0)
            visitors = [Visitor(number + 1, port[which], begun) for number in range(VISITORS)]
            for visitor in visitors:
                visitor.start()
            for _ in range(VISITORS * CLICKS // 2):
                begun.acquire()
            reload(name, proxy)
            for visitor in visitors:
                visitor.join()
            check(shown, program, folder, visitors)
        finally:
            proxy.terminate()
            proxy.wait()
    finally:
        process.terminate()
        process.wait()


def main(program, folder):
    program, folder = Path(program).resolve(), Path(folder).resolve()
    for name, shown, which, command in [
        ("nginx.conf", "nginx", 0, "nginx"),
        ("haproxy.cfg", "haproxy", 0, "haproxy"),
        ("haproxy.cfg", "haproxy, PROXY protocol", 1, "haproxy"),
        ("Caddyfile", "caddy", 0, "caddy"),
    ]:
        if shutil.which(command) is None:
            print(f"skipped: {command} is not installed")
            continue
        play(name, shown, which, program, folder / shown.replace(" ", "-").replace(",", ""))


main(*sys.argv[1:])
