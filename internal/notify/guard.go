package notify

import (
	"net/netip"
	"syscall"

	"github.com/sentinelgo/sentinel/internal/guard"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Guard decides which addresses a notifier may dial. A refusal is Permanent.
type Guard struct{ guard guard.Guard }

// NewGuard returns a guard that lets through public addresses and those in the
// prefixes, such as 10.1.0.0/16. A metadata address has to stand there by itself.
func NewGuard(allow []string) (Guard, error) {
	g, err := guard.New(allow)
	return Guard{g}, err
}

// Allows returns a Forbidden error for an address that must not be dialled.
func (g Guard) Allows(addr netip.Addr) error { return g.guard.Allows(addr) }

// Control is a net.Dialer's: it sees the address that is really dialled.
func (g Guard) Control(network, address string, conn syscall.RawConn) error {
	if err := g.guard.Control(network, address, conn); err != nil {
		return Permanent(sentinel.Errorf(sentinel.Forbidden, "%w; allow_private can name its network", err))
	}
	return nil
}
