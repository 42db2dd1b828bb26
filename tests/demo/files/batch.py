"""The demo's offline work: fifteen CPU seconds of it a pod, however long that takes."""

import time

while time.process_time() < 15:
    sum(i * i for i in range(20_000))
