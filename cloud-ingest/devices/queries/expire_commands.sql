UPDATE devices.command SET state = 'expired', ended_at = $1 WHERE state IN ('queued', 'sent') AND expires_at <= $1
