"""A back-office by the library `ocpp`: a central system of 1.6 and 2.0.1 that remembers in a file and fails.

Usage: backoffice.py PORT FILE SEED [CERTIFICATE KEY]. With a certificate it speaks TLS. Writes a line for each message of a transaction, once, before it answers it; ends by
itself now and then, between hearing, writing and answering. A message whose id it has written is answered as it was. SEED 0 does
not fail.
"""

import asyncio
import json
import os
import random
import ssl
import sys

import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v201 import ChargePoint as ChargingStation
from ocpp.v201 import call_result as result_201

PORT, FILE, SEED = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
CHANCE = random.Random(SEED)
TOKEN = {"status": "Accepted"}


def fail():
    if SEED and CHANCE.random() < 0.06:
        os._exit(3)


def written():
    try:
        with open(FILE) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def remember(unique_id, kind, about):
    """The line of this message, written now unless it was before."""
    fail()
    lines = written()
    for line in lines:
        if line["id"] == unique_id:
            return line
    if kind == "start" and "number" not in about:
        about["number"] = 500_000 + len(lines)
    line = {"id": unique_id, "kind": kind, **about}
    with open(FILE, "a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fail()
    return line


class Charger(ChargePoint):
    @on("BootNotification")
    def boot(self, **_):
        return call_result.BootNotification(current_time="2026-05-04T10:00:00Z", interval=300, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self, **_):
        return call_result.Heartbeat(current_time="2026-05-04T10:00:00Z")

    @on("StatusNotification")
    def status(self, **_):
        return call_result.StatusNotification()

    @on("StartTransaction")
    def start_transaction(self, meter_start, timestamp, call_unique_id, **_):
        line = remember(call_unique_id, "start", {"register": meter_start, "time": timestamp})
        return call_result.StartTransaction(transaction_id=line["number"], id_tag_info=TOKEN)

    @on("MeterValues")
    def meter_values(self, transaction_id, meter_value, call_unique_id, **_):
        value = int(meter_value[0]["sampled_value"][0]["value"])
        remember(call_unique_id, "meter", {"number": transaction_id, "register": value})
        return call_result.MeterValues()

    @on("StopTransaction")
    def stop_transaction(self, transaction_id, meter_stop, call_unique_id, **_):
        remember(call_unique_id, "stop", {"number": transaction_id, "register": meter_stop})
        return call_result.StopTransaction()


class Station(ChargingStation):
    @on("BootNotification")
    def boot(self, **_):
        return result_201.BootNotification(current_time="2026-05-04T10:00:00Z", interval=300, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self, **_):
        return result_201.Heartbeat(current_time="2026-05-04T10:00:00Z")

    @on("StatusNotification")
    def status(self, **_):
        return result_201.StatusNotification()

    @on("TransactionEvent")
    def transaction_event(self, event_type, seq_no, transaction_info, meter_value, call_unique_id, offline=False, **_):
        kind = {"Started": "start", "Updated": "meter", "Ended": "stop"}[event_type]
        value = int(meter_value[0]["sampled_value"][0]["value"])
        about = {"number": transaction_info["transaction_id"], "seq_no": seq_no, "register": value, "late": offline}
        remember(call_unique_id, kind, about)
        return result_201.TransactionEvent()


async def serve(socket):
    kind = Station if socket.subprotocol == "ocpp2.0.1" else Charger
    try:
        await kind(socket.request.path, socket).start()
    except websockets.exceptions.ConnectionClosed:
        pass


async def main():
    tls = None
    if len(sys.argv) > 4:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[4], sys.argv[5])
    protocols = ["ocpp1.6", "ocpp2.0.1"]
    async with websockets.serve(serve, "127.0.0.1", PORT, subprotocols=protocols, ssl=tls):
        print("ready", flush=True)
        await asyncio.Future()


asyncio.run(main())
