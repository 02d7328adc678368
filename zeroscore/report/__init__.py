"""A sweep on one self-contained HTML page, and its main plot as a picture for papers."""

from zeroscore.report.write import Report, check_targets, write_report

__all__ = ["Report", "check_targets", "write_report"]
