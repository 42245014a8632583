"""A Modbus server of pymodbus, the other end of the tests in peers.rs.

Arguments: the framer (socket or rtu), and a JSON list of [address, type, value] that pymodbus encodes itself.
Prints its port and serves unit 1 until it is killed.
"""

import asyncio
import json
import sys

from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def main():
    framer, registers = sys.argv[1], json.loads(sys.argv[2])
    data = []
    for address, kind, text in registers:
        value = float(text) if kind.startswith("FLOAT") else int(text)
        data.append(SimData(address, values=value, datatype=DataType[kind]))
    server = ModbusTcpServer(SimDevice(1, simdata=data), framer=FramerType(framer), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
