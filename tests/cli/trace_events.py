"""What Chrome's trace event format asks of a file with complete events: the viewers themselves show what they can of a
wrong one and are silent about the rest. The format is described in the document "Trace Event Format" of the Chromium
project: times are microseconds, every event has ph, ts, pid and tid, complete events (X) of one thread lie in one another
or apart, and metadata (M) names processes and threads."""

import math

REQUIRED = {"name": str, "ph": str, "ts": (int, float), "pid": int, "tid": int}
LABELS = {"process_name", "thread_name"}
ROUNDING = 1e-3  # of a microsecond: both ends of a span are whole nanoseconds


def is_time(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def of_one_event(event):
    """What is wrong with it by itself."""
    if not isinstance(event, dict):
        return ["an event is no object"]
    wrong = []
    for key, kind in REQUIRED.items():
        if not isinstance(event.get(key), kind) or isinstance(event.get(key), bool):
            wrong.append(f"{key} is missing or of another type")
    if not is_time(event.get("ts")):
        wrong.append("ts is no time")
    phase = event.get("ph")
    if phase == "X":
        if not is_time(event.get("dur")):
            wrong.append("dur is no time")
        if not isinstance(event.get("cat"), str):
            wrong.append("a complete event without category")
    elif phase == "M":
        if event.get("name") not in LABELS:
            wrong.append("metadata of no known name")
        arguments = event.get("args")
        if not isinstance(arguments, dict) or not isinstance(arguments.get("name"), str) or not arguments["name"]:
            wrong.append("metadata that names nothing")
    else:
        wrong.append(f"phase {phase!r} is neither X nor M")
    if "args" in event and not isinstance(event["args"], dict):
        wrong.append("args is no object")
    return wrong


def of_nesting(spans):
    """Of one thread: each lies in the one that is open, or begins after its end."""
    wrong = []
    open_ends = []
    for span in sorted(spans, key=lambda event: (event["ts"], -event["dur"])):
        begin, end = span["ts"], span["ts"] + span["dur"]
        while open_ends and begin >= open_ends[-1] - ROUNDING:
            open_ends.pop()
        if open_ends and end > open_ends[-1] + ROUNDING:
            wrong.append(f"{span['name']} at {begin} ends after what it lies in")
        open_ends.append(end)
    return wrong


def problems(trace):
    """Sentences; none when the file is right."""
    if not isinstance(trace, dict) or not isinstance(trace.get("traceEvents"), list):
        return ["no object with an array traceEvents"]
    wrong = [] if trace.get("displayTimeUnit") in ("ms", "ns") else ["displayTimeUnit is neither ms nor ns"]
    events = trace["traceEvents"]
    for index, event in enumerate(events):
        wrong += [f"event {index}: {sentence}" for sentence in of_one_event(event)]
    if wrong:
        return wrong
    spans = [event for event in events if event["ph"] == "X"]
    labels = {(event["name"], event["pid"], event["tid"] if event["name"] == "thread_name" else None)
              for event in events if event["ph"] == "M"}
    for process, thread in {(event["pid"], event["tid"]) for event in spans}:
        wrong += of_nesting([event for event in spans if (event["pid"], event["tid"]) == (process, thread)])
        if ("process_name", process, None) not in labels:
            wrong.append(f"process {process} has no name")
        if ("thread_name", process, thread) not in labels:
            wrong.append(f"thread {thread} has no name")
    return wrong if spans else wrong + ["nothing but names"]


def milliseconds(trace, category, thread):
    """Of all complete events of a category and thread together, ts and dur being microseconds."""
    return sum(event["dur"] for event in trace["traceEvents"]
               if event["ph"] == "X" and event["cat"] == category and event["tid"] == thread) / 1e3
