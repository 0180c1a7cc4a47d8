"""`batch-ser report`: a complete output as one HTML file."""

from jobs.html_report.making import HtmlReport, ReportOptions, make_report
from jobs.html_report.worth import worth_of_model

__all__ = ["HtmlReport", "ReportOptions", "make_report", "worth_of_model"]
