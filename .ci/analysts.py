"""What four readers find in a published tree, compared with what was counted from the journals.

In: a folder with `export/` and `expected`, as `examples/analysts.rs` makes and prints it. Out: one line a reader, and the
exit status 1 where one differs.
Keeps: each reader is told only where the files are, and, where it has to be, that they are Parquet.
"""

import sys
from decimal import Decimal
from pathlib import Path

BEGIN_MICROS = 1_795_215_540_000_000

# What an analyst would write; each reader answers in its own words, brought to one form below.
QUESTIONS = {
    "clicks": "SELECT count(*) FROM {clicks}",
    "clicks_net": "SELECT count(*) FROM {clicks} WHERE is_net",
    "clicks_cost": "SELECT sum(cost) FROM {clicks}",
    "clicks_zone_7": "SELECT count(*) FROM {clicks} WHERE zone = '7'",
    "clicks_colour_blue": "SELECT count(*) FROM {clicks} WHERE {colour} = 'blå \"1\"'",
    "clicks_no_offer": "SELECT count(*) FROM {clicks} WHERE offer IS NULL",
    "conversions": "SELECT count(*) FROM {conversions}",
    "conversions_entry": "SELECT sum(entry) FROM {conversions}",
    "conversions_with_click": "SELECT count(click_id) FROM {conversions}",
    "deliveries": "SELECT count(*) FROM {deliveries}",
    "deliveries_final": "SELECT count(*) FROM {deliveries} WHERE is_final",
    "deliveries_no_status": "SELECT count(*) FROM {deliveries} WHERE http_status IS NULL",
}
MONEY = {"clicks_cost", "conversions_entry"}
# Besides: a click by its id, conversions joined with their clicks, and days in the path.
LOOK_UP = "SELECT count(*) FROM {clicks} WHERE click_id = '{id}'"
JOIN = "SELECT count(*) FROM {conversions} AS o JOIN {clicks} AS c ON o.click_id = c.click_id"
DAYS = "SELECT count(DISTINCT dt) FROM {clicks}"


def micros(value):
    """An amount as whole millionths, refused if a float had its hands on it."""
    assert isinstance(value, Decimal), f"{value!r} is a {type(value).__name__}, no decimal"
    scaled = value * 1_000_000
    assert scaled == int(scaled), f"{value} has more than six places"
    return int(scaled)


def by_sql(tables, colour, ask):
    names = {**tables, "colour": colour}
    found = {}
    for name, question in QUESTIONS.items():
        answer = ask(question.format(**names))
        found[name] = micros(answer) if name in MONEY else int(answer)
    return found, lambda question, **more: int(ask(question.format(**names, **more)))


def duckdb(export):
    import duckdb as reader

    connection = reader.connect()
    tables = {name: f"'{export}/{name}/v1/*/*.parquet'" for name in ("clicks", "conversions", "deliveries")}
    ask = lambda sql: connection.execute(sql).fetchone()[0]
    found, more = by_sql(tables, "params['colour']", ask)
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {tables['clicks']}").fetchall()}
    wanted = {
        "time": "TIMESTAMP WITH TIME ZONE", "click_id": "VARCHAR", "cost": "DECIMAL(18,6)", "is_net": "BOOLEAN",
        "asn": "BIGINT", "params": "MAP(VARCHAR, VARCHAR)", "dt": "DATE", "ordinal": "INTEGER",
    }
    sql = f"SELECT sum(epoch_us(time) - {BEGIN_MICROS}) FROM {tables['clicks']}"
    found["clicks_time"] = int(ask(sql))
    return reader.__version__, found, more, types, wanted


def clickhouse(export):
    import chdb as reader

    def table(name):
        return f"file('{export}/{name}/v1/*/*.parquet')"

    def rows(sql):
        text = str(reader.query(sql, "TabSeparated")).rstrip("\n")
        return [line.split("\t") for line in text.split("\n")]

    def ask(sql):
        value = rows(sql)[0][0]
        return Decimal(value)

    tables = {name: table(name) for name in ("clicks", "conversions", "deliveries")}
    found, more = by_sql(tables, "params['colour']", ask)
    types = {row[0]: row[1].replace("\\'", "'") for row in rows(f"DESCRIBE TABLE {tables['clicks']}")}
    wanted = {
        "time": "DateTime64(6, 'UTC')", "click_id": "Nullable(String)", "cost": "Nullable(Decimal(18, 6))",
        "is_net": "Bool", "asn": "Nullable(Int64)", "params": "Map(String, String)", "ordinal": "Int32",
    }
    sql = f"SELECT sum(toUnixTimestamp64Micro(time) - {BEGIN_MICROS}) FROM {tables['clicks']}"
    found["clicks_time"] = int(ask(sql))
    return reader.__version__, found, more, types, wanted


