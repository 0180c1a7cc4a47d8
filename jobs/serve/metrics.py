"""What `/metrics` states, in the format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
TOGETHER = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counts of one server."""

    def __init__(self, model: str, version: str) -> None:
        registry = self._registry = CollectorRegistry()
        info = Gauge("batch_ser_info", "The server.", ["model", "version"], registry=registry)
        info.labels(model, version).set(1)
        self.requests = Counter(
            "batch_ser_requests",
            "Uploads by outcome: ok, empty (no speech), or the reason of a refusal.",
            ["outcome"],
            registry=registry,
        )
        self.in_progress = Gauge(
            "batch_ser_requests_in_progress", "Uploads at this moment.", registry=registry
        )
        self.seconds = Histogram(
            "batch_ser_request_seconds",
            "From the first byte of an upload to its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self.bytes = Counter("batch_ser_upload_bytes", "Bytes of uploads.", registry=registry)
        self.segments = Counter("batch_ser_segments", "Segments scored.", registry=registry)
        self._callers = Histogram(
            "batch_ser_batch_callers",
            "Requests whose segments are scored together.",
            buckets=TOGETHER,
            registry=registry,
        )
        self._pieces = Histogram(
            "batch_ser_batch_pieces",
            "Segments, or pieces of long ones, that are scored together.",
            buckets=TOGETHER,
            registry=registry,
        )

    def observe_batch(self, callers: int, pieces: int) -> None:
        """Count what is scored together."""
        self._callers.observe(callers)
        self._pieces.observe(pieces)

    def as_text(self) -> bytes:
        return generate_latest(self._registry)
