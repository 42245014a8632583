"""Modbus servers of pymodbus, the other end of the tests in peers.rs, encoded.rs and limits.rs.

Reads one line of JSON from its standard input, a list of servers:

    {"line": "tcp" | "pty", "framer": "socket" | "rtu", "units": [{"unit": 1, "values": [...], "settings": [...]}]}

    value    [table, address, type, text, word order, byte order]: encoded here, by pymodbus where it knows the type
    setting  [address, type, word order, byte order, null | [address, type]]: a register that may be written, and where the
             device shows what was written if not there

A `pty` is a pair of pseudo-terminals, wired together: the server has one end. Prints the list of ports (tcp) and paths of the other
ends (pty), then for every write [server, unit, function, address, number]; serves until it is killed.
"""

import asyncio
import functools
import json
import os
import pty
import struct
import sys
import tty

from pymodbus import FramerType
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

TYPES = ModbusClientMixin.DATATYPE
KNOWN = {
    "u16": TYPES.UINT16,
    "i16": TYPES.INT16,
    "u32": TYPES.UINT32,
    "i32": TYPES.INT32,
    "u64": TYPES.UINT64,
    "i64": TYPES.INT64,
    "f32": TYPES.FLOAT32,
    "f64": TYPES.FLOAT64,
    "string": TYPES.STRING,
}
TABLES = ["coil", "discrete", "holding", "input"]


def number(kind, text):
    return text if kind == "string" else float(text) if kind.startswith("f") else int(text)


def registers(kind, value, words, order):
    """The registers of a value, by pymodbus if it knows the type."""
    if kind in KNOWN:
        encoded = ModbusClientMixin.convert_to_registers(value, KNOWN[kind], words)
    else:
        encoded = unknown(kind, value)
        if words == "little":
            encoded.reverse()
    return [(word & 0xFF) << 8 | word >> 8 for word in encoded] if order == "little" else encoded


def unknown(kind, value):
    """What pymodbus has no type for, most significant first."""
    if kind == "f16":
        return list(struct.unpack(">H", struct.pack(">e", value)))
    if kind.startswith("bcd"):
        digits = f"{value:0{int(kind[3:]) // 4}d}"
        return [int(digits[at : at + 4], 16) for at in range(0, len(digits), 4)]
    count = int(kind.removeprefix("mod10k").removeprefix("magnitude")) // 16
    if kind.startswith("mod10k"):
        parts = [abs(value) // 10000**at % 10000 for at in reversed(range(count))]
        return [(part if value >= 0 else -part) & 0xFFFF for part in parts]
    bits = abs(value) | (value < 0) << 16 * count - 1
    return [bits >> 16 * at & 0xFFFF for at in reversed(range(count))]


async def written(server, unit, settings, function, start, address, count, memory, values):
    """Nothing but the settings may be written; what is written is told, and shown where the device shows it."""
    if values is None:
        return None
    for at, kind, words, order, shown in settings:
        if at == address:
            if order == "little":
                values = [(word & 0xFF) << 8 | word >> 8 for word in values]
            value = ModbusClientMixin.convert_from_registers(values, KNOWN[kind], words)
            print(json.dumps([server, unit, function, address, value]), flush=True)
            if shown:
                place, kind = shown
                encoded = registers(kind, value, words, order)
                memory[place - start : place - start + len(encoded)] = encoded
            return None
    return ExcCodes.ILLEGAL_ADDRESS


def device(server, unit):
    memory = {table: {} for table in TABLES}
    for table, address, kind, text, words, order in unit["values"]:
        encoded = [text == "1"] if kind == "bool" else registers(kind, number(kind, text), words, order)
        memory[table].update(enumerate(encoded, start=address))
    blocks = []
    for table in TABLES:
        bits = table in ("coil", "discrete")
        kind = DataType.BITS if bits else DataType.REGISTERS
        # A table without anything has something at its end, for pymodbus wants no table empty.
        cells = memory[table] or {0xFFFF: False if bits else 0}
        blocks.append([SimData(at, values=[cell], datatype=kind) for at, cell in sorted(cells.items())])
    action = functools.partial(written, server, unit["unit"], unit["settings"])
    return SimDevice(unit["unit"], simdata=tuple(blocks), action=action)


def wired():
    """Two pseudo-terminals that hear each other: the paths of both ends."""
    ends = [pty.openpty() for _ in range(2)]
    for end in ends:
        tty.setraw(end[1])
    loop = asyncio.get_running_loop()
    for (near, _), (far, _) in (ends, reversed(ends)):
        loop.add_reader(near, lambda near=near, far=far: os.write(far, os.read(near, 4096)))
    return [os.ttyname(end[1]) for end in ends]


async def main():
    ends, servers = [], []
    for index, asked in enumerate(json.loads(sys.stdin.readline())):
        devices = [device(index, unit) for unit in asked["units"]]
        framer = FramerType(asked["framer"])
        if asked["line"] == "pty":
            ours, theirs = wired()
            server = ModbusSerialServer(devices, framer=framer, port=ours, baudrate=115200)
        else:
            server = ModbusTcpServer(devices, framer=framer, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        servers.append(server)
        ends.append(theirs if asked["line"] == "pty" else server.transport.sockets[0].getsockname()[1])
    print(json.dumps(ends), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
