"""Runs a few blocking calls at once, and does not wait for ever for any of them."""

import threading
import time


def in_parallel(calls, timeout, late):
    """Results of the calls in their order.

    calls: functions without arguments; timeout: seconds for all of them together; late(index): stands for the
    result of a call that has not ended by then (a name server that never answers cannot be interrupted).
    """
    results = {}

    def work(index, call):
        results[index] = call()

    threads = [threading.Thread(target=work, args=(i, call), daemon=True) for i, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [results[i] if i in results else late(i) for i in range(len(calls))]
