"""Eclipse Paho for Python as a worker of the interoperability tests; see ../worker_test.go for its argument and its events."""
import json
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.packettypes import PacketTypes

job = json.loads(sys.argv[1])
lock = threading.Lock()
numbers = {}  # message id -> number, of what is not acknowledged
early = set()  # ids acknowledged before publish() had returned them
connected = threading.Event()
ready = None  # the socket that connected is said of


def say(event):
    with lock:
        print(json.dumps(event), flush=True)


def on_connect(client, userdata, flags, code, properties=None):
    global ready
    ready = client.socket()
    present = bool(flags["session present"])
    say({"present": present})
    if not present and job["subscribe"]:
        client.subscribe(job["subscribe"], 2)
    else:
        say({"subscribed": True})
        connected.set()


def on_socket_close(client, userdata, sock):
    # Not on_disconnect: a publish that fails calls that in its own thread, maybe after the next connection stands.
    if sock is ready:
        connected.clear()


def on_subscribe(client, userdata, mid, codes, properties=None):
    say({"subscribed": True})
    connected.set()


def on_publish(client, userdata, mid):
    with lock:
        n = numbers.pop(mid, None)
        if n is None:
            early.add(mid)
    if n is not None:
        say({"acked": n})


def on_message(client, userdata, message):
    say({"got": message.payload.decode()})


five = job["version"] == 5
client = mqtt.Client(job["clientId"], protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311, **({} if five else {"clean_session": False}))
client.username_pw_set(job["username"], job["password"])
client.on_connect, client.on_socket_close, client.on_subscribe, client.on_publish, client.on_message = on_connect, on_socket_close, on_subscribe, on_publish, on_message
client.reconnect_delay_set(0.02, 0.02)
client.max_queued_messages_set(0)
if job["tls"]:
    client.tls_set(job["ca"])
how = {}
if five:
    how["properties"] = Properties(PacketTypes.CONNECT)
    how["properties"].SessionExpiryInterval = 300
    how["clean_start"] = False
client.connect(job["host"], job["port"], 60, **how)
client.loop_start()
for n in range(1, job["count"] + 1):
    # The library sends more than the server's Receive Maximum after a connection that began with messages in hand.
    connected.wait(30)
    mid = client.publish(job["topic"], json.dumps({"n": n}), job["qos"]).mid
    with lock:
        numbers[mid] = n
        done = mid in early
        early.discard(mid)
        if done:
            del numbers[mid]
    if done:
        say({"acked": n})
    time.sleep(job["pause"] / 1000)
sys.stdin.read()
client.disconnect()
client.loop_stop()
