package sentinel

import (
	"errors"
	"fmt"
)

// Code is the one vocabulary of failures. Each interface maps it once: REST to
// HTTP status, the gateway to a receipt, the pipeline to ack, nak or dead letter.
type Code uint8

const (
	Unknown           Code = iota // a failure without a name; never means success
	Invalid                       // the caller's input is wrong and will stay wrong
	Unauthenticated               // who is speaking could not be proven
	Forbidden                     // proven, but not allowed
	NotFound                      // no such thing
	Conflict                      // it exists already, or changed meanwhile
	Forked                        // one (agent, epoch, seq) names two contents
	ResourceExhausted             // a limit was hit; slower, or later, it may pass
	Unavailable                   // a part we need does not answer; try again later
	Internal                      // our own fault
)

var codeNames = [...]string{"unknown", "invalid", "unauthenticated", "forbidden", "not_found",
	"conflict", "forked", "resource_exhausted", "unavailable", "internal"}

// String returns the code as it stands in answers, logs and metrics.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return codeNames[Unknown]
}

// Errorf returns an error with a code; format and args are those of fmt.Errorf,
// %w included. The text may be shown to the caller: no secret belongs in it.
func Errorf(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &coded{code: code, error: err}
}

// coded keeps the text of fmt.Errorf whole while it carries a code.
type coded struct {
	code Code
	error
}

func (c *coded) Unwrap() error { return errors.Unwrap(c.error) }

// CodeOf returns the code of the outermost error in the chain that has one, or
// Unknown. A nil error has no code: asking is a bug, and it answers Unknown.
func CodeOf(err error) Code {
	for err != nil {
		if c, ok := err.(*coded); ok { //nolint:errorlint // this loop is what errors.As would do
			return c.code
		}
		err = errors.Unwrap(err)
	}
	return Unknown
}
