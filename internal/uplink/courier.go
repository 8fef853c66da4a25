package uplink

import "github.com/sentinelgo/sentinel/internal/sentinelpb"

// Courier takes what the service says of plugins, and has something to say in turn. Its
// methods are called by one goroutine and do not block.
type Courier interface {
	// Begin says that there is a session which speaks of plugins: this set is its first.
	// What was said in an earlier one, and is not answered, is not answered any more.
	Begin(*sentinelpb.PluginSet)
	// Set says what the agent is to run from now on.
	Set(*sentinelpb.PluginSet)
	// Chunk is an answer to a PluginWant.
	Chunk(*sentinelpb.PluginChunk)
	// Outgoing returns what it has to say; at the session's end nothing is.
	Outgoing() <-chan *sentinelpb.ConnectRequest
}

// takePluginSet passes a set on where it was signed for this agent with the key of this
// session.
func (c *conversation) takePluginSet(m *sentinelpb.PluginSet) {
	switch {
	case c.u.deps.Plugins == nil:
	case !c.key.VerifyPluginSet(c.u.self.Agent, m):
		c.u.deps.Logger.Error("what plugins to run is not signed with this agent's key, nothing is changed")
	case c.plugins == nil:
		c.u.deps.Plugins.Begin(m)
		c.plugins = c.u.deps.Plugins.Outgoing() // the service speaks of plugins, so it may be spoken to
	default:
		c.u.deps.Plugins.Set(m)
	}
}
