package agent

import "context"

// part is an activity that can be replaced while the agent runs. Make it with
// newPart.
type part struct {
	next  chan successor
	ended chan struct{}
}

type successor struct {
	activity func(context.Context) error
	begins   chan struct{} // closed once what ran before has stopped
}

func newPart() *part { return &part{next: make(chan successor), ended: make(chan struct{})} }

// run runs first and whatever replaces it, one at a time, until ctx ends or one of
// them ends by itself.
func (p *part) run(ctx context.Context, first func(context.Context) error) error {
	defer close(p.ended)
	for activity := first; ; {
		one, stop := context.WithCancel(ctx)
		over := make(chan error, 1)
		go func() { over <- activity(one) }()
		select {
		case err := <-over:
			stop()
			return err
		case next := <-p.next:
			stop()
			if err := <-over; err != nil {
				return err
			}
			close(next.begins)
			activity = next.activity
		}
	}
}

// replace runs activity instead of what runs, and returns when that has stopped. It
// does nothing where the part has ended.
func (p *part) replace(activity func(context.Context) error) {
	next := successor{activity, make(chan struct{})}
	select {
	case p.next <- next:
	case <-p.ended:
		return
	}
	select {
	case <-next.begins:
	case <-p.ended:
	}
}
