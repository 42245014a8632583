"""A charging station by the library `ocpp`: charges once, loses its connection in the middle, and sends again.

Usage: station.py VERSION PORT. Prints one JSON object: what the central system has answered.
"""

import asyncio
import base64
import json
import sys

import websockets
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201

BEGIN, MIDDLE, END = (f"2026-05-04T{hour}:00:00Z" for hour in (10, 11, 12))


async def connected(version, port):
    coded = base64.b64encode(b"CP-1:secret").decode()
    socket = await websockets.connect(
        f"ws://127.0.0.1:{port}/ocpp/CP-1",
        subprotocols=[f"ocpp{version}"],
        additional_headers={"Authorization": f"Basic {coded}"},
        open_timeout=60,
    )
    assert socket.subprotocol == f"ocpp{version}", socket.subprotocol
    station = (ChargePoint16 if version == "1.6" else ChargePoint201)("CP-1", socket, 60)
    return socket, station, asyncio.create_task(station.start())


async def lost(socket, task):
    """The connection is gone before the answer can have been read."""
    socket.transport.abort()
    await asyncio.gather(task, return_exceptions=True)


def start16():
    return call16.StartTransaction(connector_id=1, id_tag="CARD", meter_start=1000, timestamp=BEGIN)


async def charge16(version, port):
    socket, station, task = await connected(version, port)
    boot = await station.call(call16.BootNotification(charge_point_vendor="V", charge_point_model="M"))
    await station.call(call16.StatusNotification(connector_id=1, error_code="NoError", status="Preparing"))
    allowed = await station.call(call16.Authorize(id_tag="CARD"))
    first = await station.call(start16())
    await lost(socket, task)
    socket, station, task = await connected(version, port)
    again = await station.call(start16())
    assert again.transaction_id == first.transaction_id, (first, again)
    value = {"timestamp": MIDDLE, "sampled_value": [{"value": "1.75", "unit": "kWh"}]}
    await station.call(call16.MeterValues(connector_id=1, transaction_id=again.transaction_id, meter_value=[value]))
    stop = call16.StopTransaction(meter_stop=2500, timestamp=END, transaction_id=again.transaction_id)
    for _ in range(2):
        await station.call(stop)
    await station.call(call16.Heartbeat())
    await lost(socket, task)
    return {"boot": boot.status, "token": allowed.id_tag_info["status"], "transaction": str(again.transaction_id)}


async def charge201(version, port):
    socket, station, task = await connected(version, port)
    about = {"vendor_name": "V", "model": "M"}
    boot = await station.call(call201.BootNotification(charging_station=about, reason="PowerUp"))
    token = {"id_token": "CARD", "type": "ISO14443"}
    allowed = await station.call(call201.Authorize(id_token=token))
    kinds = [("Started", BEGIN, 1000.0), ("Updated", MIDDLE, 1750.0), ("Ended", END, 2500.0)]
    for number, (kind, time, register) in enumerate(kinds):
        event = call201.TransactionEvent(
            event_type=kind,
            timestamp=time,
            trigger_reason="MeterValuePeriodic",
            seq_no=number,
            transaction_info={"transaction_id": "tx-1"},
            evse={"id": 1},
            id_token=token,
            meter_value=[{"timestamp": time, "sampled_value": [{"value": register}]}],
        )
        await station.call(event)
        await lost(socket, task)
        socket, station, task = await connected(version, port)
        await station.call(event)
    await station.call(call201.Heartbeat())
    await lost(socket, task)
    return {"boot": boot.status, "token": allowed.id_token_info["status"], "transaction": "tx-1"}


def main():
    version, port = sys.argv[1:]
    charge = charge16 if version == "1.6" else charge201
    print(json.dumps(asyncio.run(charge(version, port))))


main()
