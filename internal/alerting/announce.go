package alerting

import "time"

// announce makes what is said of an incident agree with its machine, where the machine
// stands in the present.
func (e *Engine) announce(in *instance, fresh bool, t, now int64) {
	defer in.enlist()
	if !fresh {
		return
	}
	said := in.said
	if said == Unknown {
		said = in.was
	}
	if said != Firing && in.State == Firing && in.Quiet != 0 {
		in.Machine = Machine{State: Inactive, End: t} // it ended before it could be spoken of
	}
	switch {
	case said == Inactive && in.State == Inactive:
	case said == in.State, said == Firing && in.State == Pending: // the latter ended and began again unseen
		switch {
		case in.said == Unknown:
			e.emit(in, said, DataBack, t, now)
		case in.Quiet != 0 && in.told.Quiet == 0:
			e.emit(in, said, Recovering, t, now)
		case in.Quiet == 0 && in.told.Quiet != 0:
			e.emit(in, said, Relapsed, t, now)
		}
	case said == Firing:
		e.emit(in, Resolved, e.endReason(in), t, now)
	case in.State == Inactive:
		e.emit(in, Inactive, ConditionEnded, t, now)
	default:
		e.emit(in, in.State, e.beginReason(in), t, now)
	}
}

// emit says a transition to a state. Its event time is t.
func (e *Engine) emit(in *instance, to State, reason Reason, t, now int64) {
	from, before := in.said, in.said
	if before == Unknown {
		before = in.was
	}
	in.said, in.was, in.reason = to, "", reason
	switch to {
	case Unknown:
		in.was = from
	case Resolved:
		in.said = Inactive
	case Pending, Firing:
		start, fired := in.told.Start, in.told.Fired
		if in.told = in.Machine; to == Firing && before == Firing { // still the same incident
			in.told.Start, in.told.Fired = start, fired
		}
	}
	tr := Transition{Incident: e.incident(in), From: from, To: to, At: at(t), Now: at(now),
		Severity: in.rule.Severity, Runbook: in.rule.Runbook, Values: in.values()}
	if tr.State = to; to == Resolved || to == Inactive {
		tr.EndsAt = at(t)
		if in.End != 0 {
			tr.EndsAt = at(in.End)
		}
		in.told = Machine{}
	}
	if to == Firing || to == Resolved {
		tr.Annotations = in.rule.Annotate(tr.Values, tr.Labels)
	}
	e.out = append(e.out, tr)
	e.counts.Transitions++
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
