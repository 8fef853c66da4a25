-- For people: what each host is and how it is, in one row.
CREATE VIEW hosts AS
SELECT a.name AS agent, a.hostname, a.labels, a.version, a.os,
    CASE WHEN a.disabled_at IS NOT NULL THEN 'disabled' WHEN a.last_seen_at IS NULL THEN 'never seen'
        WHEN a.last_seen_at < now() - INTERVAL '2 minutes' THEN 'silent' ELSE 'up' END AS state,
    a.last_seen_at, v.ts, v.cpu_used_percent, v.memory_used_percent, v.disk_used_percent, v.load1, v.uptime
FROM agents a
LEFT JOIN LATERAL (
    SELECT max(l.ts) AS ts,
        max(l.value) FILTER (WHERE l.name = 'sentinel_host_cpu_used_percent') AS cpu_used_percent,
        max(l.value) FILTER (WHERE l.name = 'sentinel_host_memory_used_percent') AS memory_used_percent,
        max(l.value) FILTER (WHERE l.name = 'sentinel_host_disk_used_percent') AS disk_used_percent,
        max(l.value) FILTER (WHERE l.name = 'node_load1') AS load1,
        make_interval(secs => max(l.value) FILTER (WHERE l.name = 'sentinel_host_uptime_seconds')) AS uptime
    FROM latest l
    WHERE l.agent = a.name AND l.labels = '{}'
) v ON true;

-- One row for each series and minute or hour, from the roll-ups: min, max, average, last
-- and how many samples there were. ts is where the minute or hour begins.
CREATE VIEW minutes AS
SELECT s.ts, a.name AS agent, r.name, r.labels, u.min, u.max, u.sum / u.count AS avg, u.last, u.count
FROM scrapes_1m s
JOIN agents a ON a.id = s.agent_id
JOIN layouts l ON l.id = s.layout_id
CROSS JOIN LATERAL unnest(s.mins, s.maxs, s.sums, s.counts, s.lasts, l.series_ids) AS u(min, max, sum, count, last, series_id)
JOIN series r ON r.id = u.series_id
WHERE u.count > 0;

CREATE VIEW hours AS
SELECT s.ts, a.name AS agent, r.name, r.labels, u.min, u.max, u.sum / u.count AS avg, u.last, u.count
FROM scrapes_1h s
JOIN agents a ON a.id = s.agent_id
JOIN layouts l ON l.id = s.layout_id
CROSS JOIN LATERAL unnest(s.mins, s.maxs, s.sums, s.counts, s.lasts, l.series_ids) AS u(min, max, sum, count, last, series_id)
JOIN series r ON r.id = u.series_id
WHERE u.count > 0;
