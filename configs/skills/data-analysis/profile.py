"""What is in a table? Prints its size, columns and oddities. usage: profile.py FILE [SHEET]"""

import csv
import sys
from pathlib import Path

import pandas as pd

MOST_COLUMNS = 60


def read(path: Path, sheet: str | None) -> tuple[pd.DataFrame, str]:
    """The table, and the call that reads it."""
    if path.suffix.lower() in (".xlsx", ".xlsm", ".xls"):
        sheets = pd.read_excel(path, sheet_name=None)
        name = sheet or next(iter(sheets))
        if len(sheets) > 1:
            print(f"sheets: {', '.join(map(str, sheets))}")
        return sheets[name], f"pd.read_excel({path.name!r}, sheet_name={name!r})"
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        lines = path.suffix.lower() != ".json"
        return pd.read_json(path, lines=lines), f"pd.read_json({path.name!r}, lines={lines})"
    head = path.open(encoding="utf-8-sig", errors="replace").read(65_536)
    try:
        separator = csv.Sniffer().sniff(head, delimiters=",;\t|").delimiter
    except csv.Error:
        separator = ","
    decimal = "," if separator == ";" else "."
    call = f"pd.read_csv({path.name!r}, sep={separator!r}, decimal={decimal!r})"
    return pd.read_csv(path, sep=separator, decimal=decimal, encoding="utf-8-sig", encoding_errors="replace"), call


def suspicions(texts: pd.Series) -> list[str]:
    if not len(texts):
        return []
    if pd.to_numeric(texts.str.replace(",", ".", regex=False), errors="coerce").notna().mean() > 0.8:
        return ["WARNING: looks like numbers that were read as text"]
    dates = pd.to_datetime(texts.head(50), errors="coerce", format="mixed")
    return ["looks like dates"] if dates.notna().mean() > 0.8 else []


def describe(name: object, column: pd.Series) -> str:
    missing = int(column.isna().sum())
    parts = [f"{name}: {column.dtype}"]
    if missing:
        parts.append(f"{missing} missing ({missing / len(column):.0%})")
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        low, middle, high = column.quantile([0, 0.5, 1])
        parts.append(f"min {low:g}, median {middle:g}, max {high:g}, mean {column.mean():g}")
        spread = column.quantile(0.75) - column.quantile(0.25)
        far = int(((column - middle).abs() > 5 * spread).sum()) if spread else 0
        if far:
            parts.append(f"{far} far outliers")
    else:
        texts = column.dropna().astype("string")
        frequent = ", ".join(f"{value!r} ({count})" for value, count in texts.value_counts().head(3).items())
        parts.append(f"{texts.nunique()} values; most frequent: {frequent}")
        parts += suspicions(texts)
    return "; ".join(parts)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    table, call = read(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    print(f"read with: {call}")
    print(f"{len(table)} rows, {len(table.columns)} columns")
    if duplicates := int(table.astype("string").duplicated().sum()):
        print(f"WARNING: {duplicates} rows stand there more than once")
    if len(table.columns) == 1:
        print("WARNING: one column only; is the separator right?")
    for name in table.columns[:MOST_COLUMNS]:
        print("-", describe(name, table[name]))
    if len(table.columns) > MOST_COLUMNS:
        print(f"- and {len(table.columns) - MOST_COLUMNS} more columns")


main()
