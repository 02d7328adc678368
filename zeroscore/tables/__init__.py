"""Accuracy and cost of architectures, from files: numbers, never networks."""

from zeroscore.tables.base import Metric, Table
from zeroscore.tables.convert import Conversion, convert
from zeroscore.tables.frame import FrameTable
from zeroscore.tables.load import installed_tables, load_table, tables_dir
from zeroscore.tables.records import RecordTable

__all__ = [
    "Conversion",
    "FrameTable",
    "Metric",
    "RecordTable",
    "Table",
    "convert",
    "installed_tables",
    "load_table",
    "tables_dir",
]
