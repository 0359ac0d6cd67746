"""Do four readers find whole files, and only those, while the daemon keeps publishing?

In: the program, and an empty folder. Out: one line, exit status 1 if a reader failed, saw a part of something, or not all of it at
the end.
Keeps: readers are opened as an analyst would, again and again, while clicks of 0.0123 each are recorded: any count of rows has to
come with exactly that many times the amount, and counts never go down.
"""

import signal
import subprocess
import sys
import time
import urllib.request
from decimal import Decimal
from pathlib import Path

import daemon

REQUESTS = 60_000
COST = Decimal("0.0123")


def duckdb(path):
    import duckdb as reader

    return reader.connect().execute(f"SELECT count(*), sum(cost) FROM '{path}/*/*.parquet'").fetchone()


def clickhouse(path):
    import chdb as reader

    text = str(reader.query(f"SELECT count(), sum(cost) FROM file('{path}/*/*.parquet')", "TabSeparated"))
    return [Decimal(value) for value in text.split("\t")]


def polars(path):
    import polars as reader

    return reader.scan_parquet(path).select(reader.len(), reader.col("cost").sum()).collect().row(0)


def pyarrow(path):
    import pyarrow.compute as compute
    import pyarrow.parquet as files

    table = files.read_table(path, columns=["cost"])
    return len(table), compute.sum(table["cost"]).as_py()


def roll(operators, token):
    request = urllib.request.Request(f"{operators}/-/roll", method="POST", headers={"Authorization": f"Bearer {token}"})
    urllib.request.urlopen(request).read()


def main():
    program, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    small = {"CLICKLOG_STORE__CLICK_SEGMENT": "1MiB", "CLICKLOG_EDGE__WORKERS": "1"}
    process, visitors, operators = daemon.start(program, folder, "--listen", "127.0.0.1:0", **small)
    data = folder / "clicklog-data"
    token = (data / "admin-token").read_text().strip()
    url = f"{visitors}/c/demo?zoneid={{random}}&cost=0.0123"
    rate = ["--rate", "4000", "--requests", str(REQUESTS), "--warm-up", "0s"]
    load = subprocess.Popen([program, "load", *rate, url], stdout=subprocess.DEVNULL)
    path = data / "export" / "clicks" / "v1"
    readers, last, reads, wrong = (duckdb, clickhouse, polars, pyarrow), {}, 0, []
    deadline = time.monotonic() + 120
    try:
        while not wrong and min(last.values(), default=0) < REQUESTS and time.monotonic() < deadline:
            if load.poll() is not None:
                roll(operators, token)
            if not list(path.glob("*/*.parquet")):
                time.sleep(0.1)
                continue
            for reader in readers:
                name = reader.__name__
                rows, cost = reader(path)
                if Decimal(cost) != rows * COST or rows < last.get(name, 0):
                    wrong.append(f"{name} found {rows} rows of {cost}, after {last.get(name, 0)}")
                last[name] = int(rows)
                reads += 1
    finally:
        load.kill()
        process.send_signal(signal.SIGTERM)
        process.communicate()
    wrong += [f"{name} found {rows} rows, not {REQUESTS}" for name, rows in last.items() if rows != REQUESTS]
    print("beside a daemon that publishes: " + ("; ".join(wrong) or f"{reads} reads by four readers, each of whole files"))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
