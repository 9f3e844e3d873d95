"""Settings of the project that is soaked: workers are replaced often, ended tasks soon pruned."""

from benchmarks.settings import DATABASES, SECRET_KEY, USE_TZ
from benchmarks.settings import INSTALLED_APPS as BENCH_APPS

__all__ = ["DATABASES", "INSTALLED_APPS", "PARTISAN_CONFIG", "SECRET_KEY", "USE_TZ"]

INSTALLED_APPS = [*BENCH_APPS, "benchmarks.soak.soak_app"]
PARTISAN_CONFIG = {
    "default": {
        "TASKS_PER_WORKER_INSTANCE": 2_000,
        "WORKER_MAX_MEMORY_MB": 150,
        "KEEP_FINISHED_SECONDS": 20,
        "KEEP_FAILED_SECONDS": 40,
    }
}
