"""`batch-ser report`: a complete output as one HTML file."""

from jobs.html_report.making import HtmlReport, ReportOptions, make_report

__all__ = ["HtmlReport", "ReportOptions", "make_report"]
