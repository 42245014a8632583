"""Decodes random frames by a DBC file with cantools, and encodes random values: a JSON line for each frame.

Arguments: the DBC file, a seed. Standard input: frames as JSON lines with `id` and `data`. `way` tells what was done."""

import json
import random
import sys

import cantools

database = cantools.database.load_file(sys.argv[1], database_format="dbc", strict=True)
chance = random.Random(int(sys.argv[2]))


def told(way, message, data, values):
    # JSON has no name for what is no number.
    values = values and {name: None if value != value else value for name, value in values.items()}
    print(json.dumps({"way": way, "id": message.frame_id, "data": data.hex(), "signals": values}))


for line in sys.stdin:
    frame = json.loads(line)
    message = database.get_message_by_frame_id(frame["id"])
    data = bytes.fromhex(frame["data"])
    try:
        values = message.decode(data, decode_choices=False)
    except cantools.database.errors.DecodeError:
        # A multiplexor with a value that no signal has.
        values = None
    told("decode", message, data, values)


def values_of(message, codec):
    """Random values for the signals that one choice of multiplexors selects."""
    values = {}
    for entry in codec:
        if isinstance(entry, str):
            signal = message.get_signal_by_name(entry)
            if signal.conversion.is_float:
                values[entry] = chance.uniform(-1e6, 1e6)
            else:
                low = -(1 << signal.length - 1) if signal.is_signed else 0
                values[entry] = chance.randrange(low, low + (1 << signal.length))
        else:
            ((name, choices),) = entry.items()
            values[name] = chance.choice(sorted(choices))
            values.update(values_of(message, choices[values[name]]))
    return values


for message in database.messages:
    for _ in range(10):
        raw = values_of(message, message.signal_tree)
        data = message.encode(raw, scaling=False, padding=False, strict=False)
        told("encode", message, data, message.decode(data, decode_choices=False))
        # What was put in comes out.
        again = message.decode(data, decode_choices=False, scaling=False)
        assert all(abs(again[name] - value) <= abs(value) * 1e-6 for name, value in raw.items()), message.name