def polars(export):
    import polars as reader

    scans = {name: reader.scan_parquet(f"{export}/{name}/v1/") for name in ("clicks", "conversions", "deliveries")}
    clicks, conversions, deliveries = scans["clicks"], scans["conversions"], scans["deliveries"]
    column = reader.col
    one = lambda frame: frame.collect().item()
    count = lambda frame: one(frame.select(reader.len()))
    colour = column("params").map.get("colour")
    found = {
        "clicks": count(clicks),
        "clicks_net": count(clicks.filter("is_net")),
        "clicks_cost": micros(one(clicks.select(column("cost").sum()))),
        "clicks_time": one(clicks.select((column("time").dt.timestamp("us") - BEGIN_MICROS).sum())),
        "clicks_zone_7": count(clicks.filter(column("zone") == "7")),
        "clicks_colour_blue": count(clicks.filter(colour == 'blå "1"')),
        "clicks_no_offer": count(clicks.filter(column("offer").is_null())),
        "conversions": count(conversions),
        "conversions_entry": micros(one(conversions.select(column("entry").sum()))),
        "conversions_with_click": count(conversions.filter(column("click_id").is_not_null())),
        "deliveries": count(deliveries),
        "deliveries_final": count(deliveries.filter("is_final")),
        "deliveries_no_status": count(deliveries.filter(column("http_status").is_null())),
    }

    def more(question, **names):
        if question == LOOK_UP:
            return count(clicks.filter(column("click_id") == names["id"]))
        if question == JOIN:
            return count(conversions.join(clicks, on="click_id"))
        return one(clicks.select(column("dt").n_unique()))

    types = {name: str(kind) for name, kind in clicks.collect_schema().items()}
    wanted = {
        "time": "Datetime(time_unit='us', time_zone='UTC')", "click_id": "String",
        "cost": "Decimal(precision=18, scale=6)", "is_net": "Boolean", "asn": "Int64", "dt": "Date",
        "params": "Map(String, String)", "ordinal": "Int32",
    }
    return reader.__version__, found, more, types, wanted


def pyarrow(export):
    import pyarrow as reader
    import pyarrow.compute as compute
    import pyarrow.parquet as files

    tables = {name: files.read_table(f"{export}/{name}/v1") for name in ("clicks", "conversions", "deliveries")}
    clicks, conversions, deliveries = tables["clicks"], tables["conversions"], tables["deliveries"]
    total = lambda values: compute.sum(values).as_py()
    colour = compute.map_lookup(clicks["params"], "colour", "first")
    found = {
        "clicks": len(clicks),
        "clicks_net": total(clicks["is_net"]),
        "clicks_cost": micros(total(clicks["cost"])),
        "clicks_time": total(compute.subtract(clicks["time"].cast("int64"), BEGIN_MICROS)),
        "clicks_zone_7": total(compute.equal(clicks["zone"], "7")),
        "clicks_colour_blue": total(compute.equal(colour, 'blå "1"')),
        "clicks_no_offer": clicks["offer"].null_count,
        "conversions": len(conversions),
        "conversions_entry": micros(total(conversions["entry"])),
        "conversions_with_click": len(conversions) - conversions["click_id"].null_count,
        "deliveries": len(deliveries),
        "deliveries_final": total(deliveries["is_final"]),
        "deliveries_no_status": deliveries["http_status"].null_count,
    }

    def more(question, **names):
        if question == LOOK_UP:
            return total(compute.equal(clicks["click_id"], names["id"]))
        if question == JOIN:
            keys = conversions.select(["click_id"])
            return len(keys.join(clicks.select(["click_id"]), "click_id", join_type="inner"))
        return len(compute.unique(clicks["dt"]))

    types = {field.name: str(field.type) for field in clicks.schema}
    wanted = {
        "time": "timestamp[us, tz=UTC]", "click_id": "string", "cost": "decimal128(18, 6)", "is_net": "bool",
        "asn": "int64", "params": "map<string, string ('params')>", "ordinal": "int32",
    }
    return reader.__version__, found, more, types, wanted


def compare(name, reader, export, expected):
    version, found, more, types, wanted = reader(export)
    wrong = [f"{key} is {found[key]}, not {expected[key]}" for key in found if str(found[key]) != expected[key]]
    wrong += [f"{key} was not asked" for key in expected if key not in found and key != "a_click_id"]
    wrong += [f"{key} is of type {types.get(key)}, not {kind}" for key, kind in wanted.items() if types.get(key) != kind]
    besides = {
        "a click by its id": (more(LOOK_UP, id=expected["a_click_id"]), "1"),
        "conversions with their clicks": (more(JOIN), expected["conversions_with_click"]),
        "days": (more(DAYS), "2"),
    }
    wrong += [f"{key}: {got}, not {want}" for key, (got, want) in besides.items() if str(got) != want]
    print(f"{name} {version}: " + ("; ".join(wrong) or f"{len(found)} numbers and {len(wanted)} types agree"))
    return not wrong


def main():
    data = Path(sys.argv[1]).resolve()
    lines = (data / "expected").read_text().splitlines()
    expected = dict(line.split(" ", 1) for line in lines)
    readers = {"DuckDB": duckdb, "Polars": polars, "PyArrow": pyarrow, "ClickHouse (chdb)": clickhouse}
    agree = [compare(name, reader, data / "export", expected) for name, reader in readers.items()]
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()
