CALL platform.expose('telemetry.reading', 'telemetry.own_reading', 's.asset_id IN (SELECT platform.own_assets())')
