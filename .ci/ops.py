"""Whether rules, their tests, the runbook and the dashboard fit the page of a running daemon, and one another.

In: the page, the daemon's binary, a folder to write in which its settings and data are, where operators reach it, a click. Out: a line for each thing that was looked at, one for each that does
not fit, and then the exit status 1.
Keeps: a metric and each label value that is asked for stand on the page, and each metric of the page is asked for; each alert has a
case in which it fires, one in which it does not, and an entry in the runbook; each command of the runbook is one, and
runs beside a daemon if it names nothing that is not there.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

RULES = ["recording", "alerts", "certificates", "logs"]
# Metrics that no rule and no panel asks for: a version is a number to compare two machines by, nothing to watch.
UNASKED = {"clicklog_catalog_version"}
OPS = Path("ops")
PARTS = ["Means", "Impact", "First", "Causes", "Over"]
SEVERITIES = {"critical", "warning", "info"}
SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$")
SELECTOR = re.compile(r"\b((?:clicklog|process)_\w+|instance(?:_class)?:\w+:\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"((?:[^"\\]|\\.)*)"')

problems = []
asked_for = set()


def problem(text):
    problems.append(text)
    print(f"  {text}")


def page_of(path):
    """Each name that has a sample on the page, with the values of each of its labels."""
    found = {}
    for line in Path(path).read_text().splitlines():
        if match := SAMPLE.match(line):
            labels = found.setdefault(match[1], {})
            for name, _, value in MATCHER.findall(match[2] or ""):
                labels.setdefault(name, set()).add(value)
    return found


def check_families(path):
    """What is counted and nobody looks at."""
    families = set(re.findall(r"^# TYPE (\S+)", Path(path).read_text(), re.M))
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked_for}
    for name in sorted(families - asked - UNASKED):
        problem(f"{name}: on the page, and no rule and no panel asks for it")
    for name in sorted(UNASKED & asked):
        problem(f"{name}: asked for after all")
    print(f"  {len(families)} metrics")


def rules_of(name):
    groups = yaml.safe_load((OPS / "prometheus" / f"{name}.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def check_expression(where, expression, page, recorded):
    for name, labels in SELECTOR.findall(expression):
        asked_for.add(name)
        if name in recorded:
            continue
        if name not in page:
            problem(f"{where}: {name} is not on the page")
            continue
        for label, operator, value in MATCHER.findall(labels):
            # What is wanted from several is all there; what is refused may not be.
            wanted = value.split("|") if operator == "=~" else [value]
            if label in ("job", "instance") or operator.startswith("!") or not page[name].get(label):
                continue
            for one in wanted:
                if one not in page[name][label]:
                    problem(f'{where}: {name} has no {label}="{one}"')


def check_rules(page):
    recorded = {rule["record"] for rule in rules_of("recording")}
    alerts = {}
    for file in RULES:
        for rule in rules_of(file):
            name = rule.get("alert") or rule["record"]
            check_expression(name, rule["expr"], page, recorded)
            if "alert" in rule:
                alerts[name] = rule
    for name, rule in alerts.items():
        annotations = rule["annotations"]
        if rule["labels"].get("severity") not in SEVERITIES:
            problem(f"{name}: its severity is none of {', '.join(sorted(SEVERITIES))}")
        if not (annotations.get("summary") and annotations.get("description")):
            problem(f"{name}: it has no summary or no description")
        if annotations.get("runbook_url") != f"RUNBOOK.md#{name.lower()}":
            problem(f"{name}: its runbook_url is not RUNBOOK.md#{name.lower()}")
    print(f"  {len(alerts)} alerts, {len(recorded)} recorded")
    return alerts, recorded


def check_cases(alerts):
    fires, is_silent = set(), set()
    for file in sorted((OPS / "prometheus" / "tests").glob("*.yml")):
        for case in yaml.safe_load(file.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                (fires if check["exp_alerts"] else is_silent).add(check["alertname"])
    for name in alerts:
        if name not in fires:
            problem(f"{name}: no case in which it fires")
        if name not in is_silent:
            problem(f"{name}: no case in which it does not fire")
    for name in (fires | is_silent) - set(alerts):
        problem(f"{name}: cases, and no such alert")


def options_of(binary, words):
    said = subprocess.run([binary, *words, "--help"], capture_output=True, text=True)
    # A command that is only a group of others does nothing by itself.
    is_one = said.returncode == 0 and "\nCommands:\n" not in said.stdout
    return set(re.findall(r"--[a-z][a-z-]*", said.stdout)) if is_one else None


def check_command(binary, where, line, run):
    """A command line of the runbook: its words up to the first option or argument name a command that has the options."""
    given = re.split(r"\s[|>]\s?", line)[0].split()[1:]
    words = []
    for word in given:
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        words.append(word)
    # What follows a command may be an argument in small letters.
    while words and (options := options_of(binary, words)) is None:
        words.pop()
    if not words:
        return problem(f"{where}: no such command: {line}")
    for option in (word.split("=")[0] for word in given if word.startswith("--")):
        if option not in options:
            problem(f"{where}: {' '.join(words)} has no {option}")
    return check_run(where, line, run, "--admin" in options)


def check_run(where, line, run, has_admin):
    """What it does beside the daemon. What names a delivery, a destination or a payout that nobody has is left out."""
    for shown, here in run["names"].items():
        line = re.sub(rf"\b{shown}\b" if shown.isupper() else re.escape(shown), here, line)
    if re.search(r"\b[A-Z]{2,}(_[A-Z]+)?\b", line):
        return False
    line += f" --admin {run['operators']}" if has_admin else ""
    said = subprocess.run(line.replace("clicklog", run["binary"], 1), shell=True, capture_output=True, text=True)
    if said.returncode != 0:
        problem(f"{where}: {line}: status {said.returncode}: {said.stderr.strip() or said.stdout.strip()}")
    return True


def check_runbook(alerts, binary, run):
    text = (OPS / "RUNBOOK.md").read_text()
    entries = dict(re.findall(r"^### (Clicklog\w+)\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    for name in sorted(set(alerts) - set(entries)):
        problem(f"{name}: no entry in the runbook")
    for name in sorted(set(entries) - set(alerts)):
        problem(f"{name}: an entry in the runbook, and no such alert")
    commands = ran = 0
    for name, entry in entries.items():
        for part in PARTS:
            if f"**{part}" not in entry:
                problem(f"{name}: its entry does not say: {part}")
        lines = [line for block in re.findall(r"```sh\n(.*?)```", entry, re.S) for line in block.splitlines()]
        if not lines:
            problem(f"{name}: its entry has no commands")
        for line in lines:
            if line.startswith("clicklog "):
                ran += bool(check_command(binary, name, line, run))
                commands += 1
    for line in re.findall(r"^clicklog .*$", text.split("### ")[0], re.M):
        check_command(binary, "the runbook's beginning", line, run)
    print(f"  {len(entries)} entries, {commands} commands of clicklog, {ran} of them run")


def check_dashboard(page, recorded, work):
    text = (OPS / "grafana" / "clicklog.json").read_text()
    dashboard = json.loads(text)
    asked = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            where = f"panel \"{panel['title']}\""
            check_expression(where, target["expr"], page, recorded)
            for name, labels in SELECTOR.findall(target["expr"]):
                if 'job=~"$job"' not in labels or 'instance=~"$instance"' not in labels:
                    problem(f"{where}: {name} is not chosen by $job and $instance")
            asked.append(target["expr"].replace("$__rate_interval", "5m"))
    for uid in set(re.findall(r'"uid": "([^"]*)"', text)) - {"${datasource}", dashboard["uid"]}:
        problem(f"the dashboard names a data source of its own: {uid}")
    # Whoever reads rules reads queries.
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    file = Path(work) / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    if checked.returncode != 0:
        problem(f"a query of the dashboard cannot be read: {checked.stderr}")
    print(f"  {len(dashboard['panels'])} panels, {len(asked)} queries")


def main():
    page_file, binary, work, operators, click = sys.argv[1:]
    names = {
        "/var/lib/clicklog": f"{work}/data",
        "/etc/clicklog/clicklog.toml": f"{work}/clicklog.toml",
        "FILE.csv": f"{work}/network.csv",
        "NETWORK": "demo-network",
        "CAMPAIGN": "demo",
        "CLICK_ID": click,
        "TRANSACTION_ID": "1",
    }
    run = {"names": names, "binary": binary, "operators": operators.removeprefix("http://")}
    page = page_of(page_file)
    print("rules and the page")
    alerts, recorded = check_rules(page)
    check_cases(alerts)
    print("the runbook")
    check_runbook(alerts, binary, run)
    print("the dashboard")
    check_dashboard(page, recorded, work)
    check_families(page_file)
    if problems:
        sys.exit(f"{len(problems)} things do not fit")


main()
