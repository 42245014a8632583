-- Entries are looked for by who did it and by request, too.

CREATE INDEX ON audit.entry (tenant, actor, seq);
CREATE INDEX ON audit.entry (tenant, request_id, seq);
