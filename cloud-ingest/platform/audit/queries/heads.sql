SELECT tenant, seq, hash FROM audit.head ORDER BY tenant
