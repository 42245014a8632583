-- Chains that have entries and no head.
SELECT DISTINCT tenant FROM audit.entry AS e WHERE NOT EXISTS (SELECT FROM audit.head AS h WHERE h.tenant = e.tenant)
