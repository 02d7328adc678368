"""Accuracy and cost of architectures, from files: numbers, never networks."""

from zeroscore.tables.base import Metric, Table
from zeroscore.tables.convert import Conversion, convert
from zeroscore.tables.download import Download, download
from zeroscore.tables.frame import FrameTable
from zeroscore.tables.load import installed_tables, load_table, tables_dir
from zeroscore.tables.records import RecordTable

__all__ = [
    "Conversion",
    "Download",
    "FrameTable",
    "Metric",
    "RecordTable",
    "Table",
    "convert",
    "download",
    "installed_tables",
    "load_table",
    "tables_dir",
]
