-- Dashboards whose logins this server does not have: logins are no part of a database.
SELECT role_name::text FROM platform.reader WHERE to_regrole(quote_ident(role_name::text)) IS NULL ORDER BY 1
