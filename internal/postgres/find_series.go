package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Field is what of a series a SeriesMatch looks at.
type Field uint8

const (
	FieldName  Field = iota // the metric's name
	FieldAgent              // the agent's id
	FieldLabel              // the label Label: the series' own, else the agent's, else Default
)

// SeriesMatch is one condition on a series. Values that are empty are the same as
// a label that is not there.
type SeriesMatch struct {
	Field   Field
	Label   string
	Default Default
	Not     bool     // the value is none of Values
	Values  []string // the value is one of these; or, where nil,
	Prefix  string   // it begins so
}

// Default is what a label has where neither the series nor the agent says it.
type Default struct {
	Hostname bool // the agent's hostname, or its id where that is empty
	Text     string
}

// FoundSeries is a series and whose it is.
type FoundSeries struct {
	StoredSeries
	Agent *SeriesAgent // shared by all series of the agent
}

// SeriesAgent is what a series' agent adds to its labels.
type SeriesAgent struct {
	ID       int64
	Name     sentinel.AgentID
	Hostname string
	Labels   []sentinel.Label
}

// FindSeries returns the series that fulfil all conditions, in no order. More than
// limit are ResourceExhausted. Text that the database cannot hold matches nothing,
// as it should. The series of a synthetic agent are found by who names it alone.
func (db *DB) FindSeries(ctx context.Context, match []SeriesMatch, limit int) ([]FoundSeries, error) {
	where := seriesWhere{}
	if !slices.ContainsFunc(match, func(m SeriesMatch) bool { return m.Field == FieldAgent && !m.Not && len(m.Values) == 1 }) {
		where.conditions = append(where.conditions, "NOT a.synthetic")
	}
	for _, m := range match {
		if !where.add(m) {
			return nil, nil
		}
	}
	rows, err := db.pool.Query(ctx, `SELECT s.id, s.name, s.labels, s.kind, s.unit, a.id, a.name, a.hostname, a.labels
		FROM series s JOIN agents a ON a.id = s.agent_id`+where.sql()+fmt.Sprintf(` LIMIT %d`, limit+1), where.args...)
	if err != nil {
		return nil, failed("find series", err)
	}
	var found []FoundSeries
	agents := make(map[int64]*SeriesAgent)
	var s FoundSeries
	var a SeriesAgent
	var own, agents_ []byte
	_, err = pgx.ForEachRow(rows, []any{&s.ID, &s.Name, &own, &s.Kind, &s.Unit, &a.ID, &a.Name, &a.Hostname, &agents_}, func() (err error) {
		if s.Labels, err = parseLabels(own); err != nil {
			return err
		}
		if s.Agent = agents[a.ID]; s.Agent == nil {
			one := a
			if one.Labels, err = parseLabels(agents_); err != nil {
				return err
			}
			s.Agent, agents[a.ID] = &one, &one
		}
		found = append(found, s)
		return nil
	})
	if err == nil && len(found) > limit {
		err = sentinel.Errorf(sentinel.ResourceExhausted, "more than %d series match: name a metric, or more labels", limit)
	}
	return found, failed("find series", err)
}

// seriesWhere gathers conditions and their arguments. Only the shape of the
// conditions is in the text, never a value of theirs.
type seriesWhere struct {
	conditions []string
	args       []any
}

func (w *seriesWhere) arg(v any) string {
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d", len(w.args))
}

func (w *seriesWhere) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// add answers false where nothing can fulfil the condition.
func (w *seriesWhere) add(m SeriesMatch) bool {
	var value string
	switch m.Field {
	case FieldName:
		value = "s.name"
	case FieldAgent:
		value = "a.name"
	case FieldLabel:
		if !storable(m.Label) {
			return m.Not
		}
		label := w.arg(m.Label)
		value = "coalesce(nullif(s.labels ->> " + label + "::text, ''), nullif(a.labels ->> " + label + "::text, ''), "
		if m.Default.Hostname {
			value += "nullif(a.hostname, ''), a.name)"
		} else {
			value += w.arg(m.Default.Text) + "::text)"
		}
	}
	if m.Values == nil {
		if !storable(m.Prefix) {
			return false
		}
		w.conditions = append(w.conditions, "starts_with("+value+", "+w.arg(m.Prefix)+"::text)")
		return true
	}
	var values []string
	for _, v := range m.Values {
		if storable(v) {
			values = append(values, v)
		}
	}
	switch {
	case len(values) == 0:
		return m.Not
	case m.Not:
		w.conditions = append(w.conditions, value+" <> ALL("+w.arg(values)+"::text[])")
	default:
		w.conditions = append(w.conditions, value+" = ANY("+w.arg(values)+"::text[])")
	}
	return true
}
