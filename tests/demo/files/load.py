"""The demo's load: open loop, rising and falling, one JSON line a second.

A request is due at a time that does not depend on the answers before it, and its latency counts from that
time: a service that stalls is not flattered by requests that were never sent.
"""

import json
import math
import os
import queue
import socket
import threading
import time

LOW, HIGH, PERIOD, WORKERS = 20.0, 130.0, 40.0, 8
PHASE = float(os.environ.get("PHASE", "0"))
GROWTH = 1.05  # a histogram bucket is 5 % wide

due: "queue.Queue[float]" = queue.Queue()
lock = threading.Lock()
buckets: dict[int, int] = {}


def rate(now: float) -> float:
    return LOW + (HIGH - LOW) * (0.5 - 0.5 * math.cos(2 * math.pi * (now / PERIOD + PHASE)))


def worker() -> None:
    while True:
        try:
            with socket.create_connection(("127.0.0.1", 8000)) as conn, conn.makefile("rwb", buffering=0) as line:
                while True:
                    intended = due.get()
                    line.write(b"go\n")
                    line.readline()
                    bucket = round(math.log(max(1e-5, time.monotonic() - intended)) / math.log(GROWTH))
                    with lock:
                        buckets[bucket] = buckets.get(bucket, 0) + 1
        except OSError:
            time.sleep(0.2)


for _ in range(WORKERS):
    threading.Thread(target=worker, daemon=True).start()
start = next_at = time.monotonic()
result = start
while True:
    now = time.monotonic()
    while next_at <= now:
        due.put(next_at)
        next_at += 1 / rate(next_at - start)
    if now - result >= 1:
        result = now
        with lock:
            seen, buckets = buckets, {}
        print(
            json.dumps({"at": time.time(), "rate": round(rate(now - start)), "late": due.qsize(), "buckets": seen}),
            flush=True,
        )
    time.sleep(max(0.0005, min(next_at - now, 0.05)))
