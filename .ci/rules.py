"""Whether a Prometheus evaluates every rule over the page of a running daemon, and none fires that should not.

In: the daemon's admin address, a folder to write in. Out: the exit status 1 where a rule cannot be evaluated, or an alert fires
on a daemon that is well. A unit test knows only the series that it made up; here are all of them, with their real labels.
Keeps: Prometheus listens on loopback only, and ends with this.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import daemon

PATIENCE_S = 60
CONFIG = """
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: ["{rules}/recording.yml", "{rules}/alerts.yml", "{rules}/certificates.yml", "{rules}/logs.yml"]
scrape_configs:
  - job_name: clicklog
    static_configs: [{{ targets: ["{target}"] }}]
"""


def ask(base, path):
    with urllib.request.urlopen(base + path, timeout=10) as answer:
        return json.load(answer)["data"]


def until(what, found):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if (value := found()) is not None:
                return value
        except (urllib.error.URLError, ConnectionError):
            pass  # it is still starting
        time.sleep(0.2)
    sys.exit(f"{what}: not within {PATIENCE_S} s")


def rules(base):
    """All rules, once each was evaluated over two scrapes at least."""
    scraped = ask(base, "/api/v1/query?query=count_over_time(clicklog_ready[1m])")["result"]
    if not scraped or int(scraped[0]["value"][1]) < 3:
        return None
    found = [rule for group in ask(base, "/api/v1/rules")["groups"] for rule in group["rules"]]
    return found if all(rule["health"] != "unknown" for rule in found) else None


def main():
    operators, work = sys.argv[1].removeprefix("http://"), Path(sys.argv[2])
    config = work / "prometheus.yml"
    config.write_text(CONFIG.format(rules=Path("ops/prometheus").resolve(), target=operators))
    address = f"127.0.0.1:{daemon.free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={work / 'tsdb'}"]
    with open(work / "prometheus.log", "w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        found = until("the rules are evaluated", lambda: rules(f"http://{address}"))
        wrong = [f"{rule['name']}: {rule.get('lastError')}" for rule in found if rule["health"] != "ok"]
        wrong += [f"{rule['name']} is {rule['state']}" for rule in found if rule.get("state", "inactive") != "inactive"]
    finally:
        process.terminate()
        process.wait()
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"  {len(found)} rules evaluated, none of them fires")


main()
