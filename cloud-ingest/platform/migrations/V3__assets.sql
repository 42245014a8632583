-- Assets are also made by people and programs of their organisation, not only by gateways that name them.

GRANT INSERT ON platform.asset TO patio_app;
