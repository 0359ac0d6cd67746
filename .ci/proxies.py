"""Does every click and every conversion that comes through a proxy end up once, as it was sent, under who sent it?

In: the program, and an empty folder. Out: one line for each proxy, exit status 1 if anything was lost, doubled, or is of somebody
else.
Keeps: each visitor has an address of his own, 127.1.0.1 and so on, and claims another in a header of his own. Connections are
kept. Halfway the proxy is told to load its configuration again. What a configuration has as comments for TLS is played as well:
then the proxy believes one certificate only, HTTP/2 is looked for wherever the proxy can speak it, and clicklog ends connections
after forty requests.
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
import urllib.request
from pathlib import Path

import daemon

VISITORS = 24
CLICKS = 100
ROOT = Path(__file__).parent.parent
NAME = "trk.example.com"


def make_certificate(folder):
    files = (folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=clicklog test", "-addext", f"subjectAltName=DNS:{NAME}", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def start_daemon(program, folder, is_secure):
    """One that listens at a plain port, and at one that begins with the PROXY protocol; or at two such ports inside TLS."""
    listeners = [daemon.free_port(), daemon.free_port()]
    tls, requests_max = "", 100_000
    if is_secure:
        certificate, key = make_certificate(folder)
        tls, requests_max = f', tls = {{ certificate = "{certificate}", key = "{key}" }}', 40
    (folder / "clicklog.toml").write_text(
        f"""[edge]
