package gate

import (
	"errors"
	"syscall"

	"github.com/claviger/claviger/gate/recorder"
	"github.com/claviger/claviger/models"
)

// RecorderState says whether the request log is being written.
type RecorderState struct {
	recorder.State
	Reason string // why not, in a few words that are safe to show, such as "the disk is full"
}

// Recording returns the state of the request log at this moment.
func (g *Gate) Recording() RecorderState {
	s := RecorderState{State: g.recorder.State()}
	if s.Behind {
		s.Reason = whyNotRecorded(s.Err, s.SpoolErr)
	}
	return s
}

// whyNotRecorded puts into words why the database, and the spool where spoolErr is not nil, do not take rows.
func whyNotRecorded(err, spoolErr error) string {
	reason := models.WhyNotWritten(err)
	if !errors.As(spoolErr, new(syscall.Errno)) { // there is no spool, or it has reached its largest size
		return reason
	}
	if why := models.WhyNotWritten(spoolErr); why != reason {
		reason += ", and " + why
	}
	return reason
}
