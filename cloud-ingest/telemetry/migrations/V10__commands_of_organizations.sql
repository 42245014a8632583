-- Organisations give commands to their own gateways.

GRANT INSERT ON telemetry.command TO patio_app;
CREATE POLICY own_gateways ON telemetry.command FOR INSERT TO patio_app
    WITH CHECK (gateway_id IN (SELECT id FROM platform.gateway));
