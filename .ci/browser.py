"""A real browser on the whole road: source, click, lander, offer, the page behind the order, which is another site.

In: the program, a Chromium, an empty folder. Out: one line for each way to convert; exit status 1 if something is lost, doubled or of
somebody else.
Keeps: tracker, lander and shop are different sites over https, each name leads to this machine, and each visitor is a profile
of his own. Browsers that keep cookies from pages of other sites find the click by the click id that the shop was given, the
others by cookie.
"""

import http.server
import json
import re
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import daemon
from playwright.sync_api import sync_playwright

SITES = ["src.example", "lp.example", "shop.example", "trk.example"]
CATALOG = """
[[source]]
id = "src"
external_id = "visitor_id"
[[network]]
id = "shop"
profile = "generic"
currency = "USD"
[[offer]]
id = "diet"
network = "shop"
url = "https://shop.example/land?s2={click_id}"
payout = "auto"
[[campaign]]
id = "spring"
source = "src"
landers = [{ url = "https://lp.example/a?cid={click_id}" }]
offers = [{ id = "diet" }]
fallback_url = "https://lp.example/"
"""
PIXEL = "network=shop&amp;payout=3.50&amp;transaction_id={}-{}"
PIXELS = {
    "image": '<img src="https://trk.example/pixel.gif?{}" width="1" height="1" alt="">',
    "frame": '<iframe src="https://trk.example/pixel?{}" width="1" height="1"></iframe>',
    "script": '<script src="https://trk.example/pixel.js?{}" async></script>',
}


class Pages(http.server.BaseHTTPRequestHandler):
    """The sites that are not the tracker's."""

    def do_GET(self):
        host = self.headers["Host"]
        if self.path == "/favicon.ico":
            self.send_error(404)
            return
        who = re.search(r"who=([a-z]+)-?([a-z]*)", self.path)
        if host == "src.example":
            link = f"https://trk.example/c/spring?visitor_id={who[0].removeprefix('who=')}"
            body = f'<a id="go" href="{link}">go</a>'
            if who[1] == "prefetched":
                body += f'<link rel="prefetch" href="{link}">'
                body += '<script type="speculationrules">{"prefetch":[{"source":"list","eagerness":"immediate","urls":["%s&by=rules"]}]}</script>' % link
        elif host == "lp.example":
            body = '<a id="offer" href="https://trk.example/out">to the offer</a>'
        elif self.path.startswith("/thanks"):
            click = re.search(r"click=([0-9a-z]+)", self.path)
            pixel = PIXEL.format(who[1], who[2]) + (f"&amp;click_id={click[1]}" if click else "")
            body = "thank you" + PIXELS[who[1]].format(pixel)
        else:
            body = "the offer"
        body = f"<!doctype html><title>{host}</title>{body}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A browser that is closed breaks off what it was asking for."""


def serve_pages(certificate):
    server = Server(("127.0.0.1", 0), Pages)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def make_certificate(folder):
    names = ",".join(f"DNS:{site}" for site in SITES)
    files = (folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=clicklog test", "-addext", f"subjectAltName={names}", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def start_daemon(program, folder, certificate):
    port = daemon.free_port()
    tls = f'{{ certificate = "{certificate[0]}", key = "{certificate[1]}" }}'
    (folder / "clicklog.toml").write_text(f'[edge]\nlisten = [{{ address = "127.0.0.1:{port}", tls = {tls} }}]\nworkers = 2\n')
    (folder / "catalog.toml").write_text(CATALOG)
    process, _, operators = daemon.start(program, folder, "--config", "clicklog.toml", "--catalog", "catalog.toml")
    return process, port, operators


def visit(playwright, browser, folder, ports, who):
    """One visitor, with a profile of his own, as people have; what the pixel was told."""
    tracker, pages = ports
    profile = folder / f"profile-{who}"
    (profile / "Default").mkdir(parents=True)
    # 0: no cookie is kept back; 1: those of other sites are.
    keeps_back = {"profile": {"cookie_controls_mode": 0 if who.endswith("cookie") else 1}}
    (profile / "Default/Preferences").write_text(json.dumps(keeps_back))
    rules = ",".join(f"MAP {site}:443 127.0.0.1:{tracker if site == 'trk.example' else pages}" for site in SITES)
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=browser,
        ignore_https_errors=True,
        args=["--no-sandbox", f"--host-resolver-rules={rules}", "--ignore-certificate-errors"],
    )
    page = context.pages[0]
    page.goto(f"https://src.example/?who={who}")
    if who == "prefetched":
        page.wait_for_load_state("networkidle")
        context.close()
        return None
    page.click("#go")
    page.wait_for_url("https://lp.example/a?cid=*")
    page.click("#offer")
    page.wait_for_url("https://shop.example/land?s2=*")
    # A shop hands on what it was given, where it was told to.
    click = "" if who.endswith("cookie") else "&click=" + page.url.partition("s2=")[2]
    with page.expect_response(lambda answer: "/pixel" in answer.url) as answer:
        page.goto(f"https://shop.example/thanks?who={who}{click}")
    told = answer.value.headers.get("x-clicklog-result")
    context.close()
    return told


def main(program, browser, folder):
    program, folder = Path(program).resolve(), Path(folder).resolve()
    certificate = make_certificate(folder)
    pages = serve_pages(certificate)
    process, tracker, operators = start_daemon(program, folder, certificate)
    ways = [f"{pixel}-{by}" for pixel in PIXELS for by in ("cookie", "parameter")]
    try:
        with sync_playwright() as playwright:
            told = {who: visit(playwright, browser, folder, (tracker, pages), who) for who in [*ways, "prefetched"]}
        clicks = daemon.exported(program, folder, "clicks", "click_id,kind,external_id,parent_lane,parent_ordinal,lane,ordinal")
        conversions = daemon.exported(program, folder, "conversions", "click_id,transaction_id,verdict,campaign")
        metrics = urllib.request.urlopen(f"{operators}/metrics").read().decode()
    finally:
        process.terminate()
        process.wait()
    wrong = [problem for who in ways for problem in problems(who, told[who], clicks, conversions)]
    if any(row["external_id"] == "prefetched" for row in clicks):
        wrong.append("a prefetched link was counted as a click")
    prefetched = re.search(r'^clicklog_http_requests_total{outcome="prefetch"} ([0-9]+)$', metrics, re.M)
    if int(prefetched[1]) == 0:
        wrong.append("nothing was prefetched: this proves nothing")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"converted once, of its own click: {', '.join(ways)}; {prefetched[1]} prefetches were no clicks")


def problems(who, told, clicks, conversions):
    """What is wrong with a visitor's way: one click, one step to the offer, one conversion of one of the two."""
    own = [row for row in clicks if row["external_id"] == who]
    of_own = {(row["lane"], row["ordinal"]) for row in own}
    steps = [row for row in clicks if (row["parent_lane"], row["parent_ordinal"]) in of_own]
    of = [row for row in conversions if row["transaction_id"] == who]
    is_well = told == "accepted" and len(own) == len(steps) == len(of) == 1
    if not is_well or of[0]["click_id"] not in {row["click_id"] for row in own + steps} or of[0]["campaign"] != "spring":
        yield f"{who}: told {told}, clicks {own}, steps {steps}, conversions {of}"


main(*sys.argv[1:])
