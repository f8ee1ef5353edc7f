"""Jobs on many processes: of this machine, or of a Ray cluster."""

from panoptic_ros.distributed.jobs import Event, Kind, Loader, Report, Workers, run_jobs

__all__ = ["Event", "Kind", "Loader", "Report", "Workers", "run_jobs"]
