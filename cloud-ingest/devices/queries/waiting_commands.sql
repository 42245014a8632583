SELECT DISTINCT device_id FROM devices.command WHERE state = 'queued' AND expires_at > $1
