-- An agent that is no host: the identity under which the service sends itself marked
-- samples. Nothing that lists, counts or finds hosts shows it.
ALTER TABLE agents ADD synthetic bool NOT NULL DEFAULT false;

CREATE OR REPLACE VIEW hosts AS
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
) v ON true
WHERE NOT a.synthetic;
