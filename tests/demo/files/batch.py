"""Offline work: fifteen CPU seconds of it a pod, however long that takes."""

import os
import time

seconds = float(os.environ.get("CPU_SECONDS", "15"))
while time.process_time() < seconds:
    sum(i * i for i in range(20_000))
