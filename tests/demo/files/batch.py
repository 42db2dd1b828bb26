"""The demo's offline work: three CPU seconds of it a pod, however long that takes."""

import time

while time.process_time() < 3:
    sum(i * i for i in range(20_000))
