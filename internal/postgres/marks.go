package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Marks returns what is settled of those epochs of an agent that the ledger
// knows, in ascending order; epochs it does not know are left out.
func (db *DB) Marks(ctx context.Context, agent int64, epochs []sentinel.Epoch) ([]sentinel.Mark, error) {
	ids := make([]int64, 0, len(epochs))
	for _, e := range epochs {
		if validEpoch(e) {
			ids = append(ids, int64(e))
		}
	}
	rows, err := db.pool.Query(ctx, `SELECT epoch, received::text FROM ingest_ledger
		WHERE agent_id = $1 AND epoch = ANY($2) ORDER BY epoch`, agent, ids)
	if err != nil {
		return nil, failed("read marks", err)
	}
	var marks []sentinel.Mark
	var epoch int64
	var received string
	_, err = pgx.ForEachRow(rows, []any{&epoch, &received}, func() error {
		rs, err := parseRanges(received)
		if err != nil {
			return err
		}
		a := account{received: rs}
		marks = append(marks, a.mark(sentinel.Epoch(epoch)))
		return nil
	})
	return marks, failed("read marks", err)
}

// Report is what an agent says of itself in a hello or heartbeat.
type Report struct {
	Agent     int64
	SeenAt    time.Time           // by the gateway's clock
	Positions []sentinel.Position // of the epochs that it still holds
	Info      *AgentInfo          // nil where it said nothing
	Hostname  string              // with Info
	Clock     *time.Duration      // how far the agent's clock is ahead; nil where that is not known
}

// ReportPositions notes for many agents at once that they live and how far they
// have appended, which the books need to know what is in flight. Positions and
// times only rise, so the order of calls does not matter. Agents that do not
// exist and positions out of range are skipped.
func (db *DB) ReportPositions(ctx context.Context, reports []Report) error {
	if len(reports) == 0 {
		return nil
	}
	appended := make(map[epochKey]uint64)
	newest := make(map[int64]Report)
	for _, r := range reports {
		for _, p := range r.Positions {
			if validEpoch(p.Epoch) && p.Appended <= maxSeq {
				k := epochKey{r.Agent, p.Epoch}
				appended[k] = max(appended[k], p.Appended)
			}
		}
		if old, ok := newest[r.Agent]; ok {
			if old.SeenAt.After(r.SeenAt) {
				r.SeenAt = old.SeenAt
			}
			if r.Info == nil {
				r.Info, r.Hostname = old.Info, old.Hostname
			}
			if r.Clock == nil {
				r.Clock = old.Clock
			}
		}
		newest[r.Agent] = r
	}
	err := pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var batch pgx.Batch
		queuePositions(&batch, appended)
		queueSeen(&batch, newest)
		return tx.SendBatch(ctx, &batch).Close()
	})
	return failed("note positions", err)
}

// queuePositions writes in the order of the keys, as Commit does, so that the
// two never wait for each other crosswise.
func queuePositions(batch *pgx.Batch, appended map[epochKey]uint64) {
	keys := make([]epochKey, 0, len(appended))
	for k := range appended {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	agents, epochs, values := make([]int64, len(keys)), make([]int64, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		agents[i], epochs[i], values[i] = k.agent, int64(k.epoch), int64(appended[k])
	}
	batch.Queue(`INSERT INTO ingest_ledger AS l (agent_id, epoch, appended)
		SELECT u.agent_id, u.epoch, u.appended
		FROM unnest($1::int8[], $2::int8[], $3::int8[]) AS u(agent_id, epoch, appended)
		WHERE EXISTS (SELECT FROM agents a WHERE a.id = u.agent_id)
		ORDER BY u.agent_id, u.epoch
		ON CONFLICT (agent_id, epoch) DO UPDATE SET appended = excluded.appended, updated_at = now()
		WHERE l.appended < excluded.appended`, agents, epochs, values)
}

func queueSeen(batch *pgx.Batch, newest map[int64]Report) {
	list := make([]Report, 0, len(newest))
	for _, r := range newest {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Report) int { return cmp.Compare(a.Agent, b.Agent) })
	var ids []int64
	var seen []time.Time
	var hasInfo []bool
	var clocks []*int64
	var hostnames, versions, oses, archs, platforms []string
	for _, r := range list {
		ids, seen = append(ids, r.Agent), append(seen, r.SeenAt)
		hasInfo = append(hasInfo, r.Info != nil)
		var clock *int64
		if r.Clock != nil {
			ms := r.Clock.Milliseconds()
			clock = &ms
		}
		clocks = append(clocks, clock)
		var info AgentInfo
		if r.Info != nil {
			info = *r.Info
		}
		hostnames = append(hostnames, printable(r.Hostname, 255))
		versions, oses = append(versions, printable(info.Version, 64)), append(oses, printable(info.OS, 64))
		archs, platforms = append(archs, printable(info.Arch, 64)), append(platforms, printable(info.Platform, 255))
	}
	batch.Queue(`WITH locked AS MATERIALIZED (
			SELECT id FROM agents WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE
		)
		UPDATE agents a SET
			last_seen_at = greatest(a.last_seen_at, u.seen),
			clock_ahead_ms = coalesce(u.clock, a.clock_ahead_ms),
			hostname = CASE WHEN u.has_info THEN u.hostname ELSE a.hostname END,
			version  = CASE WHEN u.has_info THEN u.version ELSE a.version END,
			os       = CASE WHEN u.has_info THEN u.os ELSE a.os END,
			arch     = CASE WHEN u.has_info THEN u.arch ELSE a.arch END,
			platform = CASE WHEN u.has_info THEN u.platform ELSE a.platform END
		FROM locked, unnest($1::int8[], $2::timestamptz[], $3::bool[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int8[])
			AS u(id, seen, has_info, hostname, version, os, arch, platform, clock)
		WHERE a.id = locked.id AND u.id = a.id`, ids, seen, hasInfo, hostnames, versions, oses, archs, platforms, clocks)
}
