package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/claviger/claviger/models"
	"github.com/claviger/claviger/models/requestlog"
)

func TestTheReasonWhyRowsAreNotRecordedIsShort(t *testing.T) {
	t.Parallel()
	away := errors.New("dial tcp 192.0.2.1:5432: i/o timeout")
	full := fmt.Errorf("write spool: %w", &fs.PathError{Op: "write", Path: "/data/spool", Err: syscall.ENOSPC})
	for _, c := range []struct {
		err, spoolErr error
		want          string
	}{
		{away, nil, "the database does not answer"},
		{away, errors.New("there is no spool"), "the database does not answer"},
		{away, full, "the database does not answer, and the disk is full"},
		{full, full, "the disk is full"},
	} {
		if got := whyNotRecorded(c.err, c.spoolErr); got != c.want {
			t.Errorf("the reason for %v and %v is %q, want %q", c.err, c.spoolErr, got, c.want)
		}
	}
}

func TestTheStateOfTheRequestLogHasAReasonWhileRowsWait(t *testing.T) {
	t.Parallel()
	g, w, secrets := newGate(t, 1, models.Caps{}, models.PlanLimits{}, Options{})
	if s := g.Recording(); s.Behind || s.Reason != "" {
		t.Errorf("before the first failure: %+v", s)
	}
	w.full.Store(true)
	id := requestlog.ID(1)
	if _, err := g.Check(t.Context(), &Request{ID: id, Project: project(t, g), Key: secrets[0]}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second failure", func() bool { return g.Recording().Behind })
	if s := g.Recording(); s.Reason != "the database does not answer" || s.Waiting != 1 {
		t.Errorf("%+v", s)
	}
	w.full.Store(false)
	eventually(t, "the row to be written", func() bool { return !g.Recording().Behind })
}
