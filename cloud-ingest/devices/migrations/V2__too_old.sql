-- Two further reasons for not storing a record.

COMMENT ON COLUMN devices.refused.digest IS 'First 16 bytes of the SHA-256 of its content: for a record the key of telemetry.taken.';
COMMENT ON COLUMN devices.refused.reason IS 'Why: impossible_time; too_old: it comes so late that it may have been stored before; unreadable: the message is not what the device should say.';
