package query

// Exactly returns an engine that reads samples as they came, whatever the step.
func (e *Engine) Exactly() *Engine {
	exact, s := *e, *e.storage
	s.exact = true
	exact.storage = &s
	return &exact
}
