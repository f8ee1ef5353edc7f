"""What an evaluation found, for people: tables on the console and one HTML file."""

from panoptic_ros.evaluation.report.page import write_report

__all__ = ["write_report"]
