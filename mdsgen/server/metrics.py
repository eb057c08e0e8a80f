"""What has been done since the start, as Prometheus reads it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mdsgen.server.jobs import Jobs

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Metrics:
    """Counts of answers by status, of clips, and of seconds; changed in the event loop alone."""

    answers: Counter[int] = field(default_factory=Counter)
    clips: int = 0
    cancelled: int = 0
    received_bytes: int = 0
    sound_seconds: float = 0.0
    compute_seconds: float = 0.0

    def page(self, jobs: Jobs) -> str:
        """The text exposition format."""
        answers = [f'mdsgen_answers_total{{status="{status}"}} {n}' for status, n in sorted(self.answers.items())]
        return "\n".join(
            [
                "# HELP mdsgen_answers_total Answers to requests, by HTTP status.",
                "# TYPE mdsgen_answers_total counter",
                *answers,
                *_metric("mdsgen_clips_total", "counter", "Clips that were made.", self.clips),
                *_metric("mdsgen_cancelled_total", "counter", "Requests whose client left.", self.cancelled),
                *_metric("mdsgen_received_bytes_total", "counter", "Bytes of films.", self.received_bytes),
                *_metric("mdsgen_sound_seconds_total", "counter", "Seconds of sound made.", self.sound_seconds),
                *_metric("mdsgen_compute_seconds_total", "counter", "Seconds it took.", self.compute_seconds),
                *_metric("mdsgen_jobs", "gauge", "Requests in the row, the running one too.", len(jobs)),
                *_metric("mdsgen_jobs_running", "gauge", "Clips being made.", jobs.running),
                "",
            ]
        )


def _metric(name: str, kind: str, text: str, value: float) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value:.10g}"]
