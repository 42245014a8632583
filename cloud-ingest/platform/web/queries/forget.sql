DELETE FROM web.answer WHERE created_at < now() - interval '1 day'
