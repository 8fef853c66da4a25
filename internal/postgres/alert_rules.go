package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// AlertRule is one rule of alerting as people wrote it.
type AlertRule struct {
	Group, Name string
	YAML        string // as it stands in a file, without its group
	Version     int64  // of the text: no other ever has it
	CreatedAt   time.Time
	ChangedAt   time.Time
	ChangedBy   string
}

const ruleColumns = `grp, name, yaml, version, created_at, changed_at, changed_by`

// AlertVersion moves with every change of rules, silences, acknowledgements and the
// notification file.
func (db *DB) AlertVersion(ctx context.Context) (version int64, err error) {
	err = db.pool.QueryRow(ctx, `SELECT version FROM alert_version`).Scan(&version)
	return version, failed("read the version of alerting", err)
}

// AlertRules returns all rules by group and name, and the version that they are of.
func (db *DB) AlertRules(ctx context.Context) (list []AlertRule, version int64, err error) {
	err = pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT version FROM alert_version`).Scan(&version); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+ruleColumns+` FROM alert_rules ORDER BY grp, name`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[AlertRule])
		return err
	})
	return list, version, failed("read rules", err)
}

// PutAlertRules makes or changes rules, all of them or none: of each it takes group,
// name and text. Rules of the groups in prune that are not among them are removed. A
// rule with the same text stays as it is. It returns the rules as they are kept.
func (db *DB) PutAlertRules(ctx context.Context, by Entry, rules []AlertRule, prune []string) (kept []AlertRule, err error) {
	err = db.audited(ctx, "keep rules", &by, func(tx pgx.Tx) error {
		kept, err = putAlertRules(ctx, tx, by.Actor.Name, rules, prune)
		return err
	})
	return kept, err
}

func putAlertRules(ctx context.Context, tx pgx.Tx, who string, rules []AlertRule, prune []string) ([]AlertRule, error) {
	groups, names, texts := make([]string, len(rules)), make([]string, len(rules)), make([]string, len(rules))
	for i, r := range rules {
		groups[i], names[i], texts[i] = r.Group, r.Name, r.YAML
	}
	if _, err := tx.Exec(ctx, `UPDATE alert_version SET started = true`); err != nil {
		return nil, err
	}
	if len(prune) > 0 {
		if _, err := tx.Exec(ctx, `DELETE FROM alert_rules r WHERE grp = ANY($1)
			AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS k(grp, name) WHERE k.grp = r.grp AND k.name = r.name)`, prune, groups, names); err != nil {
			return nil, err
		}
	}
	if _, err := tx.Exec(ctx, `WITH changed AS (
			INSERT INTO alert_rules (grp, name, yaml, changed_by)
			SELECT grp, name, yaml, $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS n(grp, name, yaml)
			ON CONFLICT (grp, name) DO UPDATE SET yaml = excluded.yaml, changed_by = excluded.changed_by, changed_at = now(), version = nextval('alert_rule_version')
				WHERE alert_rules.yaml <> excluded.yaml
			RETURNING version, grp, name, yaml, changed_by
		)
		INSERT INTO alert_rule_versions (version, grp, name, yaml, changed_by) SELECT version, grp, name, yaml, changed_by FROM changed`,
		groups, names, texts, printable(who, 255)); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT `+ruleColumns+` FROM alert_rules r
		WHERE EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS k(grp, name) WHERE k.grp = r.grp AND k.name = r.name) ORDER BY grp, name`, groups, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[AlertRule])
}

// StartAlertRules installs rules where nobody has ever made any, and reports whether
// it did.
func (db *DB) StartAlertRules(ctx context.Context, by Entry, rules []AlertRule) (done bool, err error) {
	var started bool
	if err := db.pool.QueryRow(ctx, `SELECT started FROM alert_version`).Scan(&started); err != nil || started {
		return false, failed("install rules", err)
	}
	err = db.audited(ctx, "install rules", &by, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE alert_version SET started = true WHERE NOT started`)
		if err == nil && tag.RowsAffected() == 0 {
			return sentinel.Errorf(sentinel.Conflict, "rules were installed meanwhile")
		}
		if err == nil {
			_, err = putAlertRules(ctx, tx, by.Actor.Name, rules, nil)
		}
		return err
	})
	if err != nil && sentinel.CodeOf(err) == sentinel.Conflict {
		return false, nil
	}
	return err == nil, err
}

// DeleteAlertRule removes a rule, or answers NotFound.
func (db *DB) DeleteAlertRule(ctx context.Context, by Entry, group, name string) error {
	return db.changeBy(ctx, "delete a rule", by, `DELETE FROM alert_rules WHERE grp = $1 AND name = $2`, group, name)
}

// AlertRuleVersions returns what a rule was, the newest first.
func (db *DB) AlertRuleVersions(ctx context.Context, group, name string) ([]AlertRule, error) {
	rows, err := db.pool.Query(ctx, `SELECT grp, name, yaml, version, changed_at, changed_at, changed_by FROM alert_rule_versions
		WHERE grp = $1 AND name = $2 ORDER BY version DESC LIMIT 100`, group, name)
	if err != nil {
		return nil, failed("read versions of a rule", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AlertRule])
	return list, failed("read versions of a rule", err)
}

// NotificationConfig is the notification file, sealed.
type NotificationConfig struct {
	Sealed      []byte
	MasterKeyID string
	Version     int64
	ChangedAt   time.Time
	ChangedBy   string
}

// NotificationConfig returns the notification file, or NotFound.
func (db *DB) NotificationConfig(ctx context.Context) (c NotificationConfig, err error) {
	err = db.pool.QueryRow(ctx, `SELECT sealed, master_key_id, version, changed_at, changed_by FROM notification_config`).
		Scan(&c.Sealed, &c.MasterKeyID, &c.Version, &c.ChangedAt, &c.ChangedBy)
	return c, failed("read the notification file", err)
}

// ResealNotificationConfig replaces the sealed form of the notification file, unless it
// has been replaced since it was read. Its version stays.
func (db *DB) ResealNotificationConfig(ctx context.Context, c NotificationConfig, sealed []byte, masterKeyID string) error {
	_, err := db.pool.Exec(ctx, `UPDATE notification_config SET sealed = $3, master_key_id = $4 WHERE version = $1 AND sealed = $2`, c.Version, c.Sealed, sealed, masterKeyID)
	return failed("seal the notification file anew", err)
}

// PutNotificationConfig keeps the notification file, where its version still is the
// given one: 0 where there is none, below 0 whatever there is. Otherwise it answers
// Conflict.
func (db *DB) PutNotificationConfig(ctx context.Context, by Entry, sealed []byte, masterKeyID string, was int64) (version int64, err error) {
	err = db.audited(ctx, "keep the notification file", &by, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `INSERT INTO notification_config (sealed, master_key_id, changed_by) SELECT $1::bytea, $2::text, $3::text
			WHERE $4::int8 <= 0 OR EXISTS (SELECT FROM notification_config)
			ON CONFLICT (one) DO UPDATE SET sealed = excluded.sealed, master_key_id = excluded.master_key_id, changed_by = excluded.changed_by,
				changed_at = now(), version = notification_config.version + 1
			WHERE $4::int8 < 0 OR notification_config.version = $4::int8
			RETURNING version`, sealed, masterKeyID, printable(by.Actor.Name, 255), was).Scan(&version)
		if err == pgx.ErrNoRows { //nolint:errorlint // as the driver returns it
			return sentinel.Errorf(sentinel.Conflict, "the notification file has changed meanwhile")
		}
		by.Details = map[string]any{"version": version}
		return err
	})
	return version, err
}
