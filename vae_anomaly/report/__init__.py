"""The report for fraud analysts: one page that needs nothing but itself. The extra `report` brings what it takes."""

from vae_anomaly.report.facts import Report
from vae_anomaly.report.summary import Origin, summarise
from vae_anomaly.report.writing import write_page, write_report

__all__ = ["Origin", "Report", "summarise", "write_page", "write_report"]
