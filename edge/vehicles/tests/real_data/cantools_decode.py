"""Decodes a GVRET CSV recording by a DBC file with cantools: one JSON line for each frame that the file knows."""

import csv
import json
import re
import sys

import cantools

with open(sys.argv[1], encoding="cp1252") as dbc:
    # cantools refuses a list of new symbols that is not followed by BS_.
    text = re.sub(r"(?m)^NS_\s*:.*\n(?:[ \t]+\w+[ \t]*\n)*", "", dbc.read())
database = cantools.database.load_string(text, database_format="dbc", strict=False)
messages = {(m.frame_id, m.is_extended_frame): m for m in database.messages}

with open(sys.argv[2], newline="") as log:
    for line, row in enumerate(csv.DictReader(log), start=2):
        key = (int(row["ID"], 16), row["Extended"].strip().lower() == "true")
        message = messages.get(key)
        if message is None:
            continue
        data = bytes(int(row[f"D{i + 1}"], 16) for i in range(int(row["LEN"])))
        result = {"line": line, "id": key[0], "extended": key[1]}
        try:
            result["signals"] = message.decode(data, decode_choices=False, allow_truncated=True)
        except cantools.database.errors.Error as error:
            result["error"] = str(error)
        print(json.dumps(result))
