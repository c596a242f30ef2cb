package gate

import (
	"errors"
	"syscall"

	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models"
)

// RecorderState is the state of the request log: whether its rows are being written.
type RecorderState struct {
	recorder.State
	Reason string // why rows are not written, safe to show, such as "the disk is full"; empty if they are
}

// Recording returns the present state of the request log.
func (g *Gate) Recording() RecorderState {
	s := RecorderState{State: g.recorder.State()}
	if s.Behind {
		s.Reason = whyNotRecorded(s.Err, s.SpoolErr)
	}
	return s
}

// whyNotRecorded returns a short reason why rows cannot be written: err is the database's error, and spoolErr that of
// the spool, nil if the spool takes rows.
func whyNotRecorded(err, spoolErr error) string {
	reason := models.WhyNotWritten(err)
	if !errors.As(spoolErr, new(syscall.Errno)) { // nil, or there is no spool, or it has reached its largest size
		return reason
	}
	if why := models.WhyNotWritten(spoolErr); why != reason {
		reason += ", and " + why
	}
	return reason
}
