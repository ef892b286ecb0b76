"""Where the time of a trace goes, line by line: what `zt train --profile` and `zt bench --trace` wrote.

usage: trace_summary.py TRACE.json [TRACE.json...]
For each list of operations (first, middle, last or only micro-step; boundary), averaged over its runs: its length; each
kind of operation with its stream, count and time; the time in which only communication ran, by the operation that
ran; the time in which nothing ran.
"""

import collections
import functools
import itertools
import json
import math
import re
import sys


def repetitions(names):
    """How often a list repeats its beginning."""
    for count in range(len(names), 1, -1):
        period, rest = divmod(len(names), count)
        if rest == 0 and names == names[:period] * count:
            return count
    return 1


def runs_of(events):
    """Neighbouring operations of one variant, cut into its runs: each stream repeats the same operations."""
    runs = []
    for _, block in itertools.groupby(sorted(events, key=lambda e: e["ts"]), key=lambda e: e["cat"]):
        streams = collections.defaultdict(list)
        for event in block:
            streams[event["tid"]].append(event)
        count = functools.reduce(math.gcd, (repetitions([e["name"] for e in list_]) for list_ in streams.values()))
        for turn in range(count):
            runs.append([event for list_ in streams.values()
                         for event in list_[len(list_) * turn // count:len(list_) * (turn + 1) // count]])
    return runs


def union(intervals):
    total, end = 0.0, float("-inf")
    for begin, stop in sorted(intervals):
        total += max(0.0, stop - max(begin, end))
        end = max(end, stop)
    return total


def uncovered(begin, stop, intervals):
    """Length of [begin, stop) outside of the intervals."""
    inside = [(max(begin, a), min(stop, b)) for a, b in intervals if b > begin and a < stop]
    return (stop - begin) - union(inside)


def kind_of(name):
    return re.sub(r" bucket \d+", "", re.sub(r" [uL]\d+", "", name))


def summarise(variant, runs, streams):
    """streams: the names of the trace's threads; the first one computes."""
    length = idle = 0.0
    kinds, exposed = collections.defaultdict(lambda: [0, 0.0]), collections.defaultdict(float)
    for run in runs:
        spans = {tid: [(e["ts"], e["ts"] + e["dur"]) for e in run if e["tid"] == tid] for tid in streams}
        begin, end = min(e["ts"] for e in run), max(e["ts"] + e["dur"] for e in run)
        length += end - begin
        idle += (end - begin) - union([span for stream in spans.values() for span in stream])
        for event in run:
            entry = kinds[event["tid"], kind_of(event["name"])]
            entry[0] += 1
            entry[1] += event["dur"]
            if event["tid"] != 0:
                exposed[event["name"]] += uncovered(event["ts"], event["ts"] + event["dur"], spans[0])
    count = len(runs)
    print(f"{variant}: {count} runs, {length / count / 1e3:.2f} ms each")
    for (tid, kind), (number, time) in sorted(kinds.items(), key=lambda item: (item[0][0], -item[1][1])):
        print(f"  {streams[tid]:10s} {kind:12s} {number // count:4d} x {time / number:9.1f} us = {time / count / 1e3:8.2f} ms")
    worst = sorted(exposed.items(), key=lambda item: -item[1])[:6]
    print(f"  nothing computes beside: {sum(exposed.values()) / count / 1e3:.2f} ms ("
          + ", ".join(f"{name} {time / count / 1e3:.2f}" for name, time in worst) + f"); nothing runs: {idle / count / 1e3:.2f} ms")


def main():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)["traceEvents"]
        streams = {event["tid"]: event["args"]["name"] for event in told if event["name"] == "thread_name"}
        events = [event for event in told if event["ph"] == "X"]
        print(f"{path}: {len(events)} operations")
        by_variant = collections.defaultdict(list)
        for run in runs_of(events):
            by_variant[run[0]["cat"]].append(run)
        for variant, runs in by_variant.items():
            summarise(variant, runs, streams)


if __name__ == "__main__":
    main()
