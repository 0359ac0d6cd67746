"""Does what `ops/analytics.md` and `ops/format.md` show work, and do all readers find the same?

In: a folder with `export/` and `expected`, as `examples/analysts.rs` makes it. Out: one line a snippet, exit status 1 where one
fails or differs. A snippet is a code block behind `<!-- run: NAME -->`, run as it stands but for the folder's name.
"""

import contextlib
import io
import re
import sys
from decimal import Decimal
from pathlib import Path

COLUMNS = ("campaign", "clicks", "net", "conversions", "revenue")


def snippets(page):
    marked = re.compile(r"^<!-- run: (\w+) -->\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return marked.findall(page)


def cell(name, value):
    if name == "campaign":
        return str(value)
    assert not isinstance(value, float), f"{name} is a float: {value!r}"
    return Decimal(value)


def table(rows):
    return [tuple(cell(name, value) for name, value in zip(COLUMNS, row, strict=True)) for row in rows]


def run_duckdb(code):
    import duckdb

    return duckdb.connect().execute(code).fetchall()


def run_chdb(code):
    import chdb

    text = str(chdb.query(code.rstrip().rstrip(";"), "TabSeparated")).rstrip("\n")
    return [line.split("\t") for line in text.split("\n")]


def run_python(code):
    names = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "snippet", "exec"), names)
    if "rows" in names:
        return names["rows"]
    if "answer" not in names:
        return [line.split() for line in said.getvalue().splitlines()]
    answer = names["answer"]
    return answer.rows() if hasattr(answer, "rows") else list(answer.itertuples(index=False, name=None))


def main():
    data = Path(sys.argv[1]).resolve()
    expected = dict(line.split(" ", 1) for line in (data / "expected").read_text().splitlines())
    ops = Path(__file__).parent.parent / "ops"
    page = "".join((ops / name).read_text() for name in ("analytics.md", "format.md"))
    runs = {"duckdb": run_duckdb, "chdb": run_chdb}
    first, is_right = None, True
    found = snippets(page)
    assert len(found) == page.count("<!-- run: "), "a snippet is not marked as one"
    for name, code in found:
        (data / "iceberg").mkdir(exist_ok=True)
        for folder in ("-iceberg", "-delta", ""):
            code = code.replace(f"/var/lib/clicklog{folder}/", f"{data}/{folder[1:]}{'/' if folder else ''}")
        code = code.replace("/var/lib/clicklog-iceberg", f"{data}/iceberg")
        code = code.replace("0" * 26, expected["a_click_id"])
        answer = runs.get(name, run_python)(code)
        if isinstance(answer, int):
            wrong = answer != int(expected["clicks"])
        elif "click_id = '" in code:
            wrong = len(answer) != 1
        else:
            answer = table(answer)
            first = first or answer
            wrong = answer != first or len(answer) < 2 or any(row[4] == 0 for row in answer)
        is_right &= not wrong
        print(f"snippet for {name}: " + (f"{answer!r} is wrong" if wrong else "works"))
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
