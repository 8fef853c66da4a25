package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// FleetMember is an agent that is not disabled, with its keys that are not revoked.
type FleetMember struct {
	ID       int64
	Name     sentinel.AgentID
	Hostname string
	Labels   []sentinel.Label
	Keys     []AgentKey
}

// FleetMembers returns all agents that are not disabled, by their names.
func (db *DB) FleetMembers(ctx context.Context) (list []FleetMember, err error) {
	err = pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id, name, hostname, labels FROM agents WHERE disabled_at IS NULL AND NOT synthetic ORDER BY name`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m FleetMember, err error) {
			var labels []byte
			if err = row.Scan(&m.ID, &m.Name, &m.Hostname, &labels); err == nil {
				m.Labels, err = parseLabels(labels)
			}
			return m, err
		})
		if err != nil {
			return err
		}
		at := make(map[int64]int, len(list))
		for i, m := range list {
			at[m.ID] = i
		}
		if rows, err = tx.Query(ctx, `SELECT agent_id, key_id, secret, expires_at FROM agent_keys WHERE state <> 'revoked' ORDER BY agent_id, key_id`); err != nil {
			return err
		}
		var k AgentKey
		var expires *time.Time
		_, err = pgx.ForEachRow(rows, []any{&k.Agent, &k.KeyID, &k.Secret, &expires}, func() error {
			if i, ok := at[k.Agent]; ok {
				k.ExpiresAt = orZero(expires)
				one := k
				one.Secret = slices.Clone(k.Secret)
				list[i].Keys = append(list[i].Keys, one)
			}
			return nil
		})
		return err
	})
	return list, failed("read the fleet", err)
}
