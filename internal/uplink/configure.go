package uplink

import (
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

const maxConfig = 64 << 10 // bytes of a configuration

// takeConfig has a configuration applied, which may take a while; loop reports what
// became of it. One that comes meanwhile is not applied: the service tells the agent
// again in the next session. A configuration that was not signed for this agent with
// the key of this session is nobody's.
func (c *conversation) takeConfig(m *sentinelpb.AgentConfig) {
	if !c.key.VerifyConfig(c.u.self.Agent, m) {
		c.u.deps.Logger.Error("a configuration is not signed with this agent's key, it is not applied", "version", m.GetVersion())
		return
	}
	report := &sentinelpb.ConfigReport{Version: m.GetVersion()}
	if c.configured != nil {
		c.u.deps.Logger.Warn("a configuration came while another one is being applied", "version", m.GetVersion())
		return
	}
	done := make(chan *sentinelpb.ConfigReport, 1)
	c.configured = done
	switch {
	case c.u.deps.Configure == nil:
		report.Detail = "this agent takes no configuration from the service"
		done <- report
		return
	case len(m.GetContent()) > maxConfig:
		report.Detail = "the configuration is too long"
		done <- report
		return
	}
	// On its own: a reload that replaces this uplink may be under way, which waits for
	// this session and which Configure waits for.
	go func() {
		if err := c.u.deps.Configure(m.GetVersion(), m.GetContent()); err != nil {
			report.Detail = err.Error()
		} else {
			report.Applied = true
		}
		done <- report
	}()
}
