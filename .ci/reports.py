"""Does `clicklog report` say what SQL over the published files says?

In: a data folder with `export/`, and the program. Out: one line a breakdown, exit status 1 where one differs. The rules are those of
`ops/analytics.md`, written here once more.
"""

import json
import subprocess
import sys
from decimal import Decimal

import duckdb

COUNTS = ("clicks", "net", "unique", "through", "conversions", "pending", "approved", "reversed", "unmatched")
KEYS = {
    "campaign": ("campaign", "campaign"),
    "day": ("CAST(dt AS VARCHAR)", "CAST(dt AS VARCHAR)"),
    "hour": ("strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H')",) * 2,
    "offer": ("offer", "offer"),
    "source": ("source", "source"),
    "sub1": ("sub1", "sub1"),
}


def by_sql(export, names):
    """{key: (counts, {currency: (revenue, cost)})}, of rows that have anything."""
    click_keys = ", ".join(KEYS[name][0] for name in names)
    decision_keys = ", ".join(KEYS[name][1] for name in names)
    count, rows = len(names), {}
    row = lambda key: rows.setdefault(key, (dict.fromkeys(COUNTS, 0), {}))

    def ask(sql):
        return duckdb.connect().execute(sql.replace("EXPORT", str(export))).fetchall()

    clicks = f"""SELECT {click_keys}, count(*) FILTER (kind <> 'through'), count(*) FILTER (kind <> 'through' AND is_net),
        count(*) FILTER (kind <> 'through' AND NOT is_duplicate), count(*) FILTER (kind = 'through')
        FROM 'EXPORT/clicks/v1/*/*.parquet' GROUP BY ALL"""
    for found in ask(clicks):
        row(found[:count])[0].update(zip(COUNTS[:4], found[count:]))
    decisions = f"""SELECT {decision_keys}, count(*) FILTER (verdict = 'accepted'),
        count(*) FILTER (verdict IN ('accepted', 'updated') AND status = 'pending'),
        count(*) FILTER (verdict IN ('accepted', 'updated') AND status = 'approved'),
        count(*) FILTER (verdict IN ('accepted', 'updated') AND status = 'reversed'), count(*) FILTER (verdict = 'unmatched')
        FROM 'EXPORT/conversions/v1/*/*.parquet' GROUP BY ALL"""
    for found in ask(decisions):
        row(found[:count])[0].update(zip(COUNTS[4:], found[count:]))
    revenue = f"""SELECT {decision_keys}, currency, sum(entry) FROM 'EXPORT/conversions/v1/*/*.parquet'
        WHERE verdict IN ('accepted', 'updated') AND currency IS NOT NULL GROUP BY ALL"""
    cost = f"""SELECT {click_keys}, cost_currency, sum(cost) FROM 'EXPORT/clicks/v1/*/*.parquet'
        WHERE kind <> 'through' AND cost_currency IS NOT NULL GROUP BY ALL"""
    for at, sql in enumerate((revenue, cost)):
        for *key, currency, amount in ask(sql):
            row(tuple(key))[1].setdefault(currency, [Decimal(0), Decimal(0)])[at] += amount
    return rows


def by_report(program, data, names):
    command = [program, "report", "--data", data, "--by", ",".join(names), "--from", "2026-11-01", "--to", "2026-11-30"]
    report = json.loads(subprocess.run([*command, "--format", "json"], check=True, capture_output=True).stdout)
    rows = {}
    for found in report["rows"]:
        key = tuple(found["values"][name] or None for name in names)
        money = {currency: [Decimal(of["revenue"]), Decimal(of["cost"])] for currency, of in found["money"].items()}
        rows[key] = ({name: found[name] for name in COUNTS}, money)
    return rows


def without_nothing(rows):
    kept = {}
    for key, (counts, money) in rows.items():
        money = {currency: amounts for currency, amounts in money.items() if any(amounts)}
        if any(counts.values()) or money:
            kept[key] = (counts, money)
    return kept


def main():
    data, program = sys.argv[1], sys.argv[2]
    is_right = True
    for names in (["campaign"], ["day"], ["campaign", "hour"], ["offer", "source"], ["sub1", "campaign"]):
        said, asked = (without_nothing(rows) for rows in (by_report(program, data, names), by_sql(f"{data}/export", names)))
        wrong = [f"{key}: {said.get(key)}, not {asked.get(key)}" for key in {*said, *asked} if said.get(key) != asked.get(key)]
        is_right &= not wrong and len(said) > 1
        print(f"report by {', '.join(names)}: " + ("; ".join(wrong[:3]) or f"{len(said)} rows are what SQL says"))
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
