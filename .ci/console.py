"""Looks at the console with a real browser.

In: the daemon's binary, the browser, a folder for data, one for pictures. Out: a line for each page that is as it should be; at
the first that is not, what is wrong, and status 1.
Keeps: all servers listen at 127.0.0.1; what was started here is ended here.
"""

import asyncio
import base64
import csv
import datetime
import http.server
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import websockets

BINARY, BROWSER, DATA, PICTURES = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
TOKEN = "a-token-for-the-console"
WIDTHS = [1280, 360]
PATIENCE = 30
# What anybody may send; none of it may become more than text.
HOSTILE = "\"'><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"

CATALOG = """
[[network]]
id = "revboost"
secret = { env = "REVBOOST_SECRET" }
params = { click_id = ["cid"], payout = ["payout"], transaction_id = ["txid"], status = ["status"], event = ["et"] }
payout = { max = "100" }
[[network]]
id = "leadhive"
profile = "affise"
[[network]]
id = "clickbay"
currency = "EUR"
params = { click_id = ["subid"] }
[[source]]
id = "propeller"
external_id = "visitor_id"
cost = "cost"
params = { zone = "zoneid", creative = "bannerid" }
[[source.postback]]
id = "propeller-s2s"
url = "http://127.0.0.1:PORT/ok?visitor_id={external_id}&value={payout}"
on = ["approved"]
allow_addresses = ["127.0.0.1/32"]
[[source]]
id = "taboola"
[[source.postback]]
id = "taboola-capi"
url = "http://127.0.0.1:PORT/gone?c={click_id}"
allow_addresses = ["127.0.0.1/32"]
[[postback]]
id = "warehouse"
url = "http://127.0.0.1:PORT/flaky?c={click_id}&t={transaction_id}"
allow_addresses = ["127.0.0.1/32"]
"""

CAMPAIGNS = ["spring-diet", "spring-diet-fr", "vpn-summer", "crypto-news", "sweeps-us", "sweeps-de", "nutra-42", "casino-lv", "dating-br", "games-in", "loans-uk", "solar-es"]


def catalog(port):
    text = CATALOG.replace("PORT", str(port))
    for n, name in enumerate(["diet-42", "diet-43", "vpn-gold", "sweeps-1", "loan-7"]):
        network = ["revboost", "revboost", "leadhive", "clickbay", "leadhive"][n]
        url = f"https://offer.example.com/{name}?s2={{click_id}}&zone={{zone}}" if n != 4 else "https://offer.example.com/x"
        text += f'[[offer]]\nid = "{name}"\nnetwork = "{network}"\nurl = "{url}"\npayout = "auto"\n'
    offers = [["diet-42", "diet-43"], ["diet-42"], ["vpn-gold"], ["sweeps-1"], ["loan-7", "vpn-gold"]]
    for n, name in enumerate(CAMPAIGNS + [f"tail-{n:03}" for n in range(300)]):
        listed = ", ".join(f'{{ id = "{offer}", weight = 1 }}' for offer in offers[n % 5])
        source = ["propeller", "taboola"][n % 2]
        text += f'[[campaign]]\nid = "{name}"\nsource = "{source}"\noffers = [{listed}]\n'
        if n == 0:
            text += 'aliases = ["2"]\nlanders = [{ url = "https://lp.example.org/a?cid={click_id}", weight = 1 }]\n'
        if n % 3 == 0:
            text += 'cost = { model = "cpc", amount = "0.012" }\n'
    return text


