package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Retention is how long what is kept, and what that takes on disk.
type Retention struct {
	Tiers          []RetentionTier `json:"tiers" doc:"From the finest to the coarsest"`
	Bytes          int64           `json:"bytes" doc:"Of all tiers"`
	BytesPerDay    *int64          `json:"bytes_per_day" nullable:"true"`
	ProjectedBytes *int64          `json:"projected_bytes" nullable:"true"`
	DatabaseBytes  int64           `json:"database_bytes" doc:"Of everything in the database"`
	ChangedAt      *time.Time      `json:"changed_at" doc:"When somebody chose other values than the configuration file's; null where nobody did"`
	ChangedBy      string          `json:"changed_by"`
}

// RetentionTier is one tier of a Retention.
type RetentionTier struct {
	Tier           string         `json:"tier" enum:"raw,minute,hour"`
	What           string         `json:"what"`
	Days           float64        `json:"days" doc:"What holds, or would with the values that were asked about; 0 is for ever"`
	ConfiguredDays *float64       `json:"configured_days" nullable:"true" doc:"worker.retention of the configuration file; null before a worker ran"`
	ChosenDays     *float64       `json:"chosen_days" nullable:"true" doc:"What was set here, which goes before the file; null where nothing was"`
	Bytes          int64          `json:"bytes"`
	Oldest         *time.Time     `json:"oldest" doc:"Where the oldest partition with data begins; null where there is none"`
	BytesPerDay    *int64         `json:"bytes_per_day" nullable:"true" doc:"As measured; null where there is nothing to measure yet"`
	ProjectedBytes *int64         `json:"projected_bytes" nullable:"true" doc:"Once the tier is as old as it is kept"`
	Drops          *RetentionDrop `json:"drops,omitempty" doc:"What the next maintenance removes, or would; missing where it is nothing"`
}

// RetentionDrop is what of a tier is older than it is kept: whole partitions.
type RetentionDrop struct {
	Before time.Time `json:"before"`
	Bytes  int64     `json:"bytes"`
	Parts  int       `json:"parts"`
}

// RetentionChange sets how long each tier is kept, in days. What is missing or null is
// as the configuration file says.
type RetentionChange struct {
	Raw    *float64 `json:"raw_days,omitempty" nullable:"true"`
	Minute *float64 `json:"minute_days,omitempty" nullable:"true"`
	Hour   *float64 `json:"hour_days,omitempty" nullable:"true"`
	Drop   bool     `json:"drop,omitempty" doc:"It is meant, although it removes data"`
}

const (
	day     = 24 * time.Hour
	maxDays = 36_500
)

func (r resources) retention() {
	type input struct {
		Raw    float64 `query:"raw" minimum:"0" doc:"Show what it would be with so many days"`
		Minute float64 `query:"minute" minimum:"0" doc:"Likewise"`
		Hour   float64 `query:"hour" minimum:"0" doc:"Likewise"`
	}
	type output struct{ Body Retention }
	get := operation(postgres.Viewer, http.MethodGet, "/retention", "get-retention", "Show how long samples are kept, and what that takes on disk")
	huma.Register(r.api, get, func(ctx context.Context, in *input) (*output, error) {
		state, err := r.deps.DB.Retention(ctx)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		change := RetentionChange{}
		for _, v := range []struct {
			days float64
			to   **float64
		}{{in.Raw, &change.Raw}, {in.Minute, &change.Minute}, {in.Hour, &change.Hour}} {
			if v.days > 0 {
				*v.to = &v.days
			}
		}
		asked := state
		if change != (RetentionChange{}) {
			if asked, err = change.apply("query.", "", state, true); err != nil {
				return nil, r.fail(ctx, err)
			}
		}
		shown, _, err := r.showRetention(ctx, state, asked)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return &output{shown}, nil
	})

	type putInput struct{ Body RetentionChange }
	put := operation(postgres.Admin, http.MethodPut, "/retention", "put-retention", "Set how long samples are kept")
	put.Description += " Where that removes data, it is refused with what it would remove, until it is repeated with drop. Workers follow with their next maintenance, within an hour."
	put.Errors = append(put.Errors, http.StatusConflict)
	huma.Register(r.api, put, func(ctx context.Context, in *putInput) (*output, error) {
		state, err := r.deps.DB.Retention(ctx)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		asked, err := in.Body.apply("body.", "_days", state, false)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		_, removes, err := r.showRetention(ctx, state, asked)
		if err == nil && removes != "" && !in.Body.Drop {
			err = sentinel.Errorf(sentinel.Conflict, "this removes %s: repeat it with drop (sentinelctl: --yes) if that is meant", removes)
		}
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		by := entry(ctx, "retention.change", "")
		by.Details = map[string]any{"raw_days": in.Body.Raw, "minute_days": in.Body.Minute, "hour_days": in.Body.Hour}
		if err := r.deps.DB.ChooseRetention(ctx, by, asked.Raw.Chosen, asked.Minute.Chosen, asked.Hour.Chosen); err != nil {
			return nil, r.fail(ctx, err)
		}
		if state, err = r.deps.DB.Retention(ctx); err != nil {
			return nil, r.fail(ctx, err)
		}
		shown, _, err := r.showRetention(ctx, state, state)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return &output{shown}, nil
	})
}

