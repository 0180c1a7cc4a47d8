"""Print the first rows of a segments table."""

import sys

import pandas as pd

COLUMNS = ["file", "channel", "start_s", "end_s", "emotion", "confidence"]

table = pd.read_parquet(sys.argv[1], columns=COLUMNS)
print(f"\nthe first of {len(table)} rows of {sys.argv[1]}, without their probability columns:")
print(table.head(12).round(2).to_string(index=False))
