package agent

import (
	"context"
	"time"
)

const (
	// trimFirst is when an agent has settled: it is connected, has its first cycles
	// behind it, and will not need most of the code for that again.
	trimFirst = 20 * time.Second
	// trimEvery is how often it gives back what a reload or a new connection took. Each
	// time costs about a millisecond of CPU time.
	trimEvery = 10 * time.Minute
)

// trim gives the memory of program code back that the agent does not use, from time
// to time until ctx ends. The heap's is the runtime's business: what was given back of
// that was taken again within seconds.
func trim(ctx context.Context) error {
	var own program
	for wait := trimFirst; ; wait = trimEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if wait == trimFirst {
			own = cutProgram()
		}
		own.release()
	}
}