listen = [
  {{ address = "127.0.0.1:{listeners[0]}"{tls} }},
  {{ address = "127.0.0.1:{listeners[1]}", proxy_protocol = true{tls} }},
]
trusted_proxies = ["127.0.0.1/32"]
requests_per_connection_max = {requests_max}
workers = 2
"""
    )
    process, _, operators = daemon.start(program, folder, "--config", folder / "clicklog.toml")
    return process, listeners, operators


def uncommented(text, first, last, instead_of):
    """What the configuration has as a comment, in place of what it says otherwise."""
    option = re.search(rf"^\s*#{first}.*?{last}$", text, re.M | re.S)[0]
    return text.replace(option, re.sub(r"^(\s*)#(?! )", r"\1", option, flags=re.M)).replace(instead_of, "", 1)


def configured(name, port, listeners, folder, way):
    """The shipped configuration, at other ports."""
    text = (ROOT / "ops/proxies" / name).read_text()
    if name == "nginx.conf":
        if way != "plain":
            text = uncommented(text, "proxy_pass https", r"proxy_ssl_protocols.*?;", "        proxy_pass http://clicklog;\n")
            text = text.replace("server 127.0.0.1:8080;", "server 127.0.0.1:8443;").replace("/etc/nginx/clicklog.pem", "certificate.pem")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{port[0]};")
        text = "worker_processes 2;\npid nginx.pid;\nerror_log stderr;\ndaemon off;\nevents {}\nhttp {\naccess_log off;\n" + text + "}\n"
    elif name == "haproxy.cfg":
        if way != "plain":
            text = uncommented(text, "server clicklog", r"req\.hdr\(host\),field\(1,:\)", "    server clicklog 127.0.0.1:8080\n")
            # What it says of itself, for the visitors to look at.
            text = text.replace("\nbackend clicklog\n", "\nbackend clicklog\n    http-response set-header X-Behind %[bc_http_major]\n")
            text = text.replace("/etc/haproxy/clicklog.pem", str(folder / "certificate.pem"))
        if way == "secure, PROXY protocol":
            text = re.sub(r"(server clicklog 127.0.0.1:)8443 (.*)", r"\g<1>8453 send-proxy-v2 \2", text)
        text = text.replace("bind :80\n", f"bind 127.0.0.1:{port[0]}\n").replace("bind :81\n", f"bind 127.0.0.1:{port[1]}\n")
    else:
        if way != "plain":
            plain = re.search(r"^\treverse_proxy 127.*?^\t}\n", text, re.M | re.S)[0]
            text = uncommented(text, "reverse_proxy https", r"^\t#}", plain)
            text = text.replace("/etc/caddy/clicklog.pem", str(folder / "certificate.pem"))
        text = "{\n\tadmin off\n}\n" + text.replace(f"http://{NAME} ", f"http://{NAME}:{port[0]} ")
    for shipped, here in [("8080", 0), ("8443", 0), ("8090", 1), ("8453", 1)]:
        text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{listeners[here]}")
    return text


def start_proxy(name, folder, port, listeners, way):
    file = folder / name
    file.write_text(configured(name, port, listeners, folder, way))
    command = {
        "nginx.conf": ["nginx", "-p", folder, "-c", file, "-e", "stderr"],
        "haproxy.cfg": ["haproxy", "-W", "-f", file],
        "Caddyfile": ["caddy", "run", "--adapter", "caddyfile", "--config", file],
    }[name]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    # Then Caddy's library says what it sends by HTTP/2.
    environment["GODEBUG"] = "http2debug=1"
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
        # By which version of HTTP the proxy says that it asked.
        self.versions = set()
        # Whether he was told to give his cookie to https only.
        self.is_secure = False
        self.connection = None

    def connect(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(self.address, 0))

    def ask(self, target):
        headers = {
            "Host": f"{NAME}:{self.port}",
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
        self.versions.add(answer.getheader("X-Behind"))
        self.is_secure |= "Secure" in answer.getheader("Set-Cookie", "")
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
    who = f"{len(clicks)} clicks and {len(conversions)} conversions of {len(visitors)} visitors"
    print(f"{name}: {who}, each once, each their own")


def handshakes(operators):
    with urllib.request.urlopen(f"{operators}/metrics", timeout=10) as page:
        counts = re.findall(r"^clicklog_tls_handshakes_total\{.*\} (\d+)$", page.read().decode(), re.M)
    return sum(int(count) for count in counts)


def check_connections(name, shown, folder, way, visitors, connections):
    """Inside TLS, by HTTP/2 if the proxy can, over connections that are used again; and visitors know nothing of it."""
    if way == "secure" and any(visitor.is_secure for visitor in visitors):
        raise SystemExit(f"{shown}: cookies for https, and the visitors came by http")
    requests = sum(len(visitor.clicks) + len(visitor.conversions) for visitor in visitors)
    if name == "haproxy.cfg" and set.union(*(visitor.versions for visitor in visitors)) != {"2"}:
        raise SystemExit(f"{shown}: not all of it was HTTP/2")
    if name == "Caddyfile":
        said = (folder / "Caddyfile.log").read_text().count('http2: Transport encoding header \\":path\\"')
        if said < requests:
            raise SystemExit(f"{shown}: {said} of {requests} requests were HTTP/2")
    # Where many find none that takes more, Caddy opens one for each of them.
    if not 0 < connections < requests / 4:
        raise SystemExit(f"{shown}: {connections} connections for {requests} requests")
    print(f"{shown}: {requests} requests over {connections} connections inside TLS")


def play(name, shown, which, way, program, folder):
    """One proxy. `which` of its ports is asked."""
    folder.mkdir()
    is_secure = way != "plain"
    process, listeners, operators = start_daemon(program, folder, is_secure)
    port = [daemon.free_port(), daemon.free_port()]
    try:
        proxy = start_proxy(name, folder, port, listeners, way)
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
            if is_secure:
                check_connections(name, shown, folder, way, visitors, handshakes(operators))
        finally:
            proxy.terminate()
            proxy.wait()
    finally:
        process.terminate()
        process.wait()


def main(program, folder):
    program, folder = Path(program).resolve(), Path(folder).resolve()
    for name, shown, which, way, command in [
        ("nginx.conf", "nginx", 0, "plain", "nginx"),
        ("nginx.conf", "nginx, TLS behind it", 0, "secure", "nginx"),
        ("haproxy.cfg", "haproxy", 0, "plain", "haproxy"),
        ("haproxy.cfg", "haproxy, PROXY protocol", 1, "plain", "haproxy"),
        ("haproxy.cfg", "haproxy, HTTP2 behind it", 0, "secure", "haproxy"),
        ("haproxy.cfg", "haproxy, HTTP2 and PROXY protocol behind it", 0, "secure, PROXY protocol", "haproxy"),
        ("Caddyfile", "caddy", 0, "plain", "caddy"),
        ("Caddyfile", "caddy, HTTP2 behind it", 0, "secure", "caddy"),
    ]:
        if shutil.which(command) is None:
            print(f"skipped: {command} is not installed")
            continue
        play(name, shown, which, way, program, folder / shown.replace(" ", "-").replace(",", ""))


main(*sys.argv[1:])
