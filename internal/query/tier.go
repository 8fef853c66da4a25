package query

import (
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// fewest is how many buckets of a tier a range must span to be answered from it.
const fewest = 5

// columns says for which functions over a range a bucket can stand for its samples,
// and by which of its numbers. All others need the samples as they came, for as
// long as these are kept.
func columnFor(function string) (postgres.Column, bool) {
	switch function {
	case "rate", "increase":
		return postgres.ColumnCounter, true
	case "delta", "last_over_time", "present_over_time", "deriv", "predict_linear":
		return postgres.ColumnLast, true
	case "min_over_time":
		return postgres.ColumnMin, true
	case "max_over_time":
		return postgres.ColumnMax, true
	case "avg_over_time", "sum_over_time", "count_over_time":
		return postgres.ColumnMean, true
	}
	return postgres.ColumnLast, false
}

// chooseTier decides by the step which roll-up may stand for samples. It may where
// every evaluation falls between two buckets, so that none is cut: the step, the
// range and the first evaluation are whole buckets. The answer then differs from
// that of the samples by at most one sample at each end of a range, and a current
// value by what came within the bucket's length.
//
// A current value is never taken from hours: it would be up to an hour old. At one
// point in time, a long range is read from buckets where these are whole and from
// samples at its ends, which cuts nothing.
func chooseTier(h *storage.SelectHints, lookback int64) (tier time.Duration, column postgres.Column) {
	window := h.Range
	if window == 0 {
		window = lookback
	}
	column, ranged := columnFor(h.Func)
	if h.Range == 0 {
		column, ranged = postgres.ColumnLast, h.Func != "timestamp"
	}
	if !ranged {
		return 0, column
	}
	for _, t := range []time.Duration{time.Hour, time.Minute} {
		ms := t.Milliseconds()
		switch {
		case h.Range == 0 && t == time.Hour, h.Range != 0 && h.Range < fewest*ms:
			continue
		case h.Step == 0:
			if h.Range >= 24*fewest*ms {
				return t, column
			}
		case h.Step%ms == 0 && h.Range%ms == 0 && (h.Start-1+window)%ms == 0:
			return t, column
		}
	}
	return 0, column
}