// apply returns the state as it would be. Where kept is set, what the change does not
// name stays as it was chosen; else it is as the file says.
func (c RetentionChange) apply(before, after string, state postgres.RetentionState, kept bool) (postgres.RetentionState, error) {
	finer, at := 1.0, "a day"
	for _, v := range []struct {
		name string
		days *float64
		of   *postgres.RetentionOf
	}{{"raw", c.Raw, &state.Raw}, {"minute", c.Minute, &state.Minute}, {"hour", c.Hour, &state.Hour}} {
		switch {
		case v.days != nil && (*v.days < 1 || *v.days > maxDays):
			return state, wrong(before+v.name+after, "want 1 to %d days, not %v", maxDays, *v.days)
		case v.days != nil:
			keep := time.Duration(*v.days * float64(day)).Round(time.Second)
			v.of.Chosen = &keep
		case !kept:
			v.of.Chosen = nil
		}
		days := inDays(v.of.Holds())
		if days == 0 { // no worker has said yet what its file says
			continue
		}
		if days < finer {
			return state, wrong(before+v.name+after, "%s is shorter than %s, which a coarser tier must not be", inWords(days), at)
		}
		finer, at = days, "the finer tier's "+inWords(days)
	}
	return state, nil
}

func inDays(d time.Duration) float64 { return d.Hours() / 24 }

func inWords(days float64) string {
	if days == 1 {
		return "1 day"
	}
	return strconv.FormatFloat(math.Round(days*100)/100, 'f', -1, 64) + " days"
}

// showRetention shows what is asked for, and says what it removes beyond what the state
// as it is would.
func (r resources) showRetention(ctx context.Context, state, asked postgres.RetentionState) (out Retention, removes string, err error) {
	now := time.Now()
	sizes, err := r.deps.DB.TierSizes(ctx, now)
	if err != nil {
		return out, "", err
	}
	if out.DatabaseBytes, err = r.deps.DB.Bytes(ctx); err != nil {
		return out, "", err
	}
	if out.ChangedBy = asked.ChangedBy; !asked.ChangedAt.IsZero() {
		at := asked.ChangedAt.UTC()
		out.ChangedAt = &at
	}
	was, is := state.Holds(), asked.Holds()
	var texts []string
	var perDay, projected int64
	for i, t := range []struct {
		name, what, things string
		of                 postgres.RetentionOf
		was, is            time.Duration
	}{
		{"raw", "Samples as they came", "samples", asked.Raw, was.Raw, is.Raw},
		{"minute", "Roll-ups of one minute, those of the last days twice; events and incidents too", "roll-ups of one minute", asked.Minute, was.Minute, is.Minute},
		{"hour", "Roll-ups of one hour", "roll-ups of one hour", asked.Hour, was.Hour, is.Hour},
	} {
		size := sizes[i]
		tier := RetentionTier{Tier: t.name, What: t.what, Days: inDays(t.is), ConfiguredDays: daysOf(t.of.Configured), ChosenDays: daysOf(t.of.Chosen), Bytes: size.Bytes}
		if oldest := size.Oldest(); !oldest.IsZero() {
			oldest = oldest.UTC()
			tier.Oldest = &oldest
		}
		if size.PerDay > 0 {
			a, b := int64(size.PerDay), size.Projected(t.is)
			tier.BytesPerDay, tier.ProjectedBytes = &a, &b
			perDay, projected = perDay+a, projected+b
		}
		if d := size.Drop(now, t.is); d.Parts > 0 {
			tier.Drops = &RetentionDrop{d.Before.UTC(), d.Bytes, d.Parts}
			if d.Parts > size.Drop(now, t.was).Parts {
				texts = append(texts, fmt.Sprintf("%s from before %s (%s)", t.things, d.Before.UTC().Format(time.DateOnly), bytesText(d.Bytes)))
			}
		}
		out.Bytes += size.Bytes
		out.Tiers = append(out.Tiers, tier)
	}
	if perDay > 0 {
		out.BytesPerDay, out.ProjectedBytes = &perDay, &projected
	}
	return out, strings.Join(texts, " and "), nil
}

func daysOf(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	days := inDays(*d)
	return &days
}

// bytesText is a size for people.
func bytesText(n int64) string {
	v, units := float64(n), []string{"bytes", "KB", "MB", "GB", "TB"}
	i := 0
	for v >= 1000 && i+1 < len(units) {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}

// Retention returns how long what is kept; change, where it is not zero, shows what it
// would be.
func (c *Client) Retention(ctx context.Context, change RetentionChange) (Retention, error) {
	q := url.Values{}
	for key, days := range map[string]*float64{"raw": change.Raw, "minute": change.Minute, "hour": change.Hour} {
		if days != nil {
			q.Set(key, strconv.FormatFloat(*days, 'f', -1, 64))
		}
	}
	var r Retention
	err := c.call(ctx, http.MethodGet, "/retention", q, nil, &r)
	return r, err
}

// SetRetention changes how long what is kept.
func (c *Client) SetRetention(ctx context.Context, change RetentionChange) (Retention, error) {
	var r Retention
	err := c.call(ctx, http.MethodPut, "/retention", nil, change, &r)
	return r, err
}
