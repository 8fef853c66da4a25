// Package alerting decides when a rule's condition holds on a host, and says so once.
//
// An [Engine] is a pure function of rules, samples with their event times, what the
// gateways know of agents, and the service's clock, which is handed in. It does no I/O,
// starts no goroutines and is not safe for concurrent use: one owner feeds it. The
// same input in the same order gives the same [Transition]s, so what runs live also
// runs in tests of rules and over stored history.
//
// What pages is decided in event time. Each agent has a watermark, the latest event
// time seen of it. A cycle that is behind the watermark is late: it fires nothing and
// resolves nothing. A cycle that is in order, but further behind the service's clock
// than the agent usually is, is history that it kept while it was cut off: the engine
// follows it, and speaks when the agent has caught up, of what is the case
// then. A condition that began and ended meanwhile is never spoken of.
//
// While an incident's samples stay out for longer than Options.Patience its state is
// Unknown, with the reason; unknown is neither firing nor resolved.
//
// An owner of agents makes one Engine for them. It warms it with the samples of the
// longest window (Warm), takes over the state of the owner before (Import), and from
// then on hands it every cycle (Feed), every change of a session (SetPresence) and the
// time, about once a second (Advance). It keeps the last Transition of each
// fingerprint where the next owner finds it: that is all the state there is.
//
// Time that was not observed does not count for `for` and `keep_firing_for`, and no
// window reaches across it. So a clock that steps ages nothing.
package alerting
