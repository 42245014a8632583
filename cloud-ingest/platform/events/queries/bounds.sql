-- Where the log of an organisation begins and ends.
SELECT (SELECT min(position) FROM events.log WHERE organization_id = $1) AS oldest,
       (SELECT position FROM events.head WHERE organization_id = $1) AS newest