class Destination(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = {"/gone": 410, "/flaky": 500 if random.random() < 0.3 else 200}.get(self.path.split("?")[0], 200)
        body = HOSTILE.encode() if status == 410 else b"ok"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def daemon(port):
    (DATA / "catalog.toml").write_text(catalog(port))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CLICKLOG_")}
    environment |= {
        "CLICKLOG_ADMIN_TOKEN": TOKEN,
        "REVBOOST_SECRET": "hush-hush-of-revboost",
        "CLICKLOG_STORE__CLICK_SEGMENT": "4MiB",
        "CLICKLOG_STORE__LOW_FREE": "0B",
        "CLICKLOG_STORE__CRITICAL_FREE": "0B",
        "CLICKLOG_STORE__RESERVE": "0B",
        "CLICKLOG_EDGE__WORKERS": "1",
    }
    arguments = [str(Path(BINARY).resolve()), "serve", "--catalog", "catalog.toml", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    process = subprocess.Popen(arguments, cwd=DATA, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    addresses = {}
    for line in process.stdout:
        if found := re.match(r"\s*(visitors|operators)\s+(http://\S+)", line):
            addresses[found[1]] = found[2]
        if len(addresses) == 2:
            return process, addresses["visitors"], addresses["operators"], environment
    raise SystemExit("the daemon did not start: " + process.stderr.read())


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(Stay)


def get(url, headers=()):
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        return OPENER.open(request, timeout=PATIENCE)
    except urllib.error.HTTPError as answer:
        return answer


def demo(visitors, operators, environment):
    """A fortnight of clicks, an hour of conversions, and all that goes wrong."""
    chance = random.Random(7)
    now = datetime.datetime.now(datetime.timezone.utc)
    with open(DATA / "past.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "time", "campaign", "source", "offer", "cost", "currency"])
        for n in range(20_000):
            back = datetime.timedelta(minutes=min(chance.expovariate(1 / 4000), 14 * 1440 - 10))
            time_ = (now - back).strftime("%Y-%m-%dT%H:%M:%SZ")
            campaign = CAMPAIGNS[min(int(chance.expovariate(0.5)), len(CAMPAIGNS) - 1)]
            lines.writerow([f"old-{n}", time_, campaign, "propeller", "diet-42", "0.01", "USD"])
    admin = operators.removeprefix("http://")
    done = subprocess.run(
        [str(Path(BINARY).resolve()), "import", "clicks", "past.csv", "--admin", admin], cwd=DATA, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    agents = ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Googlebot/2.1 (+http://www.google.com/bot.html)", HOSTILE]
    clicks = []
    for n in range(400):
        campaign = CAMPAIGNS[min(int(chance.expovariate(0.6)), len(CAMPAIGNS) - 1)]
        url = f"{visitors}/c/{campaign}?visitor_id=v-{n}&cost=0.01&zoneid={n % 9}&sub1=" + urllib.parse.quote(HOSTILE if n % 50 == 0 else f"s{n}")
        head = get(url, {"User-Agent": agents[0 if n == 0 else n % 4], "Referer": "https://news.example/?q=" + urllib.parse.quote(HOSTILE)}).headers
        clicks.append(re.search(r"cl_cid=(\w+)", head["Set-Cookie"] or "")[1])
    secret = "secret=hush-hush-of-revboost"
    for n in range(120):
        payout = ["3.50", "12.00", "140.00"][n % 3] if n % 4 == 0 else "3.50"
        get(f"{visitors}/postback/revboost?cid={clicks[n]}&payout={payout}&txid=rb-{n}&status=approved&{secret}")
    for n in range(40):
        get(f"{visitors}/postback/leadhive?clickid={clicks[120 + n]}&sum=7.2&action_id=lh-{n}")
        get(f"{visitors}/postback/clickbay?subid={clicks[160 + n]}&payout=1.8&transaction_id=cb-{n}")
    for query in [
        f"cid={clicks[0]}&payout=3.50&txid=rb-0&status=approved&{secret}",
        f"cid={clicks[1]}&payout=3.50&txid=rb-x&secret=wrong",
        f"subid={clicks[1]}&payout=3.50&txid=rb-y&{secret}",
        f"cid={clicks[2]}&payout=three&txid=rb-z&{secret}",
        f"cid={{click_id}}&payout=3.50&txid=rb-p&{secret}",
        "cid=nobody-knows-this&txid=rb-u&payout=2&" + secret,
        f"cid={clicks[3]}&payout=2&status={urllib.parse.quote(HOSTILE)}&txid={urllib.parse.quote(HOSTILE)}&{secret}",
        f"cid={clicks[4]}&payout=3.50&txid=rb-4&status=reversed&{secret}",
    ]:
        get(f"{visitors}/postback/revboost?{query}")
    get(f"{visitors}/postback/revbost?cid={clicks[0]}&payout=3.50&txid=" + urllib.parse.quote(HOSTILE))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page = get(operators + "/metrics").read().decode()
        attempts = re.search(r"clicklog_deliver\w+_total\{[^}]*gone[^}]*\} (\d+)", page)
        if attempts and int(attempts[1]) > 20:
            break
        time.sleep(0.2)
    return clicks


class Tab:
    """One page of the browser, by its own protocol."""

    def __init__(self, socket, session, own):
        self.socket, self.session, self.own = socket, session, own
        self.number, self.answers, self.events, self.wrong = 0, {}, {}, []

    async def hear(self):
        async for text in self.socket:
            message = json.loads(text)
            if "id" in message:
                future = self.answers.pop(message["id"], None)
                if future and not future.done():
                    future.set_result(message)
                continue
            if message.get("sessionId") != self.session:
                continue
            method, params = message["method"], message["params"]
            if method == "Runtime.exceptionThrown":
                self.wrong.append("exception: " + json.dumps(params["exceptionDetails"])[:500])
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                self.wrong.append("console: " + json.dumps(params["args"])[:500])
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                self.wrong.append("log: " + params["entry"]["text"])
            elif method == "Audits.issueAdded":
                issue = json.dumps(params["issue"])
                # A form that a script sends leaves an entry that the way back passes by: that is about us, not about the page.
                if "NavigationEntryMarkedSkippable" not in issue:
                    self.wrong.append("issue: " + issue[:500])
            elif method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith((self.own, "data:")):
                    self.wrong.append("a request to somebody else: " + url)
            for future in self.events.pop(method, []):
                if not future.done():
                    future.set_result(params)

    async def ask(self, method, **params):
        self.number += 1
        future = asyncio.get_running_loop().create_future()
        self.answers[self.number] = future
        whose = {"sessionId": self.session} if self.session else {}
        await self.socket.send(json.dumps({"id": self.number, "method": method, "params": params} | whose))
        answer = await asyncio.wait_for(future, PATIENCE)
        if "error" in answer:
            raise SystemExit(f"{method}: {answer['error']}")
        return answer["result"]

    def event(self, method):
        future = asyncio.get_running_loop().create_future()
        self.events.setdefault(method, []).append(future)
        return asyncio.wait_for(future, PATIENCE)

    async def run(self, script):
        result = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"{script[:80]}: {json.dumps(result['exceptionDetails'])[:600]}")
        return result["result"].get("value")

    async def go(self, target):
        loaded = self.event("Page.loadEventFired")
        await self.ask("Page.navigate", url=self.own + target)
        await loaded

    async def submit(self, script):
        loaded = self.event("Page.loadEventFired")
        await self.run(script)
        await loaded

    async def press(self, key):
        for kind in ("keyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13}[key]
            text = "\r" if key == "Enter" and kind == "keyDown" else ""
            await self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    async def size(self, width):
        await self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900 if width > 600 else 740, deviceScaleFactor=1, mobile=width < 600)

    async def scheme(self, scheme):
        await self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self, name):
        taken = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def is_well(self, what):
        if self.wrong:
            raise SystemExit(f"{what}:\n  " + "\n  ".join(self.wrong))


# What a page has to be, as the browser has it. Answers with what it is not.
LOOKED_AT = r"""
(() => {
  const wrong = [];
  const d = document;
  if (window.hacked) wrong.push("a text became a script");
  if (d.documentElement.scrollWidth > innerWidth) {
    const wide = [...d.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide, .away"));
    wrong.push(`wider than the screen: ${d.documentElement.scrollWidth} of ${innerWidth}: ` + wide.slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(" | "));
  }
  if (d.querySelectorAll("main").length !== 1) wrong.push("not one main");
  if (d.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  for (const table of d.querySelectorAll("table")) if (!table.caption) wrong.push("a table without a caption");
  for (const cell of d.querySelectorAll("th")) if (!cell.scope) wrong.push("a head without a scope: " + cell.textContent);
  for (const field of d.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!field.labels.length && !field.getAttribute("aria-label")) wrong.push("a field without a label: " + field.outerHTML);
  for (const svg of d.querySelectorAll("svg")) if (!svg.getAttribute("aria-label")) wrong.push("a drawing without words");
  for (const e of d.querySelectorAll("*")) {
    if (e.hasAttribute("style")) wrong.push("a style in the page");
    for (const a of e.attributes) if (a.name.startsWith("on")) wrong.push("a handler in the page");
  }
  const ids = [...d.querySelectorAll("[id]")].map(e => e.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  const light = c => { const f = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]); };
  const parse = s => (s.match(/[\d.]+/g) || []).map(Number);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255]; };
  const seen = new Set();
  for (const walker = d.createTreeWalker(d.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest("script, .away, [hidden], svg, option") || !e.checkVisibility()) continue;
    const of = parse(getComputedStyle(e).color), on = behind(e);
    const [a, b] = [light(of), light(on)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const name = `${e.tagName}.${e.className} ${of} on ${on}`;
    if (ratio < 4.5 && !seen.has(name)) { seen.add(name); wrong.push(`contrast ${ratio.toFixed(2)} of ${name}: ${walker.currentNode.data.trim().slice(0, 40)}`); }
  }
  return wrong;
})()
"""


async def look(tab, target, name, width):
    await tab.go(target)
    tab.wrong += await tab.run(LOOKED_AT)
    await tab.picture(name)
    # What is behind a word is looked at as well.
    if await tab.run("[...document.querySelectorAll('details')].map(of => { of.open = true }).length"):
        tab.wrong += await tab.run(LOOKED_AT)
        await tab.picture(name + "-open")
    tab.is_well(f"{target} at {width} pixels")


async def pages(tab, clicks):
    delivery = await first_delivery(tab)
    listed = [
        ("/console", "overview"),
        ("/console/campaigns", "campaigns"),
        ("/console/campaigns?q=sweeps", "campaigns-search"),
        ("/console/campaigns?q=nowhere", "campaigns-none"),
        ("/console/campaigns/spring-diet", "campaign"),
        ("/console/networks", "networks"),
        ("/console/networks/revboost", "network"),
        ("/console/strangers", "strangers"),
        ("/console/deliveries", "deliveries"),
        ("/console/deliveries?state=any&destination=warehouse", "deliveries-any"),
        (delivery, "delivery"),
        ("/console/held", "held"),
        ("/console/lookup", "lookup-empty"),
        (f"/console/lookup?id={clicks[4]}", "lookup"),
        ("/console/lookup?id=" + urllib.parse.quote(HOSTILE), "lookup-hostile"),
        ("/console/test?network=revboost", "test"),
        ("/console/login", "login-form"),
        ("/console/storage", "storage"),
        ("/console/settings", "settings"),
    ]
    for width in WIDTHS:
        await tab.size(width)
        for target, name in listed:
            await look(tab, target, f"{name}-{width}", width)
            print(f"{name} at {width}: as it should be")
    await tab.scheme("dark")
    for width in WIDTHS:
        await tab.size(width)
        for target, name in listed:
            await look(tab, target, f"{name}-{width}-dark", width)
    await tab.scheme("light")
    print("all of them in the dark: as they should be")


async def sees(tab):
    """What this looks for is seen when it is there."""
    await tab.go("/console")
    await tab.run("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: #ccc; background: #fff\" onclick=\"x()\">pale</p><table></table>')")
    await tab.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\"><p>' + 'w'.repeat(900) + '</p>')")
    found = await tab.run(LOOKED_AT)
    await asyncio.sleep(0.3)
    told = " ".join(found + tab.wrong)
    for part in ["a style in the page", "a handler in the page", "without a caption", "wider than", "Content Security Policy"]:
        assert part in told, f"not seen: {part} in {told}"
    tab.wrong.clear()


async def first_delivery(tab):
    await tab.go("/console/deliveries?state=dead")
    found = await tab.run("document.querySelector('td.time a')?.getAttribute('href')")
    if not found:
        raise SystemExit("there is no dead letter to look at")
    return found


async def keyboard(tab):
    await tab.size(1280)
    await tab.go("/console")
    await tab.press("Tab")
    first = await tab.run("document.activeElement.className")
    assert first == "skip", f"the first stop of the keyboard is {first!r}"
    assert await tab.run("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus does not show"
    for _ in range(200):
        await tab.press("Tab")
        if await tab.run("document.activeElement.textContent") == "Networks":
            break
    loaded = tab.event("Page.loadEventFired")
    await tab.press("Enter")
    await loaded
    assert await tab.run("location.pathname") == "/console/networks", "a link is not reached by keyboard"
    print("by keyboard: as it should be")


async def forms(tab, script):
    """Everything that changes something, by way of the page."""
    await tab.go("/console/held")
    assert "Log in to do this" in await tab.run("document.body.innerText"), "who is not logged in sees how to"
    await tab.go("/console/login?next=/console/held")
    await look(tab, "/console/login?next=/console/held", "login", 1280)
    await tab.submit("document.querySelector('#token').value = 'wrong'; document.querySelector('form').submit()")
    assert "not the admin token" in await tab.run("document.body.innerText")
    # A 401 is said in the log of the browser: that one was asked for.
    tab.wrong.clear()
    await tab.submit(f"document.querySelector('#token').value = '{TOKEN}'; document.querySelector('form').submit()")
    assert await tab.run("location.pathname") == "/console/held", "a login leads to where one was"
    cookies = (await tab.ask("Network.getCookies"))["cookies"]
    assert len(cookies) == 1 and cookies[0]["httpOnly"] and cookies[0]["sameSite"] == "Strict", cookies
    if script:
        await tab.picture("held-logged-in")
    for action, said in [("held/release", "counts now"), ("held/drop", "thrown away")]:
        await tab.submit(f"document.querySelector('form[action=\"/console/{action}\"]').requestSubmit()")
        assert said in await tab.run("document.body.innerText"), f"{action}: {await tab.run('document.body.innerText')}"
    await tab.go("/console/deliveries?destination=taboola-capi")
    for action, said in [("deliveries/pause", "Nothing more is sent"), ("deliveries/resume", "Sending goes on")]:
        form = f"form[action=\"/console/{action}\"]"
        await tab.submit(f"document.querySelector('{form}').requestSubmit()")
        assert said in await tab.run("document.body.innerText"), action
    await tab.go("/console/deliveries?destination=taboola-capi")
    await tab.run("document.querySelectorAll('details.confirm').forEach(of => { of.open = true })")
    await tab.picture(f"deliveries-logged-in-{script}")
    if not script:
        # Those of before may be on their way yet; one that was taken is there for sure.
        await tab.go("/console/deliveries?state=delivered&destination=warehouse")
        await tab.go(await tab.run("document.querySelector('td.time a').getAttribute('href')"))
    action = "replay-dead" if script else "replay"
    await tab.submit(f"document.querySelector('form[action=\"/console/deliveries/{action}\"]').requestSubmit()")
    assert "tried again" in await tab.run("document.body.innerText")
    await tab.go("/console/test?network=revboost&params=payout%3D3.50")
    tab.wrong += await tab.run(LOOKED_AT)
    if script:
        await tab.picture("test-logged-in")
    await tab.submit("document.querySelector('form[action=\"/console/test\"]').requestSubmit()")
    assert "missing_click_id" in await tab.run("document.body.innerText"), await tab.run("document.body.innerText")
    tab.wrong += await tab.run(LOOKED_AT)
    tab.is_well("the forms")
    if script:
        await tab.size(360)
        await tab.picture("test-done-360")
        await tab.size(1280)
        await tab.picture("test-done-1280")
    await tab.submit("document.querySelector('form[action=\"/console/logout\"]').requestSubmit()")
    assert "Read only" in await tab.run("document.body.innerText")
    print("forms" + ("" if script else " without script") + ": as they should be")


async def helpers(tab):
    await tab.go("/console/campaigns/spring-diet")
    await tab.ask("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"], origin=tab.own)
    await tab.run("document.querySelector('button.copy').click()")
    await asyncio.sleep(0.3)
    copied = await tab.run("document.querySelector('button.copy').textContent")
    assert copied in ("Copied", "Selected"), copied
    await tab.go("/console")
    assert await tab.run("document.querySelector('.refresh').checkVisibility()"), "no way to keep the page fresh"
    tab.is_well("the script")
    print("copying and refreshing: as they should be")


async def browse(own, clicks):
    profile = DATA / "browser"
    arguments = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", f"--user-data-dir={profile.resolve()}", "--remote-debugging-port=0", "about:blank"]
    browser = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE
        while not (port_file.exists() and len(port_file.read_text().split()) == 2):
            if time.monotonic() > deadline or browser.poll() is not None:
                raise SystemExit("the browser did not start")
            time.sleep(0.05)
        port, path = port_file.read_text().split()
        async with websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            tab = Tab(socket, None, own)
            hearing = asyncio.create_task(tab.hear())
            # Before there is a session questions are the browser's.
            target = (await tab.ask("Target.createTarget", url="about:blank"))["targetId"]
            tab.session = (await tab.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
                await tab.ask(f"{domain}.enable")
            await tab.size(1280)
            await sees(tab)
            await pages(tab, clicks)
            await keyboard(tab)
            await helpers(tab)
            await forms(tab, True)
            await tab.ask("Emulation.setScriptExecutionDisabled", value=True)
            await forms(tab, False)
            hearing.cancel()
    finally:
        browser.terminate()
        browser.wait()


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Destination)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    process, visitors, operators, environment = daemon(server.server_address[1])
    try:
        clicks = demo(visitors, operators, environment)
        asyncio.run(browse(operators, clicks))
    finally:
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
        server.shutdown()
    assert process.returncode == 0, said
    print("the console is what it is meant to be; pictures are in", PICTURES)


main()
