#!/usr/bin/python3
"""A driver for hawser-agent: every device that it is given is a thermometer, read from a file of the kernel or made up.

settings: {"interval": seconds, "file": "/sys/class/thermal/thermal_zone0/temp"}
It keeps what is not acknowledged and sends it again, so that nothing is lost.  docs/driver-protocol.md is the protocol.
"""
import json
import queue
import random
import sys
import threading
import time

MAX_WAITING = 1000

incoming = queue.Queue(maxsize=1000)


def say(**line):
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def listen():
    """Hands the agent's lines over; None when there are no more."""
    for text in sys.stdin:
        incoming.put(json.loads(text))
    incoming.put(None)


def temperature(path):
    if path is None:
        return round(random.uniform(20, 22), 2)
    with open(path) as f:
        return int(f.read()) / 1000


def main():
    threading.Thread(target=listen, daemon=True).start()
    say(type="hello", version=1, name="thermometer")
    settings, waiting, limits, number = {}, {}, {}, 0
    due = time.monotonic() + 3600
    while True:
        try:
            line = incoming.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            line = {"type": "due"}
        if line is None:
            return
        kind = line["type"]
        if kind == "stop":
            return
        if kind == "welcome":
            settings = line["config"]
            for d in line["devices"]:
                say(type="attach", product=d["product"], device=d["device"])
            due = time.monotonic()
        elif kind == "attached":
            limits[line["product"], line["device"]] = None
        elif kind == "ping":
            say(type="pong", id=line["id"])
        elif kind == "ack":
            waiting.pop(line["id"], None)
        elif kind == "nack" and not line.get("retry"):
            waiting.pop(line["id"], None)
        elif kind == "message" and line["topic"].endswith("/tmodel/property/set"):
            _, _, product, device = line["topic"].split("/")[:4]
            request = line["payload"]
            limits[product, device] = request["Property"].get("limit")
            number += 1
            say(type="publish", id=number, topic="/$system/%s/%s/tmodel/property/set_reply" % (product, device),
                payload={"RequestID": request["RequestID"], "RetCode": 0})
        elif kind == "due":
            due = time.monotonic() + settings.get("interval", 10)
            for id in [id for id, (_, sent) in waiting.items() if time.monotonic() - sent > 30]:
                again, _ = waiting.pop(id)
                number += 1
                waiting[number] = (again, time.monotonic())
                say(type="publish", id=number, **again)
            for (product, device) in limits:
                if len(waiting) >= MAX_WAITING:
                    break
                number += 1
                post = {"RequestID": str(number), "Property": {"temperature": {
                    "Value": temperature(settings.get("file")), "Time": int(time.time() * 1000)}}}
                message = {"topic": "/$system/%s/%s/tmodel/property/post" % (product, device), "payload": post}
                waiting[number] = (message, time.monotonic())
                say(type="publish", id=number, **message)


if __name__ == "__main__":
    main()
